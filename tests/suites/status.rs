//! The exit status, a test for each row of its table.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs::{self, OpenOptions};

use px_tests::{Job, Scratch, records};

#[test]
fn status_0_when_all_went_well() {
    Job::new("-np 2 cat").input("a\nb\n").run().ok().quiet();
    Job::new("-np 2 true").run().ok().quiet();
}

#[test]
fn the_status_of_the_copy_that_failed() {
    for mode in ["", "--order rank", "-k", "--run per-chunk", "-k --contract lines"] {
        for code in [1, 2, 42, 255] {
            let job = Job::new("-np 2").words(mode).zoo(&format!("exit {code}"));
            let outcome = job.input("a\nb\n").run();
            outcome.exits(code).says("pxrun: error: ").says(&format!("status {code}"));
        }
    }
}

#[test]
fn the_status_of_the_failure_noticed_first() {
    let scratch = Scratch::new();
    // The others end with statuses of their own only because they are stopped.
    let script = r#"if [ $PX_RANK != 2 ]; then exec "$ZOO" die-slowly "$DIR" 9; fi
        while [ ! -e "$DIR/ready.0" ] || [ ! -e "$DIR/ready.1" ]; do sleep 0.01; done; exit 7"#;
    for options in ["-np 3", "-np 3 --order rank"] {
        let directory = scratch.directory(&options.replace(' ', "-"));
        let job = Job::new(options).env("DIR", &directory).sh(script);
        job.run().exits(7).says("rank 2").says_not("status 9");
        assert!(directory.join("ended.0").exists() && directory.join("ended.1").exists());
    }
}

#[test]
fn keep_going_ends_with_the_status_of_the_lowest_failed_rank() {
    let scratch = Scratch::new();
    // Rank 3 fails before rank 1 does.
    let script = r#"cat; case $PX_RANK in
        1) while [ ! -e "$DIR/failed" ]; do sleep 0.01; done; exit 11;;
        3) touch "$DIR/failed"; exit 33;;
        esac"#;
    let input = records::numbered(4000, 1);
    let job = Job::new("-np 4 --keep-going").env("DIR", scratch.path()).sh(script).input(&input);
    let outcome = job.run();
    outcome.exits(11).says("rank 1").says("rank 3");
    px_tests::checker::each_once(&outcome.stdout, 4000);
}

#[test]
fn keep_going_ends_with_the_status_of_the_lowest_failed_chunk() {
    let script = r#"cat; case $PX_CHUNK in 2) exit 22;; 5) exit 55;; esac"#;
    for order in ["none", "input"] {
        let job =
            Job::new("-np 3 --keep-going --run per-chunk --chunk-records 1 --order").arg(order);
        let outcome = job.sh(script).input("0\n1\n2\n3\n4\n5\n6\n7\n").run();
        outcome.exits(22).says("chunk 2").says("chunk 5");
        assert_eq!(outcome.sorted_lines(), ["0", "1", "3", "4", "6", "7"]);
    }
}

#[test]
fn keep_going_alone_is_no_failure() {
    Job::new("-np 3 --keep-going -k cat").input("a\nb\n").run().ok().prints("a\nb\n");
}

#[test]
fn status_126_not_executable() {
    let scratch = Scratch::new();
    let plain = scratch.file("plain", "#!/bin/sh\nexit 0\n");
    let outcome = Job::new("-np 2").arg(&plain).run();
    outcome.exits(126).says("pxrun: error: ").says("permission denied");
    Job::new("-np 2 -k").arg(&plain).input("a\n").run().exits(126);
}

#[test]
fn status_127_not_found() {
    let outcome = Job::new("-np 2 px-no-such-command").run();
    outcome.exits(127).says("pxrun: error: ").says("px-no-such-command");
    Job::new("-np 2 -k /no/such/command").input("a\n").run().exits(127).says("/no/such/command");
}

#[test]
fn a_script_whose_interpreter_is_missing_is_not_found() {
    let scratch = Scratch::new();
    let script = scratch.program("script", "#!/no/such/interpreter\n");
    Job::new("-np 1").arg(&script).run().exits(127).says("script");
}

#[test]
fn status_128_and_n_killed_by_a_signal() {
    for (signal, name) in
        [(9, "SIGKILL"), (15, "SIGTERM"), (11, "SIGSEGV"), (13, "SIGPIPE"), (6, "SIGABRT")]
    {
        for mode in ["", "-k"] {
            let job = Job::new("-np 1").words(mode).zoo(&format!("signal {signal}")).input("a\n");
            job.run().exits(128 + signal).says(name).says(&format!("signal {signal}"));
        }
    }
}

#[test]
fn a_copys_own_125_to_127_pass_through_and_are_told_apart() {
    for code in [125, 126, 127] {
        let outcome = Job::new("-np 1").zoo(&format!("exit {code}")).input("a\n").run();
        outcome.exits(code).says("rank 0").says(&format!("status {code}"));
    }
}

#[test]
fn status_125_usage() {
    Job::new("--no-such-option cat").run().own_error();
    Job::new("-np 2").run().own_error();
    Job::new("-np zero cat").run().own_error();
    Job::new("-np 0 cat").run().own_error();
}

