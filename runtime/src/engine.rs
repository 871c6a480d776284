//! The one loop that waits and wakes everything of a job.
//!
//! One thread does all the work: nothing is locked, nothing waits for another thread, and the
//! order of events is the order in which they are read here. While much is moving, the loop
//! *paces* itself: it lets pipes fill and drain for some hundred microseconds instead of being
//! woken for every page, which more than halves its own processor time and gives that time to the
//! copies. How long follows from how full the fullest pipe was.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::failure::Message;
use crate::pace::Pace;
use crate::poller::{Poller, Ready, Token};
use crate::root::setup::{Parts, SetupError};
use crate::root::{Root, Stepped, Verdict};

/// How often dealing looks at what copies have read, where that decides.
const TICK: Duration = Duration::from_millis(1);
/// After this long without an event everything is tried once more: no event that was lost on its
/// way can make a job hang.
const STIR: Duration = Duration::from_secs(1);
/// Steps without a pause while each of them finds something to do.
const STEPS: u32 = 4;

/// What the process that the user sees asks for, one byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop in order and end by this signal.
    Stop(Signal),
    /// Stop at once.
    Kill,
    /// Stop the copies for now and say so.
    Pause,
    /// Go on.
    Resume,
    /// Say how the job stands.
    Status,
    /// Send this signal on to the copies.
    Forward(Signal),
}

/// The orders and their bytes on the control pipe.
const ORDERS: [(u8, Order); 9] = [
    (b'i', Order::Stop(Signal::INT)),
    (b't', Order::Stop(Signal::TERM)),
    (b'h', Order::Stop(Signal::HUP)),
    (b'u', Order::Stop(Signal::USR1)),
    (b'k', Order::Kill),
    (b'z', Order::Pause),
    (b'c', Order::Resume),
    (b's', Order::Status),
    (b'2', Order::Forward(Signal::USR2)),
];

impl Order {
    /// The byte that stands for it.
    pub fn encode(self) -> u8 {
        ORDERS.iter().find(|(_, order)| *order == self).map_or(b'?', |(byte, _)| *byte)
    }

    /// The order that a byte stands for.
    pub fn decode(byte: u8) -> Option<Order> {
        ORDERS.iter().find(|(known, _)| *known == byte).map(|(_, order)| *order)
    }
}

/// The pipes that tie a job's process to the others.
pub struct Ties {
    /// Orders come from here; its end means that the process that the user sees is gone.
    pub control: OwnedFd,
    /// Told here: [`PAUSED`].
    pub report: OwnedFd,
    /// Its end means that the guardian is gone.
    pub lifeline: OwnedFd,
}

/// Written to [`Ties::report`] when the copies are stopped for now.
pub const PAUSED: u8 = b'Z';

/// A clock that stands still while the job is paused.
struct Clock {
    paused: Duration,
}

impl Clock {
    fn now(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.paused).unwrap_or(now)
    }
}

struct Engine {
    root: Root,
    poller: Poller,
    ties: Ties,
    clock: Clock,
    pace: Pace,
    interrupted: bool,
}

/// Why a job ended without a verdict of its own.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It could not begin.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The process that the user sees, or the guardian, is gone.
    #[error("{0} is gone")]
    Orphaned(&'static str),
    /// Waiting failed.
    #[error("cannot wait for events: {0}")]
    Wait(rustix::io::Errno),
}

impl EngineError {
    /// Says it.
    pub fn message(&self) -> Message {
        match self {
            EngineError::Setup(error) => error.message(),
            other => Message::new(other.to_string()),
        }
    }
}

/// Has `poller` tell of orders and of the guardian's end.
///
/// # Errors
/// None in practice.
pub fn watch(ties: &Ties, poller: &Poller) -> Result<(), EngineError> {
    for (fd, token) in [(&ties.control, Token::Control), (&ties.lifeline, Token::Lifeline)] {
        crate::sys::fd::set_nonblocking(fd).map_err(EngineError::Wait)?;
        poller.add(fd, token).map_err(EngineError::Wait)?;
    }
    Ok(())
}

/// Runs a job to its end; its poller must [`watch`] the ties.
///
/// # Errors
/// See [`EngineError`]; copies that run are then ended by the guardian.
pub fn run(parts: Parts, ties: Ties) -> Result<Verdict, EngineError> {
    let clock = Clock { paused: Duration::ZERO };
    let (root, poller) = Root::new(parts, clock.now())?;
    Engine { root, poller, ties, clock, pace: Pace::new(), interrupted: false }.run()
}

