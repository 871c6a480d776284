//! The column that holds the manual to its table: what the outermost process returns.

use px_tests::{Outcome, Running, Status, sys};

use crate::ground::Ground;

const MANUAL: &str = include_str!("../../../launcher/man/pxrun.1");

/// A way to end.
type End = (&'static str, fn(&Ground) -> Outcome);

/// The columns of the manual's table.
const ENDS: [End; 5] = [
    ("all went well", |ground| ground.run(ground.job("cat"))),
    ("a copy ends with 3", |ground| {
        ground.run(ground.job("").sh("cat >/dev/null; [ $PX_RANK != 5 ] || exit 3"))
    }),
    ("an error of pxrun's own", |ground| ground.run(ground.job("--contract lines wc -l"))),
    ("SIGTERM to pxrun", |ground| stopped_in_order(ground)),
    ("SIGTERM to the outermost process", |ground| stopped(ground, Running::pid)),
];

/// What the manual says to be returned, in the order of its columns; some launchers have a choice.
fn promised(line: &str) -> Vec<Vec<i32>> {
    let statuses = |word: &str| word.split('/').map(|one| one.parse().ok()).collect();
    let promised = |words: &str| -> Option<Vec<Vec<i32>>> {
        let rest = words.strip_prefix(line)?.strip_prefix(' ')?;
        rest.split_whitespace().map(statuses).collect()
    };
    let mut rows: Vec<_> = MANUAL.lines().filter_map(promised).collect();
    rows.retain(|row| row.len() == ENDS.len());
    assert_eq!(rows.len(), 1, "lines of the manual on `{line}`: {rows:?}");
    rows.remove(0)
}

/// Ends a job that takes long by a SIGTERM.
fn stopped(ground: &Ground, whom: impl Fn(&Running) -> i32) -> Outcome {
    let mut job = ground.printing("-k --contract lines").zoo("read-slowly 4096 500").start();
    job.until("output", |job| job.printed() > 0);
    sys::kill(whom(&job), libc::SIGTERM).unwrap();
    let outcome = job.finish();
    let first = ground.sequential("cat").starts_with(ground.printed(&outcome));
    outcome.check(first, || "wanted the first lines of the output".to_owned());
    outcome
}

fn stopped_in_order(ground: &Ground) -> Outcome {
    let outcome = stopped(ground, |job| {
        let fronts = (ground.backend.root)(job, ground.backend.program);
        assert_eq!(fronts.len(), 1, "{fronts:?}");
        fronts[0].pid
    });
    let written = format!(
        "stopped by SIGTERM, {} bytes of output were written",
        ground.printed(&outcome).len()
    );
    outcome.says(&written);
    outcome
}

/// The number that a shell shows.
fn shown(status: Status) -> i32 {
    match status {
        Status::Exited(code) => code,
        Status::Signaled(signal) => 128 + signal,
    }
}

/// What is returned is what the manual says.
pub fn statuses(ground: &Ground) {
    for ((end, run), wanted) in ENDS.into_iter().zip(promised(ground.backend.line)) {
        let outcome = run(ground);
        let found = shown(outcome.status);
        outcome.check(wanted.contains(&found), || format!("{end}: wanted one of {wanted:?}"));
    }
}
