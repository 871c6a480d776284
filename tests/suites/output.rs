//! Faults of the output and the ways to publish it: rows 39 to 43 and 48.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use px_tests::binary::pxrun;
use px_tests::rounds::rounds;
use px_tests::{Job, Scratch, checker, processes, records};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

const MODES: &[&str] = &[
    "",
    "--order rank",
    "-k",
    "-k --run per-rank --deal block",
    "-k --contract lines",
    "--deal dynamic",
    "--run per-chunk",
    "-t",
];

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn row_39_a_full_device_on_stdout_is_an_error_in_every_mode() {
    let input = records::numbered(2000, 39);
    for mode in MODES {
        for _ in 0..rounds(3) {
            let outcome =
                Job::new("-np 2").words(mode).arg("cat").input(&input).stdout(full()).run();
            outcome.own_error().says("no space left on device");
        }
    }
}

#[test]
fn row_39_a_single_byte_to_a_full_device_is_an_error() {
    for mode in MODES {
        let outcome = Job::new("-np 2").words(mode).arg("cat").input("x").stdout(full()).run();
        outcome.own_error().says("no space left on device");
    }
}

#[test]
fn row_39_a_full_device_by_name_is_an_error() {
    let job = Job::new("-np 2 -o /dev/full cat").input("a\nb\n");
    job.run().own_error().says("/dev/full").says("no space left on device");
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device(), "it was replaced");
}

#[test]
fn row_39_a_full_device_under_the_joblog_is_an_error() {
    let job = Job::new("-np 2 --joblog /dev/full cat").input("a\nb\n");
    job.run().own_error().says("no space left on device");
}

/// Runs a job in a mount namespace of its own, with a small tmpfs on `directory`.
fn with_small_disk(directory: &Path, size: &str, options: &[&str]) -> Job {
    assert!(rustix::process::geteuid().is_root(), "needs root, to mount a small disk");
    let mount = format!(
        "mount -t tmpfs -o size={size},mode=1777 px-small '{}' && exec \"$@\"",
        directory.display()
    );
    let script = ["unshare", "--mount", "sh", "-c", &mount, "sh"];
    Job::new("").under(&[&script[..], options].concat())
}

#[test]
fn row_39_a_disk_that_fills_up_under_o_leaves_the_old_file_needs_root_to_mount() {
    let scratch = Scratch::new();
    let disk = scratch.directory("disk");
    let input = records::numbered(50_000, 39);
    // The shell that mounts sees to the old file before, and looks at the disk behind.
    let script = format!(
        "cd '{}' && echo old > out && '{}' -np 2 -o out cat; s=$?; cat out; ls; exit $s",
        disk.display(),
        pxrun().display()
    );
    let job = with_small_disk(&disk, "1m", &["sh", "-c", &script, "sh"]).input(&input);
    job.run().own_error().says("no space left on device").prints("old\nout\n");
}

#[test]
fn row_39_a_full_spill_directory_is_an_error_and_no_loss_needs_root_to_mount() {
    let scratch = Scratch::new();
    let disk = scratch.directory("disk");
    // Rank 0 lets nothing through until rank 1 is done, so what rank 1 writes must wait.
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" gate "$DIR" cat; fi
        "$ZOO" write-before-read 300000000; touch "$DIR/open""#;
    let job = with_small_disk(&disk, "1m", &[]).words("-np 2 --order rank --spill-dir").arg(&disk);
    let outcome = job.env("DIR", scratch.path()).sh(script).input("a\nb\n").run();
    outcome.own_error().says("no space left on device").prints("");
}

#[test]
fn a_spill_directory_in_memory_is_warned_about_once_needs_root_to_mount() {
    let scratch = Scratch::new();
    let disk = scratch.directory("disk");
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" gate "$DIR" cat; fi
        "$ZOO" write-before-read 150000000; touch "$DIR/open""#;
    let job = with_small_disk(&disk, "1g", &[]).words("-np 2 --order rank --spill-dir").arg(&disk);
    let outcome = job.env("DIR", scratch.path()).sh(script).input("a\nb\n").run();
    outcome.ok();
    assert_eq!(outcome.stdout.len(), 150_000_000 + 4);
    assert_eq!(outcome.stderr.matches("tmpfs").count(), 1, "{}", outcome.stderr);
}

