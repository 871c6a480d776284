//! The races on the lab's head.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Race;
use super::far::Far;
use crate::ground::Ground;
use crate::options::{self, Asked};
use crate::problem::Problem;
use crate::{report, sys, works};

/// Races and prints the part of the report; `words` are the table, the lab's folder, that of the
/// input, and the words of the harness.
pub fn race(words: &[OsString]) -> Result<(), Problem> {
    let [race, lab, folder, words @ ..] = words else {
        return Err(Problem::Usage("`on-the-head` needs a table and two folders".to_owned()));
    };
    let found = Race::ALL.into_iter().find(|known| known.name() == race);
    let race = found.ok_or_else(|| Problem::Usage(format!("no table is called {race:?}")))?;
    let Asked::Run(options) = options::parse(words)? else { return Ok(()) };
    sys::note_interrupts().map_err(Problem::step("install the signal handler"))?;
    let mut ground = Ground::prepare(*options)?;
    ground.far = Some(Far::find(Path::new(lab), PathBuf::from(folder))?);
    let results = works::run(race.works(), &ground)?;
    println!("{}", report::tables(&race.facts(), &results));
    Ok(())
}
