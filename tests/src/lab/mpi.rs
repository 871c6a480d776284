//! The MPIs that programs on a lab's hosts are built with and started by.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Lab;
use super::plan::first_missing;
use super::space::run;
use super::texts::NETWORK;
use crate::job::Job;
use crate::processes::MARK;

/// An MPI, as Debian names its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mpi {
    /// Open MPI, with `mpirun`.
    Open,
    /// MPICH, with Hydra's `mpiexec`.
    Mpich,
}

impl Mpi {
    /// Both.
    pub const BOTH: [Mpi; 2] = [Mpi::Open, Mpi::Mpich];

    /// What starts its programs.
    pub fn launcher(self) -> &'static str {
        match self {
            Mpi::Open => "mpirun.openmpi",
            Mpi::Mpich => "mpiexec.hydra",
        }
    }

    /// What builds them.
    pub fn compiler(self) -> &'static str {
        match self {
            Mpi::Open => "mpicc.openmpi",
            Mpi::Mpich => "mpicc.mpich",
        }
    }

    /// Tells whether this machine has it.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn installed(self) -> Result<(), String> {
        first_missing(self.programs())
            .map_or(Ok(()), |program| Err(format!("there is no `{program}`")))
    }

    /// Builds a program in C, and returns its path in the directory.
    ///
    /// # Panics
    ///
    /// When it does not compile.
    pub fn build(self, directory: &Path, name: &str, text: &str) -> PathBuf {
        let source = directory.join(format!("{name}.c"));
        fs::write(&source, text).expect("a source");
        let program = directory.join(format!("{name}.{}", self.compiler()));
        run(Command::new(self.compiler()).arg("-O1").arg("-o").arg(&program).arg(&source));
        program
    }

    fn programs(self) -> [&'static str; 2] {
        [self.launcher(), self.compiler()]
    }

    /// Lines that the head runs before each command. Hosts of one kernel look like a single one
    /// to an MPI, which would go through shared memory that they do not share.
    pub(super) fn setup(self, lab: &Path) -> String {
        match self {
            Mpi::Open => format!(
                "export OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include={NETWORK} \
                 OMPI_MCA_oob_tcp_if_include={NETWORK} OMPI_MCA_orte_tmpdir_base={}\n",
                lab.display()
            ),
            Mpi::Mpich => "export UCX_TLS=tcp,self\n".to_owned(),
        }
    }

    /// The launcher's words for ranks dealt out evenly over hosts.
    fn words(self, hosts: &[String], ranks: usize) -> Vec<String> {
        let slots = ranks.div_ceil(hosts.len());
        let list = hosts.iter().fold(String::new(), |mut list, host| {
            let comma = if list.is_empty() { "" } else { "," };
            let _ = write!(list, "{comma}{host}:{slots}");
            list
        });
        let words: &[&str] = match self {
            // Unlike Hydra it takes no variable of the user's along unasked.
            Mpi::Open => &["--allow-run-as-root", "--bind-to", "none", "-x", MARK, "--host"],
            Mpi::Mpich => &["-launcher", "ssh", "-hosts"],
        };
        let start = [self.launcher()].into_iter().chain(words.iter().copied()).map(str::to_owned);
        start.chain([list, "-n".to_owned(), ranks.to_string()]).collect()
    }
}

impl Lab {
    /// Describes a program of an MPI, given by the words of its command line, that the head
    /// starts as so many ranks dealt out evenly over all hosts.
    pub fn mpirun(&self, mpi: Mpi, ranks: usize, words: &str) -> Job {
        self.under_mpi(mpi, ranks, self.job(words))
    }

    /// Has a job on the head started as so many processes dealt out evenly over all hosts.
    pub fn under_mpi(&self, mpi: Mpi, processes: usize, job: Job) -> Job {
        let hosts: Vec<String> = self.hosts.iter().map(super::Host::name).collect();
        let launcher = mpi.words(&hosts, processes);
        job.under(&launcher.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_has_a_slot_and_no_host_has_more_than_its_share() {
        let hosts = ["node1".to_owned(), "node2".to_owned()];
        let words = Mpi::Mpich.words(&hosts, 5).join(" ");
        assert_eq!(words, "mpiexec.hydra -launcher ssh -hosts node1:3,node2:3 -n 5");
        let words = Mpi::Open.words(&hosts, 2).join(" ");
        assert!(words.ends_with(" --host node1:1,node2:1 -n 2"), "{words}");
    }
}
