//! What Slurm gave this job, as it says in the environment of `salloc`, of `sbatch` and of a step.
//!
//! | variable | `salloc`, `sbatch` | a step | a job or step that was started in another step |
//! |---|---|---|---|
//! | `SLURM_JOB_NODELIST`, `SLURM_JOB_CPUS_PER_NODE` | the job's | the job's | the job's |
//! | `SLURM_TASKS_PER_NODE` | the job's | the step's | the job's |
//! | `SLURM_STEP_*`, `SLURM_PROCID` | not set | the step's | left over, of the other job's step |
//! | `SLURMD_NODENAME` | not set, the node | the node | the node, which may not be the job's |

mod reading;
#[cfg(test)]
mod tests;

use px_runtime::failure::Message;

use crate::hostfile::allocation::{Host, Slots};
use crate::hostfile::{Place, Source};

use reading::{NODELIST, Variables};

/// A job of Slurm's and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The number of the job.
    pub job: u32,
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The number of the step in which this process runs.
    pub step: Option<u32>,
    /// How often the job was requeued and started again.
    pub restarts: u32,
    /// Its place in an array of jobs.
    pub array: Option<Member>,
    /// In Slurm's order; at least one.
    pub nodes: Vec<Node>,
    /// The node on which this process runs, by its name in `nodes`.
    pub here: Option<String>,
    /// CPUs of a rank.
    pub cpus_per_task: u32,
    /// All nodes, in Slurm's own words.
    pub(super) nodelist: String,
    /// What is counted as slots.
    counted: Counted,
}

/// One job of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The number of the array.
    pub array: u32,
    /// The index in it.
    pub index: u32,
}

/// A node of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, as Slurm says it.
    pub name: String,
    /// CPUs of the job there.
    pub cpus: u32,
    /// Ranks that have room there.
    pub slots: u32,
}

/// What a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Tasks,
    Cpus,
}

impl Allocation {
    /// Reads the allocation from the variables of a process; `None` outside a job.
    ///
    /// A node has as many slots as the job has tasks there. Where these are not known, as in a step of
    /// one task in a job of many, it has one for each CPU, or for each `SLURM_CPUS_PER_TASK`.
    ///
    /// # Errors
    /// A variable that is missing or wrong; a heterogeneous job.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Message> {
        Variables::new(&variable).allocation()
    }

    /// What messages call it.
    pub fn title(&self) -> String {
        format!("Slurm job {}", self.job)
    }

    /// Its nodes as hosts, to place ranks on.
    pub fn hosts(&self) -> Vec<Host> {
        let place = Place { source: Source::Variable(NODELIST), line: 1, column: 1 };
        let host = |node: &Node| Host {
            host: node.name.clone(),
            user: None,
            port: None,
            slots: Slots::Counted(node.slots),
            max_slots: None,
            reason: self.reason(node),
            place: place.clone(),
        };
        self.nodes.iter().map(host).collect()
    }

    /// Why a node has its slots, for a table.
    pub(super) fn reason(&self, node: &Node) -> String {
        match (self.counted, self.cpus_per_task) {
            (Counted::Tasks, _) => format!("tasks of {}", self.title()),
            (Counted::Cpus, 1) => format!("CPUs of {}", self.title()),
            (Counted::Cpus, each) => {
                format!("{} CPUs of {}, {each} a rank", node.cpus, self.title())
            }
        }
    }
}
