//! Programs that break the rules: whatever one says to its agent, the job ends, with an error of
//! its own where it was not done, and no other job, rank or process suffers.

use px_tests::job::Job;
use px_tests::records;
use px_tests::rounds::{rounds, seed};
use rustix::process::Resource;

use crate::{compiled, lines, prints_its_input, with_library};

fn guest(words: &str, name: &str) -> Job {
    with_library(Job::new("--contract px").words(words).arg(compiled("guests")).words(name))
}

#[test]
fn bytes_that_no_libpx_writes_end_the_job_with_its_error() {
    for round in 0..rounds(20) {
        let words = ["-np 2 -k", "-np 1", "-np 2 -k --run per-chunk"][round as usize % 3];
        let outcome = guest(words, &format!("garbage {round}")).input(lines(5_000, "")).run();
        outcome.exits(125).says("does not speak as libpx does").says_not("panicked");
        outcome.prints("");
    }
    let outcome = guest("-np 2 -k", "garbage_later").input(lines(5_000, "")).run();
    outcome.exits(125).says("a frame of 4294967295 bytes").prints("");
}

#[test]
fn frames_that_may_be_but_are_not_true_are_believed_by_nobody() {
    let input = records::numbered(4_000, 3);
    let first = seed();
    for round in 0..rounds(60) {
        let seed = first.wrapping_add(round) % (1 << 40);
        println!("seed {seed}");
        let words = ["-np 3 -k", "-np 2 --order none", "-np 2 -k --run per-chunk"];
        let words = format!("{} --chunk-records 50", words[round as usize % 3]);
        let job = guest(&words, &format!("liar {seed}")).input(&input);
        let outcome = job.run();
        outcome.says_not("panicked");
        // What stands there is what the liar gave as output of chunks that it had, if anything.
        let told =
            px_tests::Status::Exited(0) == outcome.status || outcome.stderr.contains("error");
        outcome.check(told, || format!("seed {seed}: wanted an error or none"));
    }
}

#[test]
fn a_program_that_hangs_up_has_failed_whatever_its_status() {
    for words in ["-np 2 -k", "-np 2 --order none", "-np 2 -k --run per-chunk"] {
        let outcome = guest(words, "hangs_up").input(lines(5_000, "")).run();
        outcome.exits(125).says("unread").says_not("not so").prints("");
    }
}

#[test]
fn descriptors_sent_to_an_agent_are_closed() {
    let input = records::numbered(2_000, 4);
    // More than the agent may have open, were they kept.
    let job = guest("-np 2 -k", "sends_descriptors").limit(Resource::Nofile, 256, 256);
    prints_its_input(job.input(&input), &input);
}
