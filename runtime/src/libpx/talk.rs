//! A rank's side of the [`commons`](super::commons): messages with tags, between any two ranks.
//!
//! What one rank sends to another with one tag is received in the order in which it was sent. A
//! message is there whole or not at all; one of any length can be sent, since it flows through a
//! ring while the receiver takes it out. Up to a MiB a pair is buffered, and up to another MiB of
//! what a receiver does not want yet is moved aside for what is behind it.
//!
//! | file | what |
//! |---|---|
//! | [`member`] | a rank's place in the commons, and how it waits |
//! | [`outgoing`] | what it sends |
//! | [`incoming`], [`source`] | what it receives, and what comes from one rank |
//! | [`straight`] | messages that go straight into the buffer of a rank that waits |
//! | [`part`] | what stands in a ring, without I/O |

pub mod incoming;
pub mod member;
pub mod outgoing;
pub mod part;
pub mod source;
pub mod straight;

use std::io;
use std::mem::MaybeUninit;

use rustix::io::Errno;

use crate::sys::turn::{NoTurn, Turn};
use incoming::{Incoming, Wanted};
use member::{Member, Patience};
use outgoing::Outgoing;

/// The way to ranks of other hosts, which the agent keeps.
pub trait Uplink {
    /// Gives it the next bytes for `to`: a header or nothing, and bytes, at most 64 KiB together.
    ///
    /// # Errors
    /// Those of the connection to the agent.
    fn talk(&self, to: u32, header: &[u8], bytes: &[u8]) -> io::Result<()>;

    /// Tells it that so many bytes from `from` were read.
    ///
    /// # Errors
    /// Those of the connection to the agent.
    fn drained(&self, from: u32, bytes: u64) -> io::Result<()>;
}

/// A message that was received, or that could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who has sent it.
    pub source: u32,
    /// Its tag.
    pub tag: u32,
    /// Its length in bytes.
    pub length: u64,
}

/// Why a message is not sent or received.
#[derive(Debug, thiserror::Error)]
pub enum TalkError {
    /// The other rank has ended, or all others have.
    #[error("{}", match .0 {
        Some(rank) => format!("rank {rank} has finished or died"),
        None => "all other ranks have finished or died".to_owned(),
    })]
    Gone(Option<u32>),
    /// This rank has said that it is done.
    #[error("px_finalize was called meanwhile")]
    Over,
    /// The message is longer than the buffer; it stays.
    #[error(
        "the message from rank {} with tag {} has {} bytes, more than the buffer",
        .0.source, .0.tag, .0.length
    )]
    Truncated(Message),
    /// The patience has run out.
    #[error("the time was over")]
    Timeout,
    /// A panic has left this side of it half changed.
    #[error("a bug of libpx showed in an earlier call")]
    Broken,
    /// What stands in the ring cannot have been put there by a send.
    #[error("what rank {0} has sent makes no sense: something has overwritten shared memory")]
    Garbled(u32),
    /// A message cannot be moved aside.
    #[error("not enough memory for a message of {0} bytes")]
    Memory(usize),
    /// A ring cannot be mapped.
    #[error("cannot map the memory that ranks talk over: {0}")]
    System(#[from] Errno),
    /// The agent does not take what is for other hosts.
    #[error("cannot reach pxrun: {0}")]
    Uplink(#[source] io::Error),
}

impl From<NoTurn> for TalkError {
    fn from(reason: NoTurn) -> TalkError {
        match reason {
            NoTurn::Timeout => TalkError::Timeout,
            NoTurn::Broken => TalkError::Broken,
        }
    }
}

/// A rank that sends and receives.
///
/// Any thread may call. One sends at a time, and one receives.
pub struct Talk<U> {
    member: Member,
    uplink: U,
    outgoing: Turn<Outgoing>,
    incoming: Turn<Incoming>,
}

impl<U: Uplink> Talk<U> {
    /// Makes it of a place in the commons and a way to other hosts.
    pub fn new(member: Member, uplink: U) -> Talk<U> {
        Talk { member, uplink, outgoing: Turn::default(), incoming: Turn::default() }
    }

    /// Its place.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The way to other hosts.
    pub fn uplink(&self) -> &U {
        &self.uplink
    }

    /// Sends `bytes` to the rank `to` of the world, and returns once they are buffered or received.
    /// `tag` is at most [`part::HIGHEST_TAG`].
    ///
    /// # Errors
    /// [`TalkError`]. The message will not be received then.
    pub fn send(
        &self,
        to: u32,
        tag: u32,
        bytes: &[u8],
        patience: Patience,
    ) -> Result<(), TalkError> {
        let (member, uplink) = (&self.member, &self.uplink);
        self.outgoing
            .with(|| patience.left(), |o| o.send(member, uplink, to, tag, bytes, patience))?
    }

    /// Receives the first message that is wanted into `buffer`. Where it may be from anybody, those
    /// who have sent something take turns.
    ///
    /// # Errors
    /// [`TalkError`]. What is in `buffer` then is not said; no message is lost.
    pub fn receive(
        &self,
        wanted: Wanted,
        buffer: &mut [MaybeUninit<u8>],
        patience: Patience,
    ) -> Result<Message, TalkError> {
        let (member, uplink) = (&self.member, &self.uplink);
        self.incoming
            .with(|| patience.left(), |i| i.receive(member, uplink, wanted, buffer, patience))?
    }

    /// Waits for the message that would be received next, and leaves it.
    ///
    /// # Errors
    /// [`TalkError`]
    pub fn probe(&self, wanted: Wanted, patience: Patience) -> Result<Message, TalkError> {
        let (member, uplink) = (&self.member, &self.uplink);
        self.incoming.with(|| patience.left(), |i| i.probe(member, uplink, wanted, patience))?
    }
}

#[cfg(test)]
mod tests;
