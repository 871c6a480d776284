//! Chunks of a host that is lost: dealt to the others, committed once, not tried for ever.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use px_tests::lab::Host;
use px_tests::processes::holds_within;
use px_tests::{Job, Lab, Running, checker, lab, records};

use crate::ground::{BOUND, GONE, Ground, cut, heal, kill_agent, on, send, the_error};

const RECORDS: u64 = 6000;
const WORDS: &str = "--run per-chunk --chunk-records 100";

/// A copy that notes its chunk, attempt and host; on the second host the first attempt at a chunk
/// never gets anywhere.
const STUCK: &str = r#": >"$DIR/try.$PX_CHUNK.$PX_ATTEMPT.$PX_HOST"
    if [ "$PX_HOST" = node2 ] && [ "$PX_ATTEMPT" = 1 ]; then exec "$ZOO" never-read "$DIR"; fi
    exec cat"#;

/// The same, but once it is let go on it gives all its output.
const LATE: &str = r#": >"$DIR/try.$PX_CHUNK.$PX_ATTEMPT.$PX_HOST"
    if [ "$PX_HOST" = node2 ]; then exec "$ZOO" gate "$DIR" cat; fi
    if [ "$PX_ATTEMPT" != 1 ]; then until [ -e "$DIR/end" ]; do sleep 0.02; done; fi
    exec cat"#;

/// A copy that was started.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Try {
    chunk: u64,
    attempt: u32,
    host: String,
}

fn tries(ground: &Ground) -> BTreeSet<Try> {
    let one = |mark: String| {
        let mut words = mark.split('.');
        let mut word = || words.next().unwrap().to_owned();
        Try { chunk: word().parse().unwrap(), attempt: word().parse().unwrap(), host: word() }
    };
    ground.marks("try.").into_iter().map(one).collect()
}

/// The chunks of the copies that wait on the second host.
fn held(ground: &Ground) -> BTreeSet<u64> {
    ground.marks("ready.").into_iter().map(|chunk| chunk.parse().unwrap()).collect()
}

/// Waits until both ranks of the second host are stuck in a chunk.
fn until_stuck(ground: &Ground, job: &mut Running) -> BTreeSet<u64> {
    job.until("copies wait on node2", |_| held(ground).len() == 2);
    held(ground)
}

/// Lays the way for the next job on the same ground.
fn clean_up(ground: &Ground) {
    for name in ground.scratch.names(".") {
        let path = ground.scratch.at(&name);
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
}

fn input_file(ground: &Ground, input: &[u8]) -> std::path::PathBuf {
    let path = ground.lab.path().join("input");
    fs::write(&path, input).unwrap();
    path
}

fn stuck(ground: &Ground, words: &str, input: &Path) -> Job {
    ground.job(2, WORDS).words(words).arg("-i").arg(input).sh(STUCK)
}

#[test]
fn chunks_of_a_killed_agent_are_dealt_again_and_named() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let input = records::numbered(RECORDS, 1);
    let mut job = stuck(&ground, "-k", &input_file(&ground, &input)).start();
    let held = until_stuck(&ground, &mut job);
    kill_agent(&mut job, ground.lab.host(2));
    let outcome = job.finish();
    outcome.ok().prints(&input).says("pxrun: warning: ").says("`node2`");
    let line = outcome.stderr.lines().find(|line| line.contains("dealt again")).unwrap();
    let named: BTreeSet<u64> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(named, held, "{line}");
    let tries = tries(&ground);
    for one in &tries {
        let expected = if one.host == "node1" && held.contains(&one.chunk) { 2 } else { 1 };
        assert_eq!(one.attempt, expected, "{one:?}");
    }
    // Each chunk once, and those that were under way twice.
    assert_eq!(tries.len() as u64, RECORDS / 100 + 2, "{tries:?}");
    ground.is_left_clean(GONE);
}

#[test]
fn every_way_to_deal_survives_a_lost_host() {
    let ground = Ground::new(lab!(Lab::of(3)));
    let input = records::numbered(RECORDS, 2);
    let path = input_file(&ground, &input);
    for deal in ["--deal round-robin", "--deal block", "--deal dynamic", "--order none"] {
        let words = if deal.contains("order") { deal.to_owned() } else { format!("-k {deal}") };
        let mut job = stuck(&ground, &words, &path).start();
        until_stuck(&ground, &mut job);
        kill_agent(&mut job, ground.lab.host(2));
        let outcome = job.finish();
        outcome.ok().says("`node2`");
        if words.starts_with("-k") {
            outcome.prints(&input);
        }
        checker::each_once(&outcome.stdout, RECORDS);
        ground.is_left_clean(GONE);
        clean_up(&ground);
    }
}

#[test]
fn in_the_order_of_ranks_a_lost_host_changes_nothing() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let input = records::numbered(RECORDS, 3);
    let path = input_file(&ground, &input);
    for deal in ["", "--deal block"] {
        let words = format!("--order rank {deal}");
        let here = Job::new("-np 4").words(WORDS).words(&words).arg("-i").arg(&path).arg("cat");
        let wanted = here.run();
        wanted.ok();
        let mut job = stuck(&ground, &words, &path).start();
        until_stuck(&ground, &mut job);
        kill_agent(&mut job, ground.lab.host(2));
        job.finish().ok().says("`node2`").prints(&wanted.stdout);
        ground.is_left_clean(GONE);
        clean_up(&ground);
    }
}

