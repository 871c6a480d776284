//! Children that misbehave on their pipes: rows 1 to 23. Needs no root.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs::{OpenOptions, Permissions, set_permissions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use px_tests::rounds::rounds;
use px_tests::terminal::Ground;
use px_tests::{Job, Scratch, Status, Terminal, checker, processes, records, sys};

#[test]
fn row_01_a_child_that_never_reads_is_ended_by_the_timeout_alone() {
    let scratch = Scratch::new();
    let input = scratch.sparse("input", 1 << 30);
    let job =
        Job::new("-np 2 --deal block --order rank --records bytes=4096 --timeout 5").measured();
    let outcome = job.zoo("never-read").arg(scratch.path()).input_file(&input).run();
    outcome.own_error().says_any(&["timeout", "ran longer than 5 s"]).within_memory(2);
    assert_eq!(scratch.names(".").len(), 3, "both copies had started");
}

#[test]
fn row_01_a_child_that_never_reads_holds_up_no_other_on_a_file() {
    let scratch = Scratch::new();
    let kept = scratch.directory("kept");
    let input = records::numbered(200_000, 1);
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" never-read "$DIR"; fi
        exec "$ZOO" keep "$DIR/kept""#;
    let job = Job::new("-np 2").env("DIR", scratch.path()).sh(script);
    let mut running = job.input(&input).start();
    running.until("all of rank 1", |_| kept.join("1").exists());
    let share = checker::numbers(&scratch.read("kept/1")).unwrap();
    assert!(share.len() > 90_000, "rank 1 had only {} records", share.len());
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
}

#[test]
fn row_01_on_a_stream_dynamic_dealing_passes_by_a_child_that_never_reads() {
    let scratch = Scratch::new();
    let kept = scratch.directory("kept");
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" never-read "$DIR"; fi
        tee "$DIR/kept/1" > /dev/null"#;
    let job = Job::new("-np 2 --deal dynamic").env("DIR", scratch.path()).sh(script);
    let mut running = job.held_stdin().start();
    let mut stdin = running.take_stdin();
    let writer = std::thread::spawn(move || {
        std::io::Write::write_all(&mut stdin, &records::numbered(400_000, 1)).unwrap();
    });
    running.until("the stream is taken in", |_| writer.is_finished());
    let arrived = || kept.join("1").metadata().map_or(0, |file| file.len());
    running.until("most of it at rank 1", |_| arrived() > 16 << 20);
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
}

#[test]
fn row_02_a_child_that_writes_all_before_it_reads_does_not_deadlock() {
    let input = records::numbered(100_000, 2);
    let chunks = "--run per-chunk --chunk-records 10000";
    for options in ["", "--order rank", "--deal block -k", "--deal dynamic", chunks] {
        let job = Job::new("-np 2").words(options).zoo("write-before-read 2097152").input(&input);
        let outcome = job.run();
        outcome.ok();
        let lines = outcome.stdout.split_inclusive(|&byte| byte == b'\n');
        let (own, passed): (Vec<&[u8]>, Vec<&[u8]>) = lines.partition(|l| l.starts_with(b"w"));
        checker::each_once(&passed.concat(), 100_000);
        let copies = own.concat().len() / 2_097_152;
        assert!(copies >= 2 && own.concat().len() == copies * 2_097_152, "{options}: {copies}");
    }
}

#[test]
fn row_02_a_hundred_megabytes_before_the_first_read() {
    let input = records::numbered(100_000, 2);
    let job = Job::new("-np 2").zoo("write-before-read 52428800").input(&input).measured();
    let outcome = job.run();
    outcome.ok().within_memory(2);
    assert_eq!(outcome.stdout.len(), 2 * 52_428_800 + input.len());
}

#[test]
fn row_03_a_child_that_exits_early_is_an_error_with_the_bytes_left() {
    for _ in 0..rounds(10) {
        let job = Job::new("-np 1").zoo("early-exit 1").input("one\ntwo\nthree\nfour\n");
        let outcome = job.run();
        outcome.own_error().says("unread").says("15 bytes").says("rank 0").prints("one\n");
    }
}

