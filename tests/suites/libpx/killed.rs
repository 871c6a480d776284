//! SIGKILL of copies at any moment of a job: what they held is dealt again, what they had released
//! stands there once, and nothing of anybody is left.

use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;

use px_tests::processes;
use px_tests::rounds::{Random, rounds, seed};
use px_tests::{Job, Lab, Outcome, Running, Scratch, Status, checker, records, sys};

use crate::{compiled, with_library};

const RECORDS: u64 = 8_000;
/// Kills that no chunk can be spoilt by: it is started three times.
const SURVIVED: u64 = 2;

const MODES: [&str; 7] = [
    "-k --chunk-records 40",
    "-k --deal dynamic --chunk-size 9000",
    "-k --chunk-size 30k",
    "-k --run per-chunk --chunk-records 150",
    "--order none --chunk-records 40",
    "--order none --deal dynamic --chunk-size 20k",
    "--order rank --deal block --chunk-records 60",
];

/// What the copies do: slow enough that a job lasts while they are killed.
const COPIES: [&str; 4] =
    ["slow=3000", "slow=3000 hold=8", "slow=4000 large hold=3", "private slow=2000"];

/// How the input comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Named,
    Unnamed,
    Pipe,
}

/// All that is drawn for a round.
#[derive(Debug)]
struct Round {
    mode: &'static str,
    copies: &'static str,
    way: Way,
    /// Each kill: so many bytes of output are seen, then so many microseconds pass.
    kills: Vec<(usize, u64)>,
    /// Which of those that run is hit.
    whom: u64,
}

impl Round {
    fn draw(random: &mut Random, size: usize, most: u64) -> Round {
        let mode = *random.of(&MODES);
        let ways: &[Way] = match mode.contains("block") {
            true => &[Way::Named, Way::Unnamed],
            false => &[Way::Named, Way::Unnamed, Way::Pipe],
        };
        let mut kills: Vec<_> = (0..=random.below(most))
            .map(|_| (random.below(size as u64 * 9 / 10) as usize, random.below(4000)))
            .collect();
        kills.sort_unstable();
        Round {
            mode,
            copies: random.of::<&str>(&COPIES),
            way: *random.of(ways),
            kills,
            whom: random.below(1000),
        }
    }

    fn job(&self, job: Job, path: &std::path::Path, input: &[u8]) -> Job {
        let job = job.words("--contract px --grace 1").words(self.mode);
        let job = match self.way {
            Way::Named => job.arg("-i").arg(path),
            Way::Unnamed => job.input(input),
            Way::Pipe => job.piped(input),
        };
        with_library(job).arg(compiled("relay")).words(self.copies)
    }

    /// Kills at each of its moments; returns how many it hit.
    fn strike(&self, job: &mut Running, find: &dyn Fn(&Running) -> Vec<i32>) -> u64 {
        let mut hits = 0;
        for (number, &(after, and)) in self.kills.iter().enumerate() {
            // Output in the order of ranks may come late, and all at once.
            let after = if self.mode.contains("rank") { 0 } else { after };
            job.until("so much output", |job| {
                let over = processes::one(job.pid()).is_none_or(|process| process.state == 'Z');
                over || job.printed() >= after && !find(job).is_empty()
            });
            // The moment is to be random; nothing waits for it.
            thread::sleep(Duration::from_micros(and));
            let copies = find(job);
            if !copies.is_empty() {
                let copy = copies[(self.whom as usize + number) % copies.len()];
                hits += u64::from(sys::kill(copy, libc::SIGKILL).is_ok());
            }
        }
        hits
    }

    /// The output is all of the job's, or, where a chunk was spoilt too often, a part of it.
    fn judge(&self, outcome: &Outcome, input: &[u8], hits: u64, seed: u64) {
        let shown = || format!("seed {seed}, {hits} hits: {self:?}");
        let good = outcome.status == Status::Exited(0);
        outcome.check(good || hits > SURVIVED, shown);
        outcome.says_not("not so").says_not("panicked");
        if good && self.mode.contains("-k") {
            outcome.check(outcome.stdout == input, shown);
        } else if good {
            checker::each_once(&outcome.stdout, RECORDS);
        } else {
            outcome.exits(137).says("killed by signal 9");
            checker::at_most_once(&outcome.stdout, RECORDS);
            let begins = !self.mode.contains("-k") || input.starts_with(&outcome.stdout);
            outcome.check(begins, shown);
        }
    }
}

