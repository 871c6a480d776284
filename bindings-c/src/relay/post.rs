//! Messages to the other ranks: those that the transport does not take yet wait here.
//!
//! Whoever sends asks first whether something waits for that rank already, so what waits is a
//! message of bytes and a few words a rank at most.

use std::collections::{BTreeMap, VecDeque};

use super::words::{self, BYTES, MESSAGE, Said, Word};
use crate::status::{Fault, PX_ERR_PROTOCOL};

/// Carries whole messages between ranks: each once, unchanged, and in order between any two.
/// Nothing here waits.
pub trait Transport {
    /// Takes a message; `false`: not now.
    ///
    /// # Errors
    /// Nothing more can be sent.
    fn send(&mut self, to: usize, message: &[u8]) -> Result<bool, Fault>;

    /// Puts a message that has come into `buffer`; returns its sender and its length.
    ///
    /// # Errors
    /// Nothing more can be received.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<(usize, usize)>, Fault>;

    /// Whether all messages that were taken have left.
    ///
    /// # Errors
    /// They never will.
    fn flushed(&mut self) -> Result<bool, Fault>;
}

/// All messages to and from this rank.
pub struct Post<'t> {
    transport: &'t mut dyn Transport,
    waiting: BTreeMap<usize, VecDeque<Vec<u8>>>,
    going: Vec<u8>,
    coming: Vec<u8>,
}

impl<'t> Post<'t> {
    /// Nothing waits.
    pub fn new(transport: &'t mut dyn Transport) -> Self {
        Post { transport, waiting: BTreeMap::new(), going: Vec::new(), coming: Vec::new() }
    }

    /// Whether nothing waits for this rank.
    pub fn is_clear(&self, to: usize) -> bool {
        !self.waiting.contains_key(&to)
    }

    /// Sends something that is said.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn say(&mut self, to: usize, said: Said) -> Result<(), Fault> {
        self.send(to, &words::encode(said))
    }

    /// Sends bytes of a stream: as many of those of its buffer as `fill` has written there, at most
    /// `room`. Returns what `fill` did.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn send_bytes<E>(
        &mut self,
        to: usize,
        room: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Result<usize, E>, Fault> {
        let mut going = std::mem::take(&mut self.going);
        going.resize(MESSAGE, 0);
        going[0] = BYTES;
        let filled = fill(&mut going[1..1 + room]);
        let sent = match filled {
            Ok(bytes) if bytes > 0 => self.send(to, &going[..1 + bytes]),
            _ => Ok(()),
        };
        self.going = going;
        sent.map(|()| filled)
    }

    fn send(&mut self, to: usize, message: &[u8]) -> Result<(), Fault> {
        if !self.is_clear(to) || !self.transport.send(to, message)? {
            self.waiting.entry(to).or_default().push_back(message.to_vec());
        }
        Ok(())
    }

    /// Tries what waits once more; returns whether any of it was taken.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn push(&mut self) -> Result<bool, Fault> {
        let (mut any, mut failed) = (false, None);
        self.waiting.retain(|&to, messages| {
            while failed.is_none()
                && let Some(message) = messages.front()
            {
                match self.transport.send(to, message) {
                    Ok(true) => any |= messages.pop_front().is_some(),
                    Ok(false) => break,
                    Err(fault) => failed = Some(fault),
                }
            }
            !messages.is_empty()
        });
        failed.map_or(Ok(any), Err)
    }

    /// Takes the next message that has come.
    ///
    /// # Errors
    /// Those of the transport; `PX_ERR_PROTOCOL` for a message that cannot be read.
    pub fn receive(&mut self) -> Result<Option<(usize, Word<'_>)>, Fault> {
        self.coming.resize(MESSAGE, 0);
        let Some((from, length)) = self.transport.receive(&mut self.coming)? else {
            return Ok(None);
        };
        let word = self.coming.get(..length).and_then(words::decode);
        word.map(|word| Some((from, word))).ok_or_else(|| {
            let what = format!("rank {from} sent a message of {length} bytes that cannot be read");
            Fault::new(PX_ERR_PROTOCOL, format!("{what}: is libpx the same everywhere?"))
        })
    }

    /// Whether all that was sent has left.
    ///
    /// # Errors
    /// Those of the transport.
    pub fn is_flushed(&mut self) -> Result<bool, Fault> {
        Ok(self.waiting.is_empty() && self.transport.flushed()?)
    }
}