#[test]
fn row_03_unread_input_counts_what_was_never_written_too() {
    let input = records::numbered(300_000, 1);
    for _ in 0..rounds(10) {
        let outcome = Job::new("-np 1").zoo("early-exit 1").input(&input).run();
        let first = input.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        outcome.own_error().says(&format!("{} bytes", input.len() - first));
    }
}

#[test]
fn row_03_head_is_an_error_unless_early_exit_is_allowed() {
    let input = records::numbered(300_000, 1);
    for _ in 0..rounds(10) {
        Job::new("-np 2 head -n 1").input(&input).run().own_error().says("unread");
        let outcome = Job::new("-np 2 --allow-early-exit head -n 1").input(&input).run();
        outcome.ok().prints_lines(2).says("dropped");
        checker::numbers(&outcome.stdout).unwrap();
    }
}

#[test]
fn row_03_what_an_early_exit_declines_goes_to_the_others_with_dynamic() {
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" early-exit 1; fi; exec cat"#;
    let input = records::numbered(500_000, 1);
    let job = Job::new("-np 2 --deal dynamic --allow-early-exit").sh(script).input(&input).run();
    let numbers = checker::numbers(&job.ok().stdout).unwrap();
    assert!(numbers.len() > 300_000, "only {} records came through", numbers.len());
}

#[test]
fn row_03_an_early_exit_in_per_chunk_is_judged_a_chunk_at_a_time() {
    let input = "a\nb\nc\nd\n".repeat(3);
    let job = || Job::new("-np 2 -k --chunk-records 4").input(&input);
    job().zoo("early-exit 1").run().own_error().says("unread").says("chunk ");
    job().words("--allow-early-exit").zoo("early-exit 1").run().ok().prints("a\na\na\n");
}

#[test]
fn row_04_a_child_that_closes_stdin_keeps_its_output() {
    let input = records::numbered(300_000, 4);
    let declined = Job::new("-np 2 --allow-early-exit").zoo("close-stdin 1").input(&input).run();
    declined.ok().prints_lines(2 * 1001);
    Job::new("-np 2").zoo("close-stdin 1").input(&input).run().own_error().says("unread");
}

#[test]
fn row_05_a_child_that_closes_stdout_is_waited_for() {
    let scratch = Scratch::new();
    let input = records::numbered(200_000, 5);
    let job = Job::new("-np 1").zoo("close-stdout").arg(scratch.at("count")).input(&input);
    job.run().ok().quiet().prints("before\n");
    assert_eq!(scratch.read("count"), input.len().to_string().as_bytes());
}

#[test]
fn row_06_a_grandchild_that_holds_stdout_is_a_leak() {
    for mode in ["", "--order rank", "-k", "--run per-chunk"] {
        let job = Job::new("-np 2 --leak-timeout 0.3").words(mode).zoo("hold-stdout 3600");
        let outcome = job.input("one\ntwo\n").run();
        outcome.own_error().says("leak").says_any(&["rank 0", "rank 1"]);
    }
}

#[test]
fn row_06_a_grandchild_that_is_done_in_time_is_waited_for() {
    for mode in ["", "--order rank", "--run per-chunk -k"] {
        let job = Job::new("-np 1 --leak-timeout 60").words(mode).zoo("late-line 300");
        job.input("one\n").run().ok().prints("one\nlate\n");
    }
}

#[test]
fn row_06_a_grandchild_that_holds_stderr_alone_is_no_error() {
    let job = Job::new("-np 2 --leak-timeout 5").sh("cat; sleep 3600 > /dev/null &");
    job.input("a\nb\n").run().ok().prints_lines(2);
}

#[test]
fn row_06_a_grandchild_that_holds_stdin_hides_no_unread_input() {
    // The pipe still has a reader, so nobody is told that it is broken.
    let script = "exec 3<&0; sleep 3600 <&3 > /dev/null 2>&1 & exit 0";
    let input = records::numbered(300_000, 6);
    for mode in ["", "-k --chunk-size 1M", "--order rank"] {
        let job = || Job::new("-np 2").words(mode).sh(script).input(&input);
        job().run().own_error().says("unread");
    }
    Job::new("-np 2 --allow-early-exit").sh(script).input(&input).run().ok().says("dropped");
}

