//! What this host's copies say to other ranks, as far as the agent is needed for it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::time::ClockId;

use super::assignment::{Assignment, Feeding};
use crate::job::Run;
use crate::libpx::commons::{Commons, CommonsError};
use crate::message::Blocked;
use crate::sys::process::cpu_of;

/// Copies that have waited for each other for this long are mentioned.
const LONG: Duration = Duration::from_secs(10);

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);

/// The memory that the copies of this host share.
pub(super) struct Talk {
    commons: Commons,
    fd: Rc<OwnedFd>,
    /// Who waited for long when that was last told.
    told: Vec<Blocked>,
    /// Since when those that wait do nothing else.
    idle: HashMap<u32, Idle>,
    /// When to look again.
    next_look: Option<Instant>,
}

impl Talk {
    /// Makes it where copies can talk at all: long-lived ones that use libpx.
    ///
    /// # Errors
    /// Those of making the memory.
    pub(super) fn new(assignment: &Assignment) -> Result<Option<Self>, Errno> {
        if assignment.feeding != Feeding::Px || assignment.run != Run::PerRank {
            return Ok(None);
        }
        let Assignment { world, ranks, local, .. } = assignment;
        let made = Commons::create(*world, ranks, local.all).map_err(|error| match error {
            CommonsError::Make { source, .. } => source,
            _ => Errno::NOMEM,
        });
        let (commons, fd) = made?;
        Ok(Some(Talk {
            commons,
            fd: Rc::new(fd),
            told: Vec::new(),
            idle: HashMap::new(),
            next_look: None,
        }))
    }

    /// The descriptor that copies are given.
    pub(super) fn descriptor(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.fd)
    }

    /// The copy of a rank has begun.
    pub(super) fn begun(&self, slot: usize) {
        self.commons.begun(u32::try_from(slot).unwrap_or(u32::MAX));
    }

    /// The process of a rank has ended and was not waited for yet; there may be another one.
    pub(super) fn ended(&self, slot: usize) {
        self.commons.ended(u32::try_from(slot).unwrap_or(u32::MAX));
    }

    /// The root knows that ranks talk.
    pub(super) fn allow(&self) {
        self.commons.allow();
    }

    /// A rank will never speak again.
    pub(super) fn gone(&self, rank: u32) {
        self.commons.gone(rank);
    }

    /// Bytes came for a rank of this host.
    pub(super) fn deposit(&mut self, slot: usize, from: u32, bytes: &[u8]) -> Result<(), String> {
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        self.commons.deposit(slot, from, bytes).map_err(|error| error.to_string())
    }

    /// A rank on another host has read what one of this host sent.
    pub(super) fn drained(&self, slot: usize, by: u32, bytes: u64) -> Result<(), String> {
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        self.commons.drained(slot, by, bytes).map_err(|error| error.to_string())
    }

    /// Who waits for whom, if all `copies`, ranks with their processes, have done nothing else for
    /// long; nobody, once that is over. `None` for no news.
    pub(super) fn news_of_waits(
        &mut self,
        copies: impl Iterator<Item = (u32, Option<Pid>)>,
        now: Instant,
    ) -> Option<Vec<Blocked>> {
        if self.next_look.is_some_and(|at| now < at) {
            return None;
        }
        self.next_look = Some(now + EVERY);
        let clock = rustix::time::clock_gettime(ClockId::Monotonic);
        let clock = Duration::new(clock.tv_sec.unsigned_abs(), clock.tv_nsec.unsigned_abs() as u32);
        // Who has set a time goes on by itself.
        let mut waits = self.commons.blocked();
        waits.retain(|wait| !wait.timed);
        let mut long = Vec::new();
        let mut running = 0;
        for (rank, process) in copies {
            running += 1;
            // One that sends and receives at a time has two waits; one line for it is enough.
            let Some(wait) = waits.iter().find(|wait| wait.rank == rank) else {
                self.idle.remove(&rank);
                continue;
            };
            let idle = self.idle.entry(rank).or_insert(Idle { used: Duration::ZERO, since: now });
            idle.look(process.and_then(cpu_of).unwrap_or_default(), now);
            let waited = clock.saturating_sub(wait.since).min(now.duration_since(idle.since));
            if waited >= LONG {
                let (on, tag, sends) = (wait.on, wait.tag, wait.sending);
                long.push(Blocked { rank, on, tag, sends });
            }
        }
        if long.len() < running {
            long.clear();
        }
        let news = long != self.told;
        news.then(|| {
            self.told.clone_from(&long);
            long
        })
    }
}

/// Since when a process has had next to nothing to do. While one thread of it waits for a message
/// others may be at work.
struct Idle {
    used: Duration,
    since: Instant,
}

impl Idle {
    fn look(&mut self, used: Duration, now: Instant) {
        if used.saturating_sub(self.used) > EVERY / 100 {
            self.since = now;
        }
        self.used = used;
    }
}