#[test]
fn status_125_unread_input() {
    let job = Job::new("-np 1").zoo("early-exit 1").input("a\nb\n");
    job.run().own_error().says("unread").says("2 bytes");
}

#[test]
fn status_125_leak() {
    let job = Job::new("-np 1 --leak-timeout 0.2").zoo("hold-stdout 3600").input("a\n");
    job.run().own_error().says("leak");
}

#[test]
fn status_125_contract_breach() {
    let job = Job::new("-np 1 -k --contract lines").sh("cat; echo more").input("a\n");
    job.run().own_error().says("contract");
}

#[test]
fn status_125_changed_input() {
    let scratch = Scratch::new();
    let path = scratch.file("input", records::numbered(100_000, 1));
    let job = Job::new("-np 1").zoo("pause-after 1").arg(scratch.path()).input_file(&path);
    let mut running = job.start();
    running.until("the copy waits", |_| scratch.has("ready.0"));
    OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    scratch.file("open", "");
    running.finish().own_error().says("input");
}

#[test]
fn status_125_timeout() {
    let scratch = Scratch::new();
    let job = Job::new("-np 2 --timeout 0.3").zoo("never-read").arg(scratch.path()).input("a\nb\n");
    job.run().own_error().says_any(&["timeout", "ran longer than 0.3 s"]);
}

#[test]
fn status_125_output_error() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let job = Job::new("-np 2 cat").input("a\nb\n").stdout(full);
    job.run().own_error().says("no space left on device");
}

#[test]
fn status_125_a_working_directory_that_vanished() {
    let scratch = Scratch::new();
    let gone = scratch.directory("gone");
    let script = r#"rmdir "$PWD"; exec "$0" -np 2 -o out cat"#;
    let job = Job::new("").under(&["sh", "-c", script]).directory(&gone).input("a\n");
    job.run().own_error().says("no such file or directory");
}

#[test]
fn status_141_stdout_closed_by_its_reader() {
    let mut running = Job::new("-np 2 yes").held_stdout().start();
    drop(running.take_stdout());
    running.finish().exits(141).quiet();
}

#[test]
fn a_signal_to_pxrun_ends_it_by_that_signal() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        for mode in ["", "-k", "--order rank"] {
            let scratch = Scratch::new();
            let job = Job::new("-np 2").words(mode).zoo("never-read").arg(scratch.path());
            let mut running = job.input("a\nb\n").start();
            running.until("the copies run", |_| scratch.names(".").len() == 2);
            running.signal(signal);
            running.finish().dies_by(signal);
        }
    }
}

#[test]
fn ok_lists_the_statuses_that_count_as_success() {
    let input = "ERROR one\ntwo\n";
    let job = |options: &str| Job::new(options).words("grep ERROR").input(input).run();
    job("-np 2 --order rank --ok 0,1").ok().quiet().prints("ERROR one\n");
    job("-np 2 --order rank").exits(1);
    Job::new("-np 2 --ok 0,3").zoo("exit 3").input(input).run().ok().quiet();
    Job::new("-np 2 --ok 0,3").zoo("exit 4").input(input).run().exits(4);
    Job::new("-np 2 -k --chunk-records 1 --ok 0,1 grep E")
        .input(input)
        .run()
        .ok()
        .prints("ERROR one\n");
    Job::new("-np 2 --ok nonsense cat").run().own_error();
}

#[test]
fn output_of_a_status_that_counts_as_success_is_committed() {
    let job = Job::new("-np 2 -k --chunk-records 1 --ok 0,5").zoo("exit 5").input("a\nb\n");
    job.run().ok().prints("a\nb\n");
}

#[test]
fn a_silent_status_1_gets_a_hint_at_ok() {
    let help = "--ok 0,1";
    Job::new("-np 1 grep ERROR").input("a\n").run().exits(1).says("help: ").says(help);
    Job::new("-np 1").zoo("exit-loudly 1").input("a\n").run().exits(1).says_not(help);
    Job::new("-np 1").zoo("exit 2").input("a\n").run().exits(2).says_not(help);
}

#[test]
fn a_failure_says_what_was_committed_and_where_it_stood() {
    let script = "cat; [ $PX_CHUNK != 3 ]";
    let job = Job::new("-np 1 -k --chunk-records 1").sh(script).input("a\nb\nc\nd\ne\n");
    let outcome = job.run();
    outcome.exits(1).prints("a\nb\nc\n").says("chunk 3").says("bytes 6").says("note:");
    assert_eq!(outcome.stderr.matches("error:").count(), 1, "one failure is one block");
}

#[test]
fn a_failure_stops_the_dealing() {
    let scratch = Scratch::new();
    let ran = scratch.directory("ran");
    let script = r#"touch "$RAN/$PX_CHUNK"; cat > /dev/null; exit 3"#;
    let job = Job::new("-np 2 --run per-chunk --chunk-records 1").env("RAN", &ran).sh(script);
    job.input(records::numbered(2000, 1)).run().exits(3);
    let count = fs::read_dir(&ran).unwrap().count();
    assert!(count < 200, "{count} chunks ran though the first failed");
}
