//! What once broke, each named after it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use px_tests::{Job, Scratch, checker, records};

/// Gives `first`, waits until something of it is printed, then gives `rest`.
fn in_two_parts(job: Job, first: &str, rest: &str) -> px_tests::Outcome {
    let mut running = job.held_stdin().start();
    running.write(first);
    running.until("a copy has printed", |running| !running.stdout().is_empty());
    running.write(rest).close_stdin();
    running.finish()
}

#[test]
fn input_that_comes_after_a_chunks_copy_has_left_is_unread_input() {
    let job = || Job::new("-np 1 --run per-chunk --chunk-records 2");
    in_two_parts(job().arg("head").arg("-n1"), "a\n", "b\n").own_error().says("chunk 0");
    let allowed = job().words("--allow-early-exit head -n1");
    in_two_parts(allowed, "a\n", "b\n").ok().prints("a\n").says("dropped");
}

#[test]
fn input_that_comes_after_all_dynamic_copies_have_left_is_unread_input() {
    let job = || Job::new("-np 1 --deal dynamic --chunk-records 1");
    let more = "b\n".repeat(100);
    in_two_parts(job().words("head -n1"), "a\n", &more).own_error().says("unread");
    in_two_parts(job().words("head -c2"), "a\n", &more).own_error().says("unread");
    job().words("head -n1").piped("a\n").run().ok().prints("a\n");
}

#[test]
fn behind_the_lines_of_a_failed_rank_nothing_follows() {
    let input = records::numbered(40_000, 5);
    // The others have printed everything by the time it fails, in the midst of a line.
    let script = r#"if [ $PX_RANK != 1 ]; then cat; : >"$DIR/done.$PX_RANK"; exit; fi
        head -n 100; printf half
        until [ -e "$DIR/done.0" ] && [ -e "$DIR/done.2" ]; do sleep 0.01; done; exit 3"#;
    let scratch = Scratch::new();
    let job = Job::new("-np 3 -k --contract lines --chunk-records 10").sh(script);
    let outcome = job.env("DIR", scratch.path()).input(&input).run();
    outcome.exits(3);
    // Chunk 31 would be the eleventh of that rank.
    let lines = input.split_inclusive(|&byte| byte == b'\n').take(310);
    outcome.prints(lines.flatten().copied().collect::<Vec<u8>>());
}

#[test]
fn a_failed_rank_does_not_stop_the_others_lines_in_order() {
    let input = records::numbered(100_000, 4);
    for end in ["exit 3", "exit 0"] {
        let script = format!("[ $PX_RANK = 1 ] && {end}; exec cat");
        let job = Job::new("-np 2 --keep-going -k --contract lines").sh(&script);
        let outcome = job.input(&input).run();
        assert_eq!(checker::numbers(&outcome.stdout).unwrap().len(), 50_000, "{}", outcome.seen());
    }
}

#[test]
fn a_status_of_zero_that_is_not_accepted_is_no_success() {
    Job::new("-np 1 --ok 1 true").input("").run().own_error();
}

#[test]
fn an_output_whose_reader_is_blocked_does_not_hold_up_a_second_ctrl_c() {
    let mut running = Job::new("-np 2 --grace 60 yes").input("").held_stdout().start();
    running.until("copies run", |running| running.named("yes").len() == 2);
    running.signal(libc::SIGINT);
    running.until("the copies have ended", |running| running.named("yes").is_empty());
    running.signal(libc::SIGINT);
    running.finish().dies_by(libc::SIGINT);
}

#[test]
fn a_fifo_without_a_reader_does_not_hold_up_an_end() {
    let scratch = Scratch::new();
    let fifo = scratch.fifo("out");
    let job = Job::new("--grace 1 -o").arg(&fifo).arg("true").input("");
    let mut running = job.start();
    running.until("the agent is there", |running| !running.named("px-agent").is_empty());
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
}

#[test]
fn a_leak_is_one_also_when_the_output_is_slow() {
    let script = "yes & echo x";
    Job::new("-np 1 --leak-timeout 0.2")
        .sh(script)
        .input("")
        .run()
        .own_error()
        .says("held its stdout");
}

#[test]
fn a_million_chunks_in_order_take_time_in_proportion() {
    let input = records::numbered(300_000, 11);
    let job = Job::new("-np 2 -k --contract lines --chunk-records 1 cat").input(&input);
    assert!(job.run().ok().stdout == input);
}

#[test]
fn a_stderr_that_cannot_be_written_is_no_crash() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    Job::new("--no-such-option").stderr(full).run().exits(125);
}

#[test]
fn a_signal_after_a_failure_still_ends_the_job_by_that_signal() {
    let script = "[ $PX_RANK = 0 ] && exit 3; exec sleep 60";
    let mut running = Job::new("-np 2 --keep-going --grace 1").sh(script).input("").start();
    running.until("the failure is told", |running| running.stderr().contains("status 3"));
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
}

#[test]
fn a_joblog_never_replaces_an_input() {
    let scratch = Scratch::new();
    let input = scratch.file("input", "a\nb\n");
    let job = Job::new("-np 1 --joblog").arg(&input).arg("-i").arg(&input).arg("cat");
    job.run().own_error().says("joblog");
    assert_eq!(scratch.read("input"), b"a\nb\n");
}

#[test]
fn a_limit_of_file_size_is_an_error_of_the_write() {
    let scratch = Scratch::new();
    let out = std::fs::File::create(scratch.at("out")).unwrap();
    let input = records::numbered(100_000, 17);
    let job = Job::new("-np 2 cat").limit(rustix::process::Resource::Fsize, 65536, 65536);
    job.input(&input).stdout(out).run().own_error().says("File too large");
}

#[test]
fn an_output_that_can_never_be_made_is_refused_before_the_job() {
    for path in ["", "missing/"] {
        let job = Job::new("-o").arg(path).arg("sh").arg("-c").arg("echo started >&2").input("");
        job.run().own_error().says_not("started");
    }
}

#[test]
fn a_file_that_changes_beside_a_stream_is_told() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "a\n".repeat(2_000_000));
    let fifo = scratch.fifo("fifo");
    let job = Job::new("-np 1 -i").arg(&file).arg("-i").arg(&fifo);
    let mut running = job
        .sh("read x; echo $x; read y < $GO; cat >/dev/null")
        .env("GO", scratch.fifo("go"))
        .start();
    running.until("the copy has begun", |running| {
        !running.stdout().is_empty() || running.named("sh").len() == 1
    });
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(3_000_000).unwrap();
    // By now pxrun reads it; later it may have ended, and nobody would.
    let writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    std::fs::write(scratch.at("go"), "go\n").unwrap();
    drop(writer);
    running.finish().own_error().says("changed");
}