/// Runs rounds of so many kills at most on one host.
fn sweep(count: u64, most: u64) -> (u64, u64) {
    let input = records::numbered(RECORDS, 11);
    let (mut hits, mut failed) = (0, 0);
    let first = seed();
    for number in 0..count {
        let seed = first.wrapping_add(number);
        let round = Round::draw(&mut Random::seeded(seed), input.len(), most);
        println!("seed {seed}: {round:?}");
        let scratch = Scratch::new();
        let path = scratch.file("input", &input);
        let mut job = round.job(Job::new("-np 4"), &path, &input).start();
        let hit = round.strike(&mut job, &|job| {
            job.named("relay").iter().map(|process| process.pid).collect()
        });
        // Waits until nothing of the job is left.
        let outcome = job.finish();
        round.judge(&outcome, &input, hit, seed);
        hits += hit;
        failed += u64::from(outcome.status != Status::Exited(0));
    }
    println!("{count} rounds, {hits} kills, {failed} jobs failed");
    (hits, failed)
}

#[test]
fn copies_that_are_killed_at_any_moment_change_no_byte_of_the_output() {
    let (hits, failed) = sweep(rounds(25), SURVIVED);
    assert!(hits > 0, "always too late");
    assert_eq!(failed, 0);
}

#[test]
fn copies_that_are_killed_again_and_again_double_nothing() {
    let (hits, _) = sweep(rounds(10), 12);
    assert!(hits > 0, "always too late");
}

#[test]
fn a_chunk_that_kills_its_copy_is_started_three_times() {
    let input = records::numbered(400, 12);
    for feed in px_tests::Feed::BOTH {
        for words in ["-np 2 -k", "-np 2 --order none", "-np 2 -k --run per-chunk"] {
            let job = Job::new("--contract px --chunk-records 40").words(words);
            let job = with_library(job.arg(compiled("guests")).words("dies_in 4"));
            let outcome = job.fed(feed, &input).run();
            outcome.exits(137).says("chunk 4 ").says("dealt 3 times").says_not("not so");
            let all = String::from_utf8_lossy(&outcome.stdout).into_owned();
            outcome.check(!all.contains("never"), || "wanted nothing of chunk 4".to_owned());
            checker::at_most_once(&outcome.stdout, 400);
            assert_eq!(outcome.stderr.matches("chunk 4 is dealt again").count(), 2, "{outcome:?}");
        }
    }
}

#[test]
fn a_program_is_told_how_often_its_chunk_was_started() {
    let input = records::numbered(400, 16);
    let lines: Vec<_> = input.split_inclusive(|&byte| byte == b'\n').collect();
    let wanted = [&lines[..160].concat(), &b"attempt 3\n"[..], &lines[200..].concat()].concat();
    for feed in px_tests::Feed::BOTH {
        for words in ["-np 2 -k", "-np 3 -k --deal dynamic", "-np 2 -k --run per-chunk"] {
            let job = Job::new("--contract px --chunk-records 40").words(words);
            let job = with_library(job.arg(compiled("guests")).words("tells_attempts 4"));
            let outcome = job.fed(feed, &input).run();
            outcome.ok().says_not("not so").prints(&wanted);
            assert_eq!(outcome.stderr.matches("killed by signal 9").count(), 2, "{outcome:?}");
        }
    }
}

