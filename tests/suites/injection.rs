//! Faults of system calls, put in by strace: rows 36, 39 and 40. The result is the right output
//! with status 0, or another status with a message; never a hang, never a silent loss.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fs::{self, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use px_tests::rounds::{Random, rounds};
use px_tests::{Feed, Job, Outcome, Scratch, Status, checker, records};

/// What may fail.
///
/// Not `close`: strace skips the call that it makes fail, while the kernel closes even then, and a
/// pipe that stays open is a fault that no machine has.
const CALLS: &[&str] = &[
    "read",
    "write",
    "writev",
    "pread64",
    "pwrite64",
    "fsync",
    "fdatasync",
    "openat",
    "pipe2",
    "splice",
    "tee",
    "sendfile",
    "copy_file_range",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "unlinkat",
    "fcntl",
    "ftruncate",
    "fallocate",
    "lseek",
    "fstat",
    "newfstatat",
    "statx",
    "poll",
    "ppoll",
    "epoll_wait",
    "epoll_ctl",
    "epoll_create1",
    "eventfd2",
    "mmap",
    "madvise",
    "clone3",
    "clone",
    "vfork",
    "dup3",
    "dup2",
    "fchmod",
    "wait4",
    "waitid",
    "ioctl",
    "signalfd4",
    "timerfd_create",
    "socketpair",
    "sendmsg",
    "recvmsg",
    "prlimit64",
];

/// Those that carry the job's bytes.
const DATA_CALLS: &[&str] = &[
    "read",
    "write",
    "writev",
    "splice",
    "poll",
    "ppoll",
    "epoll_wait",
    "pipe2",
    "tee",
    "pread64",
    "pwrite64",
    "sendmsg",
    "recvmsg",
    "ioctl",
    "fcntl",
    "mmap",
    "munmap",
    "fstat",
    "statx",
    "wait4",
    "waitid",
    "clone3",
    "openat",
];

/// Those that make a file appear under its name.
const PUBLISHING_CALLS: &[&str] = &[
    "write",
    "fsync",
    "fdatasync",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "openat",
    "unlinkat",
    "fchmod",
    "splice",
    "pwrite64",
    "copy_file_range",
    "ftruncate",
];

/// Those that read a file, and those that write one.
const READS: &[&str] =
    &["read", "pread64", "readv", "preadv", "preadv2", "splice", "sendfile", "copy_file_range"];
const WRITES: &[&str] = &["write", "writev", "pwrite64", "splice", "sendfile", "copy_file_range"];

/// How it may fail.
const ERRORS: &[&str] = &["EINTR", "EAGAIN", "EIO", "ENOSPC", "EDQUOT", "EMFILE", "ENOMEM"];

const RECORDS: u64 = 3000;

/// Far above any run, and short enough that a hang is seen in time.
const BOUND: Duration = Duration::from_secs(30);

/// A fault of some calls: their names, the error, and which of a thread's calls are hit.
#[derive(Clone, Debug)]
struct Fault<'a> {
    calls: &'a [&'a str],
    error: &'a str,
    when: String,
}

impl Fault<'_> {
    /// Runs `pxrun` under strace with this fault in its own processes, and in none of the copies;
    /// only in calls on `path`, if one is given.
    fn run(&self, path: Option<&Path>, job: Job) -> Outcome {
        let there = Command::new("strace").arg("--version").output().is_ok();
        assert!(there, "no strace: install it with `apt-get install strace`");
        let scratch = Scratch::new();
        let trace = scratch.at("trace");
        let mut words = vec!["strace", "-f", "-b", "execve", "-y", "-qq"];
        words.extend(["-o", trace.to_str().unwrap()]);
        if let Some(path) = path {
            words.extend(["-P", path.to_str().unwrap()]);
        }
        // A call that this processor lacks is left out, as `?` says.
        let calls: Vec<String> = self.calls.iter().map(|call| format!("?{call}")).collect();
        let (calls, Fault { error, when, .. }) = (calls.join(","), self);
        let filter = format!("trace={calls}");
        let inject = format!("inject={calls}:error={error}:when={when}");
        words.extend(["-e", &filter, "-e", &inject]);
        let _hits = Hits(trace.clone());
        let mut outcome = job.under(&words).bound(BOUND).run();
        outcome.command.push_str(&hits(&trace));
        outcome
    }
}