#[test]
fn row_41_a_reader_that_leaves_stops_the_job_quietly() {
    let input = records::numbered(300_000, 41);
    for mode in MODES {
        for _ in 0..rounds(2) {
            let job = Job::new("-np 2").words(mode).arg("cat").input(&input).held_stdout();
            let mut running = job.start();
            let mut stdout = running.take_stdout();
            stdout.read_exact(&mut [0; 10]).unwrap();
            drop(stdout);
            running.finish().exits(141).quiet();
        }
    }
}

#[test]
fn row_41_a_reader_that_never_was_stops_the_job_quietly() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    Job::new("-np 2 cat").input("a\nb\n").stdout(OwnedFd::from(writer)).run().exits(141).quiet();
}

#[test]
fn row_41_a_reader_that_leaves_is_noticed_while_nothing_is_written() {
    for mode in MODES {
        let scratch = Scratch::new();
        let job = Job::new("-np 2").words(mode).zoo("never-read").arg(scratch.path());
        let mut running = job.input(records::numbered(2000, 1)).held_stdout().start();
        let stdout = running.take_stdout();
        running.until("the copies sleep", |_| scratch.names(".").len() == 2);
        drop(stdout);
        running.finish().exits(141).quiet();
    }
}

#[test]
fn row_41_a_socket_whose_reader_leaves_counts_too() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let job = Job::new("-np 2 cat").input(records::numbered(300_000, 1));
    let running = job.stdout(OwnedFd::from(theirs)).start();
    (&ours).read_exact(&mut [0; 10]).unwrap();
    drop(ours);
    running.finish().exits(141).quiet();
}

#[test]
fn row_42_a_stdout_that_does_not_wait_keeps_its_flags_and_gets_everything() {
    let input = records::numbered(100_000, 42);
    for mode in MODES {
        let (mut reader, writer) = io::pipe().unwrap();
        let flags = fcntl_getfl(&writer).unwrap() | OFlags::NONBLOCK;
        fcntl_setfl(&writer, flags).unwrap();
        let watched = writer.try_clone().unwrap();
        let job =
            Job::new("-np 2").words(mode).arg("cat").input(&input).stdout(OwnedFd::from(writer));
        let mut running = job.start();
        running.until("the pipe is full", |_| rustix::io::ioctl_fionread(&reader).unwrap() >= 4096);
        assert_eq!(fcntl_getfl(&watched).unwrap(), flags, "flags changed while it runs");
        let all = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        running.finish().ok();
        assert_eq!(fcntl_getfl(&watched).unwrap(), flags, "flags changed behind it");
        drop(watched);
        let all = all.join().unwrap();
        let tags = if *mode == "-t" { 4 * 100_000 } else { 0 };
        assert_eq!(all.len(), input.len() + tags, "{mode}");
    }
}

#[test]
fn row_42_a_stdin_that_does_not_wait_is_waited_for() {
    let (reader, mut writer) = io::pipe().unwrap();
    fcntl_setfl(&reader, fcntl_getfl(&reader).unwrap() | OFlags::NONBLOCK).unwrap();
    let flags = fcntl_getfl(&reader).unwrap();
    let watched = reader.try_clone().unwrap();
    let mut running = Job::new("-np 2").zoo("upper").stdin(OwnedFd::from(reader)).start();
    for line in ["one\n", "two\n"] {
        writer.write_all(line.as_bytes()).unwrap();
        let wanted = line.to_uppercase();
        running.until(&wanted, |job| String::from_utf8_lossy(&job.stdout()).contains(&wanted));
    }
    drop(writer);
    running.finish().ok().prints("ONE\nTWO\n");
    assert_eq!(fcntl_getfl(&watched).unwrap(), flags);
}

