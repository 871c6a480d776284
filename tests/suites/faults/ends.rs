//! Ends of a job from the root's side: killed, cut off, asked to end, stood still.

use std::io::Read;
use std::time::{Duration, Instant};

use px_tests::processes::{self, Process};
use px_tests::{Job, Lab, Running, Status, lab, records};

use crate::ground::{GONE, Ground, LEASE, errors, front, on, send};

/// The usual grace period of these jobs, as [`Ground::job`] gives it.
const GRACE: Duration = Duration::from_secs(1);

/// The promise: so long after the grace period nothing is left anywhere.
const ENDED: Duration = Duration::from_secs(2);

/// Copies that do everything to stay, each in another way.
const STAYERS: &str = r#"case $PX_LOCAL_RANK in
    0) "$ZOO" daemonize "$DIR/daemons"; exec "$ZOO" ignore-signals "$DIR";;
    *) setsid sleep 1000 & exec "$ZOO" ignore-signals "$DIR";;
    esac"#;

/// Starts such copies, two on each of two hosts, and waits until all have settled.
fn stayers(ground: &Ground, words: &str) -> Running {
    for name in ground.scratch.names(".") {
        let _ = std::fs::remove_file(ground.scratch.at(&name));
        let _ = std::fs::remove_dir_all(ground.scratch.at(&name));
    }
    ground.scratch.directory("daemons");
    let job: Job = ground.job(2, words).sh(STAYERS).input(records::numbered(100, 1));
    let mut job = job.start();
    job.until("the copies have settled", |_| {
        // The daemons mark themselves when they have double-forked.
        ground.marks("ready.").len() == 4 && ground.scratch.names("daemons").len() == 2
    });
    job
}

fn signals_seen(ground: &Ground) -> usize {
    ground.marks("signal-").iter().filter(|mark| mark.starts_with("15.")).count()
}

#[test]
fn nothing_outlives_a_killed_root_on_any_host() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let victims: [fn(&Running) -> Vec<Process>; 3] =
        [|job| job.named("px-agent"), |job| job.named("px-guardian"), front];
    for victim in victims {
        let mut job = stayers(&ground, "");
        let found = victim(&job);
        assert_eq!(found.len(), 1, "{found:?}");
        send(libc::SIGKILL, &found);
        ground.is_left_clean(GONE);
        assert_ne!(job.wait_for_end(), Status::Exited(0));
    }
}

#[test]
fn nothing_outlives_a_root_all_of_whose_processes_are_killed() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let mut job = stayers(&ground, "");
    // The ssh clients too, so that nobody is left on the head to tell the hosts.
    send(libc::SIGKILL, &front(&job));
    for name in ["px-guardian", "px-agent", "ssh"] {
        send(libc::SIGKILL, &job.named(name));
    }
    ground.is_left_clean(GONE);
    assert_eq!(job.wait_for_end(), Status::Signaled(libc::SIGKILL));
}

#[test]
fn nothing_outlives_a_root_that_is_cut_off() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let mut job = stayers(&ground, "");
    for host in ground.lab.hosts() {
        host.cut();
    }
    let cut = Instant::now();
    ground.is_left_clean(GONE + GRACE);
    println!("everything had ended {:.1?} after the cut", cut.elapsed());
    assert_eq!(job.wait_for_end(), Status::Exited(125));
    job.finish().own_error().says_any(&["`node1`", "`node2`"]);
}

/// Holds when the job ends by a signal so that nothing is left in time, what the user sees included.
fn ends_in_time(ground: &Ground, mut job: Running, signal: i32, grace: Duration) {
    ground.is_left_clean(grace + ENDED);
    assert_eq!(job.wait_for_end(), Status::Signaled(signal));
    let outcome = job.finish();
    outcome.check(errors(&outcome).is_empty(), || "wanted no error".to_owned());
}