/// The calls that a fault hit, for a message.
fn hits(trace: &Path) -> String {
    let trace = fs::read_to_string(trace).unwrap_or_default();
    let hits = trace.lines().filter(|line| line.contains("INJECTED")).take(9);
    hits.map(|hit| format!("\n  hit: {hit}")).collect()
}

/// Shows the calls that a fault hit when a job is given up.
struct Hits(PathBuf);

impl Drop for Hits {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("given up with{}", hits(&self.0));
        }
    }
}

/// Holds when a job with a fault was honest: it succeeded, or it failed and said so.
fn assert_honest(outcome: &Outcome) {
    match outcome.status {
        Status::Exited(0) => {}
        // A fault can hit the allocator or the start of the runtime, which can but abort.
        Status::Signaled(libc::SIGABRT) | Status::Exited(_) => {
            outcome.check(!outcome.stderr.is_empty(), || "wanted a message".to_owned());
            let panicked = outcome.stderr.contains("panicked at");
            outcome.check(!panicked, || "wanted no panic".to_owned());
        }
        Status::Signaled(_) => {
            outcome.check(false, || "wanted no end by a signal".to_owned());
        }
    }
}

/// Holds when a job that succeeded in spite of a fault printed everything.
fn assert_whole(outcome: &Outcome, ordered: bool) {
    if outcome.status != Status::Exited(0) {
        return;
    }
    let whole = checker::numbers(&outcome.stdout).is_ok_and(|numbers| {
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.into_iter().eq(0..RECORDS) && (!ordered || numbers.is_sorted())
    });
    outcome.check(whole, || "wanted the whole output with status 0".to_owned());
}

