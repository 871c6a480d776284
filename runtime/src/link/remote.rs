//! The root's end of the link to an agent on another host.
//!
//! Orders become frames; a range of the input that the agent does not see itself is read here,
//! piece by piece as the link takes it. What the agent tells is believed only as far as the
//! protocol allows it at that point, so that a host that has gone wrong can spoil nothing but its
//! own ranks. Orders that must not wait behind data (signals, pauses, the end) go over the control
//! channel, which is also the one whose end is the agent's.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::channel::{Channel, ChannelError};
use super::control::{self, AgentSays, ControlError, RootSays};
use super::frame::{self, Kind};
use super::lease::Lease;
use super::ledger::{Breach, Ledger};
use super::{Link, Moved, Windows};
use crate::buffers::Buffers;
use crate::failure::Message;
use crate::input::files::FileInput;
use crate::message::{FromAgent, ToAgent};
use crate::poller::{Part, Poller, Ready, Token};
use crate::records::Records;

/// What may be on its way to a rank that reads the bytes itself, and to one that is sent them.
const BY_REFERENCE: Windows = Windows { dealt: 8 << 20, allowance: 1 << 20 };
const BY_VALUE: Windows = Windows { dealt: 4 << 20, allowance: 1 << 20 };
/// What may wait at one agent for ranks that are sent the bytes, in bytes; a rank gets 1 MiB at
/// least.
const AT_AN_AGENT: u64 = 16 << 20;
/// Read of the input at once, in bytes: nearly as much as fits a buffer beside a header.
const RANGE: usize = 240 << 10;
/// Output of fewer bytes than this is not worth a whole buffer.
const CRUMB: usize = 16 << 10;
/// Reads before another link's turn.
const READS: u32 = 4;
/// For the carrier of a channel that has ended to say why.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Kept of what the carrier says, in bytes.
const WORDS: usize = 4 << 10;