#[test]
fn what_ranks_have_said_to_each_other_cannot_be_said_again() {
    let (input, scratch) = (records::numbered(RECORDS, 14), Scratch::new());
    for (words, ordered) in [("-k", true), ("--order none", false), ("-k --deal dynamic", true)] {
        let job = Job::new("-np 3 --contract px --chunk-records 20").words(words);
        let job = job.arg(compiled("guests")).words("talks").arg(scratch.at("never"));
        let mut job = with_library(job).input(&input).start();
        job.until("output", |job| job.printed() > 0 && !job.named("guests").is_empty());
        sys::kill(job.named("guests")[0].pid, libc::SIGKILL).unwrap();
        let outcome = job.finish();
        outcome.exits(137).says("killed by signal 9").says("have sent messages to each other");
        outcome.says_not("dealt again").says_not("not so");
        checker::at_most_once(&outcome.stdout, RECORDS);
        let begins = !ordered || input.starts_with(&outcome.stdout);
        outcome.check(begins, || "wanted a beginning of the input".to_owned());
    }
}

#[test]
fn what_a_copy_has_printed_is_not_printed_again() {
    let input = records::numbered(RECORDS, 15);
    let words = "-np 2 --contract px --chunk-records 20 --order none";
    let job = with_library(Job::new(words).arg(compiled("guests")).words("prints_each"));
    let mut job = job.input(&input).start();
    job.until("output", |job| job.printed() > 0 && job.named("guests").len() == 2);
    for copy in job.named("guests") {
        // The second may have been ended because of the first.
        let _ = sys::kill(copy.pid, libc::SIGKILL);
    }
    let outcome = job.finish();
    outcome.exits(137).says("killed by signal 9").says_not("not so");
    checker::at_most_once(&outcome.stdout, RECORDS);
}

#[test]
fn a_sum_that_lacks_what_a_killed_copy_had_added_is_an_error() {
    let input = records::numbered(RECORDS, 16);
    for name in ["prints_sum", "sends_sum"] {
        let scratch = Scratch::new();
        let words = "-np 2 --contract px --chunk-records 20 --order none";
        let job = Job::new(words).arg(compiled("guests")).words(name).arg(scratch.at("go"));
        let mut job = with_library(job).input(&input).start();
        job.until("a sum", |job| job.stderr().matches("so far").count() > 50);
        sys::kill(job.named("guests")[0].pid, libc::SIGKILL).unwrap();
        scratch.file("go", "");
        let outcome = job.finish();
        outcome.exits(125).says("was lost after it had released").says("before its first chunk");
        outcome.says_not("not so").prints("");
    }
}

#[test]
fn copies_and_agents_that_are_killed_on_other_hosts_change_no_byte_of_the_output() {
    let lab = px_tests::lab!(Lab::of(3));
    let input = records::numbered(RECORDS, 13);
    let path = lab.path().join("libpx-input");
    std::fs::write(&path, &input).unwrap();
    let first = seed();
    let (mut hits, count) = (0, rounds(8));
    for number in 0..count {
        let seed = first.wrapping_add(number);
        let mut random = Random::seeded(seed);
        let mut round = Round::draw(&mut random, input.len(), SURVIVED);
        if number == 0 {
            // One that lasts long enough for its kill to come in time wherever it runs.
            (round.mode, round.copies, round.kills) = (MODES[0], "slow=50000", vec![(1, 0)]);
        }
        let agent = random.below(2) == 0;
        println!("seed {seed}: agent {agent}, {round:?}");
        let job = lab.pxrun("-x LD_LIBRARY_PATH --lease 2 --hostfile").arg(lab.hostfile(2));
        let mut job = round.job(job, &path, &input).start();
        let named = |name: &str, hosts: RangeInclusive<usize>| -> Vec<i32> {
            let all = hosts.flat_map(|host| lab.host(host).processes());
            let alive = all.filter(|process| process.name == name && process.state != 'Z');
            alive.map(|process| process.pid).collect()
        };
        let hit = round.strike(&mut job, &|_| {
            let copies = named("relay", 1..=3);
            // Where copies run all hosts have joined; before, a host that dies ends the job.
            if agent && !copies.is_empty() { named("px-agent", 1..=1) } else { copies }
        });
        job.wait_for_end();
        assert_eq!(lab.leftovers(Duration::from_secs(60)), [], "seed {seed}: {round:?}");
        round.judge(&job.finish(), &input, hit, seed);
        hits += hit;
    }
    println!("{count} rounds, {hits} kills");
    assert!(hits > 0, "always too late");
}
