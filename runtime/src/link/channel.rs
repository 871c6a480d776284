//! A channel: frames in both directions over descriptors that never make anyone wait.
//!
//! What is said is queued, sealed where the channel is a connection of our own, and written as far
//! as the other side takes it. What comes is opened and handed out frame by frame, in place. An
//! idle channel holds no buffer.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::Serialize;
use zeroize::Zeroize;

use super::carrier::{Carrier, CarrierError};
use super::control;
use super::frame::{self, Decoded, Frame, FrameError, Kind};
use super::incoming::Incoming;
use super::packing::{Packer, Unpacker};
use super::seal::{Opener, SealError, Sealer};
use crate::buffers::{BUFFER, Buffers};
use crate::poller::{Part, Poller, Token};

/// A frame of so many bytes is worth a buffer of its own.
const WORTHWHILE: usize = 32 << 10;
/// Buffers kept for what is sealed.
const SPARE: usize = 4;
/// Room for one read, where much comes.
const PIECE: usize = 128 << 10;
/// Room for one read, until one has filled it.
const SMALL_PIECE: usize = 4 << 10;
/// With so many bytes more than the longest message not yet understood, no more are read.
const AHEAD: usize = 1 << 20;
/// Sealed bytes that wait to be written, above which no more are sealed.
const SEALED_AHEAD: usize = 256 << 10;
/// Frames are joined while they are no more than this, so that another of data fits a buffer.
const JOINED: usize = 96 << 10;
/// Bytes that a carrier has taken and not sent, above which it is given no more: an MPI was slower by
/// a quarter with four times as many.
const CARRIED_AHEAD: usize = 1 << 20;

/// The descriptors of a channel.
pub enum Ends {
    /// One to read from, one to write to.
    Pair(OwnedFd, OwnedFd),
    /// One for both.
    Socket(OwnedFd),
    /// None: whole messages are carried by something else.
    Carried(Box<dyn Carrier>),
}

