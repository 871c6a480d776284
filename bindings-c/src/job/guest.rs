//! A rank that is a thread of this process: it takes chunks over a socket as a program of
//! `--contract px` does, and has a function process each.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use px_runtime::libpx::wire::{FromProgram, Released};
use px_runtime::sys::signal::Blocked;

use crate::boundary::{ChunkCallback, guarded};
use crate::chunk::{Chunk, Ends, Home, PX_COMMIT, PX_FAIL, lend, take_back};
use crate::link::{Copies, Link};
use crate::status::{Fault, PX_ERR_BUSY, PX_ERR_INPUT_CHANGED, PX_ERR_INTERNAL, PX_ERR_PROTOCOL};

/// As large as what the system gives to threads of C programs, which may count on it.
const STACK: usize = 8 << 20;

/// A thread that serves a rank; it is waited for when this is dropped.
pub struct Guest(Option<JoinHandle<Result<(), Fault>>>);

impl Guest {
    /// Starts a thread that calls `callback` for each chunk that comes over `socket`, whoever is at
    /// its other end.
    ///
    /// # Errors
    /// `PX_ERR_SYSTEM`.
    pub fn start(rank: usize, socket: OwnedFd, callback: ChunkCallback) -> Result<Guest, Fault> {
        // The process's signals are for its own threads.
        let _inherited = Blocked::but_faults();
        let builder = Builder::new().name(format!("px-rank-{rank}")).stack_size(STACK);
        let thread = builder.spawn(move || guarded(|| serve(socket, callback)));
        let thread = thread.map_err(|error| Fault::system("start a thread", error))?;
        Ok(Guest(Some(thread)))
    }

    /// Waits for the end of the thread, once nobody is at the other end of its socket any more.
    ///
    /// # Errors
    /// What kept it from processing all chunks; not that the other end was closed, which tells by itself why.
    pub fn join(mut self) -> Result<(), Fault> {
        let Some(thread) = self.0.take() else { return Ok(()) };
        let ended = thread.join();
        match ended.unwrap_or_else(|_| Err(Fault::new(PX_ERR_INTERNAL, "a bug in libpx"))) {
            Err(fault) if fault.status != PX_ERR_PROTOCOL => Err(fault),
            _ => Ok(()),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.take().map(JoinHandle::join);
    }
}

fn serve(socket: OwnedFd, callback: ChunkCallback) -> Result<(), Fault> {
    let (link, greeting) = Link::open(socket, Copies::Shared)?;
    let records = greeting.welcome.records;
    let link = Arc::new(link);
    let mut wrong = None;
    loop {
        let home = Home::Link(Arc::clone(&link));
        let arrived = match home.next() {
            Ok(Some(arrived)) => arrived,
            Ok(None) => break,
            // Released as what it is; the job ends by it.
            Err(fault) if fault.status == PX_ERR_INPUT_CHANGED => continue,
            Err(fault) => return Err(wrong.unwrap_or(fault)),
        };
        let processed = process(Chunk::new(arrived, records, home, Ends::Return), callback);
        wrong = wrong.or(processed.err().filter(|fault| fault.status != PX_ERR_INPUT_CHANGED));
    }
    // What was wrong goes for the reason why nobody may be there to hear this.
    let told = link.tell(&FromProgram::Finalize);
    wrong.map_or(told, Err)
}

/// Has a chunk processed and releases it.
fn process(chunk: Chunk, callback: ChunkCallback) -> Result<(), Fault> {
    let lent = lend(chunk)?;
    let answer = callback.process(lent.addr());
    let chunk = loop {
        match take_back(lent) {
            // A call of another thread of the callback's is not over yet.
            Err(fault) if fault.status == PX_ERR_BUSY => std::thread::yield_now(),
            taken => break taken?,
        }
    };
    let how = if answer == PX_COMMIT { Released::Commit } else { Released::Fail };
    let released = chunk.release(how);
    match answer {
        PX_COMMIT | PX_FAIL => released,
        _ => Err(Fault::argument(format!(
            "a callback must return PX_COMMIT ({PX_COMMIT}) or PX_FAIL ({PX_FAIL}), found {answer}"
        ))),
    }
}
