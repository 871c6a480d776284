//! Joining MPI and leaving it.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mpi::environment::Universe;
use mpi::{Threading, environment};
use px_runtime::failure::Message;

use crate::ffi::{Comm, Failed};
use crate::launched::{self, Launched};
use crate::pmi;
use crate::watchdog::Watchdog;

/// How long the library may take to end once all processes have come to leave it.
const FINALIZE: Duration = Duration::from_secs(5);
/// How often to look whether all have come.
const LOOK: Duration = Duration::from_micros(500);

/// All processes that were started together, this one among them.
///
/// Only the thread that has joined it may use it; nothing in it can be sent to another.
pub struct World {
    comm: Rc<Comm>,
    /// Dropping it waits for all processes, which an error here must not.
    universe: ManuallyDrop<Universe>,
}

/// Why MPI cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The binary was started by another MPI's launcher: each process is alone.
    #[error("MPI sees {} where its launcher has started {}", processes(*.found), .launched.size)]
    Strangers {
        /// As MPI sees it.
        found: usize,
        /// As the launcher says.
        launched: Launched,
    },
    /// It was joined and left before.
    #[error("MPI was already joined")]
    Twice,
    /// A call failed.
    #[error("cannot join MPI: {0}")]
    Failed(#[from] Failed),
}

impl WorldError {
    /// Says it.
    pub fn message(&self) -> Message {
        let message = Message::new(self.to_string());
        match self {
            WorldError::Strangers { launched, .. } => message
                .note(format!("`{}` is {}", launched.variable, launched.size))
                .note(format!("this `pxrun-mpi` was built with {}", library()))
                .help("start it with that MPI's own `mpirun` or `mpiexec`, or build it with the other MPI"),
            WorldError::Twice | WorldError::Failed(_) => message,
        }
    }
}

fn processes(count: usize) -> String {
    if count == 1 { "1 process".into() } else { format!("{count} processes") }
}

/// How MPI was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All processes have come, and the launcher knows it.
    Together,
    /// Not all have come: the library was not ended, which would wait for them without end.
    Alone,
}

impl World {
    /// Joins the processes that the launcher has started.
    ///
    /// # Errors
    /// See [`WorldError`]. A library that cannot even begin ends the process by itself.
    pub fn start() -> Result<Self, WorldError> {
        let (universe, _) =
            mpi::initialize_with_threading(Threading::Funneled).ok_or(WorldError::Twice)?;
        let universe = ManuallyDrop::new(universe);
        let world = World { comm: Rc::new(Comm::of_all(&universe)?), universe };
        match launched::size(|name| std::env::var_os(name)) {
            Some(launched) if launched.size != world.size() => {
                Err(WorldError::Strangers { found: world.size(), launched })
            }
            _ => Ok(world),
        }
    }

    /// The number of this process.
    pub fn rank(&self) -> usize {
        self.comm.rank()
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.comm.size()
    }

    pub(crate) fn comm(&self) -> &Rc<Comm> {
        &self.comm
    }

    /// Leaves, together with all others if they come within `patience` and all that was sent has
    /// been taken; no carrier carries anything afterwards.
    ///
    /// However it was left, this process must end by [`px_runtime::sys::process::exit_now`]. A
    /// library that hangs at its end has it end with `status`.
    pub fn leave(self, patience: Duration, status: u8, meanwhile: impl FnMut()) -> Left {
        let World { comm, universe } = self;
        let came = all_come(&comm, Instant::now() + patience, meanwhile).unwrap_or(false);
        comm.close();
        // What cannot be watched is not begun: not to finalize never hangs.
        let Some(_watchdog) = Watchdog::set(FINALIZE, status).ok().filter(|_| came) else {
            return Left::Alone;
        };
        if !finalizes_well() && pmi::finalize().is_ok() {
            return Left::Together;
        }
        drop(ManuallyDrop::into_inner(universe));
        Left::Together
    }
}

/// Whether the library's own end can be relied on.
///
/// MPICH hangs in every second one after large messages over TCP: who is done first waits inside
/// PMI for those who wait for an answer of its.
fn finalizes_well() -> bool {
    !library().starts_with("MPICH")
}

/// Whether all others have come, and taken what was sent to them, before `deadline`.
fn all_come(
    comm: &Rc<Comm>,
    deadline: Instant,
    mut meanwhile: impl FnMut(),
) -> Result<bool, Failed> {
    // Nobody comes to the barrier who still has something on its way, so all others still take it.
    while comm.outstanding() > 0 {
        meanwhile();
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
    let mut barrier = comm.barrier()?;
    let mut done = Vec::new();
    loop {
        meanwhile();
        barrier.test(&mut done)?;
        if barrier.is_empty() {
            return Ok(comm.outstanding() == 0);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}

/// The library's name and version, on one line.
pub fn library() -> String {
    let text = environment::library_version().unwrap_or_default();
    one_line(&text)
}

/// Makes one line of what a library says of itself: MPICH tells how it was compiled, on many.
fn one_line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default().trim_end_matches('\0');
    match first.split_once(':') {
        Some((name, version)) if text.lines().count() > 1 => {
            format!("{} {}", name.trim_end_matches(" Version"), version.trim())
        }
        _ => first.trim().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_named_on_one_line() {
        let mpich = "MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr  7\nMPICH CC: gcc\n\0";
        assert_eq!(one_line(mpich), "MPICH 4.0.2");
        let open = "Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4, May 26, 2022 \0";
        assert_eq!(one_line(open), open.trim_end_matches([' ', '\0']));
    }
}
