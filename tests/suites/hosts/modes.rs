//! Every mode of one machine gives the same bytes on many.

use px_tests::{Feed, Job, Lab, Outcome, Scratch, checker, records};

use crate::{file, is_left_alone, job};

/// Every way whose output is the same bytes each time.
const ORDERED: &[&str] = &[
    "-k",
    "-k --deal block",
    "-k --deal dynamic",
    "-k --chunk-records 37",
    "-k --contract lines",
    "-k --contract lines --deal dynamic",
    "-k --run per-chunk --deal round-robin",
    "-k -t",
    "-k --header 2",
    "--order rank",
    "--order rank --deal block",
    "--order rank --run per-chunk",
    "--order rank --header 1 -t",
    "-k --records nul",
    "-k --records bytes=11",
    "--order rank --records bytes=7",
    "-k --delimiter e",
];

/// Every way whose lines come in any order.
const UNORDERED: &[&str] = &[
    "",
    "-t",
    "--header 1",
    "--deal block",
    "--run per-chunk",
    "--run per-chunk --chunk-size 5000 -t",
];

/// Those where chance decides who gets what, so that only the lines themselves are the same.
const DYNAMIC: &[&str] = &["--deal dynamic", "--run per-chunk --deal dynamic"];

/// What a mode is to run: a filter that changes each line and keeps its length.
const FILTER: &str = "tr a-z A-Z";

fn streams(mode: &str) -> bool {
    !mode.contains("block")
}

