//! Programs that the launcher of an MPI or Slurm starts, each of which has a job of its own run: on the
//! host where it is, whatever the world that it is one of.

use std::path::{Path, PathBuf};
use std::time::Duration;

use px_tests::installed::{installed, quiet};
use px_tests::job::Job;
use px_tests::lab::Mpi;
use px_tests::{Lab, Scratch, lab};

use crate::{compiled, sources};

/// Says who a copy of such a job is.
const TELLS: &str = "echo $PX_RANK of $PX_SIZE on $PX_HOST";

/// Prints which process of which world of MPI it is, and its host.
const WORLD: &str = include_str!("../../lab/world.c");

/// How a world ends: by the MPI's own means, but for MPICH's over several hosts, which can hang.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Own,
    Safe,
}

/// The programs that are made for one MPI.
struct Programs {
    scratch: Scratch,
    /// That of `c/launched.c`.
    launched: PathBuf,
    /// One that the jobs run.
    world: PathBuf,
}

impl Programs {
    fn of(mpi: Mpi, end: End) -> Self {
        let (scratch, prefix) = (Scratch::new(), installed());
        let launched = scratch.at("launched");
        let mut compiler = prefix.command(mpi.compiler());
        compiler.args("-std=c11 -g -O1 -Wall -Wextra -Werror -o".split(' ')).arg(&launched);
        compiler.arg(sources().join("launched.c"));
        if (mpi, end) == (Mpi::Mpich, End::Safe) {
            compiler.arg(sources().join("../../../lab/finalize.c"));
        }
        compiler.args(prefix.pkg_config(&["--cflags", "--libs", "px"]));
        // Logins on other hosts take no variable along.
        compiler.arg(format!("-Wl,-rpath,{}", prefix.at("lib").display()));
        quiet(&mut compiler);
        let world = mpi.build(scratch.path(), "world", WORLD);
        Programs { scratch, launched, world }
    }

    /// Has a world of as many processes as there are hosts given have jobs run, each of which tells
    /// by its output where it was.
    #[track_caller]
    fn run(&self, launch: impl Fn(&Path) -> Job, hosts: &[&str]) {
        let output = self.scratch.at("output");
        let job = || launch(&self.launched).arg(&output);
        self.check(job().words("sh -c").arg(TELLS), hosts, |rank| format!("{rank} of 2"));
        // A program of MPI that pxrun starts is a world of its own.
        self.check(job().arg(&self.world), hosts, |_| "0 of 1".to_owned());
    }

    #[track_caller]
    fn check(&self, job: Job, hosts: &[&str], who: impl Fn(usize) -> String) {
        let outcome = job.run();
        let size = hosts.len();
        let wanted: Vec<_> = (0..size).map(|rank| format!("{rank} of {size}")).collect();
        outcome.ok().check(outcome.sorted_lines() == wanted, || format!("wanted {wanted:?}"));
        for (rank, host) in hosts.iter().enumerate() {
            let name = format!("output.{rank}");
            let told = String::from_utf8(self.scratch.read(&name)).unwrap();
            assert_eq!(told, format!("{} on {host}\n{} on {host}\n", who(0), who(1)));
            std::fs::remove_file(self.scratch.at(&name)).unwrap();
        }
    }
}

#[test]
fn each_process_of_a_world_on_this_machine_has_its_own_job_here() {
    let here = Job::new("-np 1").sh("echo $PX_HOST").run().text();
    for mpi in Mpi::BOTH {
        let launcher: &[&str] = match mpi {
            Mpi::Open => &["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"],
            Mpi::Mpich => &[],
        };
        let words = [&[mpi.launcher()], launcher, &["-n", "3"]].concat();
        let launch = |program: &Path| Job::new("").program(program).under(&words);
        // Waits until nothing of it is left.
        Programs::of(mpi, End::Own).run(launch, &[here.trim(); 3]);
    }
}

#[test]
fn each_process_of_a_world_over_hosts_has_its_own_job_where_it_is() {
    for mpi in Mpi::BOTH {
        let lab = lab!(Lab::of(2).mpi(mpi));
        let launch = |program: &Path| lab.mpirun(mpi, 2, program.to_str().unwrap());
        Programs::of(mpi, End::Safe).run(launch, &["node1", "node2"]);
        assert_eq!(lab.leftovers(Duration::from_secs(60)), []);
    }
}

#[test]
fn each_task_of_a_step_has_its_own_job_where_it_is() {
    for (mpi, way) in [(Mpi::Open, "pmix"), (Mpi::Mpich, "pmi2")] {
        let lab = lab!(Lab::of(2).mpi(mpi).slurm(|slurm| slurm));
        let step = format!("srun -N 2 -n 4 --mpi={way}");
        let launch = |program: &Path| lab.job(&step).arg(program);
        Programs::of(mpi, End::Safe).run(launch, &["node1", "node1", "node2", "node2"]);
        assert_eq!(lab.leftovers(Duration::from_secs(60)), []);
    }
}

#[test]
fn each_task_that_knows_no_mpi_has_its_own_job_where_it_is() {
    let (lab, scratch) = (lab!(Lab::of(2).slurm(|slurm| slurm)), Scratch::new());
    let script = "exec \"$JOB\" ranks=2 order=2 output=\"$OUT.$SLURM_PROCID\" -- sh -c \"$TELLS\"";
    let job = lab.job("srun -N 2 -n 4 --mpi=none").sh(script).env("TELLS", TELLS);
    let job = job.env("JOB", compiled("job")).env("OUT", scratch.at("output"));
    let outcome = job.env("LD_LIBRARY_PATH", installed().at("lib")).run();
    assert_eq!(outcome.ok().stderr.matches("run 0\n").count(), 4, "{}", outcome.stderr);
    for (task, host) in ["node1", "node1", "node2", "node2"].iter().enumerate() {
        let told = String::from_utf8(scratch.read(&format!("output.{task}"))).unwrap();
        assert_eq!(told, format!("0 of 2 on {host}\n1 of 2 on {host}\n"));
    }
    assert_eq!(lab.leftovers(Duration::from_secs(60)), []);
}
