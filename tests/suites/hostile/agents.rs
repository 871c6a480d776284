//! A host whose agent has been taken over, beside one that is as it should be.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use px_tests::{Job, Outcome, Scratch, Status, binary, checker, records};

/// Far beyond what any of them takes.
const BOUND: Duration = Duration::from_secs(180);
const RECORDS: u64 = 20_000;
/// Two hosts that hold to the protocol and to nothing, two ranks each.
const HOSTS: &str = "-H good:2,evil:2";
/// What the agent says where it forges something.
const FORGED: &str = "forged";

/// What an agent does before the job begins.
const AT_THE_START: &[&str] = &[
    "other version",
    "no preamble",
    "long preamble",
    "torn preamble",
    "length",
    "garbage",
    "control of 8 MiB",
    "long hello",
    "many lists",
    "torn hello",
    "wide",
    "large",
    "hello twice",
    "ready early",
    "output early",
    "copy early",
    "unfit with status 0",
    "unfit with escapes",
    "unfit at length",
    "fit twice",
    "left early",
    "early data",
];

/// What it does in the job.
const IN_THE_JOB: &[&str] = &[
    "output of another's rank",
    "complaint of another's rank",
    "end of another's rank",
    "output of no rank",
    "output after its end",
    "kind",
    "reserved bytes",
    "checksum",
    "length in the job",
    "heartbeat with a payload",
    "trailing byte",
    "unknown message",
    "control of 8 MiB in the job",
    "feeds the root",
    "hello in the job",
    "ready in the job",
    "ready twice",
    "unfit in the job",
    "left in the job",
    "more output than its credit",
    "more complaints than its credit",
    "more consumed than given",
    "more read than given",
    "cannot start",
    "cannot read the input",
    "stops talking",
    "ends in mid-frame",
    "closes its line in mid-frame",
    "ends in mid-job",
    "ended twice",
    "ended with other counts",
    "ended with more given",
    "ended with more unread",
    "ended by signal -128",
    "ended by signal 2147483647",
    "ended with status -1",
    "ended with status 256",
    "ended at no time",
    "ended before its time",
    "torn data",
    "flipped record",
    "replayed record",
];

/// Looks at every manner, also after one was found wanting.
fn each(manners: &[&str], look: impl Fn(&str)) {
    let wanting = |&&manner: &&&str| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(manner))).is_err()
    };
    let wanting: Vec<_> = manners.iter().filter(wanting).collect();
    assert!(wanting.is_empty(), "{} of {}: {wanting:?}", wanting.len(), manners.len());
}

/// A job on both hosts, the agent of one of which has this manner.
fn job(scratch: &Scratch, manner: &str) -> Job {
    let script = |name: &str, text: &str| {
        let path = scratch.file(name, text);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    let (hostile, own) = (binary::hostile_agent(), binary::pxrun());
    let (hostile, own) = (hostile.display(), own.display());
    let agent = format!(
        "#!/bin/sh\n[ \"$NAME\" = evil ] && exec {hostile} \"$MANNER\" \"$@\"\nexec {own} \"$@\"\n"
    );
    let agent = script("agent", &agent);
    let rsh = "#!/bin/sh\n\
               export NAME=$1 SSH_CONNECTION='127.0.0.1 1 127.0.0.1 1'\n\
               shift\n\
               exec sh -c \"$*\"\n";
    let rsh = script("rsh", rsh);
    Job::new(HOSTS)
        .words("--lease 2 --grace 1 --rsh")
        .arg(rsh)
        .arg("--agent-path")
        .arg(agent)
        .env("MANNER", manner)
        .bound(BOUND)
        .measured()
}

/// One error of pxrun's own that names the host and shows nothing as it came.
#[track_caller]
fn is_told(outcome: &Outcome, manner: &str) {
    let seen = || format!("{manner}: {}", outcome.seen());
    assert_eq!(outcome.status, Status::Exited(125), "{}", seen());
    assert_eq!(outcome.stderr.matches("pxrun: error: ").count(), 1, "{}", seen());
    assert!(outcome.stderr.contains("`evil`"), "{}", seen());
    is_harmless(outcome, manner);
}

/// Nothing of what was forged has got through, and memory is bounded.
#[track_caller]
fn is_harmless(outcome: &Outcome, manner: &str) {
    let seen = || format!("{manner}: {}", outcome.seen());
    let control = |character: char| character.is_control() && character != '\n';
    assert!(!outcome.stderr.contains(control), "{}", seen());
    assert!(!outcome.stderr.lines().any(|line| line.starts_with("pxrun: error: forged")));
    assert!(!outcome.stderr.contains("panicked"), "{}", seen());
    assert!(outcome.stderr.len() < 16 << 10, "{} bytes on stderr: {}", outcome.stderr.len(), seen());
    assert!(!outcome.text().contains(FORGED), "{}", seen());
    println!("{manner}: {} KiB", outcome.peak.unwrap() >> 10);
    outcome.within_memory(4);
}

/// Every line is a record of the input, none is doubled.
#[track_caller]
fn records_alone(outcome: &Outcome, manner: &str) {
    let lines = outcome.stdout.split_inclusive(|&byte| byte == b'\n');
    let records: Vec<u8> = lines.filter(|&line| line != b"own\n").flatten().copied().collect();
    let numbers = checker::numbers(&records);
    let mut numbers = numbers.unwrap_or_else(|why| panic!("{manner}: {why}\n{}", outcome.seen()));
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "{manner}: doubled records\n{}", outcome.seen());
    assert!(numbers.iter().all(|&number| number < RECORDS));
}

#[test]
fn an_agent_that_breaks_the_protocol_before_the_job_is_named_and_nothing_runs() {
    let scratch = Scratch::new();
    let ran = scratch.at("ran");
    let touch = format!("touch {}; cat", ran.display());
    each(AT_THE_START, |manner| {
        let outcome = job(&scratch, manner).sh(&touch).input(records::numbered(100, 1)).run();
        is_told(&outcome, manner);
        outcome.prints("");
        assert!(!ran.exists(), "{manner}: a copy ran");
    });
}

#[test]
fn an_agent_that_breaks_the_protocol_in_the_job_ends_it_and_others_output_stays_exact() {
    let scratch = Scratch::new();
    let input = records::numbered(RECORDS, 1);
    each(IN_THE_JOB, |manner| {
        let outcome = job(&scratch, manner).words("cat").input(&input).run();
        is_told(&outcome, manner);
        records_alone(&outcome, manner);
    });
}
