//! How jobs end: statuses, messages with rank and host, outputs by name, what is said and when.

use std::fs;

use px_tests::{Lab, checker, records};

use crate::{directory, file, is_left_alone, job};

#[test]
fn a_failure_names_rank_and_host_and_gives_its_status() {
    let lab = px_tests::lab!(Lab::of(4));
    let script = "cat >/dev/null; [ $PX_RANK != 5 ] || exit 7";
    let outcome = job(&lab, "").sh(script).input(records::numbered(100, 1)).run();
    outcome.exits(7).says("pxrun: error: rank 5 on `node3`: ").says("exited with status 7");
    assert_eq!(outcome.stderr.matches("error:").count(), 1, "{}", outcome.seen());
    let script = "cat >/dev/null; [ $PX_RANK != 2 ] || kill -9 $$";
    let outcome = job(&lab, "").sh(script).input(records::numbered(100, 1)).run();
    outcome.exits(137).says("pxrun: error: rank 2 on `node2`: ");
    outcome.says("was killed by signal 9 (SIGKILL)");
    job(&lab, "-k --run per-chunk --chunk-records 10")
        .sh("cat; [ $PX_CHUNK != 3 ] || kill -11 $$")
        .input(records::numbered(100, 1))
        .run()
        .exits(139)
        .says("signal 11 (SIGSEGV)")
        .says("chunk 3")
        .says("on `node2`");
    is_left_alone(&lab);
}

#[test]
fn a_failure_keeps_what_came_before_it_in_order() {
    let lab = px_tests::lab!(Lab::of(2));
    let input = records::numbered(60, 2);
    let lines: Vec<_> = input.split_inclusive(|&byte| byte == b'\n').collect();
    // A single rank, so that none is stopped in the middle of an earlier chunk.
    let job = lab.pxrun("-H node2:1 -k --chunk-records 10").sh("cat; [ $PX_CHUNK != 3 ]");
    let outcome = job.input(&input).run();
    outcome.exits(1).prints(lines[..30].concat()).says("output of chunks 0 to 2 was written");
}

#[test]
fn keep_going_ends_with_the_status_of_the_lowest_failed_rank() {
    let lab = px_tests::lab!(Lab::of(4));
    let marks = directory(&lab, "marks");
    // Rank 7, on another host, fails before rank 1 does.
    let script = r#"cat; case $PX_RANK in
        1) while [ ! -e "$MARKS/failed" ]; do sleep 0.01; done; exit 11;;
        7) touch "$MARKS/failed"; exit 33;;
        esac"#;
    let variable = format!("MARKS={}", marks.display());
    let job = job(&lab, "--keep-going -x").arg(variable).sh(script);
    let outcome = job.input(records::numbered(4000, 1)).run();
    outcome.exits(11).says("rank 1 on `node1`").says("rank 7 on `node4`");
    checker::each_once(&outcome.stdout, 4000);
    is_left_alone(&lab);
}

#[test]
fn input_that_a_copy_leaves_unread_is_an_error_unless_it_is_allowed() {
    let lab = px_tests::lab!(Lab::of(2));
    let input = records::numbered(200_000, 3);
    let path = file(&lab, "data/input", &input);
    let early = |options: &str| job(&lab, options).words("head -n 1").input_file(&path).run();
    early("").own_error().says("unread").says("on `node");
    early("--allow-early-exit").ok().prints_lines(4);
    job(&lab, "--allow-early-exit head -n 1").piped(&*input).run().ok().prints_lines(4);
    is_left_alone(&lab);
}

#[test]
fn statuses_that_count_as_success_are_no_failure() {
    let lab = px_tests::lab!(Lab::of(2));
    let input = "ERROR one\ntwo\n";
    job(&lab, "-k --ok 0,1 grep ERROR").input(input).run().ok().quiet().prints("ERROR one\n");
    job(&lab, "--ok 0,3").sh("exit 4").run().exits(4);
}

#[test]
fn a_file_of_output_appears_whole_or_not_at_all() {
    let lab = px_tests::lab!(Lab::of(4));
    let input = records::numbered(10_000, 4);
    let path = file(&lab, "out", "before\n");
    let failing = job(&lab, "-k --chunk-records 100 -o").arg(&path).sh("cat; [ $PX_CHUNK != 5 ]");
    failing.input(&input).run().exits(1);
    assert_eq!(fs::read(&path).unwrap(), b"before\n");
    job(&lab, "-k -o").arg(&path).arg("cat").input(&input).run().ok().quiet().prints("");
    assert!(fs::read(&path).unwrap() == input);
}

#[test]
fn a_joblog_names_the_host_of_each_copy() {
    let lab = px_tests::lab!(Lab::of(2));
    let path = lab.path().join("log");
    job(&lab, "--joblog").arg(&path).arg("cat").input("a\nb\nc\nd\n").run().ok().quiet();
    let log = fs::read_to_string(&path).unwrap();
    let named = |name: &str| log.lines().filter(|line| line.contains(name)).count();
    assert_eq!((named("node1"), named("node2")), (2, 2), "{log}");
}

#[test]
fn a_copys_stderr_comes_through_and_pxrun_adds_nothing() {
    let lab = px_tests::lab!(Lab::of(2));
    let outcome = job(&lab, "-k").sh("cat; echo oops $PX_RANK >&2").input("a\n").run();
    outcome.ok().prints("a\n");
    assert_eq!(outcome.stderr, "oops 0\n");
    let outcome = job(&lab, "").sh("cat >&2").input(records::numbered(5000, 5)).run();
    outcome.ok().prints("");
    checker::each_once(outcome.stderr.as_bytes(), 5000);
}

#[test]
fn a_good_job_says_nothing_unless_it_is_asked_to() {
    let lab = px_tests::lab!(Lab::of(2));
    let path = file(&lab, "data/input", records::numbered(1000, 6));
    for options in ["", "-q", "-k", "--link ssh", "--compress"] {
        job(&lab, options).arg("cat").input_file(&path).run().ok().quiet();
    }
    let outcome = job(&lab, "-v cat").input_file(&path).run();
    let mut said: Vec<_> = outcome.ok().stderr.lines().collect();
    let last = said.pop().unwrap_or_default();
    let (backend, first) = (said.remove(0), said.remove(0));
    let usual = "runs 2 ranks, data goes over a connection to it, it reads the input itself";
    let wanted = ["node1", "node2"].map(|name| format!("pxrun: note: `{name}` {usual}"));
    assert_eq!(said, wanted);
    assert!(backend.starts_with("pxrun: note: backend `ssh`, as "), "{backend}");
    assert!(first.starts_with("pxrun: note: 2 hosts answered within "), "{first}");
    assert!(last.starts_with("pxrun: note: own cpu: "), "{last}");
    job(&lab, "-v -q true").run().own_error().says("`-q` and `-v` exclude each other");
}

#[test]
fn a_reader_that_leaves_ends_the_job_quietly_on_every_host() {
    let lab = px_tests::lab!(Lab::of(2));
    let mut running = job(&lab, "yes").held_stdout().start();
    drop(running.take_stdout());
    running.finish().exits(141).quiet();
    is_left_alone(&lab);
}