/// What is still to be sent over the data channel, in order.
enum Pending {
    /// A range of the input, by value.
    Range { rank: u32, range: Range<u64> },
    /// An order that follows it.
    Order(ToAgent<'static>),
    /// Bytes for a copy that follow it.
    Bytes { rank: u32, bytes: Vec<u8> },
}

/// Why a host is lost.
#[derive(Debug, thiserror::Error)]
enum Loss {
    #[error("{0}")]
    Channel(#[from] ChannelError),
    #[error("nothing was heard from it for {0:.1} s")]
    Silent(f64),
    #[error("its agent sent {0}")]
    Control(#[from] ControlError),
    #[error("its agent broke the protocol: {0}")]
    State(#[from] Breach),
    #[error("its agent broke the protocol: {0}")]
    Phase(&'static str),
    #[error("not all that it sent has come")]
    Counts,
}

/// How a link came about.
pub struct Bond {
    /// The link's number.
    pub number: u32,
    /// What the host is called.
    pub name: String,
    /// Its ranks, in ascending order.
    pub ranks: Vec<u32>,
    /// The channel for control.
    pub control: Channel,
    /// The connection for data, where it is another.
    pub data: Option<Channel>,
    /// What the carrier of the control channel says besides.
    pub words: Option<OwnedFd>,
    /// Whether the agent sees the input itself.
    pub sees_input: bool,
    /// After how long a silence it is lost.
    pub lease: Duration,
}

/// What the root reads for its agents.
#[derive(Clone)]
pub struct Supply {
    /// The input, where it is of known length.
    pub input: Option<Rc<FileInput>>,
    /// What a record is.
    pub records: Records,
    /// Where received bytes are kept.
    pub buffers: Buffers,
    /// Bytes that may wait to be sent on one link.
    pub room: usize,
}

/// The link itself.
pub struct Remote {
    bond: Bond,
    supply: Supply,
    lease: Lease,
    ledger: Ledger,
    pending: VecDeque<Pending>,
    told: VecDeque<FromAgent>,
    words: Vec<u8>,
    /// The carrier may have said more.
    wordy: bool,
    /// Lost for this; its carrier may still say more until then.
    losing: Option<(Loss, Instant)>,
    frames: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    /// The agent was told to leave, and has to have left by then.
    Leaving(Instant),
    /// It has left, or was lost.
    Over,
}

impl Remote {
    /// Makes a link of what was set up.
    pub fn new(bond: Bond, supply: Supply, now: Instant) -> Self {
        let ledger = Ledger::new(bond.ranks.clone());
        let lease = Lease::new(bond.lease, now);
        Remote {
            bond,
            supply,
            lease,
            ledger,
            pending: VecDeque::new(),
            told: VecDeque::new(),
            words: Vec::new(),
            wordy: true,
            losing: None,
            frames: 0,
            phase: Phase::Working,
        }
    }

    fn data(&mut self) -> &mut Channel {
        self.bond.data.as_mut().unwrap_or(&mut self.bond.control)
    }

    fn send(&mut self, order: ToAgent<'_>) {
        if !self.pending.is_empty() {
            match order {
                ToAgent::Feed { rank, bytes } => {
                    self.pending.push_back(Pending::Bytes { rank, bytes: bytes.to_vec() });
                    return;
                }
                ToAgent::OutputCredit { .. }
                | ToAgent::DiagnosticCredit { .. }
                | ToAgent::MayTalk
                | ToAgent::Talk { .. } => {}
                ToAgent::Deal { rank, range } if !self.bond.sees_input => {
                    self.pending.push_back(Pending::Range { rank, range });
                    return;
                }
                other => {
                    if let Some(order) = other.into_owned() {
                        self.pending.push_back(Pending::Order(order));
                    }
                    return;
                }
            }
        }
        match order {
            ToAgent::Feed { rank, bytes } => {
                self.data().send(Kind::Feed, rank, bytes);
            }
            ToAgent::Talk { rank, from, bytes } => {
                for piece in bytes.chunks(frame::LARGEST_DATA - frame::NUMBER) {
                    let numbered = [&u64::from(from).to_le_bytes()[..], piece].concat();
                    self.data().send(Kind::Talk, rank, &numbered);
                }
            }
            ToAgent::Deal { rank, range } if !self.bond.sees_input => {
                self.pending.push_back(Pending::Range { rank, range });
            }
            other => self.say(other),
        }
    }

    fn say(&mut self, order: ToAgent<'_>) {
        // An order is some dozen bytes long.
        let _ = self.data().say(&RootSays::Order(order));
    }

    /// Moves what is pending to the channel as far as there is room.
    fn fill(&mut self) {
        while self.data_queued() < self.supply.room {
            match self.pending.pop_front() {
                None => return,
                Some(Pending::Order(order)) => self.say(order),
                Some(Pending::Bytes { rank, bytes }) => {
                    self.data().send(Kind::Feed, rank, &bytes);
                }
                Some(Pending::Range { rank, range }) => {
                    let rest = self.send_range(rank, range);
                    if !rest.is_empty() {
                        self.pending.push_front(Pending::Range { rank, range: rest });
                    }
                }
            }
        }
    }

    fn data_queued(&self) -> usize {
        self.bond.data.as_ref().unwrap_or(&self.bond.control).queued()
    }

    /// Sends the first part of a range of the input; returns what is left of it.
    fn send_range(&mut self, rank: u32, range: Range<u64>) -> Range<u64> {
        let Some(input) = self.supply.input.clone() else { return range.end..range.end };
        let records = self.supply.records;
        let want = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let want = want.min(RANGE);
        let sent = self
            .data()
            .send_filled(Kind::Feed, rank, |out| input.append(out, range.start, want, records));
        match sent {
            Ok(sent) if sent > 0 => range.start + sent as u64..range.end,
            Ok(_) => range.end..range.end,
            Err(error) => {
                let message = error.to_string();
                self.told.push_back(FromAgent::InputFailed { rank, message });
                range.end..range.end
            }
        }
    }

    fn lose(&mut self, loss: &Loss) {
        if self.phase == Phase::Over {
            return;
        }
        // All its copies have ended, with all that they printed: only its own word that there was
        // more can make that wrong.
        let left = matches!(self.phase, Phase::Leaving(_)) && !matches!(loss, Loss::Counts);
        self.phase = Phase::Over;
        self.pending.clear();
        // What it told before counts; what was on its way never came.
        if !left {
            self.read_words();
            let mut message = Message::new(format!("host `{}` is lost: {loss}", self.bond.name));
            let words = String::from_utf8_lossy(&self.words);
            let lines = words.lines().rev().take(4);
            message.notes = lines.map(|line| line.replace("pxrun: error: ", "")).collect();
            message.notes.reverse();
            self.told.push_back(FromAgent::Lost { message });
        }
    }

    /// Reads what the carrier says, a bounded part of it at a time: whoever floods holds up nobody.
    fn read_words(&mut self) {
        const READS: u32 = 8;
        for _ in 0..READS {
            let Some(words) = self.bond.words.as_ref().filter(|_| self.wordy) else { return };
            let mut bytes = [0; 1024];
            match rustix::io::read(words, &mut bytes) {
                Ok(0) => self.bond.words = None,
                Ok(count) => {
                    self.words.extend_from_slice(&bytes[..count]);
                    let more = self.words.len().saturating_sub(WORDS);
                    self.words.drain(..more);
                }
                Err(_) => self.wordy = false,
            }
        }
    }

    fn exchange(&mut self, now: Instant) -> Result<Moved, Loss> {
        let mut moved = Moved::default();
        moved.more |= self.wordy && self.bond.words.is_some();
        self.fill();
        let every = self.lease.beat();
        for is_data in [false, true] {
            moved.any |= self.receive(is_data, now, &mut moved.more)?;
            if let Some(channel) = self.channel(is_data) {
                channel.beat(every, now);
                moved.any |= channel.flush(now)?;
            }
        }
        let heard = self.heard();
        if self.lease.has_run_out(heard, now) {
            return Err(Loss::Silent(now.saturating_duration_since(heard).as_secs_f64()));
        }
        if matches!(self.phase, Phase::Leaving(end) if now >= end) {
            return Err(Loss::Phase("it stays though the job is over"));
        }
        Ok(moved)
    }

    fn heard(&self) -> Instant {
        let control = self.bond.control.heard();
        self.bond.data.as_ref().map_or(control, |data| control.max(data.heard()))
    }

    /// Takes what one channel has brought.
    fn receive(&mut self, is_data: bool, now: Instant, more: &mut bool) -> Result<bool, Loss> {
        let mut any = false;
        for _ in 0..READS {
            let Some(channel) = self.channel(is_data) else { return Ok(any) };
            any |= channel.receive(now)?;
            while self.hear(is_data)? {
                any = true;
            }
            if !self.channel(is_data).is_some_and(|channel| channel.is_readable()) {
                return Ok(any);
            }
        }
        *more = true;
        Ok(any)
    }

    fn channel(&mut self, is_data: bool) -> Option<&mut Channel> {
        if is_data { self.bond.data.as_mut() } else { Some(&mut self.bond.control) }
    }

    /// Hears the next frame of a channel, if there is a whole one.
    fn hear(&mut self, is_data: bool) -> Result<bool, Loss> {
        let buffers = self.supply.buffers.clone();
        let Some(channel) = self.channel(is_data) else { return Ok(false) };
        let Some(frame) = channel.next_frame()? else { return Ok(false) };
        let rank = frame.rank;
        let said = match frame.kind {
            Kind::Heartbeat => return Ok(true),
            Kind::Feed => return Err(Loss::Phase("it feeds the root")),
            Kind::Control => control::decode(frame.payload)?,
            Kind::Emitted | Kind::Talk => {
                let broken = Loss::Phase("a frame without its number");
                let (number, payload) = frame::numbered(frame.payload).ok_or(broken)?;
                let mut bytes = if payload.len() < CRUMB { Vec::new() } else { buffers.take() };
                bytes.extend_from_slice(payload);
                AgentSays::Told(match frame.kind {
                    Kind::Emitted => FromAgent::Emitted { rank, chunk: number, bytes },
                    _ => FromAgent::Talked {
                        rank,
                        to: u32::try_from(number).unwrap_or(u32::MAX),
                        bytes,
                    },
                })
            }
            Kind::Output | Kind::Diagnostic => {
                // A crumb gets no more memory than its bytes; many may wait.
                let mut bytes =
                    if frame.payload.len() < CRUMB { Vec::new() } else { buffers.take() };
                bytes.extend_from_slice(frame.payload);
                AgentSays::Told(match frame.kind {
                    Kind::Output => FromAgent::Output { rank, bytes },
                    _ => FromAgent::Diagnostic { rank, bytes },
                })
            }
        };
        match said {
            AgentSays::Told(told @ (FromAgent::Asked { .. } | FromAgent::Blocked { .. })) => {
                self.frames += u64::from(matches!(told, FromAgent::Blocked { .. }));
                self.told.push_back(told);
            }
            AgentSays::Told(told) => {
                self.frames += 1;
                let told = self.ledger.told(told)?;
                self.told.push_back(self.with_place(told));
            }
            AgentSays::Left { frames } if matches!(self.phase, Phase::Leaving(_)) => {
                if frames != self.frames {
                    return Err(Loss::Counts);
                }
                self.phase = Phase::Over;
            }
            _ => return Err(Loss::Phase("a message out of its time")),
        }
        Ok(true)
    }

    /// Says of bad news of the input where they come from.
    fn with_place(&self, told: FromAgent) -> FromAgent {
        match told {
            FromAgent::InputFailed { rank, mut message } => {
                message.truncate(message.floor_char_boundary(WORDS));
                let message = format!("rank {rank} on `{}`: {message}", self.bond.name);
                FromAgent::InputFailed { rank, message }
            }
            other => other,
        }
    }
}

impl Link for Remote {
    fn order(&mut self, order: ToAgent<'_>, _poller: &Poller, now: Instant) {
        if self.phase != Phase::Working {
            return;
        }
        match order {
            ToAgent::Signal { .. } | ToAgent::Abandon => {
                let _ = self.bond.control.say(&RootSays::Order(order));
            }
            ToAgent::Pause => {
                let _ = self.bond.control.say(&RootSays::Pause);
            }
            ToAgent::Resume => {
                let _ = self.bond.control.say(&RootSays::Resume);
            }
            ToAgent::Leave => {
                self.phase = Phase::Leaving(now + self.bond.lease);
                self.pending.clear();
                let _ = self.bond.control.say(&RootSays::Leave);
            }
            order => {
                if let Some(order) = self.ledger.ordered(order) {
                    self.send(order);
                }
            }
        }
    }

    fn told(&mut self) -> Option<FromAgent> {
        self.told.pop_front()
    }

    fn ready(&mut self, event: Ready, _now: Instant) {
        match event.token {
            Token::Link(_, Part::ControlIn | Part::ControlOut) => self.bond.control.woken(),
            Token::Link(_, Part::Data) => self.data().woken(),
            Token::Link(_, Part::Words) => self.wordy = true,
            _ => {}
        }
    }

    fn pump(&mut self, _poller: &Poller, now: Instant) -> Moved {
        if self.phase == Phase::Over {
            return Moved::default();
        }
        self.read_words();
        if let Some((loss, until)) = self.losing.take() {
            if self.bond.words.is_some() && now < until {
                self.losing = Some((loss, until));
                return Moved::default();
            }
            self.lose(&loss);
            return Moved { any: true, ..Moved::default() };
        }
        match self.exchange(now) {
            Ok(moved) => moved,
            Err(loss) => {
                // An agent that ends says why, on another pipe than the one whose end is seen
                // first.
                self.losing = Some((loss, now + LAST_WORDS));
                Moved { any: true, ..Moved::default() }
            }
        }
    }

    fn stir(&mut self, _now: Instant) {
        self.bond.control.woken();
        if let Some(data) = &mut self.bond.data {
            data.woken();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.phase == Phase::Over {
            return None;
        }
        if let Some((_, until)) = &self.losing {
            return Some(*until);
        }
        let every = self.lease.beat();
        let control = self.bond.control.deadline(every);
        Some(self.bond.data.as_ref().map_or(control, |data| control.min(data.deadline(every))))
    }

    fn windows(&self) -> Windows {
        if self.bond.sees_input {
            return BY_REFERENCE;
        }
        let share = AT_AN_AGENT / (self.bond.ranks.len().max(1) as u64);
        Windows { dealt: share.clamp(BY_VALUE.allowance, BY_VALUE.dealt), ..BY_VALUE }
    }

    fn has_room(&self) -> bool {
        self.phase == Phase::Working && self.data_queued() < self.supply.room
    }

    fn is_quiet(&self) -> bool {
        self.phase == Phase::Over
            || self.pending.is_empty() && self.bond.control.queued() + self.data_queued() == 0
    }

    fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    fn forgive(&mut self, now: Instant) {
        self.bond.control.forgive(now);
        if let Some(data) = &mut self.bond.data {
            data.forgive(now);
        }
    }
}
