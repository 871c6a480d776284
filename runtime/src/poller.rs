//! Waiting for many descriptors, some of which may be left waiting a little.
//!
//! Two sets: *urgent* descriptors (orders, the end of a process) wake the loop at once; *bulk*
//! ones (pipes full of data) can be left to fill or drain for some hundred microseconds, so that
//! one wake-up moves much. All are edge-triggered: what was reported stays ready until a call says
//! that it would block.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::sys::timespec;

/// What a descriptor is, to whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Orders of the process that the user sees.
    Control,
    /// The guardian's end of the lifeline.
    Lifeline,
    /// The input stream.
    Input,
    /// Our stdout, or the output's device.
    Output,
    /// Our stderr.
    Stderr,
    /// The process of a rank's copy.
    Process(u32),
    /// A copy's stdin.
    ChildStdin(u32),
    /// A copy's stdout.
    ChildStdout(u32),
    /// A copy's stderr.
    ChildStderr(u32),
    /// A descriptor of the link to a host.
    Link(u32, Part),
}

/// Which descriptor of a link it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the control channel brings.
    ControlIn,
    /// Where the control channel takes from us.
    ControlOut,
    /// What whoever carries the control channel says besides.
    Words,
    /// The connection for data, or one that may become it.
    Data,
    /// A door at which the other side may knock.
    Door,
}

const PARTS: [Part; 5] = [Part::ControlIn, Part::ControlOut, Part::Words, Part::Data, Part::Door];

impl Token {
    fn encode(self) -> u64 {
        let (kind, rank) = match self {
            Token::Control => (0, 0),
            Token::Lifeline => (1, 0),
            Token::Input => (2, 0),
            Token::Output => (3, 0),
            Token::Stderr => (4, 0),
            Token::Process(rank) => (5, rank),
            Token::ChildStdin(rank) => (6, rank),
            Token::ChildStdout(rank) => (7, rank),
            Token::ChildStderr(rank) => (8, rank),
            Token::Link(host, part) => {
                let part = PARTS.iter().position(|&known| known == part).unwrap_or(0);
                (9 + part as u64, host)
            }
        };
        kind << 32 | u64::from(rank)
    }

    fn decode(word: u64) -> Option<Self> {
        let rank = u32::try_from(word & 0xffff_ffff).ok()?;
        Some(match word >> 32 {
            0 => Token::Control,
            1 => Token::Lifeline,
            2 => Token::Input,
            3 => Token::Output,
            4 => Token::Stderr,
            5 => Token::Process(rank),
            6 => Token::ChildStdin(rank),
            7 => Token::ChildStdout(rank),
            8 => Token::ChildStderr(rank),
            kind => {
                let part = usize::try_from(kind - 9).ok()?;
                Token::Link(rank, *PARTS.get(part)?)
            }
        })
    }

    fn is_urgent(self) -> bool {
        matches!(self, Token::Control | Token::Lifeline | Token::Process(_))
    }
}

/// Something happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Which.
    pub token: Token,
    /// It can be read, or has ended.
    pub readable: bool,
    /// The other side writes no more.
    pub ended: bool,
    /// It can be written.
    pub writable: bool,
    /// Nobody is on the other side any more.
    pub broken: bool,
}

/// Events taken at once.
const EVENTS: usize = 256;

/// The two sets.
pub struct Poller {
    urgent: OwnedFd,
    bulk: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    /// Makes both sets, empty.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn new() -> Result<Self, Errno> {
        let set = || epoll::create(CreateFlags::CLOEXEC);
        Ok(Poller { urgent: set()?, bulk: set()?, events: Vec::with_capacity(EVENTS) })
    }

    /// Waits for `fd` from now on, until it is closed.
    ///
    /// # Errors
    /// `EPERM` for what can never block, such as a regular file; `ENOSPC`, `ENOMEM`.
    pub fn add(&self, fd: impl AsFd, token: Token) -> Result<(), Errno> {
        let flags = match token {
            // The socket to a program that uses libpx stands here too, and brings what that says.
            Token::ChildStdin(_) => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP,
            Token::Output | Token::Stderr => EventFlags::OUT,
            Token::Link(_, Part::ControlOut) => EventFlags::OUT,
            Token::Link(_, Part::Data) => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP,
            _ => EventFlags::IN | EventFlags::RDHUP,
        };
        let set = if token.is_urgent() { &self.urgent } else { &self.bulk };
        epoll::add(set, fd, EventData::new_u64(token.encode()), flags | EventFlags::ET)
    }

    /// Waits up to `timeout` for anything, once, with room of its own for what comes.
    ///
    /// # Errors
    /// None in practice.
    pub fn wait_once(&self, timeout: Duration, ready: &mut Vec<Ready>) -> Result<(), Errno> {
        let mut events = Vec::with_capacity(EVENTS);
        self.wait_with(Some(timeout), &mut events, ready)
    }

    /// Waits up to `timeout` (`None`: without end) for anything, and appends it to `ready`.
    ///
    /// # Errors
    /// None in practice.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> Result<(), Errno> {
        let mut events = std::mem::take(&mut self.events);
        let waited = self.wait_with(timeout, &mut events, ready);
        self.events = events;
        waited
    }

    fn wait_with(
        &self,
        timeout: Option<Duration>,
        events: &mut Vec<epoll::Event>,
        ready: &mut Vec<Ready>,
    ) -> Result<(), Errno> {
        let timeout = timeout.map(timespec);
        let mut sets =
            [PollFd::new(&self.urgent, PollFlags::IN), PollFd::new(&self.bulk, PollFlags::IN)];
        match rustix::event::poll(&mut sets, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(other) => return Err(other),
        }
        let which = sets.map(|set| !set.revents().is_empty());
        for (set, has_some) in [&self.urgent, &self.bulk].into_iter().zip(which) {
            if has_some {
                collect(set, events, ready)?;
            }
        }
        Ok(())
    }

    /// Lets bulk descriptors fill or drain for `pause`; something urgent ends it.
    ///
    /// # Errors
    /// None in practice.
    pub fn pace(&mut self, pause: Duration) -> Result<(), Errno> {
        let pause = timespec(pause);
        let mut urgent = [PollFd::new(&self.urgent, PollFlags::IN)];
        match rustix::event::poll(&mut urgent, Some(&pause)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

fn collect(
    set: &OwnedFd,
    events: &mut Vec<epoll::Event>,
    ready: &mut Vec<Ready>,
) -> Result<(), Errno> {
    let none = timespec(Duration::ZERO);
    events.clear();
    match epoll::wait(set, rustix::buffer::spare_capacity(events), Some(&none)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(other) => return Err(other),
    }
    for event in events.iter() {
        let flags = event.flags;
        let broken = flags.intersects(EventFlags::ERR);
        let ended = flags.intersects(EventFlags::HUP | EventFlags::RDHUP);
        if let Some(token) = Token::decode(event.data.u64()) {
            ready.push(Ready {
                token,
                readable: ended || broken || flags.contains(EventFlags::IN),
                ended,
                writable: broken || flags.contains(EventFlags::OUT),
                broken,
            });
        }
    }
    Ok(())
}

/// How much of a pipe that holds `whole` bytes `part` bytes are, in percent.
pub fn percent(part: u64, whole: usize) -> usize {
    usize::try_from(part * 100 / whole.max(1) as u64).unwrap_or(100)
}