#[test]
fn row_43_the_old_file_stays_until_the_new_one_is_whole() {
    for mode in ["", "-k", "--order rank", "-k --contract lines"] {
        let scratch = Scratch::new();
        let marks = scratch.directory("marks");
        let out = scratch.directory("out");
        let target = scratch.file("out/target", "old");
        fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).unwrap();
        let job = Job::new("-np 1 -o").arg(&target).words(mode).zoo("pause-after 1").arg(&marks);
        let mut running = job.input("a\nb\n").start();
        running.until("the copy has written", |_| !scratch.names("marks").is_empty());
        assert_eq!(fs::read(&target).unwrap(), b"old");
        File::create(marks.join("open")).unwrap();
        running.finish().ok().prints("");
        assert_eq!(fs::read(&target).unwrap(), b"a\nb\n", "{mode}");
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o640, "the mode is kept");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "{:?}", scratch.names("out"));
    }
}

#[test]
fn row_43_a_failed_job_leaves_the_old_file_untouched() {
    for mode in ["", "-k", "--order rank", "-k --contract lines"] {
        let scratch = Scratch::new();
        let out = scratch.directory("out");
        let (old, new) = (scratch.file("out/old", "old"), out.join("new"));
        for target in [&old, &new] {
            let job = Job::new("-np 2 -o").arg(target).words(mode).zoo("exit-loudly 3");
            job.input(records::numbered(5000, 43)).run().exits(3);
        }
        assert_eq!(fs::read(&old).unwrap(), b"old");
        assert_eq!(scratch.names("out"), ["old"], "{mode}");
    }
}

#[test]
fn row_43_keep_going_publishes_with_a_failure_in_its_status() {
    let scratch = Scratch::new();
    let target = scratch.file("target", "old");
    let job = Job::new("-np 1 -k --keep-going --chunk-records 1 -o").arg(&target);
    job.sh("cat; [ $PX_CHUNK != 1 ]").input("a\nb\nc\n").run().exits(1);
    assert_eq!(scratch.read("target"), b"a\nc\n");
}

#[test]
fn row_43_a_stopped_job_leaves_nothing_half_written() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGKILL] {
        let scratch = Scratch::new();
        let marks = scratch.directory("marks");
        scratch.directory("out");
        let target = scratch.file("out/target", "old");
        let job = Job::new("-np 1 -o").arg(&target).zoo("pause-after 1000").arg(&marks);
        let mut running = job.input(records::numbered(5000, 43)).start();
        running.until("the copy waits", |_| !scratch.names("marks").is_empty());
        running.signal(signal);
        let outcome = running.finish();
        outcome.dies_by(signal);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        let said = outcome.stderr.contains("out/target` is as it was before");
        assert_eq!(said, signal != libc::SIGKILL, "{}", outcome.seen());
        // Nobody can tidy up behind SIGKILL; but what is there under the name is whole.
        let tidy = signal == libc::SIGKILL || scratch.names("out") == ["target"];
        assert!(tidy, "{:?} after signal {signal}", scratch.names("out"));
    }
}

#[test]
fn a_new_file_gets_the_mode_of_the_umask() {
    let scratch = Scratch::new();
    let target = scratch.at("target");
    let script = format!("umask 027; exec '{}' -np 2 -k -o \"$OUT\" cat", pxrun().display());
    let job = Job::new("").under(&["sh", "-c", &script, "sh"]).env("OUT", &target);
    job.input("a\nb\n").run().ok();
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(scratch.read("target"), b"a\nb\n");
}

#[test]
fn a_symbolic_link_stays_and_its_target_is_replaced() {
    let scratch = Scratch::new();
    scratch.directory("there");
    let target = scratch.file("there/target", "old");
    let link = scratch.at("link");
    symlink("there/target", &link).unwrap();
    Job::new("-np 2 -k -o").arg(&link).arg("cat").input("a\nb\n").run().ok();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&target).unwrap(), b"a\nb\n");
    assert_eq!(scratch.names("there"), ["target"]);
}

