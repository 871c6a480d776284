//! The works with libpx: programs in C, built against an installed one and run by pxrun on this
//! machine.

pub mod counts;
pub mod first;
pub mod messages;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use px_tests::installed::{Prefix, install};
use px_tests::lab::Mpi;

use crate::contestant::Contestant;
use crate::ground::Ground;
use crate::hosts::alone;
use crate::hosts::race::{said, version};
use crate::problem::Problem;
use crate::tools::Tool;
use crate::verify::Expect;
use crate::words;

/// The work that is run more often, since it is short.
pub const FIRST: &str = "px-first";

/// What the programs were built with, and what they are compared with.
pub fn facts() -> Vec<String> {
    let compiler = said("cc", &["--version"]);
    let compiler = compiler.lines().next().unwrap_or("unknown");
    let mut facts = vec![format!("compiler of the programs: {compiler}, -O2")];
    for mpi in Mpi::BOTH.into_iter().filter(|mpi| mpi.installed().is_ok()) {
        facts.push(format!("`{}`: {}", mpi.launcher(), version(mpi)));
    }
    facts
}

/// Builds a program against libpx, which is installed when it is first wanted.
fn build(ground: &Ground, name: &str, text: &str) -> Result<PathBuf, Problem> {
    let folder = ground.scratch.join("prefix");
    if !folder.exists() {
        eprintln!("side-by-side: building libpx");
        install(&["--prefix".as_ref(), folder.as_os_str(), "--mpi".as_ref(), "none".as_ref()]);
    }
    let prefix = Prefix::of(folder);
    let source = ground.scratch.join(&format!("{name}.c"));
    fs::write(&source, text).map_err(Problem::step(format!("write `{}`", source.display())))?;
    let program = ground.scratch.join(name);
    let mut rpath = OsString::from("-Wl,-rpath,");
    rpath.push(prefix.at("lib"));
    let mut command = prefix.command("cc");
    command.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-o"]).arg(&program).arg(&source);
    command.args(prefix.pkg_config(&["--cflags", "--libs", "px"])).arg(rpath);
    let output = command.output().map_err(Problem::step("run `cc`"))?;
    match output.status.success() {
        true => Ok(program),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Problem::Status { status: output.status, said })
        }
    }
}

/// pxrun with so many copies of a program that uses libpx.
fn contract_px(pxrun: &Tool, ranks: usize, program: &Path) -> Vec<OsString> {
    words![&pxrun.path, "-v", "-np", ranks.to_string(), "--contract", "px", program]
}

/// A contestant with no input whose copies say for how long they had work.
fn without_input(
    ground: &Ground,
    name: &'static str,
    words: Vec<OsString>,
    total: u64,
) -> Contestant {
    alone(ground, name, words, None, Expect::Spans { copies: 1, total })
}
