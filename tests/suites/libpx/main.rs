//! libpx as C programs use it.
//!
//! | file | what |
//! |---|---|
//! | `alone.rs` | worlds of one: no pxrun anywhere |
//! | `fed.rs` | programs that `pxrun --contract px` starts |
//! | `modes.rs` | every way to cut, deal, order and run, as bytes that must be the same |
//! | `who.rs` | how such a program may behave, and what pxrun makes of it |
//! | `hostile.rs` | programs that break every rule there is |
//! | `tools.rs` | all of them under valgrind and the sanitizers |
//! | `killed.rs` | SIGKILL at any moment, on one host and on many |
//! | `jobs.rs` | jobs that a program runs itself |
//! | `inside.rs` | jobs inside of ranks of a job |
//! | `talk.rs` | ranks that talk to each other |
//! | `lost.rs` | ranks that talk, of which one is lost |
//! | `launched.rs` | programs of a launcher that each have a job of their own run |
//! | `mpi.rs` | programs of MPI that have jobs run |
//! | `c/` | the programs, whose checks are in C |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod alone;
mod fed;
mod hostile;
mod inside;
mod jobs;
mod killed;
mod launched;
mod lost;
mod modes;
mod mpi;
mod talk;
mod tools;
mod who;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use px_tests::installed::{installed, quiet};
use px_tests::job::Job;
use px_tests::outcome::Outcome;
use px_tests::scratch::Scratch;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/libpx/c")
}

/// The program that is made of `c/NAME.c`, compiled once.
fn compiled(name: &str) -> PathBuf {
    static SCRATCH: OnceLock<Scratch> = OnceLock::new();
    static COMPILED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let scratch = SCRATCH.get_or_init(Scratch::new);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let program = compiled.entry(name.to_owned()).or_insert_with(|| {
        let program = scratch.at(name);
        let prefix = installed();
        let mut compiler = prefix.command("cc");
        compiler.args("-std=c11 -D_POSIX_C_SOURCE=200809L -g -O1 -pthread".split(' '));
        compiler.args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(&program);
        compiler.arg(sources().join(format!("{name}.c")));
        compiler.args(prefix.pkg_config(&["--cflags", "--libs", "px"]));
        quiet(&mut compiler);
        program
    });
    program.clone()
}

/// A program of `c/`, started by nobody.
fn alone(name: &str, words: &str) -> Job {
    with_library(Job::new(words).program(compiled(name)))
}

/// A job that finds libpx.
fn with_library(job: Job) -> Job {
    job.env("LD_LIBRARY_PATH", installed().at("lib"))
}

/// Lines of many lengths, among them empty ones, and then this.
fn lines(count: usize, end: &str) -> Vec<u8> {
    let line = |n: usize| format!("{n} {}\n", "x".repeat(n * n % 251)).into_bytes();
    let empty = |n: usize| if n.is_multiple_of(7) { b"\n".to_vec() } else { Vec::new() };
    let all = (0..count).flat_map(|n| [line(n), empty(n)].concat());
    all.chain(end.bytes()).collect()
}

/// All lines, in an order that does not tell where they stood.
fn sorted(lines: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = lines.split(|byte| *byte == b'\n').collect();
    lines.sort();
    lines
}

/// What a job came to that must end well.
#[track_caller]
fn checked(job: Job) -> Outcome {
    let outcome = job.run();
    outcome.ok();
    outcome
}

#[track_caller]
fn prints_its_input(job: Job, input: &[u8]) {
    let printed = checked(job).stdout;
    assert!(printed == input, "{} of {} bytes", printed.len(), input.len());
}