#[test]
fn one_request_to_end_ends_everything_within_the_grace_period() {
    let ground = Ground::new(lab!(Lab::of(2)));
    // Long enough for each copy to note that it was asked, also where it has to wait for a core.
    let grace = Duration::from_secs(4);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let job = stayers(&ground, &format!("--grace {}", grace.as_secs()));
        job.signal(signal);
        ends_in_time(&ground, job, signal, grace);
        assert!(signals_seen(&ground) >= 4, "the copies were asked first");
    }
}

#[test]
fn two_requests_to_end_end_everything_at_once() {
    let ground = Ground::new(lab!(Lab::of(2)));
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut job = stayers(&ground, "--grace 3600");
        job.signal(signal);
        job.until("the copies were asked", |_| signals_seen(&ground) >= 4);
        job.signal(signal);
        ends_in_time(&ground, job, signal, GRACE);
    }
}

#[test]
fn a_job_that_stands_still_for_longer_than_the_lease_goes_on() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let input = records::numbered(20_000, 1);
    for words in ["-k --contract lines", "-k --run per-chunk --chunk-records 200"] {
        let job = ground.job(2, words).zoo("read-slowly 4096 20").input(&input);
        let mut job = job.start();
        job.until("output", |job| job.printed() > 0);
        job.signal(libc::SIGTSTP);
        let pid = job.pid();
        job.until("pxrun has stopped", |_| processes::one(pid).is_some_and(|p| p.state == 'T'));
        let copies = || -> Vec<Process> {
            ground.lab.hosts().iter().flat_map(|host| on(host, "px-zoo")).collect()
        };
        job.until("the copies have stopped", |_| {
            let copies = copies();
            !copies.is_empty() && copies.iter().all(|copy| copy.state == 'T')
        });
        let before = job.printed();
        // Longer than the lease: it is what is tested, nothing is waited for.
        std::thread::sleep(LEASE * 2);
        assert!(copies().iter().all(|copy| copy.state == 'T'), "{:?}", copies());
        assert!(job.printed() < input.len(), "it had ended before: {before}");
        job.signal(libc::SIGCONT);
        job.finish().ok().prints(&input).says_not("lost");
        ground.is_left_clean(GONE);
    }
}

#[test]
fn a_root_that_is_killed_while_it_stands_still_leaves_nothing() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let mut job = stayers(&ground, "");
    job.signal(libc::SIGTSTP);
    let pid = job.pid();
    job.until("pxrun has stopped", |_| processes::one(pid).is_some_and(|p| p.state == 'T'));
    job.signal(libc::SIGKILL);
    ground.is_left_clean(GONE);
    assert_eq!(job.wait_for_end(), Status::Signaled(libc::SIGKILL));
}

/// Copies that would go on for ever once there is some output.
const ENDLESS: [(&str, &str); 2] = [
    ("", "yes"),
    ("-k --run per-chunk --chunk-records 10", r#"[ $PX_CHUNK = 0 ] || exec sleep 1000; exec cat"#),
];

#[test]
fn a_reader_that_leaves_ends_the_job_on_all_hosts() {
    let ground = Ground::new(lab!(Lab::of(2)));
    for (words, script) in ENDLESS {
        let job = ground.job(2, words).sh(script).input(records::numbered(100, 1)).held_stdout();
        let mut job = job.start();
        let mut stdout = job.take_stdout();
        stdout.read_exact(&mut [0; 2]).unwrap();
        drop(stdout);
        assert_eq!(job.wait_for_end(), Status::Exited(141));
        ground.is_left_clean(GONE);
        job.finish().exits(141).quiet();
    }
}

#[test]
fn a_full_disk_at_the_root_ends_the_job_on_all_hosts() {
    let ground = Ground::new(lab!(Lab::of(2)));
    for (words, script) in ENDLESS {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let job = ground.job(2, words).sh(script).input(records::numbered(100, 1)).stdout(full);
        let mut job = job.start();
        assert_eq!(job.wait_for_end(), Status::Exited(125));
        ground.is_left_clean(GONE);
        job.finish().own_error().says("no space left");
    }
}