#[test]
fn row_07_a_daemon_does_not_outlive_the_job() {
    let scratch = Scratch::new();
    let input = records::numbered(1000, 7);
    let job = Job::new("-np 4").zoo("daemonize").arg(scratch.path()).input(&input);
    // `run` itself sees to it that nothing with the job's mark is left.
    checker::each_once(&job.run().ok().stdout, 1000);
    assert_eq!(scratch.names(".").len(), 4, "every copy had left a daemon");
}

#[test]
fn row_08_a_child_that_ignores_sigterm_is_killed_after_the_grace_period() {
    let scratch = Scratch::new();
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" ignore-signals "$DIR"; fi
        while [ ! -e "$DIR/ready.0" ]; do sleep 0.01; done; exit 3"#;
    let job = Job::new("-np 2 --grace 5").env("DIR", scratch.path()).sh(script);
    job.run().exits(3).says("rank 1").says("status 3");
    assert!(scratch.has("signal-15.0"), "SIGTERM comes first");
}

#[test]
fn row_09_a_stopped_child_is_ended_too() {
    let scratch = Scratch::new();
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" stop "$DIR"; fi
        while [ ! -e "$DIR/ready.0" ]; do sleep 0.01; done; exit 3"#;
    let job = Job::new("-np 2 --grace 5").env("DIR", scratch.path()).sh(script);
    job.run().exits(3);
}

#[test]
fn row_09_the_timeout_of_a_stopped_child_runs_on() {
    let scratch = Scratch::new();
    let job = Job::new("-np 2 --timeout 1").zoo("stop").arg(scratch.path());
    job.run().own_error().says_any(&["timeout", "ran longer than 1 s"]);
}

#[test]
fn row_10_a_child_that_a_signal_killed_is_named_with_it() {
    let input = records::numbered(1000, 10);
    let outcome = Job::new("-np 1").zoo("signal 9").input(&input).run();
    outcome.exits(128 + 9).says("rank 0").says("signal 9").says("SIGKILL");
}

#[test]
fn row_11_output_of_a_failed_chunk_is_withheld() {
    let script = r#"cat; [ $PX_CHUNK != 2 ]"#;
    let input = "0\n1\n2\n3\n";
    for order in ["none", "input"] {
        let job = Job::new("-np 1 --run per-chunk --chunk-records 1 --order").arg(order);
        let outcome = job.sh(script).input(input).run();
        outcome.exits(1).prints("0\n1\n").says("chunk 2").says("status 1");
        let job =
            Job::new("-np 1 --keep-going --run per-chunk --chunk-records 1 --order").arg(order);
        job.sh(script).input(input).run().exits(1).prints("0\n1\n3\n").says("chunk 2");
    }
}

#[test]
fn row_11_a_failed_rank_is_named_with_what_was_committed() {
    let input = records::numbered(1000, 11);
    let outcome = Job::new("-np 4").zoo("exit-loudly 9").input(&input).run();
    outcome.exits(9).says("status 9").says("rank").says("chunk").says("bytes");
}

