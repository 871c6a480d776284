//! What this host's copies say to other ranks, as far as the agent is needed for it.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::ClockId;

use super::assignment::{Assignment, Feeding};
use crate::job::Run;
use crate::libpx::commons::{Commons, CommonsError};
use crate::message::Blocked;

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
        Ok(Some(Talk { commons, fd: Rc::new(fd), told: Vec::new(), next_look: None }))
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

    /// Who waits for whom, if all `running` copies have been waiting for long; nobody, once that
    /// is over. `None` for no news.
    pub(super) fn news_of_waits(&mut self, running: usize, now: Instant) -> Option<Vec<Blocked>> {
        if self.next_look.is_some_and(|at| now < at) {
            return None;
        }
        self.next_look = Some(now + EVERY);
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        let all = self.commons.blocked();
        let long = |since: Duration| now.saturating_sub(since) >= LONG;
        let mut waits: Vec<_> = all
            .iter()
            .filter(|wait| long(wait.since))
            .map(|wait| Blocked {
                rank: wait.rank,
                on: wait.on,
                tag: wait.tag,
                sends: wait.sending,
            })
            .collect();
        // One that sends and receives at a time waits only if both do; one line for it is enough.
        waits.dedup_by_key(|wait| wait.rank);
        if running == 0 || waits.len() < running {
            waits.clear();
        }
        let news = waits != self.told;
        news.then(|| {
            self.told.clone_from(&waits);
            waits
        })
    }
}
