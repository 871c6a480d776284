//! Real worlds of three processes, started by the launcher of the MPI that this was built with.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pxrun_mpi::world::library;

/// The launcher of Open MPI, run as anyone and on any number of cores.
const OPEN_MPI: [&str; 5] = ["mpirun.openmpi", "--oversubscribe", "--bind-to", "none", "-np"];
/// That of MPICH.
const MPICH: [&str; 2] = ["mpiexec.hydra", "-n"];

fn is_open_mpi() -> bool {
    library().starts_with("Open MPI")
}

fn launchers() -> (&'static [&'static str], &'static [&'static str]) {
    if is_open_mpi() { (&OPEN_MPI, &MPICH) } else { (&MPICH, &OPEN_MPI) }
}

fn actor() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let built = here.parent().and_then(Path::parent).unwrap();
    built.join("examples/px-mpi-actor")
}

/// What became of a world.
struct Played {
    output: Output,
    /// What the processes said that came to their end, in their order.
    said: Vec<String>,
}

/// Runs `part` in `size` processes. A world that hangs is ended: the test fails then, not the run.
fn play(launcher: &[&str], size: usize, part: &str) -> Played {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120"])
        .args(launcher)
        .arg(size.to_string())
        .arg(actor())
        .arg(part)
        .arg(directory.path())
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        // As between hosts. Within one UCX reads another process's memory, and ends the reader when
        // that process has died.
        .env("UCX_TLS", "tcp,self")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let left = |rank| std::fs::read_to_string(directory.path().join(format!("left-{rank}"))).ok();
    Played { output, said: (0..size).filter_map(left).collect() }
}

#[track_caller]
fn goes_well(part: &str, expected: [&str; 3]) {
    let Played { output, said } = play(launchers().0, 3, part);
    let all = (0..3).map(|rank| format!("{rank} of 3: {}", expected[rank])).collect::<Vec<_>>();
    assert_eq!(said, all, "{output:?}");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn messages_of_all_sizes_arrive_whole_and_in_order_from_several_at_once() {
    goes_well(
        "order",
        [
            "600 messages; left Together",
            "300 messages; left Together",
            "300 messages; left Together",
        ],
    );
}

#[test]
fn a_flood_that_nobody_claims_takes_bounded_memory_and_holds_up_nobody_else() {
    goes_well("flood", ["bounded; left Together", "sent; left Together", "sent; left Together"]);
}

#[test]
fn what_comes_for_nobody_is_thrown_away() {
    goes_well("deaf", ["done; left Together"; 3]);
}

#[test]
fn a_message_above_the_limit_ends_its_way_and_no_other() {
    let Played { output, said } = play(launchers().0, 3, "long");
    let error = "a message of 1048577 bytes where at most 1048576 are allowed";
    assert_eq!(said[0], format!("0 of 3: {error}; left Alone"), "{output:?}");
}

#[test]
fn who_survives_another_goes_on_and_leaves_in_its_time() {
    let Played { output, said } = play(launchers().0, 3, "killed");
    let survived = ["0 of 3: survived; left Alone", "2 of 3: survived; left Alone"];
    assert_eq!(said, survived, "{output:?}");
}

#[test]
fn who_leaves_before_all_others_does_not_wait_for_them() {
    let Played { output, said } = play(launchers().0, 3, "early");
    assert_eq!(said[0], "0 of 3: done; left Alone", "{output:?}");
}

#[test]
fn a_binary_under_another_launcher_says_so_and_does_nothing() {
    let Played { output, said } = play(launchers().1, 2, "early");
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = "pxrun: error: MPI sees 1 process where its launcher has started 2\n";
    assert!(errors.contains(expected), "{output:?}");
    assert!(errors.contains(&library()), "{output:?}");
    assert_eq!(said, [""; 0]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn the_version_names_the_library() {
    let output = Command::new(env!("CARGO_BIN_EXE_pxrun-mpi")).arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, format!("pxrun-mpi {} ({})\n", env!("CARGO_PKG_VERSION"), library()));
    assert!(output.status.success());
}
