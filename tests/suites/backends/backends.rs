//! The rows: how a command line of eight ranks is started, and what is documented of that way.

use px_tests::lab::Plan;
use px_tests::processes::Process;
use px_tests::{Job, Lab, Running};

use crate::ground::Ground;

/// A way to start pxrun's processes.
pub struct Backend {
    pub name: &'static str,
    /// The hosts, unless one machine is all there is.
    pub plan: Option<fn() -> Plan>,
    /// Describes a job of eight ranks.
    pub job: fn(&Ground) -> Job,
    /// The numbers of the hosts that run ranks and that the root is not on.
    pub others: &'static [usize],
    /// What `-v` says of the way of the data to those.
    pub way: &'static str,
    /// The host of rank 5, where that is not this machine.
    pub fifth: Option<&'static str>,
    /// The process that is the root's engine.
    pub root: fn(&Running) -> Vec<Process>,
    /// The status that the outermost process has where pxrun's own is this.
    pub status: fn(i32) -> i32,
}

impl Backend {
    /// Tells whether this machine can run it.
    pub fn possible(&self) -> Result<(), String> {
        self.plan.map_or(Ok(()), |plan| plan().possible())
    }
}

/// All rows of the table.
pub const BACKENDS: &[Backend] = &[
    Backend {
        name: "local",
        plan: None,
        job: |_| Job::new("-np 8"),
        others: &[],
        way: "",
        fifth: None,
        root: the_agent,
        status: own,
    },
    Backend {
        name: "ssh-tcp",
        plan: Some(|| Lab::of(4)),
        job: |ground| by_hostfile(ground, "--backend ssh --link tcp"),
        others: &[1, 2, 3, 4],
        way: "data goes over a connection to it",
        fifth: Some("node3"),
        root: the_agent,
        status: own,
    },
    Backend {
        name: "ssh-stdio",
        plan: Some(|| Lab::of(4)),
        job: |ground| by_hostfile(ground, "--backend ssh --link ssh"),
        others: &[1, 2, 3, 4],
        way: "data goes over ssh",
        fifth: Some("node3"),
        root: the_agent,
        status: own,
    },
];

/// A job on two slots of each host.
fn by_hostfile(ground: &Ground, options: &str) -> Job {
    let lab = ground.lab();
    lab.pxrun(options).arg("--hostfile").arg(lab.hostfile(2))
}

/// The only agent in whose environment the job's mark is: a login takes none along.
fn the_agent(job: &Running) -> Vec<Process> {
    job.named("px-agent")
}

/// The process that the user sees is pxrun itself.
fn own(status: i32) -> i32 {
    status
}
