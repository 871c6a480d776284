//! libpx as C programs use it.
//!
//! | file | what |
//! |---|---|
//! | `alone.rs` | worlds of one: no pxrun anywhere |
//! | `c/` | the programs, whose checks are in C |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod alone;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use px_tests::installed::{installed, quiet};
use px_tests::job::Job;
use px_tests::scratch::Scratch;

/// The program that is made of `c/NAME.c`, compiled once.
fn compiled(name: &str) -> PathBuf {
    static SCRATCH: OnceLock<Scratch> = OnceLock::new();
    static COMPILED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let scratch = SCRATCH.get_or_init(Scratch::new);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let program = compiled.entry(name.to_owned()).or_insert_with(|| {
        let program = scratch.at(name);
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/libpx/c");
        let prefix = installed();
        let mut compiler = prefix.command("cc");
        compiler.args("-std=c11 -D_POSIX_C_SOURCE=200809L -g -O1 -pthread".split(' '));
        compiler.args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(&program);
        compiler.arg(sources.join(format!("{name}.c")));
        compiler.args(prefix.pkg_config(&["--cflags", "--libs", "px"]));
        quiet(&mut compiler);
        program
    });
    program.clone()
}

/// A program of `c/`, started by nobody.
fn alone(name: &str, words: &str) -> Job {
    let job = Job::new(words).program(compiled(name));
    job.env("LD_LIBRARY_PATH", installed().at("lib"))
}
