//! Signals, terminals and the life of a job: rows 17 and 50 to 56.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::time::Duration;

use px_tests::processes::{self, survivors, wait_until_gone};
use px_tests::rounds::{Random, rounds};
use px_tests::terminal::Ground;
use px_tests::{Job, Scratch, Terminal, checker, records, sys};

const SOON: Duration = Duration::from_secs(10);

/// A job on a terminal whose two copies have set themselves up, each with a mark `ready.RANK`.
fn on_terminal(job: Job, scratch: &Scratch) -> Terminal {
    let mut terminal = Terminal::start(&job, Ground::Fore);
    terminal.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    terminal
}

fn two(options: &str, scratch: &Scratch) -> Job {
    let input = scratch.file("input", records::numbered(2000, 1));
    Job::new("-np 2").words(options).arg("-i").arg(input)
}

#[test]
fn row_50_ctrl_c_once_stops_in_order() {
    for mode in ["", "-k", "--order rank", "-k --contract lines"] {
        let scratch = Scratch::new();
        let job = two(mode, &scratch).zoo("die-slowly").arg(scratch.path()).arg("0");
        let mut terminal = on_terminal(job, &scratch);
        terminal.press("\x03");
        assert_eq!(terminal.end(), "signaled 2", "{}", terminal.seen());
        assert!(scratch.has("ended.0") && scratch.has("ended.1"), "the copies were asked first");
        wait_until_gone(terminal.mark(), SOON);
    }
}

#[test]
fn row_50_output_so_far_stays_in_order() {
    let scratch = Scratch::new();
    let script = r#"if [ $PX_CHUNK = 700 ]; then exec "$ZOO" die-slowly "$DIR" 0; fi; exec cat"#;
    let input = records::numbered(2000, 1);
    let path = scratch.file("input", &input);
    let job = Job::new("-np 1 -k --chunk-records 1 -i").arg(path).env("DIR", scratch.path());
    let mut terminal = Terminal::start(&job.sh(script), Ground::Fore);
    terminal.until("chunk 700", |_| scratch.has("ready.700"));
    terminal.press("\x03");
    assert_eq!(terminal.end(), "signaled 2", "{}", terminal.seen());
    let output = terminal.stdout();
    assert!(input.starts_with(&output), "what was written is no beginning of the input");
    checker::in_order(&output, 700);
}

#[test]
fn row_51_ctrl_c_twice_stops_at_once() {
    let scratch = Scratch::new();
    let job = two("--grace 3600", &scratch).zoo("ignore-signals").arg(scratch.path());
    let mut terminal = on_terminal(job, &scratch);
    terminal.press("\x03");
    terminal.until("the copies were asked", |_| {
        let asked = |rank| {
            scratch.has(&format!("signal-15.{rank}")) || scratch.has(&format!("signal-2.{rank}"))
        };
        asked(0) && asked(1)
    });
    assert!(terminal.events().iter().all(|event| event.starts_with("started")), "the grace runs");
    terminal.press("\x03");
    assert_eq!(terminal.end(), "signaled 2", "{}", terminal.seen());
    wait_until_gone(terminal.mark(), SOON);
}

#[test]
fn row_51_sigterm_twice_stops_at_once_too() {
    let scratch = Scratch::new();
    let job = two("--grace 3600", &scratch).zoo("ignore-signals").arg(scratch.path());
    let mut running = job.start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    running.signal(libc::SIGTERM);
    running.until("the copies were asked", |_| {
        scratch.has("signal-15.0") && scratch.has("signal-15.1")
    });
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
}

#[test]
fn row_52_sigterm_stops_in_order_and_ends_by_it() {
    let scratch = Scratch::new();
    let job = two("--grace 5", &scratch);
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" ignore-signals "$DIR"; fi
        exec "$ZOO" die-slowly "$DIR" 9"#;
    let mut running = job.env("DIR", scratch.path()).sh(script).start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
    assert!(scratch.has("signal-15.0") && scratch.has("ended.1"), "SIGTERM reached both");
}

