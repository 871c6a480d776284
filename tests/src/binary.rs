//! Where the programs under test are.

use std::env;
use std::path::{Path, PathBuf};

use crate::lab::Mpi;

/// The first one that was built is taken.
const PROFILES: [&str; 2] = ["release", "debug"];

/// Returns the `pxrun` under test: `$PXRUN`, else the release or debug build next to this test's
/// own target directory.
///
/// # Panics
///
/// When there is none.
pub fn pxrun() -> PathBuf {
    if let Some(path) = env::var_os("PXRUN") {
        let path = PathBuf::from(path);
        assert!(path.is_absolute(), "PXRUN must be an absolute path, found {path:?}");
        assert!(path.is_file(), "PXRUN names no file: {path:?}");
        return path;
    }
    let target = target_directory();
    let built = PROFILES.map(|profile| target.join(profile).join("pxrun"));
    built.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("no pxrun in {}: run `cargo build --release` first, or set PXRUN", target.display())
    })
}

/// Returns the `pxrun-mpi` that was built with an MPI: `mpi-openmpi` or `mpi-mpich` in the target
/// directory is that of its build.
///
/// # Errors
///
/// There is none.
pub fn pxrun_mpi(mpi: Mpi) -> Result<PathBuf, String> {
    let target = target_directory().join(match mpi {
        Mpi::Open => "mpi-openmpi",
        Mpi::Mpich => "mpi-mpich",
    });
    let built = PROFILES.map(|profile| target.join(profile).join("pxrun-mpi"));
    let found = built.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| format!("there is no pxrun-mpi in {}", target.display()))
}

/// Returns the program of misbehaving children, which cargo builds beside the tests.
///
/// # Panics
///
/// When it is not there.
pub fn zoo() -> PathBuf {
    beside("px-zoo")
}

/// Returns the program that is a cable with faults.
///
/// # Panics
///
/// When it is not there.
pub fn wire() -> PathBuf {
    beside("px-wire")
}

/// Returns the agent that breaks the protocol.
///
/// # Panics
///
/// When it is not there.
pub fn hostile_agent() -> PathBuf {
    beside("px-hostile-agent")
}

/// Returns the program that holds a lab up while it runs a command.
///
/// # Panics
///
/// When it is not there.
pub fn lab() -> PathBuf {
    beside("px-lab")
}

fn beside(name: &str) -> PathBuf {
    let path = profile_directory().join(name);
    assert!(path.is_file(), "no {name} at {}: run the tests by `cargo test`", path.display());
    path
}

/// Returns the program that stands in for an agent, which cargo builds beside the tests.
///
/// # Panics
///
/// When it is not there.
pub fn stand_in() -> PathBuf {
    let path = profile_directory().join("px-stand-in");
    assert!(path.is_file(), "no px-stand-in at {}: run the tests by `cargo test`", path.display());
    path
}

/// The target directory of the running test.
///
/// # Panics
///
/// When the test lies elsewhere.
pub fn target_directory() -> PathBuf {
    profile_directory().parent().expect("a target directory").to_path_buf()
}

/// `target/PROFILE` of the running test, whose executable lies in `target/PROFILE/deps`.
pub(crate) fn profile_directory() -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    let parent = test.parent().expect("the test's own directory");
    let profile = if parent.ends_with("deps") { parent.parent() } else { Some(parent) };
    profile.map(Path::to_path_buf).expect("a profile directory")
}
