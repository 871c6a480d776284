//! What comes from one rank: its ring, the message at the front of it, and what was moved aside.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

use super::member::Member;
use super::part::{Arriving, HEADER, Part};
use super::{TalkError, Uplink};
use crate::libpx::commons::layout::{PROMISED, RING, UNTOLD, spans};
use crate::sys::shared::Mapping;

/// Bytes after which the sender may go on with what was freed.
const STEP: u64 = 64 << 10;
/// What a message that was moved aside counts, beside its bytes.
const ENTRY: u64 = 64;

/// Bytes of a message. They are copied and never looked at.
type Bytes = Vec<MaybeUninit<u8>>;

/// What comes from one rank.
pub struct Source {
    rank: u32,
    /// Where it is on this host.
    local: Option<u32>,
    ring: Mapping,
    /// Bytes that were in the ring when that was last looked at.
    written: u64,
    /// Bytes that were taken out of it.
    read: u64,
    /// Bytes of which the sender knows, or the agent, that they were taken.
    told: u64,
    /// The message at the front of the ring, its header taken.
    front: Option<Front>,
    /// Whole messages that were not wanted when they came, with their tags.
    aside: VecDeque<(u32, Bytes)>,
    aside_bytes: u64,
}

/// The message at the front.
struct Front {
    message: Arriving,
    /// Its bytes as far as they were moved aside; all of them, or those that were taken.
    kept: Bytes,
}

/// A message that is there, at least its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its tag.
    pub tag: u32,
    /// Its length in bytes.
    pub length: u64,
    /// Its place among those that were moved aside; nothing: it is at the front of the ring.
    pub aside: Option<usize>,
}

/// How far a message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All of it.
    Whole,
    /// All that is there.
    Partly,
    /// Its sender has given it up.
    Lost,
}

impl Source {
    /// Maps the ring from `rank`.
    ///
    /// # Errors
    /// [`TalkError::System`]
    pub fn new(member: &Member, rank: u32) -> Result<Source, TalkError> {
        let ring = member.ring(member.local(), rank)?;
        // All that was taken before this process was, if anything was.
        let counts = member.front().ring(member.local(), rank);
        let read = counts.read.count.load(Ordering::Acquire);
        Ok(Source {
            rank,
            local: member.place(rank),
            ring,
            written: read,
            read,
            told: read,
            front: None,
            aside: VecDeque::new(),
            aside_bytes: 0,
        })
    }

    /// Bytes that were in the ring when that was last looked at.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether something is left, of what was seen.
    pub fn has_something(&self) -> bool {
        self.written != self.read || self.front.is_some() || !self.aside.is_empty()
    }

    /// Looks for the first message with `tag`. What is in front of it is moved aside, as far as
    /// that may be.
    ///
    /// # Errors
    /// [`TalkError::Garbled`], [`TalkError::Memory`], [`TalkError::Uplink`].
    pub fn find(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        tag: Option<u32>,
    ) -> Result<Option<Found>, TalkError> {
        let wanted = |found: u32| tag.is_none_or(|tag| tag == found);
        let aside = self.aside.iter().position(|(tag, _)| wanted(*tag));
        if let Some((tag, bytes)) = aside.and_then(|place| self.aside.get(place)) {
            return Ok(Some(Found { tag: *tag, length: bytes.len() as u64, aside }));
        }
        loop {
            // Gone first: what was put in before that is seen then.
            let gone = member.is_gone(self.rank);
            let available = self.look(member)?;
            let Some(message) = self.begin(available)? else { return Ok(None) };
            let Arriving { tag, length, taken, .. } = message;
            if gone && length - taken > self.available() {
                self.drop_front();
                return Ok(None);
            }
            if self.is_given_up(message)? {
                self.read = self.read.wrapping_add(message.in_part + HEADER as u64);
                self.front = None;
                self.tell(member, uplink)?;
                continue;
            }
            if wanted(tag) {
                return Ok(Some(Found { tag, length, aside: None }));
            }
            if !self.move_aside(member, uplink)? {
                return Ok(None);
            }
        }
    }

    /// Takes bytes of the message at the front into `to`, a buffer of its length at least.
    ///
    /// # Errors
    /// [`TalkError::Garbled`], [`TalkError::Uplink`].
    pub fn take(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        to: &mut [MaybeUninit<u8>],
    ) -> Result<Taken, TalkError> {
        let Some(Front { message, kept }) = &mut self.front else { return Ok(Taken::Lost) };
        let before = kept.len().min(message.taken as usize);
        to[..before].copy_from_slice(&kept[..before]);
        *kept = Bytes::new();
        self.pump(member, uplink, to)
    }

    /// Keeps what was taken of the message at the front into `buffer`, which goes away.
    ///
    /// # Errors
    /// [`TalkError::Memory`]: nothing is kept, and the buffer has to stay.
    pub fn keep(&mut self, buffer: &[MaybeUninit<u8>]) -> Result<(), TalkError> {
        let Some(Front { message, kept }) = &mut self.front else { return Ok(()) };
        let taken = &buffer[..message.taken as usize];
        kept.try_reserve_exact(taken.len()).map_err(|_| TalkError::Memory(taken.len()))?;
        kept.extend_from_slice(taken);
        Ok(())
    }

    /// Drops the message at the front, whose sender is gone: all that is in the ring is of it.
    pub fn drop_front(&mut self) {
        self.front = None;
        self.read = self.written;
    }

