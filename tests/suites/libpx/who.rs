//! Who is who: what a program that uses libpx finds and leaves, and what pxrun makes of one that
//! ends otherwise than it should.

use px_tests::job::Job;
use px_tests::outcome::Outcome;
use px_tests::scratch::Scratch;

use crate::{alone, checked, compiled, lines, prints_its_input, sorted, with_library};

/// `pxrun --contract px` with further words, then a guest by its name.
fn guest(words: &str, name: &str) -> Job {
    with_library(Job::new("--contract px").words(words).arg(compiled("guests")).words(name))
}

/// A job that has failed, of which nothing is written that was emitted for no commit.
#[track_caller]
fn fails(job: Job, says: &str) -> Outcome {
    let outcome = job.run();
    outcome.exits(125).says("pxrun: error: ").says(says).says_not("not so");
    let never = outcome.stdout.windows(5).any(|bytes| bytes == b"never");
    outcome.check(!never, || "wanted nothing of an unreleased chunk".to_owned());
    outcome
}

#[test]
fn a_copy_that_exits_0_and_has_not_begun_has_failed() {
    let input = lines(5_000, "");
    for words in ["-np 2 -k", "-np 2 --order none", "-np 2 -k --run per-chunk"] {
        fails(guest(words, "stranger").input(&input), "without having called px_init")
            .says("leave the option out");
    }
    // One that gets nothing must have begun, too.
    fails(guest("-np 2", "stranger").input(""), "px_init");
    checked(guest("-np 2", "takes_nothing").input(""));
}

#[test]
fn a_copy_that_exits_0_with_a_chunk_unreleased_has_failed() {
    let input = lines(5_000, "");
    for words in ["-np 2 -k", "-np 2 --order none", "-np 2 -k --run per-chunk"] {
        for name in ["keeps", "finalizes_with_chunks"] {
            let outcome = fails(guest(words, name).input(&input), "of its input unread");
            // There is no option by which that were right.
            outcome.says("px_chunk_release").says_not("--allow-early-exit");
        }
    }
    let outcome = fails(guest("-np 2 -k", "keeps_the_last").input(&input), "unreleased");
    assert!(input.starts_with(&outcome.stdout));
}

#[test]
fn a_copy_that_exits_0_before_the_end_of_its_input_has_failed() {
    for name in ["leaves_early", "takes_nothing", "finalizes_early"] {
        for words in ["-np 2 -k", "-np 2 --order none", "-np 2 --deal dynamic"] {
            fails(guest(words, name).input(lines(5_000, "")), "unread").says("PX_END");
            let outcome = guest(words, name).piped(lines(50_000, "")).run();
            outcome.exits(125).says("unread").says_not("--allow-early-exit");
        }
    }
}

#[test]
fn the_beginning_of_a_chunk_is_not_lost_with_the_copy_that_did_not_take_it() {
    for words in ["-np 1 -k", "-np 1 --chunk-size 1M", "-np 2", "-np 1 -k --run per-chunk"] {
        let scratch = Scratch::new();
        let done = scratch.at("done");
        let job = Job::new("--contract px").words(words).env("GUEST", compiled("guests"));
        let job = with_library(job).env("DONE", &done).held_stdin();
        let mut job = job.sh("$GUEST takes_nothing && : > $DONE").start();
        job.write("no whole record, and no whole chunk");
        job.until("the end of a copy", |job| {
            done.exists() && job.named("sh").is_empty() || !job.stderr().is_empty()
        });
        job.close_stdin();
        job.finish().exits(125).says("unread");
    }
}

#[test]
fn a_copy_that_has_all_done_may_end_without_a_word() {
    let input = lines(5_000, "");
    prints_its_input(guest("-np 2 -k", "ends_unfinalized").input(&input), &input);
    prints_its_input(guest("-np 2 -k", "ends_unfinalized").piped(&*input), &input);
}

#[test]
fn a_second_program_at_the_same_socket_is_told_that_it_is_too_late() {
    for name in ["ends_unfinalized", "moves"] {
        for words in ["-np 2 -k", "-np 2 -k --run per-chunk"] {
            let job = Job::new("--contract px").words(words).env("GUEST", compiled("guests"));
            let job = with_library(job).sh(&format!("$GUEST {name}; exec $GUEST {name}"));
            let outcome = job.input(lines(5_000, "")).run();
            outcome.exits(99).says("px_init(0) == PX_OK").says("pxrun is gone");
        }
    }
}

#[test]
fn a_failed_chunk_ends_the_job_or_is_left_out_of_it() {
    let input = lines(5_000, "");
    let outcome = fails(guest("-np 2 -k", "fails").input(&input), "released chunk 3");
    assert!(input.starts_with(&outcome.stdout));
    let words = "-np 2 -k --keep-going --chunk-records 100";
    let outcome = fails(guest(words, "fails").input(&input), "1 chunk failed");
    let all = input.split_inclusive(|byte| *byte == b'\n').enumerate();
    let others = all.filter(|(n, _)| n / 100 != 3).flat_map(|(_, line)| line.to_vec());
    assert!(outcome.stdout == others.collect::<Vec<u8>>());
}

