//! The rows: how a command line of eight ranks is started, and what is documented of that way.

use px_tests::lab::{Mpi, Plan};
use px_tests::processes::{self, Process};
use px_tests::{Job, Lab, Running, binary};

use crate::ground::Ground;

/// A way to start pxrun's processes.
pub struct Backend {
    pub name: &'static str,
    /// The line of the manual's table on what is returned.
    pub line: &'static str,
    /// The hosts, unless one machine is all there is.
    pub plan: Option<fn() -> Plan>,
    /// Describes a job of eight ranks.
    pub job: fn(&Ground) -> Job,
    /// Who carries standard input and output.
    pub streams: Streams,
    /// The numbers of the hosts that run ranks and that the root is not on.
    pub others: &'static [usize],
    /// How many agents there are besides the root's own, and how many of them are on those hosts.
    pub agents: (usize, usize),
    /// What `-v` says of the way of the data to those.
    pub way: &'static str,
    /// The hosts of ranks 0 and 5, where they are not this machine.
    pub hosts: Option<[&'static str; 2]>,
    /// Finds the process of this name that belongs to the root.
    pub root: fn(&Running, &str) -> Vec<Process>,
    /// The name of what the user or a launcher starts.
    pub program: &'static str,
    /// The MPI whose links it takes.
    pub mpi: Option<Mpi>,
}

/// Who carries the standard input and output of pxrun's first process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Nobody: they are what the user gave.
    Own,
    /// The launcher, which promises less than pxrun.
    Carried,
}

impl Backend {
    /// Tells whether this machine can run it.
    pub fn possible(&self) -> Result<(), String> {
        self.plan.map_or(Ok(()), |plan| plan().possible())?;
        self.mpi.map_or(Ok(()), |mpi| binary::pxrun_mpi(mpi).map(drop))
    }
}

/// All rows of the table.
pub const BACKENDS: &[Backend] = &[
    Backend {
        name: "local",
        line: "pxrun",
        plan: None,
        job: |_| Job::new("-np 8"),
        streams: Streams::Own,
        others: &[],
        agents: (0, 0),
        way: "",
        hosts: None,
        root: without_a_rank,
        program: "pxrun",
        mpi: None,
    },
    Backend {
        name: "ssh-tcp",
        plan: Some(|| Lab::of(4)),
        job: |ground| by_hostfile(ground, "--backend ssh --link tcp"),
        way: "data goes over a connection to it",
        ..FROM_THE_HEAD
    },
    Backend {
        name: "ssh-stdio",
        plan: Some(|| Lab::of(4)),
        job: |ground| by_hostfile(ground, "--backend ssh --link ssh"),
        way: "data goes over ssh",
        ..FROM_THE_HEAD
    },
    Backend {
        name: "mpi-openmpi",
        plan: Some(|| Lab::of(4).mpi(Mpi::Open)),
        job: |ground| by_mpi(ground, Mpi::Open),
        mpi: Some(Mpi::Open),
        ..BY_MPI
    },
    Backend {
        name: "mpi-mpich",
        plan: Some(|| Lab::of(4).mpi(Mpi::Mpich)),
        job: |ground| by_mpi(ground, Mpi::Mpich),
        mpi: Some(Mpi::Mpich),
        ..BY_MPI
    },
    Backend {
        name: "salloc",
        line: "salloc",
        plan: Some(slurm),
        job: |ground| ground.lab().pxrun("").under(&["salloc", "-Q", "-N4", "-n8"]),
        way: "data goes over a connection from it",
        ..FROM_THE_HEAD
    },
    Backend {
        name: "hydra",
        line: "mpiexec.hydra",
        plan: Some(|| Lab::of(4).mpi(Mpi::Mpich)),
        job: |ground| ground.lab().under_mpi(Mpi::Mpich, 8, ground.lab().pxrun("")),
        ..EACH_A_RANK
    },
    Backend {
        name: "hydra-mpi",
        line: "mpiexec.hydra",
        plan: Some(|| Lab::of(4).mpi(Mpi::Mpich)),
        job: |ground| of_mpi(ground, Mpi::Mpich),
        mpi: Some(Mpi::Mpich),
        ..EACH_A_PROCESS_OF_MPI
    },
    Backend {
        name: "mpirun-mpi",
        line: "mpirun",
        plan: Some(|| Lab::of(4).mpi(Mpi::Open)),
        job: |ground| of_mpi(ground, Mpi::Open),
        mpi: Some(Mpi::Open),
        ..EACH_A_PROCESS_OF_MPI
    },
    Backend {
        name: "srun-pmi2",
        line: "srun",
        plan: Some(slurm),
        job: |ground| step(ground, "pmi2"),
        ..EACH_A_RANK
    },
    Backend {
        name: "srun-none",
        line: "srun",
        plan: Some(slurm),
        job: |ground| step(ground, "none"),
        ..EACH_A_RANK
    },
];