#[test]
fn row_52_a_job_that_is_stopped_says_that_its_output_file_is_as_it_was() {
    let scratch = Scratch::new();
    let output = scratch.file("output", "old\n");
    let job = two("", &scratch).arg("-o").arg(&output).env("DIR", scratch.path());
    let mut running = job.sh(r#"exec "$ZOO" die-slowly "$DIR" 0"#).start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    running.signal(libc::SIGTERM);
    let outcome = running.finish();
    outcome.dies_by(libc::SIGTERM).says("stopped by SIGTERM, ").says("` is as it was before");
    assert_eq!(std::fs::read_to_string(output).unwrap(), "old\n");
}

#[test]
fn row_53_ctrl_z_stops_the_copies_and_continue_continues_them() {
    let scratch = Scratch::new();
    let input = records::numbered(2000, 53);
    let path = scratch.file("input", &input);
    let job = Job::new("-np 2 -k --contract lines -i").arg(path).zoo("pause-after 1");
    let mut terminal = on_terminal(job.arg(scratch.path()), &scratch);
    let (pid, mark) = (terminal.pid(), terminal.mark().to_owned());
    for round in 0..3 {
        terminal.press("\x1a");
        terminal
            .until("pxrun has stopped", |_| processes::one(pid).is_some_and(|p| p.state == 'T'));
        terminal.until("the copies have stopped", |_| {
            let copies = copies(&mark, pid);
            copies.len() == 2 && copies.iter().all(|copy| copy.state == 'T')
        });
        terminal.until("the shell saw it", |terminal| {
            let seen = terminal.events();
            seen.iter().filter(|event| event.starts_with("stopped")).count() > round
        });
        sys::kill(-pid, libc::SIGCONT).unwrap();
        terminal.until("the copies go on", |_| copies(&mark, pid).iter().all(|c| c.state != 'T'));
    }
    scratch.file("open", "");
    assert_eq!(terminal.end(), "exited 0", "{}", terminal.seen());
    assert!(terminal.stdout() == input);
}

/// The copies of a job whose command is `px-zoo`; the shell of the terminal is another one.
fn copies(mark: &str, pxrun: i32) -> Vec<processes::Process> {
    let shell = processes::one(pxrun).map(|process| process.parent);
    let mut copies = processes::named(mark, "px-zoo");
    copies.retain(|process| Some(process.pid) != shell);
    copies
}

#[test]
fn row_53_deadlines_pause_while_the_job_is_stopped() {
    let scratch = Scratch::new();
    let job = Job::new("-np 2 --timeout 5 -i").arg(scratch.file("input", "a\nb\n"));
    let mut terminal = on_terminal(job.zoo("pause-after 1").arg(scratch.path()), &scratch);
    let pid = terminal.pid();
    terminal.press("\x1a");
    terminal.until("pxrun has stopped", |_| processes::one(pid).is_some_and(|p| p.state == 'T'));
    // Longer than the timeout: it is what is tested, nothing is waited for.
    std::thread::sleep(Duration::from_secs(6));
    scratch.file("open", "");
    sys::kill(-pid, libc::SIGCONT).unwrap();
    assert_eq!(terminal.end(), "exited 0", "{}", terminal.seen());
}

#[test]
fn row_54_sighup_is_a_request_to_end() {
    let scratch = Scratch::new();
    let job = two("", &scratch).zoo("die-slowly").arg(scratch.path()).arg("0");
    let mut running = job.start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    running.signal(libc::SIGHUP);
    running.finish().dies_by(libc::SIGHUP);
    assert!(scratch.has("ended.0") && scratch.has("ended.1"), "the copies were asked first");
}

#[test]
fn row_54_a_closed_terminal_ends_the_job() {
    let scratch = Scratch::new();
    let job = two("", &scratch).zoo("never-read").arg(scratch.path());
    let mut terminal = on_terminal(job, &scratch);
    terminal.hang_up();
    assert_eq!(terminal.end(), "signaled 1", "{}", terminal.seen());
    wait_until_gone(terminal.mark(), SOON);
}

#[test]
fn row_54_a_nohuped_job_goes_on() {
    let scratch = Scratch::new();
    let job = Job::new("-np 2 --order rank").zoo("pause-after 1").arg(scratch.path());
    let job = job.setup(|setup| setup.ignored = vec![libc::SIGHUP]).input("a\nb\nc\nd\n");
    let mut running = job.start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    for _ in 0..3 {
        running.signal(libc::SIGHUP);
    }
    scratch.file("open", "");
    running.finish().ok().prints("a\nc\nb\nd\n");
}

#[test]
fn a_shells_background_job_ignores_ctrl_c() {
    let scratch = Scratch::new();
    // A shell without job control starts what runs in the background with SIGINT ignored.
    let job = Job::new("-np 2 --order rank").zoo("pause-after 1").arg(scratch.path());
    let job = job.setup(|setup| setup.ignored = vec![libc::SIGINT]).input("a\nb\n");
    let mut running = job.start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    running.signal(libc::SIGINT);
    scratch.file("open", "");
    running.finish().ok().prints("a\nb\n");
}

#[test]
fn row_55_a_job_in_the_background_is_not_stopped_by_its_terminal() {
    let input = Scratch::new();
    for job in [Job::new("-np 2 -i").arg(input.file("input", "a\nb\n")), Job::new("-np 2")] {
        let mut terminal = Terminal::start(&job.sh("cat; echo done"), Ground::Back);
        assert_eq!(terminal.end(), "exited 0", "{}", terminal.seen());
        let stopped = terminal.events().iter().any(|event| event.starts_with("stopped"));
        assert!(!stopped, "{}", terminal.seen());
        assert!(String::from_utf8_lossy(&terminal.stdout()).matches("done").count() == 2);
    }
}

#[test]
fn row_56_usr1_shows_the_state_and_the_job_goes_on() {
    let scratch = Scratch::new();
    let job = Job::new("-np 2 --order rank").zoo("pause-after 1").arg(scratch.path());
    let mut running = job.input("a\nb\n").start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    running.signal(libc::SIGUSR1);
    running.until("the state of both ranks", |job| {
        let said = job.stderr();
        said.contains("rank 0") && said.contains("rank 1")
    });
    scratch.file("open", "");
    running.finish().ok().prints("a\nb\n");
}

#[test]
fn row_56_usr2_is_for_the_copies() {
    let scratch = Scratch::new();
    let mut running = two("", &scratch).zoo("ignore-signals").arg(scratch.path()).start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    running.signal(libc::SIGUSR2);
    let usr2 = libc::SIGUSR2;
    running.until("SIGUSR2 reached both", |_| {
        scratch.has(&format!("signal-{usr2}.0")) && scratch.has(&format!("signal-{usr2}.1"))
    });
    running.signal(libc::SIGTERM).signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
}

#[test]
fn row_17_stop_and_continue_while_copies_start() {
    let chunks = 300 * rounds(1);
    let input = records::numbered(chunks, 17);
    let mut running = Job::new("-np 2 -k --chunk-records 1 cat").input(&input).start();
    let mut random = Random::seeded(17);
    while !running.has_ended() {
        running.signal(libc::SIGTSTP);
        // Whatever is half born now must neither be lost nor stay stopped.
        std::thread::sleep(Duration::from_micros(random.below(3000)));
        running.signal(libc::SIGCONT);
        std::thread::sleep(Duration::from_micros(2000 + random.below(20_000)));
    }
    running.finish().ok().prints(&input);
}

#[test]
fn signals_at_any_moment_leave_nothing() {
    let mut random = Random::seeded(50);
    for round in 0..rounds(15) {
        let scratch = Scratch::new();
        let mode =
            *random.of(&["", "-k", "-k --contract lines", "--order rank", "--run per-chunk"]);
        let signal = *random.of(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
        let job = Job::new("-np 3 --grace 0.2 -o").arg(scratch.at("out")).words(mode);
        let job = job.zoo("daemonize").arg(scratch.path());
        let running = job.input(records::numbered(20_000, round)).start();
        // The moment is to be random; nothing waits for it.
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        let sent = sys::kill(running.pid(), signal).is_ok();
        let outcome = running.finish();
        let ended = outcome.status == px_tests::Status::Exited(0)
            || (sent && outcome.status == px_tests::Status::Signaled(signal));
        outcome.check(ended, || format!("wanted status 0 or signal {signal}"));
        if scratch.has("out") {
            checker::each_once(&scratch.read("out"), 20_000);
        }
    }
}

#[test]
fn the_processes_have_their_names() {
    let scratch = Scratch::new();
    let mut running = two("", &scratch).zoo("never-read").arg(scratch.path()).start();
    running.until("the copies run", |_| scratch.has("ready.0") && scratch.has("ready.1"));
    let family = survivors(running.mark());
    let one = |name: &str| family.iter().find(|process| process.name == name).unwrap().clone();
    let (root, guardian, agent) = (one("pxrun"), one("px-guardian"), one("px-agent"));
    assert_eq!(root.pid, running.pid());
    assert_eq!((guardian.parent, agent.parent), (root.pid, guardian.pid));
    let copies = family.iter().filter(|process| process.name == "px-zoo");
    assert!(copies.clone().count() == 2 && copies.clone().all(|copy| copy.parent == agent.pid));
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
}