#[test]
fn a_guest_finds_what_it_is_promised_and_leaves_things_as_they_are() {
    let input = lines(5_000, "");
    for words in ["-np 2 -k", "-np 2 -k --run per-chunk"] {
        prints_its_input(guest(words, "inherits").input(&input), &input);
    }
    prints_its_input(guest("-np 2 -k", "inherits").piped(&*input), &input);
    for talks in ["", "talks"] {
        let words = format!("leaves_things {talks}");
        prints_its_input(guest("-np 2 -k", &words).input(&input), &input);
    }
    prints_its_input(guest("-np 2 -k", "forks").input(&input), &input);
}

#[test]
fn chunks_may_be_held_moved_and_shared_out_among_threads() {
    let input = lines(20_000, "");
    for name in ["eight", "moves", "threads"] {
        for words in ["-np 2 -k --chunk-records 100", "-np 3 -k --chunk-size 20k"] {
            prints_its_input(guest(words, name).input(&input), &input);
            prints_its_input(guest(words, name).piped(&*input), &input);
        }
    }
}

#[test]
fn the_world_of_pxrun_is_no_foreign_one() {
    let input = lines(500, "");
    for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        let words = format!("-np 2 -k -x {name}=8 -x PX_SINGLETON=1");
        prints_its_input(guest(&words, &format!("two_of_us {name}")).input(&input), &input);
        // A world of one is one of our own.
        let outcome = checked(alone("guests", "tells").env(name, "1").input(
            "one
",
        ));
        outcome
            .check(outcome.text().starts_with("0 1 0 1 "), || "wanted a world of one".to_owned());
    }
}

#[test]
fn a_file_that_loses_what_is_being_looked_at_is_an_input_that_changed() {
    // Small chunks come as bytes of their own; larger ones are the file itself.
    for words in ["-np 1 --chunk-size 64k", "-np 1 -k --chunk-size 64k --run per-chunk"] {
        for name in ["reads_what_is_cut", "has_copies"] {
            let scratch = Scratch::new();
            let path = scratch.file("in", lines(60_000, ""));
            let words = format!("{words} --input {}", path.display());
            let job = guest(&words, name).arg(&path);
            let outcome = fails(job, "changed while it was read").says("now 0").clone();
            // Not the signal that ended the copy, which is a consequence.
            outcome.says_not("SIGBUS").prints("");
        }
    }
}

#[test]
fn a_job_can_be_aborted_though_nobody_reads_its_output() {
    let words = "-np 2 --order none --grace 1 --chunk-records 5";
    let job = guest(words, "aborts_unheard").input(lines(5_000, ""));
    let mut job = job.held_stdout().start();
    // The one that emits may be in the way of saying why; the status tells all the same.
    job.until("the end of all copies", |job| {
        job.stderr().contains("pxrun: error: ") && job.named("guests").is_empty()
    });
    drop(job.take_stdout());
    job.finish().exits(7).says("rank 0");
}

#[test]
fn the_file_that_changed_is_found_though_chunks_of_others_were_dealt_since() {
    let scratch = Scratch::new();
    for words in ["-np 1 -k --chunk-size 16k", "-np 1 --chunk-size 16k --deal dynamic"] {
        let path = scratch.file("in", lines(300, ""));
        let other = scratch.file("other", lines(20_000, ""));
        let words = format!("{words} -i {} -i {}", path.display(), other.display());
        let outcome = fails(guest(&words, "reads_what_is_cut").arg(&path), "changed while it was");
        outcome.says("now 0").says_not("SIGBUS").prints("");
    }
}

#[test]
fn what_is_added_behind_the_end_is_no_change() {
    let scratch = Scratch::new();
    let input = lines(20_000, "");
    let path = scratch.file("in", &input);
    let words = format!("-np 1 -k --chunk-size 64k --input {}", path.display());
    let job = guest(&words, "grows").arg(&path);
    prints_its_input(job, &input);
}

#[test]
fn printed_lines_are_whole_among_those_of_other_ranks() {
    let input = lines(5_000, "");
    for words in ["-np 4 --order none", "-np 4 --order none --run per-chunk --chunk-size 20k"] {
        let printed = checked(guest(words, "prints").input(&input)).stdout;
        assert!(sorted(&printed) == sorted(&input));
    }
}

#[test]
fn what_is_printed_against_an_order_is_shown_with_its_rank() {
    for words in ["-np 2 -k", "-np 2 --order rank", "-np 2 -k --run per-chunk --chunk-size 1"] {
        let outcome = guest(words, "prints_once").input(lines(500, "")).run();
        outcome.exits(125).says("rank 1 ").says("`the quick brown fox jumps over t`");
        outcome.says("--order none").says_not("not so");
    }
}