impl Engine {
    fn run(mut self) -> Result<Verdict, EngineError> {
        let mut events = Vec::new();
        let mut last_event = self.clock.now();
        let mut stepped = Stepped { more: true, ..Stepped::default() };
        loop {
            let timeout = self.timeout(stepped);
            self.poller.wait(timeout, &mut events).map_err(EngineError::Wait)?;
            let now = self.clock.now();
            if !events.is_empty() {
                last_event = now;
            } else if now >= last_event + STIR {
                last_event = now;
                self.root.stir(now);
            }
            for event in events.drain(..) {
                self.take(event)?;
            }
            stepped = self.steps();
            if let Some(verdict) = self.root.conclude(&self.poller, self.clock.now()) {
                return Ok(verdict);
            }
            if stepped.any
                && !stepped.more
                && let Some(pause) = self.pace.pause(stepped.fullest)
            {
                // What is carried by messages moves only while it is looked at.
                let due = self.timeout(Stepped::default()).unwrap_or(pause);
                self.poller.pace(pause.min(due)).map_err(EngineError::Wait)?;
            }
        }
    }

    fn timeout(&self, stepped: Stepped) -> Option<Duration> {
        if stepped.any || stepped.more {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let deadline = self.root.deadline().map(|at| at.saturating_duration_since(now));
        let tick = self.root.ticks().then_some(TICK);
        [deadline, tick, Some(STIR)].into_iter().flatten().min()
    }

    fn steps(&mut self) -> Stepped {
        let mut all = Stepped::default();
        for _ in 0..STEPS {
            let stepped = self.root.step(&self.poller, self.clock.now());
            all.any |= stepped.any;
            all.more = stepped.more;
            all.fullest = all.fullest.max(stepped.fullest);
            if !stepped.any {
                break;
            }
        }
        all
    }

    fn take(&mut self, event: Ready) -> Result<(), EngineError> {
        match event.token {
            Token::Lifeline => {
                self.root.kill(None, &self.poller, self.clock.now());
                Err(EngineError::Orphaned("the guardian"))
            }
            Token::Control => self.take_orders(),
            _ => {
                self.root.ready(event, &self.poller, self.clock.now());
                Ok(())
            }
        }
    }

    fn take_orders(&mut self) -> Result<(), EngineError> {
        let mut bytes = [0; 64];
        loop {
            match rustix::io::read(&self.ties.control, &mut bytes) {
                Ok(0) => return Err(EngineError::Orphaned("pxrun")),
                Ok(count) => {
                    for order in bytes[..count].iter().filter_map(|&byte| Order::decode(byte)) {
                        self.obey(order)?;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Ok(()),
            }
        }
    }

    fn obey(&mut self, order: Order) -> Result<(), EngineError> {
        let now = self.clock.now();
        match order {
            Order::Stop(signal) if std::mem::replace(&mut self.interrupted, true) => {
                self.root.kill(Some(signal), &self.poller, now);
            }
            Order::Stop(signal) => self.root.stop(Some(signal), &self.poller, now),
            Order::Kill => self.root.kill(Some(Signal::QUIT), &self.poller, now),
            Order::Forward(signal) => self.root.forward(signal, &self.poller, now),
            Order::Status => self.root.tell_status(now),
            Order::Resume => {}
            Order::Pause => return self.stand_still(),
        }
        Ok(())
    }

    /// Stops the copies and all deadlines until told to go on.
    fn stand_still(&mut self) -> Result<(), EngineError> {
        let since = Instant::now();
        self.root.pause(&self.poller, self.clock.now());
        let _ = rustix::io::write(&self.ties.report, &[PAUSED]);
        let mut after = None;
        while after.is_none() {
            use rustix::event::{PollFd, PollFlags};
            let mut fds = [
                PollFd::new(&self.ties.control, PollFlags::IN),
                PollFd::new(&self.ties.lifeline, PollFlags::IN),
            ];
            let _ = rustix::event::poll(&mut fds, None);
            let [_, lifeline] = fds.map(|fd| !fd.revents().is_empty());
            if lifeline {
                break;
            }
            let mut byte = [0];
            match rustix::io::read(&self.ties.control, &mut byte) {
                Ok(0) => return Err(EngineError::Orphaned("pxrun")),
                Ok(_) => after = Order::decode(byte[0]).filter(|order| *order != Order::Pause),
                Err(_) => {}
            }
        }
        self.clock.paused += since.elapsed();
        self.root.resume(&self.poller, self.clock.now());
        match after {
            Some(order) => self.obey(order),
            None => Ok(()),
        }
    }
}
