//! What is raced: one way to do a work, and what must come of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::problem::Problem;
use crate::verify::Expect;

pub const PXRUN: &str = "pxrun";
pub const PXRUN_ORDERED: &str = "pxrun -k";
pub const ORACLE: &str = "oracle";
pub const FEEDER: &str = "bare feeder";
pub const FEEDER_PACED: &str = "bare feeder, paced";
pub const PUMP: &str = "bare pump";
pub const SPAWN_LOOP: &str = "posix_spawn loop";
pub const GNU_PIPEPART: &str = "parallel --pipepart --block -1";
pub const GNU_PIPEPART_ORDERED: &str = "parallel --pipepart --block -1 -k";
pub const GNU_PIPE: &str = "parallel --pipe";
pub const GNU_ROUND_ROBIN: &str = "parallel --pipe --round-robin";
pub const GNU_PIPE_ORDERED: &str = "parallel --pipe -k";
pub const GNU_ARGUMENTS: &str = "parallel -j N";
pub const SPLIT: &str = "split -n r/N --filter";
pub const XARGS: &str = "xargs -P N -n 1";
pub const RUST_PARALLEL: &str = "rust-parallel";
pub const RUST_PARALLEL_PIPE: &str = "rust-parallel --pipe";
pub const RUST_PARALLEL_PIPE_ORDERED: &str = "rust-parallel --pipe -k";
pub const MOREUTILS: &str = "moreutils parallel";

pub const PXRUN_REFERENCE: &str = "pxrun, by reference";
pub const PXRUN_VALUE: &str = "pxrun, by value";
pub const PXRUN_HERE: &str = "pxrun, one machine";
pub const SSH: &str = "bare ssh";
pub const SEALED_COPY: &str = "sealed copy";
pub const SSH_COUNT: &str = "cat | ssh host wc -l";
pub const SSH_COUNT_GCM: &str = "cat | ssh -c aes128-gcm host wc -l";
pub const SSH_CAT: &str = "cat | ssh host cat";
pub const SSH_CAT_GCM: &str = "cat | ssh -c aes128-gcm host cat";
pub const GNU_HOSTS_START: &str = "parallel -S";
pub const GNU_HOSTS: &str = "parallel -S --pipe --block 10M";
pub const GNU_HOSTS_ROUND_ROBIN: &str = "parallel -S --pipe --round-robin --block 10M";

/// The same with Open MPI, then with MPICH.
pub type Pair = [&'static str; 2];

pub const PXRUN_MPI: Pair = ["pxrun, Open MPI", "pxrun, MPICH"];
pub const PXRUN_DIRECT: Pair = ["pxrun-mpi under mpirun", "pxrun-mpi under mpiexec.hydra"];
pub const EMPTY: Pair = ["bare MPI program, Open MPI", "bare MPI program, MPICH"];
pub const STREAM: Pair = ["bare MPI loop, Open MPI", "bare MPI loop, MPICH"];
pub const PXRUN_FEW: Pair = ["pxrun, Open MPI, 16 chunks", "pxrun, MPICH, 16 chunks"];
pub const POOL: &str = "mpi4py";
pub const POOL_FEW: &str = "mpi4py, 16 chunks";
pub const PXRUN_PX: &str = "pxrun --contract px";
pub const PXRUN_PX_AHEAD: &str = "pxrun --contract px, looking ahead";
pub const PXRUN_STDIN: &str = "pxrun, by stdin";
pub const PXRUN_STDIN_AHEAD: &str = "pxrun, by stdin, looking ahead";
pub const PXRUN_APART: &str = "pxrun --contract px, memory kept apart";
pub const PXRUN_SLEEPING: &str = "pxrun --contract px, ranks that sleep";
pub const PINGPONG: Pair = ["bare MPI ping-pong, Open MPI", "bare MPI ping-pong, MPICH"];
pub const PIPES: &str = "bare pipes";
pub const PXRUN_STEP: Pair = ["pxrun, --mpi=pmi2", "pxrun, --mpi=none"];
pub const STEP: Pair = ["bare srun, --mpi=pmi2", "bare srun, --mpi=none"];

/// The name's owner, for the chart's colours and the table's order.
#[derive(Clone, Copy, PartialEq)]
pub enum Side {
    Ours,
    Limit,
    Peer,
}

/// Tells whose a contestant is.
pub fn side(name: &str) -> Side {
    match name {
        ORACLE | FEEDER | FEEDER_PACED | PUMP | SPAWN_LOOP | SSH | SEALED_COPY => Side::Limit,
        _ if name.starts_with("bare ") => Side::Limit,
        _ if name.starts_with(PXRUN) => Side::Ours,
        _ => Side::Peer,
    }
}

/// One process that the harness starts, and its ends.
#[derive(Clone)]
pub struct Launch {
    /// The program's absolute path, then its words.
    pub words: Vec<OsString>,
    /// A file, or nothing at all.
    pub stdin: Option<PathBuf>,
    pub stdout: PathBuf,
}

/// Where a contestant's result is found.
#[derive(Clone)]
pub enum Output {
    File(PathBuf),
    Folder(PathBuf),
}

impl Output {
    /// Removes what an earlier run left, and makes the folder.
    pub fn clear(&self) -> Result<(), Problem> {
        let (path, cleared) = match self {
            Output::File(path) => (path, fs::remove_file(path)),
            Output::Folder(path) => (path, fs::remove_dir_all(path)),
        };
        let problem = || Problem::step(format!("clear `{}`", path.display()));
        match cleared {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(problem()(error)),
            _ => {}
        }
        match self {
            Output::File(path) => File::create(path).map(drop).map_err(problem()),
            Output::Folder(path) => fs::create_dir(path).map_err(problem()),
        }
    }

    /// The files that hold the result, in the order of their names.
    pub fn files(&self) -> Result<Vec<PathBuf>, Problem> {
        match self {
            Output::File(path) => Ok(vec![path.clone()]),
            Output::Folder(path) => {
                let list = || -> io::Result<Vec<PathBuf>> {
                    fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
                };
                let mut files =
                    list().map_err(Problem::step(format!("list `{}`", path.display())))?;
                files.sort();
                Ok(files)
            }
        }
    }
}

/// One way to do a work.
pub struct Contestant {
    pub name: &'static str,
    /// Started all at once; the run lasts until the last has ended.
    pub launches: Vec<Launch>,
    pub output: Output,
    pub expect: Expect,
    /// The whole work is so many times what this contestant does (1 nearly always).
    pub scale: u32,
}
