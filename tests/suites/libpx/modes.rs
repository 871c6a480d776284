//! Whatever pxrun cuts, deals, orders and runs by, what programs that use libpx give is what one
//! program alone gives.

use px_tests::job::{Feed, Job};
use px_tests::scratch::Scratch;
use px_tests::{Lab, checker, records};

use crate::{checked, compiled, prints_its_input, sorted, with_library};

/// Ways that keep the order of the input, and how a program walks its records then.
const ORDERED: [(&str, &str); 12] = [
    ("-k", ""),
    ("-k --chunk-size 100k", "large"),
    ("-k --deal block", "hold=3"),
    ("-k --deal dynamic", "hold=8 private"),
    ("-k --chunk-records 37", "hold=8"),
    ("-k --run per-chunk", ""),
    ("-k --run per-chunk --deal dynamic", "hold=8"),
    ("-k --records nul", "ends=0"),
    ("-k --delimiter e", "ends=101 hold=2"),
    ("-k --records bytes=11", "width=11"),
    ("-k --records bytes=4096 --deal dynamic", "width=4096 large"),
    ("--order input --chunk-size 1", "hold=8"),
];

/// The same where lines come in any order.
const UNORDERED: [(&str, &str); 5] = [
    ("--order none", "hold=4"),
    ("--order none --deal block", "large"),
    ("--order none --deal dynamic", "private"),
    ("--order none --run per-chunk", ""),
    ("--order none --chunk-records 5", "hold=8"),
];

/// `pxrun --contract px` with further words, then the program that gives all back.
fn relay(words: &str, more: &str) -> Job {
    with_library(Job::new("--contract px").words(words).arg(compiled("relay")).words(more))
}

fn streams(words: &str) -> bool {
    !words.contains("block")
}

#[test]
fn every_way_that_keeps_order_gives_the_input_back() {
    let input = records::numbered(6_000, 5);
    for (words, more) in ORDERED {
        for ranks in [1, 2, 8] {
            let words = format!("-np {ranks} {words}");
            prints_its_input(relay(&words, more).input(&input), &input);
            if streams(&words) {
                prints_its_input(relay(&words, more).fed(Feed::Pipe, &input), &input);
            }
        }
    }
}

#[test]
fn every_way_without_order_gives_each_line_once() {
    let input = records::numbered(6_000, 6);
    for (words, more) in UNORDERED {
        for ranks in [1, 2, 8] {
            let words = format!("-np {ranks} {words}");
            checker::each_once(&checked(relay(&words, more).input(&input)).stdout, 6_000);
        }
    }
}

#[test]
fn rank_order_is_that_of_programs_that_read_stdin() {
    let input = records::numbered(6_000, 7);
    for words in ["", "--deal block", "--chunk-records 50", "-t"] {
        let words = format!("-np 3 --order rank --chunk-size 9000 {words}");
        // With a rule of its own for sizes each contract cuts alike.
        let words = words.replace("--chunk-size 9000 --chunk-records", "--chunk-records");
        let here = checked(Job::new(&words).words("--run per-chunk cat").input(&input)).stdout;
        prints_its_input(relay(&words, "hold=5").input(&input), &here);
    }
}

#[test]
fn tags_name_the_rank_of_each_chunks_lines() {
    let input = records::numbered(2_000, 8);
    let words = "-np 3 -k -t --chunk-records 100";
    let printed = checked(relay(words, "hold=4").input(&input)).stdout;
    // Dealt in turn: 100 lines of rank 0, 100 of rank 1, and so on.
    let lines = input.split_inclusive(|byte| *byte == b'\n').enumerate();
    let tagged =
        lines.flat_map(|(n, line)| [format!("[{}] ", n / 100 % 3).as_bytes(), line].concat());
    assert!(printed == tagged.collect::<Vec<u8>>());
}

#[test]
fn a_chunk_of_several_files_is_one_chunk() {
    let scratch = Scratch::new();
    let mut input = Vec::new();
    let mut job = with_library(Job::new("--contract px -np 2 -k --chunk-size 30k"));
    for number in 0..40 {
        let file = records::numbered(50, number);
        job = job.arg("-i").arg(scratch.file(&number.to_string(), &file));
        input.extend(file);
    }
    prints_its_input(job.arg(compiled("relay")).words("hold=3"), &input);
}

#[test]
fn output_of_one_chunk_may_be_larger_than_memory_allows_for() {
    let words = "-np 2 -k --contract px --chunk-records 1";
    let guest = compiled("guests");
    let job = with_library(Job::new(words).arg(guest)).words("emits_much 100");
    let outcome = job.input("one\ntwo\n").measured().run();
    outcome.ok().within_memory(2);
    let wanted = |letter: u8| vec![letter; 100 << 20];
    assert!(outcome.stdout == [wanted(b'o'), wanted(b't')].concat(), "{}", outcome.stdout.len());
}

#[test]
fn hosts_give_what_one_machine_gives_by_reference_and_by_value() {
    let lab = px_tests::lab!(Lab::of(3));
    let input = records::numbered(20_000, 9);
    let path = lab.path().join("libpx-input");
    std::fs::write(&path, &input).unwrap();
    let hostfile = lab.hostfile(2);
    let afar = |words: &str, more: &str| {
        let job = lab.pxrun("-x LD_LIBRARY_PATH --contract px --hostfile").arg(&hostfile);
        with_library(job.words(words)).arg(compiled("relay")).words(more)
    };
    for (words, more) in ORDERED {
        if words.contains("--chunk-size 1") {
            continue;
        }
        // Seen by all hosts under its name; without one; as a stream.
        prints_its_input(afar(words, more).input_file(&path), &input);
        prints_its_input(afar(words, more).input(&input), &input);
        if streams(words) {
            prints_its_input(afar(words, more).piped(&*input), &input);
        }
    }
    for (words, more) in UNORDERED {
        let printed = checked(afar(words, more).input_file(&path)).stdout;
        assert!(sorted(&printed) == sorted(&input));
    }
    let job = lab.pxrun("-x LD_LIBRARY_PATH --contract px -k --chunk-records 100 --hostfile");
    let job = job.arg(&hostfile).arg(compiled("guests")).words("tells");
    let told = checked(with_library(job).input_file(&path)).text();
    let wanted = |n: usize| format!("{} 6 {} 2 node{}\n", n % 6, n % 2, n % 6 / 2 + 1);
    assert_eq!(told, (0..200).map(wanted).collect::<String>());
    assert_eq!(lab.leftovers(std::time::Duration::from_secs(60)), []);
}