/// Why a channel is no longer one.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Reading failed.
    #[error("the connection failed: {0}")]
    Read(Errno),
    /// Writing failed.
    #[error("the connection failed: {0}")]
    Write(Errno),
    /// The other side closed it.
    #[error("the connection was closed")]
    Closed,
    /// What came is not what was sealed.
    #[error("what came was changed on its way: {0}")]
    Seal(#[from] SealError),
    /// What came is no frame.
    #[error("what came is not of this protocol: {0}")]
    Frame(#[from] FrameError),
    /// What is said cannot be compressed.
    #[error("cannot compress: {0}")]
    Pack(std::io::Error),
    /// What carries the messages failed.
    #[error("the connection failed: {0}")]
    Carrier(#[from] CarrierError),
    /// What came cannot be unpacked.
    #[error("what came cannot be unpacked: {0}")]
    Unpack(#[from] super::packing::UnpackError),
}

/// Bytes ready to be written.
struct Outgoing {
    bytes: Vec<u8>,
    length: usize,
}

/// Frames over descriptors.
pub struct Channel {
    ends: Ends,
    seal: Option<(Sealer, Opener)>,
    packer: Option<Packer>,
    unpacker: Option<Unpacker>,
    longest_message: usize,
    buffers: Buffers,
    /// Frames that are still joined by more.
    said: Vec<u8>,
    /// Frames not yet sealed.
    waiting: VecDeque<Vec<u8>>,
    /// Bytes in them.
    unsealed: usize,
    /// What is to be written, the first from `written` on.
    out: VecDeque<Outgoing>,
    /// Buffers for what is sealed, all of their length usable.
    spare: Vec<Vec<u8>>,
    written: usize,
    queued: usize,
    /// What came, not yet opened.
    sealed: Incoming,
    /// What came and was opened, not yet unpacked.
    packed: Incoming,
    /// What came, readable.
    came: Incoming,
    /// Of it, the frame that was handed out last.
    handed_out: usize,
    /// Room for one read.
    piece: usize,
    readable: bool,
    writable: bool,
    ended: bool,
    /// What waits to be written holds a secret.
    wipes: bool,
    heard: Instant,
    spoke: Instant,
    /// When the carrier was last asked.
    looked: Instant,
}

impl Channel {
    /// Makes a channel of non-blocking descriptors; `came` was read from them before.
    pub fn new(
        ends: Ends,
        seal: Option<(Sealer, Opener)>,
        longest_message: usize,
        came: Vec<u8>,
        buffers: Buffers,
        now: Instant,
    ) -> Self {
        let came = Incoming::of(came);
        let (came, sealed) =
            if seal.is_some() { (Incoming::default(), came) } else { (came, Incoming::default()) };
        Channel {
            ends,
            seal,
            packer: None,
            unpacker: None,
            longest_message,
            buffers,
            said: Vec::new(),
            waiting: VecDeque::new(),
            unsealed: 0,
            packed: Incoming::default(),
            out: VecDeque::new(),
            spare: Vec::new(),
            written: 0,
            queued: 0,
            sealed,
            came,
            handed_out: 0,
            piece: SMALL_PIECE,
            readable: true,
            writable: true,
            ended: false,
            wipes: false,
            heard: now,
            spoke: now,
            looked: now,
        }
    }

    /// Has all that is said and heard from now on compressed; both ends do so at the same point.
    pub fn pack(&mut self, packer: Packer, unpacker: Unpacker) {
        self.packer = Some(packer);
        self.unpacker = Some(unpacker);
    }

    /// Has `poller` wait for it as one of the link to `host`.
    ///
    /// # Errors
    /// `ENOMEM`, `ENOSPC`.
    pub fn watch(&self, poller: &Poller, host: u32) -> Result<(), Errno> {
        let add = |fd, part| match poller.add(fd, Token::Link(host, part)) {
            // Whoever read from it before waits there already.
            Err(Errno::EXIST) => Ok(()),
            other => other,
        };
        match &self.ends {
            Ends::Pair(incoming, outgoing) => {
                add(incoming, Part::ControlIn)?;
                add(outgoing, Part::ControlOut)
            }
            Ends::Socket(socket) => add(socket, Part::Data),
            Ends::Carried(_) => Ok(()),
        }
    }

    /// When to look for what has come or was sent, where no descriptor tells.
    pub fn next_look(&self) -> Option<Instant> {
        match &self.ends {
            Ends::Carried(carrier) => Some(self.looked + carrier.pause()),
            Ends::Pair(..) | Ends::Socket(_) => None,
        }
    }

    /// When something is to be done even if nothing happens, `every` being how often to [`beat`].
    ///
    /// [`beat`]: Channel::beat
    pub fn deadline(&self, every: Duration) -> Instant {
        let beat = self.next_beat(every);
        self.next_look().map_or(beat, |look| beat.min(look))
    }

    /// Notes that it may be read and written again.
    pub fn woken(&mut self) {
        self.readable = true;
        self.writable = true;
    }

    /// When something last came.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Takes `now` for when something last came.
    pub fn forgive(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Bytes said and not yet written.
    pub fn queued(&self) -> usize {
        let carried = match &self.ends {
            Ends::Carried(carrier) => carrier.in_flight(),
            Ends::Pair(..) | Ends::Socket(_) => 0,
        };
        self.queued + self.unsealed + self.said.len() + carried
    }

    /// Queues a frame.
    ///
    /// More data than one frame holds becomes several; returns how many.
    pub fn send(&mut self, kind: Kind, rank: u32, payload: &[u8]) -> u64 {
        let mut frames = 0;
        let mut rest = payload;
        loop {
            let (now, later) = rest.split_at(rest.len().min(frame::LARGEST_DATA));
            if self.said.len() + frame::HEADER + now.len() > BUFFER {
                self.close_said();
            }
            self.begin();
            frame::encode(&mut self.said, kind, rank, now);
            self.end();
            frames += 1;
            rest = later;
            if rest.is_empty() {
                return frames;
            }
        }
    }

    /// Queues a frame of data that has room for its header in front, without a copy if it is large.
    ///
    /// Its payload is at most [`frame::LARGEST_DATA`] bytes long.
    pub fn send_whole(&mut self, kind: Kind, rank: u32, mut framed: Vec<u8>) {
        frame::close(&mut framed, 0, kind, rank);
        if framed.len() < WORTHWHILE && self.said.len() + framed.len() <= BUFFER {
            self.begin();
            self.said.extend_from_slice(&framed);
            self.buffers.give(framed);
            return self.end();
        }
        if !self.said.is_empty() {
            self.close_said();
        }
        self.said = framed;
        self.close_said();
    }

    /// Queues bytes that are no frame.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.begin();
        self.said.extend_from_slice(bytes);
        self.end();
    }

    /// Finds a buffer for the next frame.
    fn begin(&mut self) {
        if self.said.capacity() == 0 {
            self.said = self.buffers.take();
        }
    }

    /// Closes the buffer when no further frame of data would surely fit.
    fn end(&mut self) {
        if self.said.len() > JOINED {
            self.close_said();
        }
    }

    fn close_said(&mut self) {
        self.unsealed += self.said.len();
        self.waiting.push_back(std::mem::take(&mut self.said));
    }

    /// Queues a message; `false` when it is too long to be sent.
    #[must_use]
    pub fn say(&mut self, message: &impl Serialize) -> bool {
        self.begin();
        let start = frame::open(&mut self.said);
        let fits = control::encode(&mut self.said, message);
        let length = self.said.len() - start - frame::HEADER;
        if !fits || length > control::FROM_ROOT {
            self.said.truncate(start);
            return false;
        }
        frame::close(&mut self.said, start, Kind::Control, 0);
        self.end();
        true
    }

    /// Queues a message with a secret in it: no trace of it stays in a buffer.
    pub fn say_secret(&mut self, message: &impl Serialize) {
        if !self.said.is_empty() {
            self.close_said();
        }
        let _ = self.say(message);
        self.wipes = true;
    }

    /// Queues a frame of data whose payload `fill` appends; nothing where it appends nothing.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn send_filled<E>(
        &mut self,
        kind: Kind,
        rank: u32,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, E> {
        // A buffer of its own, so that all room in it is for this frame.
        if !self.said.is_empty() {
            self.close_said();
        }
        self.begin();
        let start = frame::open(&mut self.said);
        let filled = fill(&mut self.said);
        let length = self.said.len() - start - frame::HEADER;
        if filled.is_err() || length == 0 {
            self.said.truncate(start);
            return filled.map(|()| 0);
        }
        frame::close(&mut self.said, start, kind, rank);
        self.end();
        Ok(length)
    }

    /// Says that it lives, if nothing was said for `every`.
    ///
    /// Where nothing was heard for as long either, memory is given back.
    pub fn beat(&mut self, every: Duration, now: Instant) {
        if now >= self.heard + every {
            self.piece = SMALL_PIECE;
            for buffer in [&mut self.came, &mut self.sealed, &mut self.packed] {
                buffer.release();
            }
            self.spare = Vec::new();
            if self.said.is_empty() && self.said.capacity() > 0 {
                self.buffers.give(std::mem::take(&mut self.said));
            }
        }
        if now >= self.spoke + every {
            self.spoke = now;
            if self.queued() == 0 {
                self.send(Kind::Heartbeat, 0, &[]);
            }
        }
    }

    /// When the next [`Channel::beat`] is due.
    pub fn next_beat(&self, every: Duration) -> Instant {
        self.spoke + every
    }

    /// Writes what can be written now; says whether anything was.
    ///
    /// # Errors
    /// [`ChannelError::Write`], [`ChannelError::Seal`].
    pub fn flush(&mut self, now: Instant) -> Result<bool, ChannelError> {
        if let Ends::Carried(_) = self.ends {
            return self.hand_over(now);
        }
        let mut any = false;
        loop {
            if self.queued < SEALED_AHEAD {
                self.seal()?;
            }
            let Some(first) = self.out.front().filter(|_| self.writable) else { break };
            let rest = &first.bytes[self.written..first.length];
            let Some(outgoing) = self.outgoing() else { break };
            match rustix::io::write(outgoing, rest) {
                Ok(count) => {
                    any = true;
                    self.spoke = now;
                    self.queued -= count;
                    self.written += count;
                    if self.written == first.length {
                        self.written = 0;
                        self.put_away();
                    }
                }
                Err(Errno::AGAIN) => self.writable = false,
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => return Err(ChannelError::Closed),
                Err(source) => return Err(ChannelError::Write(source)),
            }
        }
        Ok(any)
    }

    /// Keeps the first buffer, all of which was written, for later.
    fn put_away(&mut self) {
        let Some(Outgoing { mut bytes, .. }) = self.out.pop_front() else { return };
        if self.wipes {
            bytes.zeroize();
            self.wipes = !self.out.is_empty();
        } else if self.seal.is_some() {
            if self.spare.len() < SPARE {
                self.spare.push(bytes);
            }
        } else {
            self.buffers.give(bytes);
        }
    }

    fn outgoing(&self) -> Option<BorrowedFd<'_>> {
        match &self.ends {
            Ends::Pair(_, outgoing) | Ends::Socket(outgoing) => Some(outgoing.as_fd()),
            Ends::Carried(_) => None,
        }
    }

    /// Takes what was said first, packed.
    fn next_said(&mut self) -> Result<Option<Vec<u8>>, ChannelError> {
        if self.waiting.is_empty() && !self.said.is_empty() {
            self.close_said();
        }
        let Some(mut said) = self.waiting.pop_front() else { return Ok(None) };
        self.unsealed -= said.len();
        if let Some(packer) = &mut self.packer {
            let packed = packer.pack(&said).map_err(ChannelError::Pack)?;
            self.buffers.give(std::mem::replace(&mut said, packed));
        }
        Ok(Some(said))
    }

    /// Gives the carrier what it may take now; says whether anything was sent.
    fn hand_over(&mut self, now: Instant) -> Result<bool, ChannelError> {
        let mut any = false;
        loop {
            let Ends::Carried(carrier) = &mut self.ends else { return Ok(any) };
            while let Some(buffer) = carrier.sent() {
                self.buffers.give(buffer);
                any = true;
            }
            if carrier.in_flight() >= CARRIED_AHEAD {
                return Ok(any);
            }
            let Some(said) = self.next_said()? else { return Ok(any) };
            if let Ends::Carried(carrier) = &mut self.ends {
                carrier.send(said)?;
            }
            self.spoke = now;
            any = true;
        }
    }

    /// Makes what was said ready to be written.
    fn seal(&mut self) -> Result<(), ChannelError> {
        let Some(mut said) = self.next_said()? else { return Ok(()) };
        let ready = match &mut self.seal {
            None => Outgoing { length: said.len(), bytes: said },
            Some((sealer, _)) => {
                let mut bytes = self.spare.pop().unwrap_or_default();
                let needed = Sealer::sealed_length(said.len());
                if bytes.len() < needed {
                    // On an idle link little is ever said.
                    let length = match needed {
                        ..WORTHWHILE => needed.next_power_of_two(),
                        _ => needed.max(Sealer::sealed_length(BUFFER)),
                    };
                    bytes.resize(length, 0);
                }
                let length = sealer.seal_into(&said, &mut bytes)?;
                if self.wipes {
                    said.zeroize();
                }
                self.buffers.give(said);
                Outgoing { bytes, length }
            }
        };
        self.queued += ready.length;
        self.out.push_back(ready);
        Ok(())
    }

    /// Reads once what has come; says whether anything did.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] once all that came before was handed out; reading, opening.
    pub fn receive(&mut self, now: Instant) -> Result<bool, ChannelError> {
        let mut any = false;
        let full = self.longest_message + AHEAD;
        let asks = self.readable || matches!(self.ends, Ends::Carried(_));
        if asks && self.came.len() < full && self.packed.len() < full {
            any = self.read(now)?;
        }
        any |= self.open()?;
        if self.ended && !any {
            let left = frame::decode(self.came.unread(), self.longest_message)?;
            // A part of a frame, of which no more will come, is as good as nothing.
            if matches!(left, Decoded::Incomplete { .. }) {
                return Err(ChannelError::Closed);
            }
        }
        Ok(any)
    }

    /// Takes what has come, in one piece.
    fn read(&mut self, now: Instant) -> Result<bool, ChannelError> {
        let into = match (&self.seal, &self.unpacker) {
            (Some(_), _) => &mut self.sealed,
            (None, Some(_)) => &mut self.packed,
            (None, None) => &mut self.came,
        };
        let incoming = match &mut self.ends {
            Ends::Pair(incoming, _) | Ends::Socket(incoming) => incoming,
            Ends::Carried(carrier) => {
                self.looked = now;
                let message = carrier.receive()?;
                self.readable = message.is_some();
                if let Some(message) = message {
                    self.buffers.give(into.append(message));
                    self.heard = now;
                }
                return Ok(self.readable);
            }
        };
        let room = into.room(self.piece);
        let length = room.len();
        match rustix::io::read(incoming, room) {
            Ok(0) => {
                self.ended = true;
                self.readable = false;
            }
            Ok(count) => {
                into.added(count);
                if count == length {
                    self.piece = PIECE;
                }
                self.heard = now;
                return Ok(true);
            }
            Err(Errno::AGAIN) => self.readable = false,
            Err(Errno::INTR) => {}
            Err(source) => return Err(ChannelError::Read(source)),
        }
        Ok(false)
    }

    /// Whether there may be more to [`Channel::receive`] at once.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether the other side has closed it; frames that came before may be left.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Opens and unpacks what has come; says whether that gave anything.
    fn open(&mut self) -> Result<bool, ChannelError> {
        let before = self.came.len();
        if let Some((_, opener)) = &mut self.seal
            && !self.sealed.is_empty()
        {
            let into = if self.unpacker.is_some() { &mut self.packed } else { &mut self.came };
            let room = into.room(self.sealed.len());
            let (consumed, held) = opener.open_into(self.sealed.unread(), room)?;
            into.added(held);
            self.sealed.take(consumed);
        }
        if let Some(unpacker) = &mut self.unpacker {
            let room = (self.longest_message + AHEAD).saturating_sub(self.came.len());
            let mut plain = Vec::new();
            let used = unpacker.unpack(self.packed.unread(), &mut plain, room)?;
            self.packed.take(used);
            self.came.room(plain.len())[..plain.len()].copy_from_slice(&plain);
            self.came.added(plain.len());
        }
        Ok(self.came.len() > before)
    }

    /// Hands out the next frame that is whole.
    ///
    /// # Errors
    /// [`ChannelError::Frame`].
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ChannelError> {
        // Taken with the next call, so that its bytes can stay where they are.
        self.came.take(std::mem::take(&mut self.handed_out));
        match frame::decode(self.came.unread(), self.longest_message)? {
            Decoded::Frame(frame) => {
                self.handed_out = frame::HEADER + frame.payload.len();
                Ok(Some(frame))
            }
            Decoded::Incomplete { .. } => Ok(None),
        }
    }

    /// Wipes what was handed out: a secret was in it.
    pub fn wipe_taken(&mut self) {
        self.came.take(std::mem::take(&mut self.handed_out));
        self.came.wipe();
    }

    /// What came and was not yet handed out.
    pub fn unread(&self) -> &[u8] {
        self.came.unread()
    }

    /// Passes over the next `length` bytes, which are no frame.
    pub fn skip(&mut self, length: usize) {
        self.came.take(length);
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) {
        if let Ends::Socket(socket) = &self.ends {
            // Whoever is gone already needs no telling.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
        }
    }
}