#[test]
fn row_13_a_missing_command_is_one_message_however_many_chunks() {
    for mode in ["", "--run per-chunk --chunk-records 1"] {
        let job = Job::new("-np 4").words(mode).arg("px-no-such-command").env("PATH", "/usr/bin");
        let outcome = job.input(records::numbered(500, 1)).run();
        outcome.exits(127).says("`px-no-such-command`").says("pxrun: error: ");
        assert_eq!(outcome.stderr.matches("error:").count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn row_13_a_path_that_may_not_be_searched_is_passed_by() {
    let scratch = Scratch::new();
    let closed = scratch.directory("closed");
    set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    let path = format!("{}:/usr/bin:/bin", closed.display());
    Job::new("-np 1 cat").env("PATH", &path).input("a\n").run().ok().prints("a\n");
    Job::new("-np 1 px-no-such-command").env("PATH", &path).run().exits(127);
}

#[test]
fn row_13_a_file_that_is_not_executable_is_status_126() {
    let scratch = Scratch::new();
    let plain = scratch.file("plain", "#!/bin/sh\n");
    Job::new("-np 2").arg(&plain).run().exits(126).says("plain").says("permission denied");
    Job::new("-np 2").arg(scratch.path()).run().exits(126);
}

#[test]
fn row_13_a_program_that_is_being_written_is_not_executable() {
    let scratch = Scratch::new();
    let busy = scratch.at("busy");
    std::fs::copy("/bin/cat", &busy).unwrap();
    let writer = OpenOptions::new().write(true).mode(0o755).open(&busy).unwrap();
    Job::new("-np 2").arg(&busy).run().exits(126).says("text file busy");
    drop(writer);
}

#[test]
fn row_14_copies_start_with_three_descriptors() {
    let scratch = Scratch::new();
    let extra = std::fs::File::open(scratch.file("extra", "")).unwrap();
    for mode in ["", "--order rank", "-k --chunk-records 1"] {
        let leaking = |setup: &mut sys::Setup| {
            setup.inherited = vec![(sys::number(&extra), 9), (sys::number(&extra), 77)];
        };
        let job = Job::new("-np 2").words(mode).zoo("print-fds").setup(leaking);
        job.input("a\nb\n").run().ok().prints("0 1 2\n0 1 2\n");
    }
}

#[test]
fn row_14_copies_start_with_default_signals() {
    let ignoring = |setup: &mut sys::Setup| {
        setup.ignored = vec![libc::SIGPIPE, libc::SIGHUP, libc::SIGUSR1];
        setup.blocked = vec![libc::SIGUSR2, libc::SIGTERM];
    };
    // Not one of our own children: the runtime of Rust ignores SIGPIPE at its start.
    let script = "cat > /dev/null; exec grep -hE '^Sig(Blk|Ign)' /proc/self/status";
    for mode in ["", "-k --chunk-records 1"] {
        let job = Job::new("-np 2").words(mode).sh(script).setup(ignoring);
        let outcome = job.input("a\nb\n").run();
        outcome.ok().prints_lines(4);
        for line in outcome.text().lines() {
            let mask = u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap();
            // Signals 32 and 33 are the C library's own, which no program can set.
            assert_eq!(mask & !(0b11 << 31), 0, "{line} ({mode})");
        }
    }
}

#[test]
fn row_14_an_ignored_sigchld_hides_no_end() {
    let ignoring = |setup: &mut sys::Setup| setup.ignored = vec![libc::SIGCHLD];
    for mode in ["", "-k"] {
        let job = || Job::new("-np 2").words(mode).setup(ignoring).input("a\nb\n");
        job().arg("cat").run().ok().prints_lines(2);
        job().zoo("exit 3").run().exits(3);
    }
}

#[test]
fn row_15_a_flood_on_stderr_is_passed_on_whole() {
    const EACH: usize = 64 << 20;
    let input = records::numbered(1000, 15);
    let job = Job::new("-np 2").zoo(&format!("flood-stderr {EACH}")).input(&input).measured();
    let outcome = job.run();
    outcome.ok().within_memory(2);
    checker::each_once(&outcome.stdout, 1000);
    is_all_that_was_flooded(&outcome.stderr, EACH);
}

/// Both ranks have written all their lines, and none is in another's.
fn is_all_that_was_flooded(stderr: &str, each: usize) {
    let count = |byte: u8| stderr.bytes().filter(|&found| found == byte).count();
    let lines = each / 100;
    assert_eq!([count(b'0'), count(b'1'), count(b'e')], [lines, lines, 2 * 98 * lines]);
    // A line whose rest is late may go on as one of its own; one that has a beginning ends it.
    let begins = |line: &str| line.bytes().skip(1).all(|byte| byte == b'e');
    assert!(stderr.lines().all(begins), "two lines in one");
}

#[test]
fn row_15_a_blocked_stderr_makes_the_copies_wait() {
    const EACH: usize = 4 << 20;
    let job = Job::new("-np 2").zoo(&format!("flood-stderr {EACH}")).input("a\nb\n").held_stderr();
    let mut running = job.start();
    let mut stderr = running.take_stderr();
    running.until("stderr is full", |_| rustix::io::ioctl_fionread(&stderr).unwrap() >= 60 << 10);
    let mut all = String::new();
    stderr.read_to_string(&mut all).unwrap();
    running.finish().ok();
    is_all_that_was_flooded(&all, EACH);
}

#[test]
fn row_16_copies_have_no_terminal() {
    let input = Scratch::new();
    let path = input.file("input", "a\nb\n");
    let job = Job::new("-np 2 -i").arg(path).zoo("open-tty");
    let mut terminal = Terminal::start(&job, Ground::Fore);
    assert_eq!(terminal.end(), "exited 0", "{}", terminal.seen());
    let refused = format!("refused with {}\n", libc::ENXIO);
    assert_eq!(String::from_utf8_lossy(&terminal.stdout()), refused.repeat(2));
}

#[test]
fn row_19_no_zombie_is_left_after_thousands_of_children() {
    let scratch = Scratch::new();
    let count = 2000;
    let script = r#"if [ $PX_CHUNK = 1999 ]; then exec "$ZOO" gate "$DIR" cat; fi"#;
    let job = Job::new("-np 2 --run per-chunk --chunk-records 1 --allow-early-exit");
    let job = job.env("DIR", scratch.path()).sh(script).input("x\n".repeat(count));
    let mut running = job.start();
    let mark = running.mark().to_owned();
    running.until("the last chunk", |_| scratch.has("ready.1999"));
    running.until("no zombie", |_| processes::zombies(&mark).is_empty());
    running.until("one copy alone", |job| {
        job.named("px-zoo").len() == 1 && job.named("sh").is_empty()
    });
    scratch.file("open", "");
    running.finish().ok().prints("x\n");
}

#[test]
fn row_20_a_partial_last_line_is_kept_as_it_is() {
    let input = "a\nb\nc\nd\n";
    let job = Job::new("-np 2 -k --chunk-records 1").sh("cat; printf piece").input(input);
    job.run().ok().prints("a\npieceb\npiecec\npieced\npiece");
    let job = Job::new("-np 2 --order rank --chunk-records 1").zoo("partial-line").input(input);
    job.run().ok().prints("a\nc\npieceb\nd\npiece");
}

#[test]
fn row_20_unterminated_pieces_follow_all_whole_lines() {
    let input = records::numbered(50_000, 20);
    let outcome = Job::new("-np 4").zoo("partial-line").input(&input).run();
    let whole = outcome.ok().stdout.strip_suffix(b"piecepiecepiecepiece".as_slice());
    checker::each_once(whole.expect("the pieces at the end"), 50_000);
}

#[test]
fn row_21_long_lines_of_many_ranks_are_not_mixed() {
    let input = records::numbered_long(128, 1 << 20);
    let outcome = Job::new("-np 64 --chunk-records 1 cat").input(&input).run();
    checker::each_once(&outcome.ok().stdout, 128);
}

#[test]
fn row_21_lines_written_in_halves_are_not_mixed() {
    let input = records::numbered(20_000, 21);
    for mode in ["", "--deal dynamic", "--run per-chunk --chunk-records 500"] {
        let outcome = Job::new("-np 8").words(mode).zoo("half-lines").input(&input).run();
        checker::each_once(&outcome.ok().stdout, 20_000);
    }
}

#[test]
fn row_21_a_chunks_output_is_one_run_of_bytes_in_every_order() {
    let input = records::numbered(4000, 21);
    let script = r#"echo "begin $PX_CHUNK"; "$ZOO" half-lines; echo "end $PX_CHUNK""#;
    for order in ["none", "input", "rank"] {
        let job = Job::new("-np 8 --run per-chunk --chunk-records 100 --order").arg(order);
        let outcome = job.sh(script).input(&input).run();
        assert_unbroken_runs(&outcome.ok().text());
    }
}

/// Holds when every chunk's lines stand together between its `begin` and its `end`.
fn assert_unbroken_runs(text: &str) {
    let mut open = None;
    for line in text.lines() {
        let mut words = line.split(' ').map(str::to_owned);
        match (words.next().unwrap().as_str(), &open) {
            ("begin", None) => open = words.next(),
            ("end", Some(_)) if open == words.next() => open = None,
            (number, Some(chunk)) => {
                let record: u64 = number.parse().unwrap_or_else(|_| panic!("`{line}` in {chunk}"));
                assert_eq!((record / 100).to_string(), *chunk, "`{line}` in chunk {chunk}");
            }
            (_, None) => panic!("`{line}` between chunks"),
        }
    }
    assert_eq!(open, None, "a chunk without its end");
}

#[test]
fn row_22_bytes_pass_as_they_are() {
    for (name, input) in records::zoo() {
        for mode in ["-k", "-k --deal block --run per-rank", "-k --contract lines"] {
            let outcome = Job::new("-np 3").words(mode).arg("cat").input(&input).run();
            assert_eq!(outcome.ok().stdout, input, "{name}, {mode}");
        }
    }
}

#[test]
fn row_23_a_child_that_writes_a_thousand_times_its_input_costs_no_memory() {
    let input = records::numbered(1000, 23);
    for mode in ["", "--order rank", "-k"] {
        let job = Job::new("-np 2").words(mode).zoo("amplify 1000").input(&input).measured();
        let outcome = job.run();
        outcome.ok().within_memory(2).prints_lines(1_000_000);
        assert_eq!(outcome.stdout.len(), 1000 * input.len());
    }
}

#[test]
fn a_flood_to_a_reader_that_comes_late_waits_for_it() {
    let input = records::numbered(2000, 23);
    let job = Job::new("-np 2").zoo("amplify 200").input(&input).held_stdout().measured();
    let mut running = job.start();
    let mut stdout = running.take_stdout();
    running.until("stdout is full", |_| rustix::io::ioctl_fionread(&stdout).unwrap() >= 4096);
    let mut all = Vec::new();
    stdout.read_to_end(&mut all).unwrap();
    let outcome = running.finish();
    outcome.ok().within_memory(2);
    assert_eq!((outcome.status, all.len()), (Status::Exited(0), 200 * input.len()));
}

#[test]
fn a_child_that_reads_slowly_gets_everything() {
    let input = records::numbered(2000, 24);
    for mode in ["", "-k", "-k --contract lines"] {
        let job = Job::new("-np 2").words(mode).zoo("read-slowly 4096 1").input(&input);
        checker::each_once(&job.run().ok().stdout, 2000);
    }
}

#[test]
fn nobody_deadlocks_whatever_the_children_do() {
    let behaviours = [
        "write-before-read 300000",
        "amplify 20",
        "half-lines",
        "lazy",
        "flood-stderr 300000",
        "partial-line",
        "upper",
        "early-exit 3",
        "close-stdin 2",
        "exit 5",
        "signal 15",
    ];
    let modes = [
        "",
        "--order rank",
        "-k",
        "-k --run per-rank --deal block",
        "--deal dynamic",
        "--run per-chunk",
        "--run per-chunk --deal dynamic",
        "-t",
        "--allow-early-exit",
        "--keep-going",
    ];
    let mut random = px_tests::rounds::Random::seeded(99);
    for round in 0..rounds(60) {
        let input = records::numbered(random.below(30_000), round);
        let (mode, behaviour) = (random.of(&modes), random.of(&behaviours));
        let ranks = (1 + random.below(6)).to_string();
        let job = Job::new("-np").arg(&ranks).words(mode).zoo(behaviour);
        let job = if random.below(2) == 0 { job.input(&input) } else { job.piped(input) };
        let outcome = job.run();
        let good = match outcome.status {
            Status::Exited(0) => true,
            Status::Exited(_) => outcome.stderr.contains("pxrun: error: "),
            Status::Signaled(_) => false,
        };
        outcome.check(good, || "wanted status 0, or another with a message".to_owned());
    }
}
