//! The works: each a file's function that puts its contestants and targets together.

mod cat;
mod chunks;
mod cluster;
mod deal;
mod filters;
mod hosts;
pub mod libpx;

use crate::contestant::Contestant;
use crate::ground::Ground;
use crate::hosts::crowd;
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
    pub table: Table,
    pub targets: Vec<Target>,
    /// Printed under the table.
    pub remarks: Vec<String>,
    pub rounds: usize,
}

/// What the columns of a work's table are, besides wall and CPU time.
#[derive(Clone, Copy, PartialEq)]
pub enum Table {
    /// Own CPU, ratios to oracle and bare limit.
    OneMachine,
    /// Wall time after all hosts have answered, the root's CPU, the ratio to the bare limit.
    Hosts,
    /// The root's CPU.
    Cluster,
    /// For how long the copies had work.
    Spans,
    /// For how long so many messages were on their way, and each of them.
    Messages(u64),
    /// What the busiest idle agent took.
    Idle,
    /// Time until all hosts have answered, what the root takes.
    Crowd,
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

/// The works on one machine, in the order in which they are run and printed.
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

/// The works with libpx, on one machine.
pub const WITH_LIBPX: [Entry; 5] = [
    Entry { id: "px-lines", prepare: libpx::counts::lines },
    Entry { id: "px-words", prepare: libpx::counts::words },
    Entry { id: "px-messages", prepare: libpx::messages::rate },
    Entry { id: "px-latency", prepare: libpx::messages::latency },
    Entry { id: libpx::FIRST, prepare: libpx::first::first },
];

/// The works on the lab's hosts.
pub const ON_HOSTS: [Entry; 5] = [
    Entry { id: "hosts-start", prepare: hosts::start },
    Entry { id: "hosts-link", prepare: hosts::link },
    Entry { id: "hosts-cat", prepare: hosts::cat },
    Entry { id: "hosts-wc", prepare: hosts::count },
    Entry { id: "hosts-agents", prepare: crowd::agents },
];

/// The works with MPI and Slurm.
pub const ON_CLUSTER: [Entry; 6] = [
    Entry { id: "mpi-start", prepare: cluster::start::start },
    Entry { id: "mpi-link", prepare: cluster::link::link },
    Entry { id: "mpi-idle", prepare: cluster::copies::idle },
    Entry { id: "mpi-work", prepare: cluster::copies::work },
    Entry { id: "mpi4py", prepare: cluster::pool::pool },
    Entry { id: "slurm-step", prepare: cluster::start::step },
];

/// Prepares and runs those of the works that the options want.
pub fn run(works: &[Entry], ground: &Ground) -> Result<Vec<Raced>, Problem> {
    let mut raced = Vec::new();
    for entry in works.iter().filter(|entry| ground.options.wants(entry.id)) {
        let work = (entry.prepare)(ground)?;
        let outcomes = rounds::race(&work, ground)?;
        raced.push(Raced { work, outcomes });
    }
    Ok(raced)
}
