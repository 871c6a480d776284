//! The tables with several hosts, which a lab makes on this machine.
//!
//! ```text
//! side-by-side        makes the input, brings the lab up, puts what comes back into the report
//!   on-the-head       this program again, on the lab's head: races and prints its part of the report
//!     watched         around pxrun, where its memory is to be known
//!     idle            around pxrun, where what its agents take is to be known
//!     stand-in-login  for `pxrun --rsh`: an agent of this machine that passes for a host
//!     swallow, burn   a command that pxrun runs, which says for how long it had work
//! ```
//!
//! A process that races takes every orphan for one that its contestant has left, so the hosts
//! must not be its children.

mod bring_up;
pub mod copies;
pub mod crowd;
pub mod far;
mod head;
pub mod idle;
mod login;
pub mod mpis;
pub mod race;
pub mod watched;

use std::ffi::OsString;
use std::process::ExitCode;

pub use bring_up::report;
use far::Far;
pub use race::Race;

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
    /// Runs a command and tells what its agents take while they wait.
    Idle,
    /// A copy that reads.
    Swallow,
    /// A copy that computes.
    Burn,
}

impl Part {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Part::OnTheHead => "on-the-head",
            Part::StandInLogin => "stand-in-login",
            Part::Watched => "watched",
            Part::Idle => "idle",
            Part::Swallow => "swallow",
            Part::Burn => "burn",
        }
    }
}

/// The part that the first word asks for.
pub fn asked_for(words: &[OsString]) -> Option<Part> {
    let first = words.first()?;
    let parts =
        [Part::OnTheHead, Part::StandInLogin, Part::Watched, Part::Idle, Part::Swallow, Part::Burn];
    parts.into_iter().find(|part| part.name() == first)
}

/// Plays a part to its end.
pub fn play(part: Part, words: &[OsString]) -> Result<ExitCode, Problem> {
    match part {
        Part::OnTheHead => head::race(words).map(|()| ExitCode::SUCCESS),
        Part::StandInLogin => login::become_agent(words),
        Part::Watched => watched::run(words),
        Part::Idle => idle::run(words),
        Part::Swallow => copies::swallow(),
        Part::Burn => copies::burn(words),
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