#[test]
fn a_stream_survives_a_lost_host() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let input = records::numbered(RECORDS, 4);
    for deal in ["", "--deal dynamic"] {
        let words = format!("-k {WORDS} {deal}");
        let mut job = ground.job(2, &words).sh(STUCK).held_stdin().start();
        let mut stdin = job.take_stdin();
        let (first, rest) = (input[..input.len() / 2].to_vec(), input[input.len() / 2..].to_vec());
        let (go, wait) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            stdin.write_all(&first).unwrap();
            // The host is lost while more of the stream is still to come.
            wait.recv().unwrap();
            stdin.write_all(&rest).unwrap();
        });
        until_stuck(&ground, &mut job);
        kill_agent(&mut job, ground.lab.host(2));
        job.until("the loss is told", |job| job.stderr().contains("`node2`"));
        go.send(()).unwrap();
        job.finish().ok().prints(&input);
        writer.join().unwrap();
        ground.is_left_clean(GONE);
        clean_up(&ground);
    }
}

/// Runs a job whose second host is out of reach for a while by `away`, has its copies give all
/// their output meanwhile, and lets it come `back` when the chunks are dealt again.
fn comes_back(ground: &Ground, away: impl Fn(&Host), back: impl Fn(&Host)) {
    let host = ground.lab.host(2);
    let input = records::numbered(RECORDS, 5);
    let path = input_file(ground, &input);
    let mut job = ground.job(2, WORDS).arg("-k").arg("-i").arg(path).sh(LATE).start();
    let held = until_stuck(ground, &mut job);
    away(host);
    ground.scratch.file("open", "");
    job.until("its chunks are dealt again", |_| {
        let again = tries(ground).into_iter().filter(|one| one.attempt == 2);
        again.map(|one| one.chunk).collect::<BTreeSet<_>>() == held
    });
    back(host);
    // What is left there ends, having sent what it had to send.
    let gone = holds_within(BOUND, || host.processes().is_empty());
    assert!(gone, "{:?}", host.processes());
    ground.scratch.file("end", "");
    job.finish().ok().prints(&input).says("`node2`");
    ground.is_left_clean(GONE);
    clean_up(ground);
}

#[test]
fn late_results_of_a_lost_attempt_are_refused() {
    let ground = Ground::new(lab!(Lab::of(2)));
    // The guardian stands still too, else it would end the agent.
    let serving = |host: &Host| {
        let names = ["px-agent", "px-guardian"];
        names.map(|name| on(host, name)).into_iter().flatten().collect::<Vec<_>>()
    };
    comes_back(
        &ground,
        |host| send(libc::SIGSTOP, &serving(host)),
        |host| send(libc::SIGCONT, &serving(host)),
    );
    comes_back(&ground, cut, heal);
}

#[test]
fn a_job_that_has_lost_all_hosts_ends_with_an_error() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let input = records::numbered(RECORDS, 6);
    let script = r#"[ $PX_CHUNK -lt 8 ] || exec "$ZOO" never-read "$DIR"; exec cat"#;
    let job = ground.job(1, WORDS).arg("-k").sh(script).input(&input);
    let mut job = job.start();
    job.until("both hosts wait", |_| held(&ground).len() == 2);
    for host in ground.lab.hosts() {
        kill_agent(&mut job, host);
    }
    let outcome = job.finish();
    outcome.own_error().says_any(&["`node1`", "`node2`"]);
    the_error(&outcome);
    checker::in_order(&outcome.stdout, 800);
    ground.is_left_clean(GONE);
}

#[test]
fn a_chunk_that_ends_every_host_is_given_up_after_three_attempts() {
    let ground = Ground::new(lab!(Lab::of(4)));
    let input = records::numbered(RECORDS, 7);
    // Its parent is the agent, which is killed once chunks run whose ranks are done with those
    // before: 0 to 4 are.
    let script = r#": >"$DIR/try.$PX_CHUNK.$PX_ATTEMPT.$PX_HOST"
        [ $PX_CHUNK = 5 ] || exec cat
        until set -- "$DIR"/try.[678].*; [ -e "$3" ]; do sleep 0.02; done
        kill -9 $PPID; exec sleep 1000"#;
    let job = ground.job(1, WORDS).arg("-k").sh(script).input(&input);
    let outcome = job.run();
    outcome.own_error().says("started 3 times");
    the_error(&outcome);
    checker::in_order(&outcome.stdout, 500);
    let tries = tries(&ground);
    let five: Vec<_> = tries.iter().filter(|one| one.chunk == 5).collect();
    assert_eq!(five.iter().map(|one| one.attempt).collect::<Vec<_>>(), [1, 2, 3], "{five:?}");
    let hosts: BTreeSet<_> = five.iter().map(|one| &one.host).collect();
    assert_eq!(hosts.len(), 3, "another host each time: {five:?}");
    ground.is_left_clean(GONE);
}