/// The root is on the head, which runs no rank, and each host has one agent.
const FROM_THE_HEAD: Backend = Backend {
    name: "",
    line: "pxrun",
    plan: None,
    job: |_| Job::new(""),
    streams: Streams::Own,
    others: &[1, 2, 3, 4],
    agents: (4, 4),
    way: "",
    hosts: Some(["node1", "node3"]),
    root: without_a_rank,
    program: "pxrun",
    mpi: None,
};

/// A launcher's first process does the work of the pxrun that has started the launcher.
const BY_MPI: Backend = Backend { way: "data goes over MPI", root: below_pxrun, ..FROM_THE_HEAD };

/// A launcher started eight processes, two a host, and the first of them is the root.
const EACH_A_RANK: Backend = Backend {
    streams: Streams::Carried,
    others: &[2, 3, 4],
    agents: (7, 6),
    way: "data goes over a connection from it",
    root: of_rank_zero,
    ..FROM_THE_HEAD
};

/// The same of `pxrun-mpi`.
const EACH_A_PROCESS_OF_MPI: Backend =
    Backend { way: "data goes over MPI", program: "pxrun-mpi", ..EACH_A_RANK };

/// A Slurm of four nodes, whose head is none of them.
fn slurm() -> Plan {
    Lab::of(4).slurm(|slurm| slurm)
}

/// A job on two slots of each host.
fn by_hostfile(ground: &Ground, options: &str) -> Job {
    let lab = ground.lab();
    lab.pxrun(options).arg("--hostfile").arg(lab.hostfile(2))
}

/// The same with processes of an MPI.
fn by_mpi(ground: &Ground, mpi: Mpi) -> Job {
    let job = by_hostfile(ground, "--backend mpi").words("--mpiexec").arg(mpi.launcher());
    job.arg("--agent-path").arg(binary::pxrun_mpi(mpi).unwrap())
}

/// Eight tasks of a step that has this way to meet.
fn step(ground: &Ground, mpi: &str) -> Job {
    let way = format!("--mpi={mpi}");
    ground.lab().pxrun("").under(&["srun", "-Q", "-N4", "-n8", &way])
}

/// Eight processes of an MPI.
fn of_mpi(ground: &Ground, mpi: Mpi) -> Job {
    let program = binary::pxrun_mpi(mpi).unwrap();
    ground.lab().under_mpi(mpi, 8, ground.lab().pxrun("").program(program))
}

/// What tells a process its number in the world of its launcher.
const RANKS: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"];

/// The only one that no launcher has given a number.
fn without_a_rank(job: &Running, name: &str) -> Vec<Process> {
    let mut found = job.named(name);
    let has = |pid, rank| processes::variable(pid, rank).is_some();
    found.retain(|process| !RANKS.iter().any(|rank| has(process.pid, rank)));
    found
}

/// The pxrun that no launcher has started, and whatever belongs to its launcher's first process.
fn below_pxrun(job: &Running, name: &str) -> Vec<Process> {
    if name == "pxrun" { without_a_rank(job, name) } else { of_rank_zero(job, name) }
}

/// The one that its launcher has given the number 0.
fn of_rank_zero(job: &Running, name: &str) -> Vec<Process> {
    let mut found = job.named(name);
    let first = |pid, rank| processes::variable(pid, rank).is_some_and(|number| number == "0");
    found.retain(|process| RANKS.iter().any(|rank| first(process.pid, rank)));
    found
}
