//! One table: every way to start pxrun's processes gives the same bytes, status and message, and
//! leaves no process.
//!
//! A row is a backend, a column is something that a job can be or that can happen to it. The suite
//! is its own test runner, since it ends with a list: which cells this machine could not run, and
//! why. Words on its command line choose the cells whose names have one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod backends;
mod cells;
mod endings;
mod ground;
mod surroundings;
mod words;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use backends::{BACKENDS, Backend};
use cells::{CELLS, Cell};
use ground::Ground;
use words::Words;

/// What became of the cells.
#[derive(Default)]
struct Report {
    passed: usize,
    failed: Vec<String>,
    not_run: Vec<String>,
    filtered: usize,
}

fn name(backend: &Backend, cell: &Cell) -> String {
    format!("{}::{}", backend.name, cell.name)
}

impl Report {
    /// Runs the cells of one backend.
    fn row(&mut self, backend: &'static Backend, words: &Words) {
        let (wanted, other): (Vec<&Cell>, Vec<&Cell>) =
            CELLS.iter().partition(|cell| words.choose(&name(backend, cell)));
        self.filtered += other.len();
        if let Err(reason) = backend.possible() {
            let lines = wanted.iter().map(|cell| format!("{}: {reason}", name(backend, cell)));
            return self.not_run.extend(lines);
        }
        let mut ground = None;
        for cell in wanted {
            if let Err(reason) = cell.possible() {
                self.not_run.push(format!("{}: {reason}", name(backend, cell)));
                continue;
            }
            let on = ground.take().unwrap_or_else(|| Ground::new(backend));
            print!("test {} ... ", name(backend, cell));
            // So that a cell that hangs has said its name.
            let _ = std::io::stdout().flush();
            let run = catch_unwind(AssertUnwindSafe(|| {
                (cell.run)(&on);
                on.is_left_clean();
            }));
            if run.is_ok() {
                println!("ok");
                self.passed += 1;
                // What a failed cell has left is not for the next.
                ground = Some(on);
            } else {
                println!("FAILED");
                self.failed.push(name(backend, cell));
            }
        }
    }

    fn print(&self, start: Instant) {
        let list = |title: &str, lines: &[String]| {
            if !lines.is_empty() {
                println!("\n{title}:\n    {}", lines.join("\n    "));
            }
        };
        list("failures", &self.failed);
        list("not run", &self.not_run);
        let verdict = if self.failed.is_empty() { "ok" } else { "FAILED" };
        let (passed, failed, not_run) = (self.passed, self.failed.len(), self.not_run.len());
        println!(
            "\ntest result: {verdict}. {passed} passed; {failed} failed; {not_run} ignored; 0 \
             measured; {} filtered out; finished in {:.2}s\n",
            self.filtered,
            start.elapsed().as_secs_f64()
        );
    }
}

fn main() -> ExitCode {
    let words = Words::of(std::env::args().skip(1));
    let start = Instant::now();
    if words.list {
        for backend in BACKENDS {
            for cell in CELLS.iter().filter(|cell| words.choose(&name(backend, cell))) {
                println!("{}: test", name(backend, cell));
            }
        }
        return ExitCode::SUCCESS;
    }
    let mut report = Report::default();
    for backend in BACKENDS {
        report.row(backend, &words);
    }
    report.print(start);
    if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
