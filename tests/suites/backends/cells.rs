//! The columns: what a job is, or what happens to it, and what must come of that on every backend.

use px_tests::lab::Mpi;
use px_tests::{Status, checker, sys};

use crate::endings::statuses;
use crate::ground::{COUNT, Ground};
use crate::surroundings::{environment, programs_of_mpi, standard_input, standard_output};

/// Something that a job can be, or that can happen to it.
pub struct Cell {
    pub name: &'static str,
    pub run: fn(&Ground),
    /// What the hosts need besides what the backend does.
    pub needs: &'static [Mpi],
}

impl Cell {
    /// Tells whether this machine can run it.
    pub fn possible(&self) -> Result<(), String> {
        self.needs.iter().try_for_each(|mpi| mpi.installed())
    }
}

/// All columns of the table.
pub const CELLS: &[Cell] = &[
    cell("per-rank", per_rank),
    cell("per-chunk", per_chunk),
    cell("keep-order", keep_order),
    cell("keep-order-of-lines", keep_order_of_lines),
    cell("by-reference", by_reference),
    cell("by-value", by_value),
    cell("failing-child", failing_child),
    cell("killed-child", killed_child),
    cell("killed-root", killed_root),
    cell("early-exit", early_exit),
    cell("standard-output", standard_output),
    cell("standard-input", standard_input),
    cell("environment", environment),
    Cell { name: "programs-of-mpi", run: programs_of_mpi, needs: &Mpi::BOTH },
    cell("statuses", statuses),
];

const fn cell(name: &'static str, run: fn(&Ground)) -> Cell {
    Cell { name, run, needs: &[] }
}

/// A filter that changes each line and keeps its length.
const FILTER: &str = "tr a-z A-Z";

/// Runs the filter, and compares with the bytes that it prints when it runs alone.
fn gives_the_bytes(ground: &Ground, options: &str) {
    let outcome = ground.run(ground.job(options).words(FILTER));
    outcome.ok().prints(ground.sequential(FILTER));
}

fn per_rank(ground: &Ground) {
    let outcome = ground.run(ground.job("cat"));
    checker::each_once(&outcome.ok().stdout, COUNT);
    gives_the_bytes(ground, "--deal block --order rank");
}

fn per_chunk(ground: &Ground) {
    let outcome = ground.run(ground.job("--run per-chunk --chunk-size 64K cat"));
    checker::each_once(&outcome.ok().stdout, COUNT);
}

fn keep_order(ground: &Ground) {
    gives_the_bytes(ground, "-k");
    gives_the_bytes(ground, "-k --chunk-records 997 --deal dynamic");
}

fn keep_order_of_lines(ground: &Ground) {
    gives_the_bytes(ground, "-k --contract lines");
}

/// Checks how many agents `-v` says to come to the input in this way.
fn comes_to_the_input(ground: &Ground, directory: &str, how: &str, wanted: usize) {
    let outcome = ground.run(ground.reading(directory, "-v -k").words(FILTER));
    outcome.ok().prints(ground.sequential(FILTER));
    let way = ground.backend.way;
    let lines = outcome.stderr.lines().filter(|line| line.contains(way) && line.contains(how));
    let found = lines.count();
    outcome.check(found == wanted, || format!("wanted {wanted} agents of which `{how}`"));
}

fn by_reference(ground: &Ground) {
    comes_to_the_input(ground, "shared", "it reads the input itself", ground.backend.agents.0);
}

fn by_value(ground: &Ground) {
    comes_to_the_input(ground, "private", "it is sent the input", ground.backend.agents.1);
}

fn failing_child(ground: &Ground) {
    let outcome = ground.run(ground.job("").sh("cat >/dev/null; [ $PX_RANK != 5 ] || exit 7"));
    outcome.exits(7).prints("");
    ground.blames_the_fifth(outcome.says("exited with status 7"));
}

fn killed_child(ground: &Ground) {
    let outcome = ground.run(ground.job("").sh("cat >/dev/null; [ $PX_RANK != 5 ] || kill -9 $$"));
    outcome.exits(137).prints("");
    ground.blames_the_fifth(outcome.says("was killed by signal 9 (SIGKILL)"));
}

fn killed_root(ground: &Ground) {
    let mut job = ground.printing("-k --contract lines").zoo("read-slowly 4096 100").start();
    job.until("output", |job| job.printed() > 0);
    let roots = (ground.backend.root)(&job, "px-agent");
    assert_eq!(roots.len(), 1, "{roots:?}");
    sys::kill(roots[0].pid, libc::SIGKILL).unwrap();
    let outcome = job.finish();
    outcome.check(outcome.status != Status::Exited(0), || "wanted a failure".to_owned());
    let whole = ground.sequential("cat");
    let printed = ground.printed(&outcome);
    outcome.says("pxrun: error: ").check(whole.starts_with(printed), || {
        "wanted the first lines of the output and nothing else".to_owned()
    });
    outcome.check(printed.len() < whole.len(), || "it had ended before".to_owned());
}

fn early_exit(ground: &Ground) {
    let outcome = ground.run(ground.job("--allow-early-exit head -n 1"));
    outcome.ok().prints_lines(8);
    let outcome = ground.run(ground.job("head -n 1"));
    outcome.exits(125).says("pxrun: error: ").says("unread");
}
