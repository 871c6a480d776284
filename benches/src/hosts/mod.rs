//! The second table: several hosts, which a lab makes on this machine.
//!
//! ```text
//! side-by-side        makes the input, brings the lab up, puts what comes back into the report
//!   on-the-head       this program again, on the lab's head: races and prints its part of the report
//!     watched         around pxrun, where its memory is to be known
//!     stand-in-login  for `pxrun --rsh`: an agent of this machine that passes for a host
//! ```
//!
//! A process that races takes every orphan for one that its contestant has left, so the hosts
//! must not be its children.

mod bring_up;
pub mod crowd;
pub mod far;
mod head;
mod login;
pub mod watched;

use std::ffi::OsString;
use std::process::ExitCode;

pub use bring_up::report;
use far::Far;

use crate::contestant::{Contestant, Launch, Output};
use crate::ground::Ground;
use crate::problem::Problem;
use crate::verify::Expect;

/// Hosts of the lab.
pub const HOSTS: usize = 4;
/// Ranks on each.
pub const RANKS: usize = 2;

/// A part that this program plays when its first word says so.
#[derive(Clone, Copy)]
pub enum Part {
    /// Races on the lab's head.
    OnTheHead,
    /// Passes for ssh.
    StandInLogin,
    /// Runs a command and tells of its memory.
    Watched,
}

impl Part {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Part::OnTheHead => "on-the-head",
            Part::StandInLogin => "stand-in-login",
            Part::Watched => "watched",
        }
    }
}

/// The part that the first word asks for.
pub fn asked_for(words: &[OsString]) -> Option<Part> {
    let first = words.first()?;
    let parts = [Part::OnTheHead, Part::StandInLogin, Part::Watched];
    parts.into_iter().find(|part| part.name() == first)
}

/// Plays a part to its end.
pub fn play(part: Part, words: &[OsString]) -> Result<ExitCode, Problem> {
    match part {
        Part::OnTheHead => head::race(words).map(|()| ExitCode::SUCCESS),
        Part::StandInLogin => login::become_agent(words),
        Part::Watched => watched::run(words),
    }
}

/// The hosts, where there are any.
pub fn far(ground: &Ground) -> Result<&Far, Problem> {
    let what = "this work needs the lab's hosts";
    ground.far.as_ref().ok_or_else(|| Problem::Usage(what.to_owned()))
}

/// A contestant that is one process: its words, its stdin, what it must print.
pub fn alone(
    ground: &Ground,
    name: &'static str,
    words: Vec<OsString>,
    stdin: Option<std::path::PathBuf>,
    expect: Expect,
) -> Contestant {
    let stdout = ground.scratch.join("result");
    let launch = Launch { words, stdin, stdout: stdout.clone() };
    Contestant { name, launches: vec![launch], output: Output::File(stdout), expect, scale: 1 }
}
