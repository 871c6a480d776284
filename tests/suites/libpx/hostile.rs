//! Programs that break the rules: whatever one says to its agent, the job ends, with an error of
//! its own where it was not done, and no other job, rank or process suffers.

use px_tests::job::{Feed, Job};
use px_tests::rounds::{rounds, seed};
use px_tests::{Scratch, Status, records};
use rustix::process::Resource;

use crate::{alone, compiled, lines, prints_its_input, with_library};

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
        let told = Status::Exited(0) == outcome.status || outcome.stderr.contains("error");
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
fn any_call_at_any_time_has_a_status() {
    let scratch = Scratch::new();
    let input = lines(3_000, "no end");
    let path = scratch.file("input", &input);
    let first = seed();
    for round in 0..rounds(40) {
        let seed = first.wrapping_add(round) % (1 << 40);
        let threads = [1, 2, 4, 8][round as usize / 4 % 4];
        let started = [None, Some("-np 3"), Some("-np 2 -k"), Some("-np 2 --run per-chunk")];
        let started = started[round as usize % 4];
        println!("seed {seed}, {threads} threads, {started:?}");
        let words = format!("{seed} 2000 {threads}");
        let job = match started {
            None => alone("anything", &words),
            Some(options) => {
                let options = format!("--contract px --keep-going --chunk-size 200k {options}");
                with_library(Job::new(&options).arg(compiled("anything"))).words(&words)
            }
        };
        let outcome = job.arg(&path).fed(Feed::BOTH[round as usize / 2 % 2], &input).run();
        // Chunks that were given back as failed are an error of the job.
        outcome.says_not("not so").says_not("panicked").says_not("killed");
        let ends: &[i32] = if started.is_some() { &[0, 125] } else { &[0] };
        let good = ends.iter().any(|end| outcome.status == Status::Exited(*end));
        outcome.check(good, || format!("seed {seed}: wanted one of {ends:?}"));
    }
}

#[test]
fn memory_that_is_shared_is_believed_by_nobody() {
    let first = seed();
    for round in 0..rounds(15) {
        let seed = first.wrapping_add(round) % (1 << 40);
        println!("seed {seed}");
        let job = guest("-np 3 --grace 1", &format!("scribbles {seed}")).input(lines(300, ""));
        let outcome = job.run();
        // Nobody has a message that could be relied on; everybody has an answer, and an end.
        outcome.says_not("panicked").says_not("not so").says_not("SIG");
        let ends = [0, 125].map(Status::Exited).contains(&outcome.status);
        outcome.check(ends, || format!("seed {seed}: wanted a good end, or an error"));
    }
}

#[test]
fn descriptors_sent_to_an_agent_are_closed() {
    let input = records::numbered(2_000, 4);
    // More than the agent may have open, were they kept.
    let job = guest("-np 2 -k", "sends_descriptors").limit(Resource::Nofile, 256, 256);
    prints_its_input(job.input(&input), &input);
}
