//! A host whose agent has been taken over, beside one that is as it should be.

use std::io::Write;
use std::time::Duration;

use px_tests::{Job, Outcome, Scratch, Status, binary, checker, records};

/// Far beyond what any of them takes.
const BOUND: Duration = Duration::from_secs(180);
pub(super) const RECORDS: u64 = 20_000;
/// A host that holds to the protocol and one that does not, two ranks each.
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
    "hello twice",
    "ready early",
    "output early",
    "copy early",
    "unfit with status 0",
    "unfit with escapes",
    "unfit at length",
    "fit twice",
    "left early",
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
    "early data",
    "torn data",
    "flipped record",
    "replayed record",
];

/// Looks at every manner, also after one was found wanting.
pub(super) fn each(manners: &[&str], look: impl Fn(&str)) {
    let wanting = |&&manner: &&&str| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(manner))).is_err()
    };
    let wanting: Vec<_> = manners.iter().filter(wanting).collect();
    assert!(wanting.is_empty(), "{} of {}: {wanting:?}", wanting.len(), manners.len());
}

/// What it does at the end, or beside the job, that is nobody's harm.
const HARMLESS: &[&str] =
    &["never leaves", "leaves without a word", "many strangers", "floods its words"];

/// A job on both hosts, the agent of one of which has this manner.
pub(super) fn job(manner: &str) -> Job {
    on(HOSTS, manner)
}

/// A job on these hosts.
fn on(hosts: &str, manner: &str) -> Job {
    // What a login would be: no file, so that nobody can be writing it while it is executed.
    let rsh = "sh -c 'export NAME=$1 SSH_CONNECTION=\"127.0.0.1 1 127.0.0.1 1\"; \
               exec sh -c \"$2\"' rsh";
    Job::new(hosts)
        .words("--lease 2 --grace 1 --rsh")
        .arg(rsh)
        .arg("--agent-path")
        .arg(binary::hostile_agent())
        .env("HONEST", binary::pxrun())
        .env("MANNER", manner)
        .bound(BOUND)
        .measured()
}

/// One error of pxrun's own that names the host and shows nothing as it came.
#[track_caller]
pub(super) fn is_told(outcome: &Outcome, manner: &str) {
    let seen = || format!("{manner}: {}", outcome.seen());
    assert_eq!(outcome.status, Status::Exited(125), "{}", seen());
    let errors = outcome.stderr.lines().filter(|line| line.starts_with("pxrun: error: "));
    assert_eq!(errors.count(), 1, "{}", seen());
    assert!(outcome.stderr.contains("`evil`"), "{}", seen());
    is_harmless(outcome, manner);
}

/// Nothing of what was forged has got through, and memory is bounded.
#[track_caller]
pub(super) fn is_harmless(outcome: &Outcome, manner: &str) {
    let seen = || format!("{manner}: {}", outcome.seen());
    let control = |character: char| character.is_control() && character != '\n';
    assert!(!outcome.stderr.contains(control), "{}", seen());
    assert!(!outcome.stderr.lines().any(|line| line.starts_with("pxrun: error: forged")));
    assert!(!outcome.stderr.contains("panicked"), "{}", seen());
    // What a rank complains is its own, within its credit.
    let own = |line: &&str| !line.bytes().all(|byte| byte == b'.');
    let said: usize = outcome.stderr.lines().filter(own).map(str::len).sum();
    assert!(said < 16 << 10 && outcome.stderr.len() < 1 << 20, "{}", seen());
    assert!(!outcome.text().contains(FORGED), "{}", seen());
    println!("{manner}: {} KiB", outcome.peak.unwrap() >> 10);
    outcome.within_memory(4);
}

/// Every line is a record of the input, none is doubled.
#[track_caller]
pub(super) fn records_alone(outcome: &Outcome, manner: &str) {
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
    each(AT_THE_START, |manner| {
        let scratch = Scratch::new();
        let ran = scratch.at("ran");
        let touch = format!("touch {}; cat", ran.display());
        let outcome = job(manner).sh(&touch).input(records::numbered(100, 1)).run();
        is_told(&outcome, manner);
        outcome.prints("");
        assert!(!ran.exists(), "{manner}: a copy ran");
    });
}

