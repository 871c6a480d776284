//! The order of output: the input back byte for byte, or an error; and what cannot be ordered.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use px_tests::rounds::{Random, rounds};
use px_tests::{Feed, Job, Scratch, checker, records};

/// Every way that gives `cat` its input back.
const ORDERED: &[&str] = &[
    "-k",
    "-k --deal dynamic",
    "-k --run per-chunk --deal round-robin",
    "-k --run per-rank --deal block",
    "--order rank --run per-rank --deal block",
    "-k --contract lines",
    "-k --run per-rank --contract lines --deal round-robin",
    "-k --contract lines --deal dynamic",
];

/// Those that need no known length.
fn streams(mode: &str) -> bool {
    !mode.contains("block")
}

#[test]
fn cat_gives_the_input_back_for_every_chunk_size_and_way() {
    let input = records::numbered(3000, 1);
    for mode in ORDERED {
        for ranks in ["1", "2", "5"] {
            for chunk in ["", "--chunk-size 1", "--chunk-size 1000", "--chunk-records 17"] {
                if mode.contains("block") && !chunk.is_empty() {
                    continue;
                }
                if chunk.ends_with(" 1") && !mode.contains("contract") {
                    continue;
                }
                for feed in Feed::BOTH {
                    if feed == Feed::Pipe && !streams(mode) {
                        continue;
                    }
                    let job = Job::new("-np").arg(ranks).words(mode).words(chunk).arg("cat");
                    job.fed(feed, &input).run().ok().prints(&input);
                }
            }
        }
    }
}

#[test]
fn cat_gives_every_odd_input_back_in_every_way() {
    for (name, input) in records::zoo() {
        for mode in ORDERED {
            for feed in Feed::BOTH {
                if feed == Feed::Pipe && !streams(mode) {
                    continue;
                }
                let outcome = Job::new("-np 3").words(mode).arg("cat").fed(feed, &input).run();
                let same = outcome.ok().stdout == input;
                outcome.check(same, || format!("wanted the input back: {name}, {feed:?}"));
            }
        }
    }
}

#[test]
fn cat_gives_larger_inputs_back_in_every_way() {
    let input = records::numbered(400_000, 2);
    for mode in ORDERED {
        let outcome = Job::new("-np 3").words(mode).arg("cat").input(&input).run();
        outcome.ok().prints(&input);
        if streams(mode) {
            Job::new("-np 3").words(mode).arg("cat").piped(&*input).run().ok().prints(&input);
        }
    }
}

const ALPHABETS: &[&[u8]] = &[b"\n", b"ab\n", b"abcdefghi\n\r\0"];

#[test]
fn generated_inputs_come_back_in_every_way() {
    let mut random = Random::seeded(3);
    for _ in 0..rounds(40) {
        let alphabet = *random.of(ALPHABETS);
        let length = random.below(6000);
        let input: Vec<u8> = (0..length).map(|_| *random.of(alphabet)).collect();
        let (mode, ranks) = (random.of(ORDERED), 1 + random.below(7));
        let chunk = match (mode.contains("block"), random.below(3)) {
            (false, 0) => format!("--chunk-records {}", 20 + random.below(100)),
            (false, 1) => format!("--chunk-size {}", 40 + random.below(2000)),
            _ => String::new(),
        };
        let job = Job::new(&format!("-np {ranks} {mode} {chunk} cat")).input(&input);
        job.run().ok().prints(&input);
    }
}

#[test]
fn other_records_come_back_too() {
    let input = b"one\0two\nlines\0\0three".to_vec();
    for mode in ["-k", "-k --run per-rank --deal block"] {
        let job = || Job::new("-np 2").words(mode);
        job().words("--records nul cat").input(&input).run().ok().prints(&input);
        job().words("--records bytes=3 cat").input(&input).run().ok().prints(&input);
        job().words("--delimiter o cat").input(&input).run().ok().prints(&input);
    }
}

#[test]
fn a_filter_of_lines_keeps_its_order() {
    let input = records::numbered(100_000, 4);
    let wanted = input.to_ascii_uppercase();
    for mode in ORDERED {
        // `sed` and `tr` hold lines back until a block of output is full.
        let outcome = Job::new("-np 3").words(mode).words("tr a-z A-Z").input(&input).run();
        outcome.ok().prints(&wanted);
    }
    let outcome = Job::new("-np 3 -k --contract lines tr a-z A-Z").piped(&*input).run();
    outcome.ok().prints(&wanted);
}

#[test]
fn a_copy_that_holds_its_output_to_the_end_holds_up_nobody() {
    let input = records::numbered(300_000, 5);
    for feed in Feed::BOTH {
        let job = Job::new("-np 3 -k --contract lines").zoo("lazy").fed(feed, &input).measured();
        job.run().ok().within_memory(3).prints(&input);
    }
}

