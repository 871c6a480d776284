//! Which MPI a program belongs to, by what it says of itself.

use std::fmt;

/// Launchers of one family understand the same options and start each other's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Open MPI.
    OpenMpi,
    /// MPICH's launcher, and those of the MPIs that descend from it.
    Hydra,
}

/// An MPI as a program names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What it can be started by, or can start.
    pub family: Family,
    /// Its name and version, for messages.
    pub shown: String,
}

/// Words that only one MPI's programs say, its name, and its family. The first that is found counts.
const SIGNS: [(&str, &str, Family); 8] = [
    ("(OpenRTE)", "Open MPI", Family::OpenMpi),
    ("(Open MPI)", "Open MPI", Family::OpenMpi),
    ("(Open MPI v", "Open MPI", Family::OpenMpi),
    ("Intel(R) MPI Library", "Intel MPI", Family::Hydra),
    ("(MVAPICH2", "MVAPICH2", Family::Hydra),
    ("(MVAPICH", "MVAPICH", Family::Hydra),
    ("(MPICH", "MPICH", Family::Hydra),
    ("HYDRA build details", "Hydra", Family::Hydra),
];

/// Longest version that is shown, in bytes.
const LONGEST: usize = 32;

impl Kind {
    /// Tells the MPI from what a launcher or `pxrun-mpi` prints when it is asked for its version.
    pub fn of(said: &str) -> Option<Kind> {
        let found = SIGNS.iter().find_map(|&(sign, name, family)| {
            said.split_once(sign).map(|(_, rest)| (name, family, rest))
        });
        let (name, family, rest) = found?;
        let mut words = rest.split(|next: char| !next.is_ascii_alphanumeric() && next != '.');
        let version = words.find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        let shown = match version.filter(|version| version.len() <= LONGEST) {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        };
        Some(Kind { family, shown })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

/// The version of pxrun that a `pxrun-mpi` was built from, by what it says of itself.
pub fn version_of_agent(said: &str) -> Option<&str> {
    said.lines().next()?.strip_prefix("pxrun-mpi ")?.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(said: &str) -> Option<(Family, String)> {
        Kind::of(said).map(|kind| (kind.family, kind.to_string()))
    }

    #[test]
    fn a_launcher_is_known_by_what_it_says() {
        let cases = [
            (
                "mpirun.openmpi (OpenRTE) 4.1.4\n\nReport bugs to http://www.open-mpi.org/\n",
                Family::OpenMpi,
                "Open MPI 4.1.4",
            ),
            ("mpiexec (Open MPI) 5.0.3rc1\n", Family::OpenMpi, "Open MPI 5.0.3rc1"),
            (
                "HYDRA build details:\n    Version:                                 4.0.2\n    \
                 Release Date:                            Thu Apr  7 12:34:45 CDT 2022\n",
                Family::Hydra,
                "Hydra 4.0.2",
            ),
            (
                "Intel(R) MPI Library for Linux* OS, Version 2021.9 Build 20230306\n",
                Family::Hydra,
                "Intel MPI 2021.9",
            ),
        ];
        for (said, family, shown) in cases {
            assert_eq!(kind(said), Some((family, shown.to_owned())), "{said}");
        }
    }

    #[test]
    fn an_agent_is_known_by_the_library_that_it_was_built_for() {
        let cases = [
            (
                "pxrun-mpi 0.1.0 (Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4)\n",
                Family::OpenMpi,
                "Open MPI 4.1.4",
            ),
            (
                "pxrun-mpi 0.1.0 (MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr  7\n)\n",
                Family::Hydra,
                "MPICH 4.0.2",
            ),
            ("pxrun-mpi 0.1.0 (MPICH 4.0.2)\n", Family::Hydra, "MPICH 4.0.2"),
            (
                "pxrun-mpi 0.1.0 (MVAPICH2 Version      :\t2.3.7\n)\n",
                Family::Hydra,
                "MVAPICH2 2.3.7",
            ),
            (
                "pxrun-mpi 0.1.0 (Intel(R) MPI Library 2021.9 for Linux* OS\n)\n",
                Family::Hydra,
                "Intel MPI 2021.9",
            ),
        ];
        for (said, family, shown) in cases {
            assert_eq!(kind(said), Some((family, shown.to_owned())), "{said}");
            assert_eq!(version_of_agent(said), Some("0.1.0"));
        }
    }

    #[test]
    fn what_names_no_mpi_is_none() {
        for said in ["", "slurm 22.05.8\n", "pxrun-mpi 0.1.0 (LAM/MPI)\n", "Version: 4.0.2"] {
            assert_eq!(kind(said), None, "{said}");
        }
        for said in ["", "pxrun 0.1.0\n", "mpirun (Open MPI) 4.1.4"] {
            assert_eq!(version_of_agent(said), None, "{said}");
        }
    }

    #[test]
    fn a_version_that_is_missing_or_absurd_is_left_out() {
        assert_eq!(kind("x (OpenRTE)\n"), Some((Family::OpenMpi, "Open MPI".to_owned())));
        let long = format!("x (OpenRTE) {}", "9".repeat(99));
        assert_eq!(kind(&long), Some((Family::OpenMpi, "Open MPI".to_owned())));
    }
}
