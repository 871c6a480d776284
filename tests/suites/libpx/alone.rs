//! Worlds of one: a program that nobody has started cuts its stdin and writes its stdout.

use std::fs::File;

use px_tests::job::{Feed, Job};
use px_tests::scratch::Scratch;

use crate::{alone, checked, compiled, lines, prints_its_input, sorted, with_library};

#[test]
fn the_output_is_the_input_record_by_record() {
    for end in ["", "no end", "\n"] {
        let input = lines(30_000, end);
        for feed in Feed::BOTH {
            for words in ["", "whole", "private"] {
                prints_its_input(alone("copy", words).fed(feed, &input), &input);
            }
        }
    }
}

#[test]
fn small_inputs_and_none_are_inputs_too() {
    for input in ["", "\n", "a", "a\n", "\n\n\n"] {
        for feed in Feed::BOTH {
            prints_its_input(alone("copy", "").fed(feed, input), input.as_bytes());
        }
    }
    prints_its_input(alone("copy", ""), b"");
}

#[test]
fn a_file_whose_end_is_a_pages_end_has_a_byte_behind_it() {
    for pages in [1, 16, 300] {
        let input = b"0123456\n".repeat(512 * pages);
        prints_its_input(alone("copy", "").input(&input), &input);
    }
}

#[test]
fn a_record_may_be_longer_than_any_chunk() {
    let mut input = b"short\n".to_vec();
    input.extend(vec![b'x'; 9 << 20]);
    input.extend(b"\nshort\n");
    for feed in Feed::BOTH {
        prints_its_input(alone("copy", "").fed(feed, &input), &input);
    }
}

#[test]
fn a_file_is_read_from_where_its_descriptor_stands_and_left_at_its_end() {
    let scratch = Scratch::new();
    scratch.file("in", "one\ntwo\nthree\n");
    let script = "{ read -r first; $COPY; cat; } < in";
    let job = Job::new("-c").program("/bin/sh").arg(script).directory(scratch.path());
    let job = with_library(job).env("COPY", compiled("copy"));
    let outcome = job.run();
    // The shell reads a file byte by byte, so that what is behind the line is left to others.
    assert_eq!(outcome.ok().stdout, b"two\nthree\n");
}

#[test]
fn a_stream_is_answered_before_it_ends() {
    let mut running = alone("copy", "").held_stdin().held_stdout().start();
    let mut stdout = running.take_stdout();
    for line in ["one\n", "two\n", "three\n"] {
        running.write(line.as_bytes());
        let mut answer = vec![0; line.len()];
        std::io::Read::read_exact(&mut stdout, &mut answer).unwrap();
        assert_eq!(answer, line.as_bytes());
    }
    running.close_stdin();
    running.finish().ok();
}

#[test]
fn statuses_have_texts_and_the_version_is_that_of_the_header() {
    checked(alone("checks", "statuses"));
}

#[test]
fn before_and_after_use_everything_is_an_error_of_state() {
    checked(alone("checks", "before_and_after"));
}

#[test]
fn a_handle_that_is_none_is_a_status_whatever_it_is() {
    let outcome = checked(alone("checks", "handles").piped("one\ntwo\nthree\n"));
    assert_eq!(outcome.stdout, b"kept\n");
}

#[test]
fn eight_chunks_can_be_held_and_failed_ones_leave_no_output() {
    let outcome = checked(alone("checks", "held").input(lines(60_000, "")));
    assert_eq!(outcome.stdout, b"zero\n");
}

#[test]
fn a_chunk_of_a_changed_file_is_not_committed() {
    let scratch = Scratch::new();
    let path = scratch.file("in", lines(60_000, ""));
    let job = alone("checks", "changed").arg(&path).input_file(&path);
    assert_eq!(checked(job).stdout, b"");
}

#[test]
fn a_standard_input_that_cannot_be_read_is_a_status() {
    checked(alone("checks", "unreadable").stdin(File::open("/").unwrap()));
    let closed = Job::new("-c").program("/bin/sh").arg("exec $CHECKS unreadable <&-");
    checked(with_library(closed).env("CHECKS", compiled("checks")));
}

#[test]
fn a_standard_output_that_nobody_reads_is_a_status_and_no_signal() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let outcome = checked(alone("checks", "unwritable").input("one\n").stdout(writer));
    assert_eq!(outcome.stderr, "");
    checked(alone("checks", "unwritable").input("one\n").stdout(full()));
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_forked_child_is_turned_away_and_its_parent_goes_on() {
    checked(alone("checks", "forked").input("one\n"));
}

#[test]
fn a_world_of_another_launcher_is_refused() {
    for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        checked(alone("checks", "foreign").arg(name).env(name, "8"));
    }
}

#[test]
fn a_socket_that_is_none_is_told_and_taken_out_of_the_environment() {
    for number in ["1000", "0", "seven", ""] {
        checked(alone("checks", "astray").env("PX_FD", number));
    }
}

#[test]
fn abort_ends_the_program_with_its_status_and_says_why() {
    let job = alone("checks", "aborts").arg("the mesh is torn").input("one\n");
    let outcome = job.run();
    assert_eq!(outcome.exits(7).stderr, "the mesh is torn\n");
    assert_eq!(outcome.stdout, b"");
}

#[test]
fn threads_take_chunks_beside_each_other() {
    let input = lines(60_000, "");
    let count = input.iter().filter(|byte| **byte == b'\n').count();
    for feed in Feed::BOTH {
        let job = alone("checks", "threads").arg(count.to_string()).fed(feed, &input);
        assert!(sorted(&checked(job).stdout) == sorted(&input));
    }
}

#[test]
fn whatever_is_called_in_whatever_order_answers_with_a_status() {
    let input = lines(20_000, "");
    for seed in 0..40 {
        let words = format!("{seed} 3000");
        checked(alone("random", &words).fed(Feed::BOTH[seed % 2], &input));
    }
}

#[test]
fn a_program_that_pxrun_feeds_through_stdin_has_its_rank_and_no_chunks() {
    let job = Job::new("-np 3 -k").arg(compiled("checks")).words("not_fed 3");
    let outcome = checked(with_library(job).input("one\ntwo\nthree\n"));
    let wanted = b"rank 0 has one\nrank 1 has two\nrank 2 has three\n";
    assert_eq!(sorted(&outcome.stdout), sorted(wanted));
}
