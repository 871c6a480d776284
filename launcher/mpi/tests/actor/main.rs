//! One process of a world in a test: `px-mpi-actor PART DIRECTORY`. How it went is a line in a file
//! there.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod parts;
mod ways;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use px_runtime::buffers::Buffers;
use px_runtime::sys::process::{Fork, exit_now, fork};
use pxrun_mpi::hub::Hub;
use pxrun_mpi::world::World;

/// The longest message of these tests.
pub const LONGEST: usize = 1 << 20;
/// The status of a process whose library hangs at its end.
const HUNG: u8 = 99;
/// How long to wait for others that will come.
pub const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [part, directory] = words.as_slice() else { panic!("PART DIRECTORY") };
    let directory = Path::new(directory);
    if part == "killed" {
        step_aside(directory);
    }
    let world = match World::start() {
        Ok(world) => world,
        Err(error) => {
            eprint!("{}", error.message().render("error"));
            return ExitCode::from(3);
        }
    };
    let (rank, size) = (world.rank(), world.size());
    let hub = Hub::new(&world, Buffers::default(), LONGEST);
    let ways = ways::Ways::new(&hub, size);
    let (said, patience) = match part.as_str() {
        "order" => parts::order(rank, ways),
        "flood" => parts::flood(rank, ways, directory),
        "deaf" => parts::deaf(rank, ways),
        "long" => parts::long(rank, ways, directory),
        "killed" => parts::killed(rank, ways),
        "early" => parts::early(rank, directory),
        other => panic!("no part is called {other}"),
    };
    let left = world.leave(patience, HUNG, || hub.look());
    // At once and whole under its name, for whoever waits for it. Nothing is told by way of the
    // launcher, which may end all processes before it has passed on what they said.
    let whole = directory.join(format!("{rank}"));
    std::fs::write(&whole, format!("{rank} of {size}: {said}; left {left:?}")).unwrap();
    std::fs::rename(&whole, directory.join(format!("left-{rank}"))).unwrap();
    exit_now(0);
}

/// Leaves the launcher a process that outlives this one, until the other two have left: it would
/// end all at once.
fn step_aside(directory: &Path) {
    let Fork::Parent(child) = fork().unwrap() else {
        rustix::process::setsid().unwrap();
        return;
    };
    rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).unwrap();
    ways::until_there(&[directory.join("left-0"), directory.join("left-2")]);
    exit_now(0);
}
