//! Networks that lose, delay, crawl or break for a while: the job ends, rightly or with an error.

use std::thread;
use std::time::{Duration, Instant};

use px_tests::lab::Host;
use px_tests::{Lab, Outcome, Status, checker, lab, records};

use crate::ground::{Act, Ground, cut, the_error};

const RECORDS: u64 = 8000;

/// On such networks everything takes its time; what is not over by then hangs.
const BOUND: Duration = Duration::from_secs(240);

/// So long after its end nothing is left: the lease, 10 s here, and 2 s.
const AFTERWARDS: Duration = Duration::from_secs(12);

/// Runs a job whose second host's cable goes bad once there is output. `then` may mend it.
fn on_a_bad_network(ground: &Ground, words: &str, spoil: Act, mend: Act) -> Outcome {
    let host = ground.lab.host(2);
    let input = records::numbered(RECORDS, 1);
    let job = ground.with_lease("10", 2, words).bound(BOUND).zoo("read-slowly 1024 5");
    let mut job = job.input(&input).start();
    job.until("output", |job| job.printed() > 0);
    let began = Instant::now();
    spoil(host);
    thread::scope(|scope| {
        scope.spawn(|| mend(host));
        job.wait_for_end();
    });
    host.clear();
    let outcome = job.finish();
    println!("{words}: {:?} after {:.1?}", outcome.status, began.elapsed());
    judge(&outcome);
    if words.contains("per-chunk") {
        // The other host does it all, if need be.
        outcome.ok().prints(&input);
    }
    ground.is_left_clean(AFTERWARDS);
    outcome
}

/// All of it, or one error that names the host.
fn judge(outcome: &Outcome) {
    if outcome.status == Status::Exited(0) {
        checker::each_once(&outcome.stdout, RECORDS);
        return;
    }
    outcome.own_error().says("`node2`");
    the_error(outcome);
    checker::at_most_once(&outcome.stdout, RECORDS);
}

const WORDS: [&str; 2] = ["-k --run per-chunk --chunk-records 100", "-k --contract lines"];

/// A third of all packets does not arrive.
fn lose(host: &Host) {
    host.loss(30);
}

/// 0.4 s for a question and its answer.
fn delay(host: &Host) {
    host.delay(Duration::from_millis(200));
}

/// One megabit a second.
fn slow(host: &Host) {
    host.rate(1);
}

#[test]
fn a_third_of_all_packets_lost_is_no_hang() {
    let ground = Ground::new(lab!(Lab::of(2).wired()));
    for words in WORDS {
        on_a_bad_network(&ground, words, lose, |_| {});
    }
}

#[test]
fn a_long_way_is_only_slow() {
    let ground = Ground::new(lab!(Lab::of(2).wired()));
    for words in WORDS {
        on_a_bad_network(&ground, words, delay, |_| {}).ok();
    }
}

#[test]
fn a_thin_line_is_only_slow() {
    let ground = Ground::new(lab!(Lab::of(2).wired()));
    for words in WORDS {
        on_a_bad_network(&ground, words, slow, |_| {}).ok();
    }
}

#[test]
fn a_cable_cut_for_five_seconds_is_waited_for_or_told() {
    let ground = Ground::new(lab!(Lab::of(2).wired()));
    for words in WORDS {
        on_a_bad_network(&ground, words, cut, |host| {
            // How long the cable is cut is what is tested.
            thread::sleep(Duration::from_secs(5));
            host.heal();
        });
    }
}

#[test]
fn a_job_starts_over_a_bad_network_or_says_why_not() {
    let ground = Ground::new(lab!(Lab::of(2).wired()));
    let input = records::numbered(RECORDS, 1);
    // So that the program itself is there already.
    ground.with_lease("10", 1, "true").run().ok();
    let ways: [(&str, Act); 3] = [("loss", lose), ("delay", delay), ("rate", slow)];
    for (name, spoil) in ways {
        let host = ground.lab.host(2);
        spoil(host);
        let began = Instant::now();
        let job = ground.with_lease("10", 2, "-k --contract lines").bound(BOUND).arg("cat");
        let outcome = job.input(&input).run();
        println!("{name}: {:?} after {:.1?}", outcome.status, began.elapsed());
        judge(&outcome);
        host.clear();
        ground.is_left_clean(AFTERWARDS);
    }
}
