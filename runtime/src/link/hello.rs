//! What both ends of a link say before anything else, and the sockets that they say it on.
//!
//! ```text
//! dialer   [agent: 4 bytes]  hello: 48           door   answer: 48
//!          confirmation: 34                             confirmation: 34
//! ```
//!
//! Everything has a fixed size, and no byte beyond it is read: what follows is left in the socket
//! for whoever gets the link. The confirmation is the first record; only who made the handshake
//! can seal it, which a recorded hello sent again does not prove.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendFlags, sockopt};

pub use super::seal::Proof;
use super::seal::{HANDSHAKE_BYTES, Opener, RECORD_OVERHEAD, SealError, Sealer, Terms};

const CONFIRMATION: &[u8; 16] = b"pxrun link is in";
/// How long a sealed confirmation is.
pub(super) const CONFIRMATION_BYTES: usize = CONFIRMATION.len() + RECORD_OVERHEAD;
const NUMBER_BYTES: usize = 4;
const MOST_BYTES: usize = NUMBER_BYTES + HANDSHAKE_BYTES;

/// One link that is to come about, as both ends know it.
#[derive(Debug)]
pub struct Guest {
    /// What both ends must mean alike; the agent's number among it.
    pub terms: Terms,
    /// What proves each end to the other.
    pub proof: Proof,
}

/// How a dialer opens the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The door expects one agent: the handshake alone.
    Bare,
    /// The door expects several: the agent's number in front, so that one key is tried and not
    /// each in turn, which would make a stranger cost as much as there are agents missing. The
    /// number is no secret and proves nothing; a wrong one meets the wrong key.
    Numbered,
}

impl Hello {
    pub(super) fn bytes(self) -> usize {
        match self {
            Hello::Bare => HANDSHAKE_BYTES,
            Hello::Numbered => NUMBER_BYTES + HANDSHAKE_BYTES,
        }
    }

    pub(super) fn write(self, agent: u32, message: &[u8; HANDSHAKE_BYTES]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MOST_BYTES);
        if self == Hello::Numbered {
            bytes.extend_from_slice(&agent.to_le_bytes());
        }
        bytes.extend_from_slice(message);
        bytes
    }

    /// The agent's number, if there is one, and the handshake.
    pub(super) fn read(self, bytes: &[u8]) -> Option<(Option<u32>, &[u8; HANDSHAKE_BYTES])> {
        match self {
            Hello::Bare => Some((None, bytes.try_into().ok()?)),
            Hello::Numbered => {
                let (number, message) = bytes.split_first_chunk()?;
                Some((Some(u32::from_le_bytes(*number)), message.try_into().ok()?))
            }
        }
    }
}

/// A peer that has proven who it is, and the link to it.
///
/// There is no other way to come by one of these than [`super::door`] and [`super::dial`].
pub struct Admitted {
    /// Which agent the link is for.
    pub agent: u32,
    /// Which attempt to run it.
    pub attempt: u32,
    /// The address at the other end.
    pub peer: SocketAddr,
    /// The connection: non-blocking, closed on exec, without delay of small writes. Nothing was
    /// read from it beyond the peer's confirmation.
    pub stream: OwnedFd,
    /// Seals what this end sends.
    pub sealer: Sealer,
    /// Opens what the peer sends.
    pub opener: Opener,
}

pub(super) fn seal_confirmation(sealer: &mut Sealer) -> Result<Vec<u8>, SealError> {
    let mut record = Vec::new();
    sealer.seal(CONFIRMATION, &mut record)?;
    Ok(record)
}

pub(super) fn is_confirmation(opener: &mut Opener, record: &[u8]) -> bool {
    let mut plain = Vec::new();
    opener.open(record, &mut plain) == Ok(record.len()) && plain == CONFIRMATION
}

/// Bytes that arrive until there are as many as expected, and never one more.
pub(super) struct Inbox {
    bytes: [u8; MOST_BYTES],
    filled: usize,
    expected: usize,
}

/// How far an [`Inbox`] is.
pub(super) enum Arrival {
    Whole,
    Waiting,
    Ended,
}

impl Inbox {
    pub(super) fn expecting(bytes: usize) -> Self {
        Inbox { bytes: [0; MOST_BYTES], filled: 0, expected: bytes.min(MOST_BYTES) }
    }

    pub(super) fn read(&mut self, from: impl AsFd) -> Result<Arrival, Errno> {
        while self.filled < self.expected {
            match rustix::io::read(&from, &mut self.bytes[self.filled..self.expected]) {
                Ok(0) => return Ok(Arrival::Ended),
                Ok(length) => self.filled += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Arrival::Waiting),
                Err(other) => return Err(other),
            }
        }
        Ok(Arrival::Whole)
    }

    pub(super) fn received(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

/// Sends a few bytes on a connection that has sent next to nothing yet, where they always fit.
///
/// # Errors
/// Those of `send`; `ENOBUFS` when they do not fit all the same.
pub(super) fn say(stream: impl AsFd, bytes: &[u8]) -> Result<(), Errno> {
    loop {
        match rustix::net::send(&stream, bytes, SendFlags::NOSIGNAL) {
            Ok(length) if length == bytes.len() => return Ok(()),
            Ok(_) | Err(Errno::AGAIN) => return Err(Errno::NOBUFS),
            Err(Errno::INTR) => {}
            Err(other) => return Err(other),
        }
    }
}

/// Sets what a link's connection needs: small writes leave at once, and a peer that acknowledges
/// nothing for `user_timeout` is gone.
pub(super) fn prepare(stream: impl AsFd, user_timeout: Duration) -> Result<(), Errno> {
    sockopt::set_tcp_nodelay(&stream, true)?;
    let milliseconds = u32::try_from(user_timeout.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(&stream, milliseconds)
}
