//! Ranks that talk, of which one is lost: killed, or with its host. Nobody waits for it any more.

use std::thread;
use std::time::Duration;

use px_tests::job::Job;
use px_tests::processes::{self, Process};
use px_tests::rounds::{Random, rounds, seed};
use px_tests::{Lab, Outcome, Running, Scratch, checker, records, sys};

use crate::{compiled, with_library};

/// The rank that is killed.
const VICTIM: &str = "1";

/// Ranks of a job that goes on without those that fail.
fn losing(job: Job, promise: &str) -> Job {
    let job = job.words("--contract px --keep-going").arg(compiled("lost")).words(promise);
    with_library(job).input("")
}

/// The process of a rank, of those that a job has; one that is not executed yet has none.
fn of_rank(copies: &[Process], rank: &str) -> Option<i32> {
    let is_it = |pid: &i32| processes::variable(*pid, "PX_RANK").is_some_and(|found| found == rank);
    copies.iter().map(|copy| copy.pid).find(is_it)
}

/// A rank sleeps in a call of libpx that another process ends.
fn sleeps(copies: &[Process], rank: &str) -> bool {
    of_rank(copies, rank).is_some_and(|pid| processes::is_in_call(pid, libc::SYS_futex))
}

/// All of `ranks` processes sleep in a call of libpx that another process ends.
fn all_sleep(copies: &[Process], ranks: usize) -> bool {
    let sleeps = |copy: &Process| processes::is_in_call(copy.pid, libc::SYS_futex);
    copies.len() == ranks && copies.iter().all(sleeps)
}

/// How often the ranks have said this.
fn said(job: &Running, what: &str) -> usize {
    job.stderr().lines().filter(|line| line.ends_with(what)).count()
}

/// The job has one failed copy, which was killed, and all others were content.
#[track_caller]
fn lost_one(outcome: &Outcome) {
    outcome.exits(137).says("rank 1 on `").says("was killed by signal 9 (SIGKILL)");
    outcome.says("have sent messages to each other");
    outcome.says_not("not so").says_not("dealt again").says_not("panicked");
}

/// Kills the victim once all wait for it, each in its way.
#[track_caller]
fn killed_while_all_wait(job: Job, ranks: usize, copies: &dyn Fn(&Running) -> Vec<Process>) {
    let mut job = losing(job, "waits").start();
    job.until("all wait", |job| said(job, "waits") == ranks && all_sleep(&copies(job), ranks));
    sys::kill(of_rank(&copies(&job), VICTIM).unwrap(), libc::SIGKILL).unwrap();
    lost_one(&job.finish());
}

#[test]
fn whoever_waits_for_a_rank_that_is_killed_learns_that_it_is_gone() {
    for ranks in [2, 3, 5] {
        let job = Job::new(&format!("-np {ranks}"));
        killed_while_all_wait(job, ranks, &|job| job.named("lost"));
    }
}

#[test]
fn whoever_waits_for_a_rank_of_another_host_that_is_killed_learns_that_it_is_gone() {
    let lab = px_tests::lab!(Lab::of(2));
    for slots in [1, 2, 3] {
        let job = lab.pxrun("-x LD_LIBRARY_PATH --hostfile").arg(lab.hostfile(slots));
        killed_while_all_wait(job, 2 * slots, &|_| of_hosts(&lab, "lost"));
    }
    assert_eq!(lab.leftovers(Duration::from_secs(60)), []);
}

/// The live processes of a name on all hosts.
fn of_hosts(lab: &Lab, name: &str) -> Vec<Process> {
    let all = lab.hosts().iter().flat_map(|host| host.processes());
    all.filter(|process| process.name == name && process.state != 'Z').collect()
}

#[test]
fn a_rank_that_is_killed_at_any_moment_leaves_nobody_waiting() {
    let first = seed();
    for round in 0..rounds(12) {
        let seed = first.wrapping_add(round);
        let mut random = Random::seeded(seed);
        let ranks = *random.of(&[2, 3, 4]);
        println!("seed {seed}, {ranks} ranks");
        let mut job = losing(Job::new(&format!("-np {ranks}")), "around").start();
        job.until("all have heard", |job| said(job, "has heard") == ranks);
        // The moment is to be random; nothing waits for it.
        thread::sleep(Duration::from_micros(random.below(20_000)));
        sys::kill(of_rank(&job.named("lost"), VICTIM).unwrap(), libc::SIGKILL).unwrap();
        lost_one(&job.finish());
    }
}

#[test]
fn a_rank_that_dies_of_the_first_message_is_not_started_again() {
    let scratch = Scratch::new();
    let file = scratch.at("go");
    let job = losing(Job::new("-np 2"), "first").arg(&file);
    let mut job = job.start();
    job.until("both are there", |job| said(job, "waits") == 1 && sleeps(&job.named("lost"), "0"));
    // While nobody can take note of it nothing is said, so nobody dies of it.
    let (agent, ranks) = (job.named("px-agent")[0].pid, job.named("lost"));
    sys::kill(agent, libc::SIGSTOP).unwrap();
    scratch.file("go", "");
    job.until("the sender waits", |_| sleeps(&ranks, "1"));
    let dies = of_rank(&ranks, "0").and_then(processes::one);
    assert!(dies.is_some_and(|process| process.state != 'Z'));
    sys::kill(agent, libc::SIGCONT).unwrap();
    let outcome = job.finish();
    outcome.exits(137).says("rank 0 on `").says("have sent messages to each other");
    outcome.says_not("not so");
}

#[test]
fn a_host_that_is_lost_after_a_message_ends_the_job() {
    const RECORDS: u64 = 8_000;
    let lab = px_tests::lab!(Lab::of(2));
    let input = records::numbered(RECORDS, 15);
    let path = lab.path().join("libpx-input");
    std::fs::write(&path, &input).unwrap();
    for (words, ordered) in [("-k", true), ("--order none", false), ("-k --deal dynamic", true)] {
        let words = format!("{words} --lease 2 --contract px --chunk-records 20");
        let job = lab.pxrun("-x LD_LIBRARY_PATH --grace 1 --hostfile").arg(lab.hostfile(2));
        let job = job.words(&words).arg("-i").arg(&path).arg(compiled("guests")).words("talks");
        let mut job = with_library(job.arg(lab.path().join("never"))).start();
        // Where there is output, its rank has sent its message.
        job.until("output", |job| job.printed() > 0);
        lab.host(2).kill();
        let outcome = job.finish();
        outcome.own_error().says("host `node2` is lost").says("ranks 2 to 3 ran there");
        outcome.says("have sent messages to each other");
        outcome.says_not("dealt again").says_not("not so");
        checker::at_most_once(&outcome.stdout, RECORDS);
        let begins = !ordered || input.starts_with(&outcome.stdout);
        outcome.check(begins, || "wanted a beginning of the input".to_owned());
        lab.host(2).start();
        assert_eq!(lab.leftovers(Duration::from_secs(60)), []);
    }
}