#[test]
fn a_fast_rank_behind_a_slow_one_waits_on_disk() {
    let scratch = Scratch::new();
    let input = records::numbered(300_000, 6);
    let script = r#"if [ $PX_RANK = 0 ]; then exec "$ZOO" gate "$DIR" cat; fi
        "$ZOO" amplify 8; touch "$DIR/open""#;
    // Rank 0 starts to write only when rank 1 has written all.
    let job = Job::new("-np 2 --order rank").env("DIR", scratch.path()).sh(script).measured();
    let outcome = job.input(&input).run();
    let lines = outcome.ok().within_memory(2).stdout.split_inclusive(|&byte| byte == b'\n');
    let mut lines: Vec<&[u8]> = lines.collect();
    lines.dedup();
    checker::each_once(&lines.concat(), 300_000);
}

#[test]
fn outputs_are_joined_in_rank_order() {
    let input = "0\n1\n2\n3\n4\n5\n";
    let job = Job::new("-np 3 --order rank --chunk-records 1").sh("cat; echo rank $PX_RANK");
    job.input(input).run().ok().prints("0\n3\nrank 0\n1\n4\nrank 1\n2\n5\nrank 2\n");
}

#[test]
fn the_same_job_gives_the_same_bytes() {
    let input = records::numbered(50_000, 7);
    for mode in ["--order rank", "-k", "-k --deal dynamic", "--order rank --deal block"] {
        let job = || Job::new("-np 4").words(mode).zoo("half-lines").input(&input).run();
        let first = job();
        for _ in 0..3 {
            job().ok().prints(&first.ok().stdout);
        }
    }
}

#[test]
fn a_line_too_few_is_a_breach_with_rank_chunk_and_line() {
    let input = records::numbered(100, 8);
    for feed in Feed::BOTH {
        let job = Job::new("-np 2 -k --contract lines --chunk-records 10").zoo("drop-line 37");
        let outcome = job.fed(feed, &input).run();
        // Lines 30 to 39 are chunk 3, which rank 1 gets; a missing line shows at its end.
        outcome.own_error().says("contract").says("rank 1").says("chunk").says("line");
    }
}

#[test]
fn a_line_too_many_is_a_breach_with_rank_chunk_and_line() {
    let input = records::numbered(100, 9);
    for feed in Feed::BOTH {
        let job = Job::new("-np 2 -k --contract lines --chunk-records 10").zoo("double-line 37");
        let outcome = job.fed(feed, &input).run();
        outcome.own_error().says("contract").says("rank 1").says("chunk").says("line");
    }
}

#[test]
fn a_breach_at_the_very_end_or_with_no_output_at_all() {
    let input = records::numbered(100, 10);
    let job = || Job::new("-np 2 -k --contract lines --chunk-records 10").input(&input);
    job().zoo("drop-line 99").run().own_error().says("rank 1").says("chunk 9");
    job().zoo("double-line 99").run().own_error().says("rank 1").says("chunk 9");
    job().sh("cat > /dev/null").run().own_error().says("contract").prints("");
    let outcome = Job::new("-np 2 -k --contract lines").sh("cat; echo more").input("").run();
    outcome.own_error().says("contract");
}

#[test]
fn a_breach_is_not_a_failed_rank_in_disguise() {
    let input = records::numbered(100, 11);
    let job = Job::new("-np 2 -k --contract lines").zoo("exit-loudly 4").input(&input);
    job.run().exits(4).says("status 4");
    let script = "head -n 1 > /dev/null; exit 4";
    Job::new("-np 1 -k --contract lines").sh(script).input(&input).run().exits(4);
}

#[test]
fn an_unterminated_last_line_counts_as_a_line() {
    let input = "a\nb\nc";
    Job::new("-np 2 -k --contract lines cat").input(input).run().ok().prints("a\nb\nc");
    Job::new("-np 2 -k --contract lines sed s/c/d/").input(input).run().ok().prints("a\nb\nd");
}

#[test]
fn headers_come_back_once_with_contract_lines() {
    let input = [b"header\n".to_vec(), records::numbered(5000, 12)].concat();
    for feed in Feed::BOTH {
        let job = Job::new("-np 3 -k --contract lines --header 1 cat").fed(feed, &input);
        job.run().ok().prints(&input);
    }
    let job = Job::new("-np 3 -k --contract lines --header 1 tr a-z A-Z").input("h\na\n");
    job.run().ok().prints("H\nA\n");
}

