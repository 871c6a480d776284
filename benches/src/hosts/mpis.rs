//! The MPIs of the lab's hosts: what starts processes of each, and the programs that are raced.

use std::ffi::OsString;
use std::path::PathBuf;

use px_tests::binary;
use px_tests::lab::Mpi;

use crate::ground::Ground;
use crate::words;

/// An MPI, and the `pxrun-mpi` that was built with it.
pub struct Way {
    pub mpi: Mpi,
    pub agent: PathBuf,
}

/// Those that are there; says of the others why they are not raced.
pub fn ways() -> Vec<Way> {
    let way = |mpi: Mpi| {
        let agent = mpi.installed().and_then(|()| binary::pxrun_mpi(mpi));
        agent.map(|agent| Way { mpi, agent }).inspect_err(|reason| {
            eprintln!("side-by-side: nothing is measured with `{}`: {reason}", mpi.launcher());
        })
    };
    Mpi::BOTH.into_iter().filter_map(|mpi| way(mpi).ok()).collect()
}

impl Way {
    /// pxrun on these hosts, by this MPI.
    pub fn pxrun(&self, pxrun: &PathBuf, hosts: &str) -> Vec<OsString> {
        let launcher = self.mpi.launcher();
        words![
            pxrun,
            "-v",
            "--backend",
            "mpi",
            "--agent-path",
            &self.agent,
            "--mpiexec",
            launcher,
            "-H",
            hosts,
        ]
    }

    /// So many processes on these hosts, by the launcher itself.
    pub fn launched(&self, hosts: &str, processes: usize) -> Vec<OsString> {
        let mut words = match self.mpi {
            Mpi::Open => words!["mpirun.openmpi", "--allow-run-as-root", "--bind-to", "none"],
            Mpi::Mpich => words!["mpiexec.hydra", "-launcher", "ssh"],
        };
        let list = match self.mpi {
            Mpi::Open => "--host",
            Mpi::Mpich => "-hosts",
        };
        words.extend(words![list, hosts, "-n", processes.to_string()]);
        words
    }

    /// pxrun-mpi itself under the launcher, each process a rank.
    pub fn direct(&self, hosts: &str, processes: usize) -> Vec<OsString> {
        let mut words = self.launched(hosts, processes);
        words.extend(words![&self.agent, "-v"]);
        words
    }

    /// Builds a program in C.
    pub fn build(&self, ground: &Ground, name: &str, text: &str) -> PathBuf {
        self.mpi.build(ground.scratch.path(), name, text)
    }
}