/// Puts every error into random calls of each kind, one in each job, and fails at the end with
/// all that came of it.
fn one_fault_at_a_time(calls: &[&str], latest: u64, check: impl Fn(&Fault, &mut Random)) {
    let mut random = Random::seeded(latest);
    let mut failed = Vec::new();
    for _ in 0..rounds(2) {
        for call in calls {
            for error in ERRORS {
                // The loader's own calls come first; what it does without memory is its affair.
                let first = if *call == "mmap" { 40 } else { 1 };
                let when = (first + random.below(latest)).to_string();
                let fault = Fault { calls: &[call], error, when };
                let checked = catch_unwind(AssertUnwindSafe(|| check(&fault, &mut random)));
                if checked.is_err() {
                    failed.push(format!("{call}:{error}:{}", fault.when));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} faults were not survived honestly: {failed:?}", failed.len());
}

/// A job that writes to stdout and has a fault succeeds with all its output, or fails and says so.
fn honest_cat(feed: Feed) -> impl Fn(&Fault, &mut Random) {
    let input = records::numbered(RECORDS, 1);
    move |fault, random| {
        let mode = *random.of(&["", "-k", "--order rank", "-k --contract lines"]);
        let job = Job::new("-np 2").words(mode).arg("cat").fed(feed, &input);
        let outcome = fault.run(None, job);
        assert_honest(&outcome);
        assert_whole(&outcome, mode.starts_with("-k"));
    }
}

#[test]
fn one_fault_at_any_call_is_survived_or_reported() {
    one_fault_at_a_time(CALLS, 12, honest_cat(Feed::File));
}

#[test]
fn one_fault_at_a_late_call_of_the_data_path_is_survived_or_reported() {
    one_fault_at_a_time(DATA_CALLS, 60, honest_cat(Feed::File));
}

#[test]
fn one_fault_on_a_stream_is_survived_or_reported() {
    one_fault_at_a_time(DATA_CALLS, 40, honest_cat(Feed::Pipe));
}

#[test]
fn one_fault_while_a_file_is_published_leaves_the_old_one_or_the_whole_new_one() {
    let input = records::numbered(RECORDS, 3);
    one_fault_at_a_time(PUBLISHING_CALLS, 8, |fault, _| {
        let scratch = Scratch::new();
        let target = scratch.file("target", "old");
        let job = Job::new("-np 2 -k --contract lines -o").arg(&target).arg("cat");
        let outcome = fault.run(None, job.input(&input));
        assert_honest(&outcome);
        let found = scratch.read("target");
        let old = found == b"old" && outcome.status != Status::Exited(0);
        outcome.check(old || found == input, || "neither old nor whole".to_owned());
    });
}

/// These calls fail with this error from the first on.
fn always<'a>(calls: &'a [&'a str], error: &'a str) -> Fault<'a> {
    Fault { calls, error, when: "1+".to_owned() }
}

#[test]
fn row_40_a_sync_that_fails_is_an_error_and_nothing_is_published() {
    for error in ["EIO", "EDQUOT", "ENOSPC"] {
        let scratch = Scratch::new();
        scratch.directory("out");
        let target = scratch.file("out/target", "old");
        let job = Job::new("-np 2 -o").arg(&target).arg("cat").input("a\nb\n");
        let syncs = ["fsync", "fdatasync", "sync_file_range", "syncfs"];
        always(&syncs, error).run(None, job).own_error().says("target");
        assert_eq!(scratch.read("out/target"), b"old");
        assert_eq!(scratch.names("out"), ["target"], "a piece is left");
    }
}

#[test]
fn row_40_a_rename_that_fails_is_an_error_and_leaves_nothing() {
    let scratch = Scratch::new();
    scratch.directory("out");
    let target = scratch.file("out/target", "old");
    let job = Job::new("-np 2 -o").arg(&target).arg("cat").input("a\nb\n");
    let outcome = always(&["rename", "renameat", "renameat2"], "EIO").run(None, job);
    outcome.own_error().says("target").says("input/output error");
    assert_eq!(scratch.read("out/target"), b"old");
    assert_eq!(scratch.names("out"), ["target"], "a piece is left");
}

#[test]
fn row_40_a_close_that_fails_on_the_output_is_an_error() {
    for error in ["EIO", "EDQUOT", "ENOSPC"] {
        let scratch = Scratch::new();
        let out = scratch.file("out", "");
        let file = OpenOptions::new().write(true).open(&out).unwrap();
        let job = Job::new("-np 2 cat").input("a\nb\n").stdout(file);
        always(&["close"], error).run(Some(&out), job).own_error();
    }
}

#[test]
fn row_36_an_error_of_the_disk_under_the_input_is_reported_with_its_place() {
    for mode in ["", "-k", "-k --contract lines", "--order rank"] {
        let scratch = Scratch::new();
        let input = scratch.file("input", records::numbered(200_000, 36));
        let job = Job::new("-np 2").words(mode).arg("-i").arg(&input).arg("cat");
        let reads = Fault { calls: READS, error: "EIO", when: "2+".to_owned() };
        let outcome = reads.run(Some(&input), job);
        outcome.own_error().says("input/output error").says("input").says("byte");
    }
}

#[test]
fn row_39_a_disk_that_is_full_or_over_quota_is_named() {
    let texts = [("ENOSPC", "no space left"), ("EDQUOT", "quota"), ("EIO", "input/output error")];
    for (error, text) in texts {
        for mode in ["", "-k", "-k --contract lines"] {
            let scratch = Scratch::new();
            let out = scratch.file("out", "");
            let file = OpenOptions::new().write(true).open(&out).unwrap();
            let job = Job::new("-np 2").words(mode).arg("cat").stdout(file);
            let job = job.input(records::numbered(200_000, 39));
            let writes = Fault { calls: WRITES, error, when: "2+".to_owned() };
            writes.run(Some(&out), job).own_error().says(text);
        }
    }
}

#[test]
fn row_44_no_descriptor_left_is_a_clear_error() {
    let job = Job::new("-np 2 cat").input(records::numbered(RECORDS, 4));
    always(&["pipe2"], "EMFILE").run(None, job).own_error().says("too many open files");
}

#[test]
fn row_45_a_fork_that_fails_is_a_clear_error() {
    for error in ["EAGAIN", "ENOMEM"] {
        let job = Job::new("-np 2 cat").input(records::numbered(RECORDS, 5));
        // The first are the root's own: guardian, agent and threads.
        let forks = always(&["clone3", "clone", "vfork", "fork"], error);
        forks.run(None, job).own_error().prints("");
    }
}
