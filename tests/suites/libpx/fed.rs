//! Programs that `pxrun --contract px` starts: chunks by pointer, output by chunk.

use px_tests::job::{Feed, Job};
use px_tests::outcome::Outcome;
use px_tests::scratch::Scratch;
use rustix::process::Resource;

use crate::{checked, compiled, lines, prints_its_input, sorted, with_library};

/// `pxrun --contract px` with further words, then a program of `c/` and its words.
fn fed(words: &str, name: &str, more: &str) -> Job {
    let job = Job::new("--contract px").words(words).arg(compiled(name)).words(more);
    with_library(job)
}

#[test]
fn output_stands_where_its_chunk_stood_whatever_the_number_of_ranks() {
    let input = lines(20_000, "no end");
    for ranks in [1, 2, 8] {
        for feed in Feed::BOTH {
            let words = format!("-np {ranks} -k");
            prints_its_input(fed(&words, "copy", "").fed(feed, &input), &input);
            prints_its_input(fed(&words, "copy", "whole private").fed(feed, &input), &input);
        }
    }
}

#[test]
fn chunks_may_be_released_in_another_order_than_they_were_taken() {
    let input = lines(20_000, "");
    for deal in ["round-robin", "block", "dynamic"] {
        let words = format!("-np 3 -k --deal {deal}");
        prints_its_input(fed(&words, "copy", "hold=8").input(&input), &input);
    }
    let printed = checked(fed("-np 3", "copy", "hold=5").input(&input)).stdout;
    assert!(sorted(&printed) == sorted(&input));
}

#[test]
fn chunks_may_be_of_any_size_and_lie_in_any_file() {
    let scratch = Scratch::new();
    let files =
        [lines(3_000, ""), b"\n".repeat(4096), Vec::new(), lines(100, "end"), lines(10, "")];
    let mut input = Vec::new();
    for (number, file) in files.iter().enumerate() {
        scratch.file(&number.to_string(), file);
        input.extend(file);
        // A file that lacks its last line's end gets one, since another follows.
        if number == 3 {
            input.push(b'\n');
        }
    }
    for size in ["--chunk-size 1", "--chunk-size 100k", "--chunk-records 7", ""] {
        let words = format!("-np 2 -k {size} -i 0 -i 1 -i 2 -i 3 -i 4");
        let job = fed(&words, "copy", "whole").directory(scratch.path());
        prints_its_input(job, &input);
    }
}

#[test]
fn more_files_than_a_program_may_open_are_no_hindrance() {
    let scratch = Scratch::new();
    let mut words = String::from("-np 2 -k --chunk-size 16k");
    let mut input = Vec::new();
    for number in 0..200 {
        let name = format!("{number}.txt");
        let bytes = lines(400 + number, "");
        scratch.file(&name, &bytes);
        words += &format!(" -i {name}");
        input.extend(bytes);
    }
    let job = fed(&words, "copy", "hold=8").directory(scratch.path());
    prints_its_input(job.limit(Resource::Nofile, 48, 4096), &input);
}

#[test]
fn an_empty_input_is_an_end_at_once() {
    for feed in Feed::BOTH {
        prints_its_input(fed("-np 2 -k", "copy", "").fed(feed, ""), b"");
    }
    prints_its_input(fed("-np 8 -k", "copy", "").input("\n"), b"\n");
}

#[test]
fn one_socket_is_inherited_and_goes_no_further() {
    for feed in Feed::BOTH {
        checked(fed("-np 2", "checks", "inherits").fed(feed, lines(9_000, "")));
    }
}

#[test]
fn what_is_called_wrongly_is_a_status_under_pxrun_too() {
    let outcome = checked(fed("-np 1 -k", "checks", "forked").input("one\n"));
    assert_eq!(outcome.stdout, b"");
    let count = lines(9_000, "").iter().filter(|byte| **byte == b'\n').count();
    let words = format!("threads {count}");
    let outcome = checked(fed("-np 1 -k", "checks", &words).input(lines(9_000, "")));
    assert_eq!(outcome.stdout, lines(9_000, ""));
}

#[test]
fn a_released_handle_is_in_the_way_of_nobody_who_has_one_of_his_own() {
    let input = lines(20_000, "");
    for feed in Feed::BOTH {
        let words = "-np 1 -k --chunk-records 1";
        prints_its_input(fed(words, "checks", "stale").fed(feed, &input), &input);
    }
}

#[test]
fn a_random_program_ends_in_good_order_or_is_a_failed_copy() {
    let input = lines(9_000, "");
    for seed in 0..12 {
        let job = fed("-np 2", "random", &format!("{seed} 2000"));
        let outcome = job.fed(Feed::BOTH[seed % 2], &input).run();
        assert!(!outcome.stderr.contains("not so"), "{}", outcome.stderr);
    }
}

#[test]
fn abort_ends_the_job_with_its_status_and_says_why() {
    let job = fed("-np 2", "checks", "aborts").arg("the mesh is torn").input(lines(9_000, ""));
    let outcome = job.run();
    outcome.exits(7).says("the mesh is torn");
    assert_eq!(outcome.stdout, b"");
}

#[track_caller]
fn fails(job: Job, says: &str) -> Outcome {
    let outcome = job.run();
    assert!(outcome.stderr.contains("pxrun: error: "), "{outcome:?}");
    outcome.says(says);
    assert!(!outcome.stderr.contains("not so"), "{}", outcome.stderr);
    assert!(!outcome.stdout.windows(4).any(|bytes| bytes == b"lost"), "{outcome:?}");
    outcome
}

#[test]
fn a_copy_that_ends_well_and_not_as_it_should_has_failed() {
    let input = lines(9_000, "");
    for (how, says) in [
        ("a stranger", "px_init"),
        ("holding", "chunk"),
        ("failing", "as failed"),
        ("early", "of its input unread"),
    ] {
        fails(fed("-np 2", "checks", "ends").arg(how).input(&input), says);
    }
}

#[test]
fn an_input_that_changes_while_it_is_read_is_told_and_nothing_of_it_committed() {
    for check in ["changed", "torn"] {
        let scratch = Scratch::new();
        let path = scratch.file("in", lines(60_000, ""));
        // Small chunks come as bytes, whose file the agent looks at.
        let job = fed("-np 1 --chunk-size 64k", "checks", check).arg(&path).input_file(&path);
        fails(job, "changed while it was read");
    }
}

#[test]
fn what_is_printed_is_gathered_without_an_order_and_an_error_with_one() {
    let outcome = checked(fed("-np 2 --order none", "checks", "prints").input(lines(900, "")));
    let printed = sorted(&outcome.stdout).into_iter().filter(|line| *line == b"printed by hand");
    assert_eq!(printed.count(), 2);
    for order in ["-k", "--order rank"] {
        let words = format!("-np 2 {order}");
        let outcome =
            fails(fed(&words, "checks", "prints").input(lines(900, "")), "printed by hand");
        outcome.says("rank ");
    }
}

#[test]
fn lines_of_a_chunk_can_have_the_tag_of_its_rank() {
    let outcome = checked(fed("-np 1 -k -t", "copy", "").input("one\ntwo\n"));
    assert_eq!(outcome.stdout, b"[0] one\n[0] two\n");
}