fn sorted(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

#[track_caller]
fn same_bytes(there: &Outcome, here: &Outcome) {
    here.ok();
    there.ok().quiet().prints(&here.stdout);
}

#[track_caller]
fn same_lines(there: &Outcome, here: &Outcome) {
    here.ok();
    let same = sorted(&there.ok().quiet().stdout) == sorted(&here.stdout);
    there.check(same, || "wanted the lines of one machine".to_owned());
}

/// Runs a mode on one machine and on the lab's hosts.
fn both(lab: &Lab, mode: &str, give: impl Fn(Job) -> Job) -> (Outcome, Outcome) {
    let run = |job: Job| give(job.words(mode)).words(FILTER).run();
    (run(job(lab, "")), run(Job::new("-np 8")))
}

#[test]
fn every_ordered_mode_gives_the_bytes_of_one_machine() {
    let lab = px_tests::lab!(Lab::of(4));
    let input = records::numbered(20_000, 1);
    let named = file(&lab, "data/input", &input);
    for mode in ORDERED {
        // The first is read by the hosts themselves, the second has no name that they could open.
        let (there, here) = both(&lab, mode, |job| job.input_file(&named));
        same_bytes(&there, &here);
        let (there, here) = both(&lab, mode, |job| job.input(&input));
        same_bytes(&there, &here);
    }
    is_left_alone(&lab);
}

#[test]
fn every_unordered_mode_gives_the_lines_of_one_machine() {
    let lab = px_tests::lab!(Lab::of(4));
    let input = records::numbered(20_000, 2);
    let named = file(&lab, "data/input", &input);
    for mode in UNORDERED.iter().chain(DYNAMIC) {
        let (there, here) = both(&lab, mode, |job| job.input_file(&named));
        same_lines(&there, &here);
        let (there, here) = both(&lab, mode, |job| job.input(&input));
        same_lines(&there, &here);
    }
    is_left_alone(&lab);
}

#[test]
fn a_stream_gives_what_a_file_gives() {
    let lab = px_tests::lab!(Lab::of(4));
    let input = records::numbered(20_000, 3);
    let wanted = input.to_ascii_uppercase();
    for mode in ["-k", "-k --deal dynamic", "-k --contract lines", "-k --records bytes=11"] {
        let there = job(&lab, mode).words(FILTER).piped(&*input).run();
        there.ok().quiet().prints(&wanted);
    }
    for mode in UNORDERED.iter().chain(DYNAMIC).filter(|mode| streams(mode)) {
        let there = job(&lab, mode).words("cat").piped(&*input).run();
        there.ok().quiet();
        if !mode.contains("-t") && !mode.contains("header") {
            checker::each_once(&there.stdout, 20_000);
        }
    }
    is_left_alone(&lab);
}

#[test]
fn each_rank_gets_what_it_gets_on_one_machine() {
    let lab = px_tests::lab!(Lab::of(4));
    let input = records::numbered(10_000, 4);
    let named = file(&lab, "data/input", &input);
    let scratch = Scratch::new();
    for (at, mode) in
        ["", "--deal block", "--chunk-records 7", "--run per-chunk"].iter().enumerate()
    {
        let (there, here) = (format!("there-{at}"), format!("here-{at}"));
        let (to_there, to_here) = (scratch.directory(&there), scratch.directory(&here));
        let run = |job: Job| job.input_file(&named).run();
        run(job(&lab, mode).zoo("keep").arg(to_there)).ok().quiet();
        run(Job::new("-np 8").words(mode).zoo("keep").arg(to_here)).ok().quiet();
        assert!(scratch.kept(&there) == scratch.kept(&here), "`{mode}` deals in another way");
        checker::shares(&scratch.kept(&there), 10_000);
    }
}

#[test]
fn several_files_count_as_one_input() {
    let lab = px_tests::lab!(Lab::of(4));
    let all = records::numbered(9000, 5);
    let cut = |at: usize| at + all[at..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let (first, second) = (cut(all.len() / 4), cut(all.len() / 2));
    // One without its last newline, one that is empty.
    let parts = [&all[..first], &all[first..second - 1], b"", &all[second..]];
    let paths = (0..4).map(|at| file(&lab, &format!("data/part {at}"), parts[at]));
    let paths: Vec<_> = paths.collect();
    let give = |job: Job| paths.iter().fold(job, |job, path| job.arg("-i").arg(path));
    for mode in ["-k", "-k --deal block", "-k --contract lines", "--order rank"] {
        let (there, here) = both(&lab, mode, give);
        same_bytes(&there, &here);
    }
    let (there, here) = both(&lab, "", give);
    same_lines(&there, &here);
    // Standard input has no name that a host could open.
    let with_stdin = |job: Job| give(job.words("-i -")).input(&all);
    let (there, here) = both(&lab, "-k", with_stdin);
    same_bytes(&there, &here);
    let titled =
        |at: usize| file(&lab, &format!("data/titled {at}"), [b"title\n", parts[at]].concat());
    let titled = [titled(0), titled(1), titled(3)];
    let give = |job: Job| titled.iter().fold(job, |job, path| job.arg("-i").arg(path));
    for mode in ["-k --header 1", "--order rank --header 1"] {
        let (there, here) = both(&lab, mode, give);
        same_bytes(&there, &here);
    }
}

#[test]
fn odd_inputs_come_back() {
    let lab = px_tests::lab!(Lab::of(4));
    for (name, input) in records::zoo() {
        for feed in Feed::BOTH {
            let there = job(&lab, "-k cat").fed(feed, &input).run();
            let same = there.ok().stdout == input;
            there.check(same, || format!("wanted the input back: {name}, {feed:?}"));
        }
        let path = file(&lab, "data/odd", &input);
        let there = job(&lab, "-k --deal block cat").input_file(&path).run();
        let same = there.ok().stdout == input;
        there.check(same, || format!("wanted the input back: {name}, by reference"));
    }
    is_left_alone(&lab);
}

#[test]
fn empty_input_starts_every_rank_and_no_chunk() {
    let lab = px_tests::lab!(Lab::of(4));
    let empty = file(&lab, "data/empty", "");
    let script = "cat; echo $PX_RANK";
    let all = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let jobs = [
        job(&lab, "").sh(script),
        job(&lab, "").sh(script).input_file(&empty),
        job(&lab, "").sh(script).piped(""),
    ];
    for job in jobs {
        assert_eq!(job.run().ok().quiet().sorted_lines(), all);
    }
    job(&lab, "-k").sh(script).input_file(&empty).run().ok().quiet().prints("");
}

#[test]
fn an_input_larger_than_every_buffer_comes_through() {
    let lab = px_tests::lab!(Lab::of(4));
    let input = records::numbered_long(40_000, 2000);
    let named = file(&lab, "data/input", &input);
    let there = job(&lab, "cat").input_file(&named).run();
    checker::each_once(&there.ok().quiet().stdout, 40_000);
    let there = job(&lab, "-k cat").input(&input).run();
    checker::in_order(&there.ok().quiet().stdout, 40_000);
    let there = job(&lab, "-k --contract lines cat").piped(&*input).run();
    checker::in_order(&there.ok().quiet().stdout, 40_000);
}