#[test]
fn what_cannot_be_ordered_is_refused_before_any_start() {
    let scratch = Scratch::new();
    let started = format!("cat; touch {}", scratch.at("started").display());
    let refused = [
        "-k --run per-rank",
        "-k --run per-rank --deal round-robin",
        "-k --run per-rank --deal dynamic",
        "--records bytes=4",
        "--records bytes=4 --order none --deal dynamic",
    ];
    for mode in refused {
        let outcome = Job::new("-np 2").words(mode).sh(&started).input("a\nb\nc\nd\n").run();
        outcome.own_error().prints("");
        assert!(!scratch.has("started"), "{mode} started a copy");
    }
}

#[test]
fn a_refusal_of_order_names_the_ways_out() {
    let outcome = Job::new("-np 2 -k --run per-rank cat").input("a\n").run();
    outcome.own_error().says("help:").says_any(&["per-chunk", "--contract lines", "--deal block"]);
    let outcome = Job::new("-np 2 --records bytes=4 cat").input("abcd").run();
    outcome.own_error().says_any(&["--order rank", "per-chunk"]);
}

#[test]
fn unordered_output_is_cut_at_the_delimiter_of_the_input() {
    let mut input = records::numbered(20_000, 14);
    let newlines = |bytes: &mut Vec<u8>, from: u8, to: u8| {
        bytes.iter_mut().filter(|byte| **byte == from).for_each(|byte| *byte = to);
    };
    newlines(&mut input, b'\n', 0);
    // Copies write in blocks that end within a record.
    let outcome = Job::new("-np 4 --records nul dd bs=77 status=none").input(&input).run();
    let mut output = outcome.ok().stdout.clone();
    newlines(&mut output, 0, b'\n');
    checker::each_once(&output, 20_000);
}

#[test]
fn a_tag_stands_before_every_line() {
    let input = "a\nb\nc\nd\n";
    let job = Job::new("-np 2 -t --order rank --chunk-records 1 cat").input(input).run();
    job.ok().prints("[0] a\n[0] c\n[1] b\n[1] d\n");
    let job = Job::new("-np 2 --tag -k --contract lines --chunk-records 1 cat").input(input).run();
    job.ok().prints("[0] a\n[1] b\n[0] c\n[1] d\n");
    let job = Job::new("-np 2 --tag -k --chunk-records 1 cat").input(input).run();
    job.ok().prints("[0] a\n[1] b\n[0] c\n[1] d\n");
    let job = Job::new("-np 2 -t").sh("cat; echo out; echo err >&2").input("").run();
    assert_eq!(job.ok().sorted_lines(), ["[0] out", "[1] out"]);
    let mut said: Vec<&str> = job.stderr.lines().collect();
    said.sort_unstable();
    assert_eq!(said, ["[0] err", "[1] err"]);
}

#[test]
fn a_tag_is_on_every_line_of_a_large_output() {
    let input = records::numbered(50_000, 13);
    let outcome = Job::new("-np 4 -t").zoo("half-lines").input(&input).run();
    let text = outcome.ok().text();
    let untagged: Vec<&str> = text
        .lines()
        .map(|line| {
            let tag = line.get(..4).unwrap_or_default();
            assert!(["[0] ", "[1] ", "[2] ", "[3] "].contains(&tag), "no tag on `{line}`");
            &line[4..]
        })
        .collect();
    checker::each_once(format!("{}\n", untagged.join("\n")).as_bytes(), 50_000);
}

#[test]
fn an_unterminated_line_has_its_tag_too() {
    let outcome = Job::new("-np 1 -t").sh("printf 'a\nb'").input("").run();
    let text = outcome.ok().text();
    assert_eq!(text.trim_end(), "[0] a\n[0] b");
}

#[test]
fn lines_of_stderr_are_not_mixed() {
    let script = r#"i=0; while [ $i -lt 300 ]; do
        printf "$PX_RANK$PX_RANK" >&2; printf "$PX_RANK" >&2; echo $PX_RANK >&2; i=$((i+1)); done"#;
    let outcome = Job::new("-np 6").sh(script).input("").run();
    let mut said = [0; 6];
    // A line whose rest is late may go on as one of its own.
    for line in outcome.ok().stderr.lines() {
        let Some(rank) = line.bytes().next() else { continue };
        assert!(line.bytes().all(|byte| byte == rank), "two ranks in one line: {line}");
        said[usize::from(rank - b'0')] += line.len();
    }
    assert_eq!(said, [4 * 300; 6]);
}

#[test]
fn an_unfinished_line_of_stderr_is_passed_on_soon() {
    let scratch = Scratch::new();
    let script = r#"printf 'prompt> ' >&2; exec "$ZOO" gate "$DIR" cat"#;
    let job = Job::new("-np 1").env("DIR", scratch.path()).sh(script).input("a\n");
    let mut running = job.start();
    running.until("the prompt", |job| job.stderr().contains("prompt> "));
    scratch.file("open", "");
    running.finish().ok().prints("a\n");
}
