//! The connection to the agent: who this program is, its chunks, and what it says about them.
//!
//! A link is one socket with two sides. Each is behind a lock of its own, so a thread that waits for
//! the next chunk holds up no other that releases one.
//!
//! | file | what |
//! |---|---|
//! | `link/incoming.rs` | frames and descriptors as they come |
//! | `link/outgoing.rs` | frames as they go |

mod incoming;
mod outgoing;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use px_runtime::libpx::wire::{
    Chunk, FromProgram, Kind, LARGEST, Released, VERSION, Welcome, encode_header, encode_message,
};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::held::Held;
use crate::socket::Socket;
use crate::status::{Fault, PX_ERR_BUSY, PX_ERR_PROTOCOL};
use incoming::Incoming;
use outgoing::Outgoing;

/// Whether chunks show the input itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Where it lies on this host.
    Shared,
    /// Never: each has bytes of its own.
    Private,
}

/// A chunk as it came.
#[derive(Debug)]
pub struct Arrived {
    /// Its number and place.
    pub chunk: Chunk,
    /// Its bytes.
    pub held: Held,
}

/// A connection to an agent.
pub struct Link {
    socket: Socket,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    /// Chunks that were taken and not yet told to be.
    took: AtomicU32,
}

/// What an agent says first.
pub struct Greeting {
    /// Who this program is.
    pub welcome: Welcome,
    /// The memory that ranks of this host share, where they can talk to each other.
    pub commons: Option<OwnedFd>,
}

impl Link {
    /// Hears who this program is and says that it has begun.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`: the other end is no agent of this version, or gone.
    pub fn open(socket: OwnedFd, copies: Copies) -> Result<(Link, Greeting), Fault> {
        let socket = Socket::from(socket);
        let mut incoming = Incoming::new(copies);
        let greeting = incoming.greeting(&socket)?;
        let link = Link {
            socket,
            incoming: Mutex::new(incoming),
            outgoing: Mutex::default(),
            took: AtomicU32::new(0),
        };
        link.tell(&FromProgram::Hello { version: VERSION })?;
        Ok((link, greeting))
    }

    /// Waits for the next chunk; `None` after the last one.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`, `PX_ERR_MEMORY`, `PX_ERR_SYSTEM`, and `PX_ERR_INPUT_CHANGED` for a chunk
    /// that is no more in its file.
    pub fn next(&self) -> Result<Option<Arrived>, Fault> {
        let mut incoming = self.incoming.lock().map_err(|_| broken())?;
        // Before the program waits, the agent learns what it has taken: it may wait for that.
        let next = incoming.next(&self.socket, || self.flush())?;
        let Some((chunk, held)) = next else { return Ok(None) };
        self.took.fetch_add(1, Ordering::Relaxed);
        match held {
            Ok(held) => Ok(Some(Arrived { chunk, held })),
            Err(fault) => {
                self.release(chunk.index, released_after(&fault), 0, &[])?;
                Err(fault)
            }
        }
    }

    /// Says something.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`.
    pub fn tell(&self, message: &FromProgram) -> Result<(), Fault> {
        self.write(|head| encode_message(head, message), &[], |_| {})
    }

    /// Says something, unless that takes longer.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`, `PX_ERR_BUSY`, `PX_ERR_SYSTEM`; nothing more can be said then.
    pub fn tell_within(&self, longest: Duration, message: &FromProgram) -> Result<(), Fault> {
        let end = Instant::now() + longest;
        let mut outgoing = loop {
            match self.outgoing.try_lock() {
                Ok(outgoing) => break outgoing,
                Err(TryLockError::Poisoned(_)) => return Err(broken()),
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Fault::new(PX_ERR_BUSY, "another thread writes to pxrun"));
                }
            }
        };
        let limited = set_socket_timeout(&*self.socket, Timeout::Send, Some(longest));
        limited.map_err(|errno| Fault::system("limit how long to write to pxrun", errno))?;
        outgoing.write(&self.socket, |head| encode_message(head, message), &[], |_| {})
    }

    /// Sends bytes that belong to `number`, a chunk or a rank.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`.
    pub fn send(&self, kind: Kind, number: u64, bytes: &[u8]) -> Result<(), Fault> {
        for part in bytes.chunks(LARGEST) {
            let header = encode_header(kind, number, part.len());
            self.write(|head| head.extend_from_slice(&header), part, |_| {})?;
        }
        Ok(())
    }

    /// Sends the next bytes for a rank on another host, a header of theirs in front.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`.
    pub fn talk(&self, to: u32, header: &[u8], bytes: &[u8]) -> Result<(), Fault> {
        let frame = encode_header(Kind::Talk, u64::from(to), header.len() + bytes.len());
        let head = |head: &mut Vec<u8>| {
            head.extend_from_slice(&frame);
            head.extend_from_slice(header);
        };
        self.write(head, bytes, |_| {})
    }

    /// Sends the last output of a chunk, at most [`LARGEST`] bytes, and releases it; `emitted` are
    /// all bytes that were sent for it, these included.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`.
    pub fn release(
        &self,
        chunk: u64,
        how: Released,
        emitted: u64,
        last: &[u8],
    ) -> Result<(), Fault> {
        let header = encode_header(Kind::Emit, chunk, last.len());
        let header = if last.is_empty() { &[][..] } else { &header };
        let message = FromProgram::Release { chunk, how, emitted };
        self.write(
            |head| head.extend_from_slice(header),
            last,
            |tail| encode_message(tail, &message),
        )
    }

    fn flush(&self) -> Result<(), Fault> {
        match self.took.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => self.write(|_| {}, &[], |_| {}),
        }
    }

    /// Writes in one go: what was taken, a head, a body, a tail.
    fn write(
        &self,
        head: impl FnOnce(&mut Vec<u8>),
        body: &[u8],
        tail: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Fault> {
        let mut outgoing = self.outgoing.lock().map_err(|_| broken())?;
        let chunks = self.took.swap(0, Ordering::Relaxed);
        let took = (chunks > 0).then_some(FromProgram::Took { chunks });
        let head = |out: &mut Vec<u8>| {
            took.iter().for_each(|took| encode_message(out, took));
            head(out);
        };
        outgoing.write(&self.socket, head, body, tail)
    }
}

/// How a chunk counts whose bytes could not be had, or not be trusted.
pub fn released_after(fault: &Fault) -> Released {
    match fault.status {
        crate::status::PX_ERR_INPUT_CHANGED => Released::InputChanged,
        _ => Released::Fail,
    }
}

/// The agent has closed its end.
fn gone() -> Fault {
    Fault::new(PX_ERR_PROTOCOL, "pxrun is gone: it has ended, or has ended the job")
}

/// A panic has left this side of the link half done.
fn broken() -> Fault {
    Fault::new(PX_ERR_PROTOCOL, "a bug of libpx has broken the connection to pxrun")
}

#[cfg(test)]
mod tests;