#[test]
fn a_link_to_a_file_that_is_not_there_makes_that_file() {
    let scratch = Scratch::new();
    let link = scratch.at("link");
    symlink("target", &link).unwrap();
    Job::new("-np 2 -k -o").arg(&link).arg("cat").input("a\n").run().ok();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(scratch.read("target"), b"a\n");
}

#[test]
fn an_output_in_the_working_directory_needs_no_slash() {
    let scratch = Scratch::new();
    let job = Job::new("-np 2 -k -o out cat").directory(scratch.path()).input("a\nb\n");
    job.run().ok();
    assert_eq!((scratch.read("out"), scratch.names(".")), (b"a\nb\n".to_vec(), vec!["out".into()]));
}

#[test]
fn a_fifo_is_written_directly_and_stays_a_fifo() {
    let scratch = Scratch::new();
    let fifo = scratch.fifo("fifo");
    let path = fifo.clone();
    let reader = thread::spawn(move || fs::read(path).unwrap());
    let input = records::numbered(50_000, 1);
    Job::new("-np 2 -k --contract lines -o").arg(&fifo).arg("cat").input(&input).run().ok();
    assert!(reader.join().unwrap() == input);
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    assert_eq!(scratch.names("."), ["fifo"]);
}

#[test]
fn a_device_is_written_directly_and_stays_a_device() {
    let before = fs::metadata("/dev/null").unwrap().rdev();
    Job::new("-np 2 -o /dev/null cat").input("a\nb\n").run().ok();
    let after = fs::metadata("/dev/null").unwrap();
    assert!(after.file_type().is_char_device() && after.rdev() == before);
}

#[test]
fn output_that_cannot_be_made_is_refused_before_any_start() {
    let scratch = Scratch::new();
    let started = format!("touch {}", scratch.at("started").display());
    let nowhere = scratch.at("nowhere/out");
    Job::new("-np 2 -o").arg(&nowhere).sh(&started).run().own_error().says("nowhere");
    Job::new("-np 2 -o").arg(scratch.path()).sh(&started).run().own_error().says("directory");
    assert!(!scratch.has("started"));
}

#[test]
fn row_37_an_output_that_is_the_input_is_refused() {
    let scratch = Scratch::new();
    let input = scratch.file("input", "a\nb\n");
    let (soft, hard) = (scratch.at("soft"), scratch.at("hard"));
    symlink(&input, &soft).unwrap();
    fs::hard_link(&input, &hard).unwrap();
    for output in [&input, &soft, &hard] {
        let named = Job::new("-np 2 -i").arg(&input).arg("-o").arg(output).arg("cat").run();
        named.own_error().says("input").says("output");
        let job = Job::new("-np 2 -o").arg(output).arg("cat").input_file(&input);
        job.run().own_error().says("input").says("output");
        let append = || OpenOptions::new().append(true).open(output).unwrap();
        let job = Job::new("-np 2 cat").input_file(&input).stdout(append());
        job.run().own_error().says("input").says("output");
        let job = Job::new("-np 2 -i").arg(&input).arg("cat").stdout(append());
        job.run().own_error().says("input").says("output");
    }
    assert_eq!(scratch.read("input"), b"a\nb\n");
}

#[test]
fn output_is_appended_where_the_shell_says_so() {
    let input = records::numbered(100_000, 2);
    for mode in MODES.iter().filter(|mode| !mode.contains("-t")) {
        let scratch = Scratch::new();
        let path = scratch.file("out", "before\n");
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        Job::new("-np 2").words(mode).arg("cat").input(&input).stdout(file).run().ok();
        let all = scratch.read("out");
        let added = all.strip_prefix(b"before\n".as_slice()).expect("what was there stays");
        if mode.contains("-k") {
            assert!(added == input, "{mode}");
        } else {
            checker::each_once(added, 100_000);
        }
    }
}

