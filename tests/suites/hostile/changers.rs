//! Somebody on the way to a host who changes what passes over its connection for data.

use px_tests::{Status, records};

use super::agents::{RECORDS, each, is_harmless, is_told, job, records_alone};

/// What is done in mid-job.
const IN_THE_JOB: &[&str] = &[
    "flips a bit of the output",
    "flips a bit of the input",
    "flips a bit of a length",
    "drops a byte",
    "adds a byte",
    "says something twice",
    "cuts the output",
    "cuts the input",
];

#[test]
fn a_changed_connection_ends_the_job_and_nothing_wrong_is_written() {
    let input = records::numbered(RECORDS, 1);
    each(IN_THE_JOB, |change| {
        let outcome = job(change).words("cat").input(&input).run();
        is_told(&outcome, change);
        outcome.says("host `evil` is lost");
        records_alone(&outcome, change);
    });
}

#[test]
fn per_chunk_a_changed_connection_costs_a_host_and_no_output() {
    let input = records::numbered(RECORDS, 1);
    each(IN_THE_JOB, |change| {
        let options = "--run per-chunk -k --chunk-size 64K cat";
        let outcome = job(change).words(options).input(&input).run();
        assert_eq!(outcome.status, Status::Exited(0), "{change}: {}", outcome.seen());
        outcome.says("host `evil` is lost").prints(&input);
        is_harmless(&outcome, change);
    });
}

#[test]
fn a_changed_handshake_is_refused_and_data_goes_another_way() {
    let input = records::numbered(RECORDS, 1);
    each(&["flips a bit of the hello", "flips a bit of the answer"], |change| {
        let outcome = job(change).words("-v --run per-chunk -k cat").input(&input).run();
        outcome.ok().says("goes over a connection from it").prints(&input);
        outcome.says("strangers knocked at the door of `evil`");
        is_harmless(&outcome, change);
    });
}
