//! The tables that are raced on a lab: each has hosts of its own kind.

use std::fs;
use std::process::Command;

use px_tests::Lab;
use px_tests::lab::{Mpi, Plan};

use super::{HOSTS, RANKS};
use crate::works::{Entry, ON_CLUSTER, ON_HOSTS};

/// A table.
#[derive(Clone, Copy, PartialEq)]
pub enum Race {
    /// What hosts are reached by is ssh.
    Hosts,
    /// They have two MPIs and a Slurm.
    Cluster,
}

impl Race {
    /// All of them.
    pub const ALL: [Race; 2] = [Race::Hosts, Race::Cluster];

    /// How it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Race::Hosts => "hosts",
            Race::Cluster => "cluster",
        }
    }

    /// Its works.
    pub fn works(self) -> &'static [Entry] {
        match self {
            Race::Hosts => &ON_HOSTS,
            Race::Cluster => &ON_CLUSTER,
        }
    }

    /// Its lab.
    pub fn plan(self) -> Plan {
        let plan = Lab::of(HOSTS);
        match self {
            Race::Hosts => plan,
            Race::Cluster => {
                Mpi::BOTH.into_iter().fold(plan, Plan::mpi).slurm(|slurm| slurm.cpus(RANKS))
            }
        }
    }

    /// How the lab is described to a reader.
    pub fn facts(self) -> Vec<String> {
        let mut facts = hosts();
        match self {
            Race::Hosts => facts.push(format!(
                "ssh: {}, its default cipher, no compression, no shared connections",
                said("ssh", &["-V"])
            )),
            Race::Cluster => {
                for mpi in Mpi::BOTH {
                    facts.push(format!("`{}`: {}", mpi.launcher(), version(mpi)));
                }
                facts.push(
                    "messages between hosts and within one: over TCP, in both MPIs".to_owned(),
                );
                facts.push(format!("Slurm: {}, with munge", said("srun", &["--version"])));
                facts.push(format!("mpi4py: {}", said(PYTHON, &["-c", MPI4PY])));
            }
        }
        facts
    }
}

/// The interpreter whose packages are the distribution's.
pub const PYTHON: &str = "/usr/bin/python3";
const MPI4PY: &str = "import mpi4py; print(mpi4py.__version__, 'for Open MPI')";

fn hosts() -> Vec<String> {
    let control = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    let control = control.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
    vec![
        format!(
            "hosts: {HOSTS} network namespaces of this machine with an sshd each, and the head, \
             from which all is started; all share its cores"
        ),
        format!("cables: pairs of virtual cards on one bridge, 1,500 bytes a packet, {control}"),
    ]
}

/// The line in which a launcher says what it is.
pub fn version(mpi: Mpi) -> String {
    let said = said(mpi.launcher(), &["--version"]);
    let line = said.lines().find(|line| line.contains("Version:") || line.contains("OpenRTE"));
    let words = line.unwrap_or("unknown").split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// What a program says to these words.
pub fn said(program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    // Open MPI's launcher refuses root even this question.
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
        command.env(name, "1");
    }
    let output = command.args(words).output();
    output.map_or_else(
        |error| format!("unknown ({error})"),
        |output| {
            let text = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&text).trim().to_owned()
        },
    )
}
