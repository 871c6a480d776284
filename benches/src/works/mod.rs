//! The works: each a file's function that puts its contestants and targets together.

mod cat;
mod chunks;
mod deal;
mod filters;

use crate::contestant::Contestant;
use crate::ground::Ground;
use crate::problem::Problem;
use crate::rounds::{self, Outcome};
use crate::targets::Target;

/// One row of the race.
pub struct Work {
    pub id: &'static str,
    pub title: String,
    pub contestants: Vec<Contestant>,
    /// The bare limit that the last ratio is taken to.
    pub limit: Option<&'static str>,
    pub targets: Vec<Target>,
    /// Printed under the table.
    pub remarks: Vec<String>,
    pub rounds: usize,
}

/// A work and what came of it.
pub struct Raced {
    pub work: Work,
    pub outcomes: Vec<Outcome>,
}

/// How a work is asked for and made ready.
pub struct Entry {
    pub id: &'static str,
    prepare: fn(&Ground) -> Result<Work, Problem>,
}

/// All works, in the order in which they are run and printed.
pub const ALL: [Entry; 8] = [
    Entry { id: "wc", prepare: filters::wc },
    Entry { id: "sed", prepare: filters::sed },
    Entry { id: "python", prepare: filters::python },
    Entry { id: "cat", prepare: cat::cat },
    Entry { id: "sed-k", prepare: filters::sed_in_order },
    Entry { id: "chunks", prepare: chunks::chunks },
    Entry { id: "start", prepare: chunks::start },
    Entry { id: "deal", prepare: deal::deal },
];

/// Prepares and runs every work that the options want.
pub fn run_all(ground: &Ground) -> Result<Vec<Raced>, Problem> {
    let mut raced = Vec::new();
    for entry in ALL.iter().filter(|entry| ground.options.wants(entry.id)) {
        let work = (entry.prepare)(ground)?;
        let outcomes = rounds::race(&work, ground)?;
        raced.push(Raced { work, outcomes });
    }
    Ok(raced)
}
