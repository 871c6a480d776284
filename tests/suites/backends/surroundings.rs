//! Columns on what is around a job: the standard streams that a launcher carries, and what copies see
//! of the launcher.

use std::fs;

use px_tests::lab::Mpi;
use px_tests::{binary, checker};

use crate::backends::Streams;
use crate::ground::{COUNT, Ground};

/// Each process of it prints its number, how many there are, and its host.
const WORLD: &str = include_str!("../../lab/world.c");

/// The beginnings of what launchers say to their processes.
const SAID: [&str; 15] = [
    "OMPI_",
    "PMIX_",
    "PRTE_",
    "PMI_",
    "HYDI_",
    "MPI_LOCAL",
    "SLURM_STEP",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_TASK_PID",
    "SLURM_GTIDS",
    "SLURM_SRUN_",
    "SLURM_LAUNCH_",
    "SLURM_PMI",
];

/// There is one output, each record is in it once, and a launcher in its way is spoken of once.
pub fn standard_output(ground: &Ground) {
    let joblog = ground.scratch().at("joblog");
    let outcome = ground.printing("--joblog").arg(&joblog).words("cat").run();
    checker::each_once(&outcome.ok().stdout, COUNT);
    let notes = outcome.stderr.matches("standard output goes through the launcher").count();
    let wanted = usize::from(ground.backend.streams == Streams::Carried);
    outcome.check(notes == wanted, || format!("wanted {wanted} notes on stdout"));
    let logged = fs::read_to_string(joblog).unwrap();
    assert_eq!(logged.lines().count(), 9, "{logged}");
}

/// What a launcher carries is no input; what no launcher carries is.
pub fn standard_input(ground: &Ground) {
    // Hydra itself gives up over more than its pipes hold.
    let outcome = ground.bare().words("cat").piped("some\n").run();
    match ground.backend.streams {
        Streams::Own => drop(outcome.ok().prints("some\n")),
        Streams::Carried => drop(outcome.own_error().says("use `-i FILE`").prints("")),
    }
    ground.bare().words("cat").run().ok().prints("");
    let opened = format!("exec \"$0\" \"$@\" <{}", ground.input("shared").display());
    let outcome = ground.bare().words("cat").under(&["sh", "-c", &opened]).run();
    checker::each_once(&outcome.ok().stdout, COUNT);
}

/// Copies see no variable and no descriptor of the launcher's.
pub fn environment(ground: &Ground) {
    let script = format!("cat >/dev/null; env; exec {} print-fds", binary::zoo().display());
    let outcome = ground.run(ground.job("").sh(&script));
    let lines = outcome.ok().sorted_lines();
    let count = |wanted: &str| lines.iter().filter(|line| *line == wanted).count();
    assert_eq!((count("PX_SIZE=8"), count("0 1 2")), (8, 8), "{lines:?}");
    let said = lines.iter().filter(|line| SAID.iter().any(|said| line.starts_with(said)));
    assert_eq!(said.collect::<Vec<_>>(), [""; 0]);
}

/// A copy that is a program of MPI is a world of its own.
pub fn programs_of_mpi(ground: &Ground) {
    for mpi in Mpi::BOTH {
        let world = mpi.build(ground.scratch().path(), "world", WORLD);
        // Two of Open MPI that start at once on a host are in each other's way.
        let script = "cat >/dev/null; case $PX_RANK in 0|5) exec flock \"$0\" \"$0\";; esac";
        let outcome = ground.run(ground.job("").sh(script).arg(&world));
        let wanted = ground.hosts().map(|host| format!("0 of 1 on {host}"));
        assert_eq!(outcome.ok().sorted_lines(), wanted, "{mpi:?}: {}", outcome.seen());
    }
}
