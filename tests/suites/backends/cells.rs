//! The columns: what a job is, or what happens to it, and what must come of that on every backend.

use px_tests::{Outcome, Status, checker, sys};

use crate::ground::{COUNT, Ground};

/// Something that a job can be, or that can happen to it.
pub struct Cell {
    pub name: &'static str,
    pub run: fn(&Ground),
}

/// All columns of the table.
pub const CELLS: &[Cell] = &[
    Cell { name: "per-rank", run: per_rank },
    Cell { name: "per-chunk", run: per_chunk },
    Cell { name: "keep-order", run: keep_order },
    Cell { name: "keep-order-of-lines", run: keep_order_of_lines },
    Cell { name: "by-reference", run: by_reference },
    Cell { name: "by-value", run: by_value },
    Cell { name: "failing-child", run: failing_child },
    Cell { name: "killed-child", run: killed_child },
    Cell { name: "killed-root", run: killed_root },
    Cell { name: "early-exit", run: early_exit },
];

/// A filter that changes each line and keeps its length.
const FILTER: &str = "tr a-z A-Z";

/// Runs the filter, and compares with the bytes that it prints when it runs alone.
fn gives_the_bytes(ground: &Ground, options: &str) {
    let outcome = ground.job(options).words(FILTER).run();
    ground.ended(&outcome, 0).prints(ground.sequential(FILTER));
}

fn per_rank(ground: &Ground) {
    let outcome = ground.job("cat").run();
    checker::each_once(&ground.ended(&outcome, 0).stdout, COUNT);
    gives_the_bytes(ground, "--deal block --order rank");
}

fn per_chunk(ground: &Ground) {
    let outcome = ground.job("--run per-chunk --chunk-size 64K cat").run();
    checker::each_once(&ground.ended(&outcome, 0).stdout, COUNT);
}

fn keep_order(ground: &Ground) {
    gives_the_bytes(ground, "-k");
    gives_the_bytes(ground, "-k --chunk-records 997 --deal dynamic");
}

fn keep_order_of_lines(ground: &Ground) {
    gives_the_bytes(ground, "-k --contract lines");
}

/// Counts the hosts of which `-v` says how they come to the input.
fn hosts_that(outcome: &Outcome, ground: &Ground, how: &str) -> usize {
    let way = ground.backend.way;
    let lines = outcome.stderr.lines().filter(|line| line.contains(way) && line.contains(how));
    lines.count()
}

fn comes_to_the_input(ground: &Ground, directory: &str, how: &str) {
    let outcome = ground.reading(directory, "-v -k").words(FILTER).run();
    ground.ended(&outcome, 0).prints(ground.sequential(FILTER));
    let (found, wanted) = (hosts_that(&outcome, ground, how), ground.backend.others.len());
    outcome.check(found == wanted, || format!("wanted {wanted} hosts of which `{how}`"));
}

fn by_reference(ground: &Ground) {
    comes_to_the_input(ground, "shared", "it reads the input itself");
}

fn by_value(ground: &Ground) {
    comes_to_the_input(ground, "private", "it is sent the input");
}

fn failing_child(ground: &Ground) {
    let outcome = ground.job("").sh("cat >/dev/null; [ $PX_RANK != 5 ] || exit 7").run();
    ground.ended(&outcome, 7).prints("");
    ground.blames_the_fifth(outcome.says("exited with status 7"));
}

fn killed_child(ground: &Ground) {
    let outcome = ground.job("").sh("cat >/dev/null; [ $PX_RANK != 5 ] || kill -9 $$").run();
    ground.ended(&outcome, 137).prints("");
    ground.blames_the_fifth(outcome.says("was killed by signal 9 (SIGKILL)"));
}

fn killed_root(ground: &Ground) {
    let mut job = ground.job("-k --contract lines").zoo("read-slowly 4096 20").start();
    job.until("output", |job| job.printed() > 0);
    let roots = (ground.backend.root)(&job);
    assert_eq!(roots.len(), 1, "{roots:?}");
    sys::kill(roots[0].pid, libc::SIGKILL).unwrap();
    let outcome = job.finish();
    outcome.check(outcome.status != Status::Exited(0), || "wanted a failure".to_owned());
    let whole = ground.sequential("cat");
    outcome.says("pxrun: error: ").check(whole.starts_with(&outcome.stdout), || {
        "wanted the first lines of the output and nothing else".to_owned()
    });
    outcome.check(outcome.stdout.len() < whole.len(), || "it had ended before".to_owned());
}

fn early_exit(ground: &Ground) {
    let outcome = ground.job("--allow-early-exit head -n 1").run();
    ground.ended(&outcome, 0).prints_lines(8);
    let outcome = ground.job("head -n 1").run();
    ground.ended(&outcome, 125).says("pxrun: error: ").says("unread");
}