    /// Takes a message that was moved aside.
    pub fn take_aside(&mut self, place: usize, to: &mut [MaybeUninit<u8>]) {
        if let Some((_, bytes)) = self.aside.remove(place) {
            self.aside_bytes -= bytes.len() as u64 + ENTRY;
            to[..bytes.len()].copy_from_slice(&bytes);
        }
    }

    /// Looks how much is in the ring.
    fn look(&mut self, member: &Member) -> Result<u64, TalkError> {
        let counts = member.front().ring(member.local(), self.rank);
        self.written = counts.written.count.load(Ordering::SeqCst);
        let available = self.available();
        if available > RING { Err(TalkError::Garbled(self.rank)) } else { Ok(available) }
    }

    /// Bytes in the ring, as of the last look.
    fn available(&self) -> u64 {
        self.written.wrapping_sub(self.read)
    }

    /// Whether the message at the front ends behind its present part, given up by its sender.
    fn is_given_up(&self, message: Arriving) -> Result<bool, TalkError> {
        let Arriving { length, taken, in_part, .. } = message;
        let goes_on = length - taken > in_part && self.available() >= in_part + HEADER as u64;
        Ok(goes_on && self.header_at(self.read.wrapping_add(in_part))? == Part::Cancel)
    }

    /// The message at the front, its header taken; nothing where none has begun.
    fn begin(&mut self, available: u64) -> Result<Option<Arriving>, TalkError> {
        if self.front.is_none() && available >= HEADER as u64 {
            let message = Arriving::begin(self.header()?);
            let message = message.ok_or(TalkError::Garbled(self.rank))?;
            self.front = Some(Front { message, kept: Bytes::new() });
        }
        Ok(self.front.as_ref().map(|front| front.message))
    }

    /// Moves the message at the front aside, as far as it is there. Returns whether something else
    /// is at the front then; it is not where it has no room.
    fn move_aside(&mut self, member: &Member, uplink: &impl Uplink) -> Result<bool, TalkError> {
        let Some(Front { message, kept }) = &mut self.front else { return Ok(true) };
        let length = message.length as usize;
        if kept.len() < length || length == 0 {
            if self.aside_bytes.saturating_add(message.length).saturating_add(ENTRY) > PROMISED {
                return Ok(false);
            }
            let missing = length - kept.len();
            kept.try_reserve_exact(missing).map_err(|_| TalkError::Memory(missing))?;
            kept.resize(length, MaybeUninit::uninit());
        }
        let (tag, mut bytes) = (message.tag, std::mem::take(kept));
        let taken = self.pump(member, uplink, &mut bytes)?;
        match &mut self.front {
            Some(front) if taken == Taken::Partly => front.kept = bytes,
            _ if taken == Taken::Whole => {
                self.aside_bytes += bytes.len() as u64 + ENTRY;
                self.aside.push_back((tag, bytes));
            }
            _ => {}
        }
        Ok(taken != Taken::Partly)
    }

    /// Takes what is there of the message at the front, behind what was taken before.
    fn pump(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        to: &mut [MaybeUninit<u8>],
    ) -> Result<Taken, TalkError> {
        let Some(mut message) = self.front.as_ref().map(|front| front.message) else {
            return Ok(Taken::Lost);
        };
        let taken = loop {
            if message.is_whole() {
                break Taken::Whole;
            }
            let needed = if message.in_part == 0 { HEADER as u64 } else { 1 };
            let mut available = self.available();
            if available < needed {
                available = self.look(member)?;
            }
            if available < needed {
                break Taken::Partly;
            }
            if message.in_part == 0 {
                match self.header()? {
                    Part::Cancel => break Taken::Lost,
                    part => message.go_on(part).ok_or(TalkError::Garbled(self.rank))?,
                }
                continue;
            }
            let step = message.in_part.min(available).min(STEP);
            let at = message.taken as usize;
            self.load(&mut to[at..at + step as usize]);
            message.taken += step;
            message.in_part -= step;
            if self.read.wrapping_sub(self.told) >= STEP {
                self.tell(member, uplink)?;
            }
        };
        self.tell(member, uplink)?;
        match &mut self.front {
            Some(front) if taken == Taken::Partly => front.message = message,
            front => *front = None,
        }
        Ok(taken)
    }

    /// Takes a header out of the ring.
    fn header(&mut self) -> Result<Part, TalkError> {
        let header = self.header_at(self.read)?;
        self.read = self.read.wrapping_add(HEADER as u64);
        Ok(header)
    }

    fn header_at(&self, count: u64) -> Result<Part, TalkError> {
        let mut header = [0; HEADER];
        for (at, part) in spans(count, HEADER) {
            self.ring.read_bytes(at, &mut header[part]);
        }
        Part::decode(header).ok_or(TalkError::Garbled(self.rank))
    }

    /// Takes bytes out of the ring, which are there.
    fn load(&mut self, to: &mut [MaybeUninit<u8>]) {
        for (at, part) in spans(self.read, to.len()) {
            self.ring.read(at, &mut to[part]);
        }
        self.read = self.read.wrapping_add(to.len() as u64);
    }

    /// Tells that bytes were taken: the sender, if it is on this host, and else the agent, as soon
    /// as that is worth while.
    fn tell(&mut self, member: &Member, uplink: &impl Uplink) -> Result<(), TalkError> {
        let counts = member.front().ring(member.local(), self.rank);
        counts.read.count.store(self.read, Ordering::SeqCst);
        let news = self.read.wrapping_sub(self.told);
        match self.local {
            Some(local) => member.mailbox(local).room.ring(),
            None if news < UNTOLD => return Ok(()),
            None => uplink.drained(self.rank, news).map_err(TalkError::Uplink)?,
        }
        self.told = self.read;
        Ok(())
    }
}
