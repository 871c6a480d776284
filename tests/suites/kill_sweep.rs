//! SIGKILL of each of pxrun's processes at random times: rows 7, 43 and 57 to 60.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::thread;
use std::time::Duration;

use px_tests::processes::wait_until_gone;
use px_tests::rounds::{Random, rounds};
use px_tests::{Job, Running, Scratch, Status, checker, records, sys};

/// The promise: so long after the kill, nothing of the job lives.
const PROMISED: Duration = Duration::from_secs(2);

const MODES: &[&str] = &["", "-k", "--order rank", "-k --contract lines", "--run per-chunk"];

/// Copies that do everything to stay.
const STAYERS: &str = r#"case $((${PX_CHUNK:-$PX_RANK} % 4)) in
    0) exec "$ZOO" ignore-signals "$DIR";;
    1) "$ZOO" daemonize "$DIR"; exec "$ZOO" ignore-signals "$DIR";;
    2) "$ZOO" hold-stdout 3600; exec "$ZOO" ignore-signals "$DIR";;
    3) cat; exec "$ZOO" ignore-signals "$DIR";;
    esac"#;

/// A job of copies that do everything to stay, once `ready` of them have settled.
fn stayers(mode: &str, ready: usize, scratch: &Scratch) -> Running {
    let job = Job::new("-np 4 -o").arg(scratch.at("out")).words(mode);
    let marks = scratch.directory("marks");
    let job = job.env("DIR", marks).sh(STAYERS).input(records::numbered(4000, 1));
    let mut running = job.start();
    running.until("copies have settled", |_| scratch.names("marks").len() >= ready);
    running
}

/// Kills one process of settled jobs again and again, and gives the job to `then`.
fn sweep(name: &str, mut then: impl FnMut(Running)) {
    let mut random = Random::seeded(57);
    for round in 0..rounds(30) {
        let scratch = Scratch::new();
        let mode = MODES[round as usize % MODES.len()];
        let mut running = stayers(mode, random.below(5) as usize, &scratch);
        running.until(name, |job| !job.named(name).is_empty());
        // The moment is to be random; nothing waits for it.
        thread::sleep(Duration::from_micros(random.below(5000)));
        let victim = match name {
            // The guardian has this name too until it takes its own.
            "pxrun" => running.pid(),
            _ => running.named(name)[0].pid,
        };
        sys::kill(victim, libc::SIGKILL).unwrap();
        wait_until_gone(running.mark(), PROMISED);
        then(running);
        assert!(!scratch.has("out"), "a killed job published its output");
    }
}

#[test]
fn row_57_nothing_outlives_a_killed_pxrun() {
    sweep("pxrun", |mut running| {
        assert_eq!(running.wait_for_end(), Status::Signaled(libc::SIGKILL));
    });
}

#[test]
fn row_58_nothing_outlives_a_killed_agent() {
    sweep("px-agent", ends_with_an_error);
}

#[test]
fn row_60_nothing_outlives_a_killed_guardian() {
    sweep("px-guardian", ends_with_an_error);
}

fn ends_with_an_error(running: Running) {
    let outcome = running.finish();
    outcome.check(outcome.status != Status::Exited(0), || "wanted a failure".to_owned());
    outcome.says("pxrun: error: ");
}

#[test]
fn row_59_a_killed_copy_is_a_failure_by_that_signal() {
    for mode in MODES {
        let scratch = Scratch::new();
        let job = Job::new("-np 2 --grace 0.2").words(mode).zoo("never-read").arg(scratch.path());
        let mut running = job.input(records::numbered(4000, 1)).start();
        running.until("the copies run", |_| scratch.names(".").len() == 2);
        let copy = running.named("px-zoo")[0].clone();
        sys::kill(copy.pid, libc::SIGKILL).unwrap();
        running.finish().exits(137).says("signal 9");
    }
}

#[test]
fn row_57_a_start_is_killed_at_any_moment() {
    let mut random = Random::seeded(58);
    for round in 0..rounds(60) {
        let scratch = Scratch::new();
        let job = Job::new("-np 4 -k --contract lines").zoo("ignore-signals").arg(scratch.path());
        let running = job.input(records::numbered(100, round)).start();
        // From before the first fork to behind the last one.
        thread::sleep(Duration::from_micros(random.below(20_000)));
        running.signal(libc::SIGKILL);
        wait_until_gone(running.mark(), PROMISED);
    }
}

#[test]
fn row_43_a_killed_job_leaves_the_old_file_or_the_whole_new_one() {
    let input = records::numbered(60_000, 43);
    let mut random = Random::seeded(43);
    for _ in 0..rounds(30) {
        let scratch = Scratch::new();
        let target = scratch.file("target", "old");
        let job = Job::new("-np 2 -k --contract lines -o").arg(&target).arg("cat").input(&input);
        let mut running = job.start();
        thread::sleep(Duration::from_micros(random.below(60_000)));
        let _ = sys::kill(running.pid(), libc::SIGKILL);
        wait_until_gone(running.mark(), PROMISED);
        let found = scratch.read("target");
        if found != b"old" {
            checker::in_order(&found, 60_000);
        } else {
            assert_eq!(running.wait_for_end(), Status::Signaled(libc::SIGKILL));
        }
    }
}