#[test]
fn output_goes_on_where_stdout_stands() {
    let input = records::numbered(100_000, 3);
    for mode in ["", "-k", "-k --contract lines"] {
        let scratch = Scratch::new();
        let mut file = File::create(scratch.at("out")).unwrap();
        file.write_all(b"before\n").unwrap();
        let job = Job::new("-np 2").words(mode).arg("cat").input(&input);
        job.stdout(file.try_clone().unwrap()).run().ok();
        assert_eq!(file.stream_position().unwrap(), 7 + input.len() as u64, "{mode}");
        file.write_all(b"behind\n").unwrap();
        let all = scratch.read("out");
        assert!(all.starts_with(b"before\n") && all.ends_with(b"\nbehind\n"), "{mode}");
        checker::each_once(&all[7..all.len() - 7], 100_000);
    }
}

#[test]
fn a_closed_stdout_or_stdin_is_no_surprise() {
    for script in ["exec \"$0\" -np 2 cat >&-", "exec \"$0\" -np 2 -k cat >&-"] {
        let job = Job::new("").under(&["sh", "-c", script]);
        job.input("a\nb\n").run().own_error();
    }
    let job = Job::new("").under(&["sh", "-c", "exec \"$0\" -np 2 -k cat <&-"]);
    let outcome = job.run();
    outcome.check(outcome.stdout.is_empty(), || "wanted no output".to_owned());
}

#[test]
fn row_48_what_waits_on_disk_has_no_name() {
    let scratch = Scratch::new();
    let spill = scratch.directory("spill");
    let marks = scratch.directory("marks");
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" gate "$DIR" cat; fi
        "$ZOO" write-before-read 150000000; touch "$DIR/written""#;
    let job = Job::new("-np 2 --order rank --spill-dir").arg(&spill).env("DIR", &marks).sh(script);
    let mut running = job.input("a\nb\n").start();
    let mark = running.mark().to_owned();
    running.until("rank 1 has written", |_| marks.join("written").exists());
    let spilled = spilled_bytes(&mark, &spill);
    assert!(spilled > 0, "nothing was spilled to the directory that was named");
    assert_eq!(scratch.names("spill"), [""; 0]);
    File::create(marks.join("open")).unwrap();
    running.finish().ok();
    assert_eq!(scratch.names("spill"), [""; 0]);
}

/// The bytes in nameless files of a directory that the job's processes hold open.
fn spilled_bytes(mark: &str, directory: &Path) -> u64 {
    let mut bytes = 0;
    for process in processes::survivors(mark) {
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else { continue };
        for path in open.filter_map(|entry| Some(entry.ok()?.path())) {
            let Ok(target) = fs::read_link(&path) else { continue };
            if target.starts_with(directory) && target.to_string_lossy().ends_with("(deleted)") {
                let file = fs::metadata(&path).unwrap();
                assert_eq!(file.mode() & 0o077, 0, "others may read it");
                bytes += file.len();
            }
        }
    }
    bytes
}

#[test]
fn row_48_a_spill_directory_that_cannot_be_used_is_an_error() {
    let scratch = Scratch::new();
    let nowhere = scratch.at("nowhere");
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" gate "$DIR" cat; fi
        "$ZOO" write-before-read 150000000; touch "$DIR/open""#;
    let job = Job::new("-np 2 --order rank --spill-dir").arg(&nowhere);
    let job = job.env("DIR", scratch.path()).sh(script).input("a\nb\n");
    job.run().own_error().says("nowhere");
}

#[test]
fn a_slow_reader_gets_everything() {
    let input = records::numbered(20_000, 4);
    for mode in MODES.iter().filter(|mode| !mode.contains("-t")) {
        let job = Job::new("-np 2").words(mode).arg("cat").input(&input).held_stdout();
        let mut running = job.start();
        let mut stdout = running.take_stdout();
        let (mut all, mut block) = (Vec::new(), [0; 1000]);
        while let count @ 1.. = stdout.read(&mut block).unwrap() {
            all.extend_from_slice(&block[..count]);
            thread::yield_now();
        }
        running.finish().ok();
        checker::each_once(&all, 20_000);
    }
}