#[test]
fn an_agent_that_claims_more_cores_than_any_host_has_is_refused() {
    each(&["wide", "large"], |manner| {
        let outcome = on("-H good,evil", manner).words("cat").run();
        is_told(&outcome, manner);
    });
}

#[test]
fn few_bytes_that_stand_for_very_many_cost_no_memory() {
    let outcome = job("early bomb").words("--compress cat").run();
    is_told(&outcome, "early bomb");
}

/// A minute each, all at the same time.
#[test]
fn an_agent_that_lives_but_does_nothing_is_given_up_before_the_job() {
    let manners = ["silent", "heartbeats alone", "dribbled preamble", "never fit", "never ready"];
    std::thread::scope(|scope| {
        for manner in manners {
            scope.spawn(move || {
                let outcome = job(manner).words("cat").run();
                is_told(&outcome, manner);
                outcome.prints("");
            });
        }
    });
}

#[test]
fn an_agent_that_breaks_the_protocol_in_the_job_ends_it_and_others_output_stays_exact() {
    let input = records::numbered(RECORDS, 1);
    each(IN_THE_JOB, |manner| {
        let outcome = job(manner).words("cat").input(&input).run();
        is_told(&outcome, manner);
        records_alone(&outcome, manner);
    });
}

#[test]
fn per_chunk_an_agent_that_breaks_the_protocol_spoils_no_output() {
    let input = records::numbered(RECORDS, 1);
    each(IN_THE_JOB, |manner| {
        let options = "--run per-chunk -k --chunk-size 64K cat";
        let outcome = job(manner).words(options).input(&input).run();
        if outcome.status == Status::Exited(0) {
            outcome.says("`evil`").prints(&input);
            is_harmless(&outcome, manner);
        } else {
            is_told(&outcome, manner);
            assert!(input.starts_with(&outcome.stdout), "{manner}: {}", outcome.seen());
        }
    });
}

#[test]
fn copies_that_never_end_by_their_agents_word_are_given_up_after_the_timeout() {
    let input = records::numbered(100, 1);
    let outcome = job("never ends").words("--timeout 5 --leak-timeout 1 cat").input(&input).run();
    is_told(&outcome, "never ends");
}

#[test]
fn an_agents_manners_at_the_end_change_nothing() {
    let input = records::numbered(RECORDS, 1);
    each(HARMLESS, |manner| {
        let outcome = job(manner).words("cat").input(&input).run();
        outcome.ok();
        checker::each_once(&outcome.stdout, RECORDS);
        is_harmless(&outcome, manner);
    });
}

#[test]
fn an_agent_that_has_sent_more_or_less_than_has_come_is_an_error() {
    let input = records::numbered(RECORDS, 1);
    let outcome = job("leaves with another count").words("cat").input(&input).run();
    outcome.exits(125).says("host `evil` is lost").says("not all that it sent has come");
    checker::each_once(&outcome.stdout, RECORDS);
}

#[test]
fn output_in_crumbs_that_waits_for_its_turn_costs_no_more_memory_than_its_bytes() {
    let scratch = Scratch::new();
    let (gate, log) = (scratch.fifo("gate"), scratch.at("log"));
    // Chunk 0 is the good host's, chunk 1 the other's.
    let input = records::numbered_long(8192, 110);
    let held = format!("read -r go <{}; cat", gate.display());
    let mut job = on("-H good:1,evil:1", "crumbs")
        .words("--run per-chunk -k --deal round-robin --chunk-size 640K --joblog")
        .arg(&log)
        .sh(&held)
        .input(&input)
        .start();
    let ended = |_: &px_tests::Running| {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("evil"))
    };
    job.until("the end of the chunk that was printed in crumbs", ended);
    // Opened for both, it waits for no reader.
    let mut gate = std::fs::File::options().read(true).write(true).open(&gate).unwrap();
    gate.write_all(b"go\n").unwrap();
    let outcome = job.finish();
    outcome.ok().prints(&input);
    is_harmless(&outcome, "crumbs");
}
