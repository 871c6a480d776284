//! The memory that the ranks of a host share, so that messages between them are no system calls.
//!
//! The agent makes one file in memory a job, the *commons*, and each program that may talk gets a
//! descriptor of it. In it every rank of the host has a mailbox, and a ring for each rank of the
//! world that may send to it. Ranks of one host write to each other's rings by themselves. What
//! comes from another host is deposited by the agent, for which there is always room: a sender has
//! no more on its way than a ring holds ([`layout::RING`]), and counts the bytes that it is told
//! were drained.
//!
//! | file | what |
//! |---|---|
//! | [`layout`] | where things lie, and how large they are |
//! | [`front`] | the part that everybody maps: states, bells, counters |
//! | [`posting`] | how a buffer that waits is filled by another process |
//!
//! Nothing that is read from the commons is believed, neither here nor in a program: a rank that
//! writes nonsense to it can spoil messages, and bring nobody down.

pub mod front;
pub mod layout;
pub mod posting;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use front::{ANY, Blocking, ELSEWHERE, Front, GONE, MAGIC, RUNNING, WAITED_FOR};
use layout::{Layout, RING};

/// How long a rank looks before it sleeps, where no other one needs its core meanwhile.
pub const SPIN: Duration = Duration::from_micros(20);

/// Why there are no commons, or why they take something no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommonsError {
    /// The ranks are too many, or not ranks of the world.
    #[error("no memory can be laid out for {here} of {world} ranks")]
    Layout {
        /// World size.
        world: u32,
        /// Ranks of this host.
        here: usize,
    },
    /// A step of making them.
    #[error("the memory that ranks talk over: cannot {step} {length} bytes")]
    Make {
        /// What was tried.
        step: &'static str,
        /// Of how many.
        length: u64,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// A rank that is not in the world, or not on this host.
    #[error("there is no rank {rank} that bytes could be for or from")]
    Rank {
        /// Its number.
        rank: u32,
    },
    /// More than fits was sent, or the receiver has spoilt its counters.
    #[error("{length} bytes from rank {from} do not fit, with {used} that were not read")]
    Full {
        /// Who has sent them.
        from: u32,
        /// How many.
        length: usize,
        /// Bytes in the ring.
        used: u64,
    },
    /// The bytes cannot be stored.
    #[error("the memory that ranks talk over: cannot write {length} bytes")]
    Write {
        /// How many.
        length: usize,
        /// Why not.
        #[source]
        source: Errno,
    },
}

/// What a rank waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Who waits.
    pub rank: u32,
    /// Whether it wants to send, and not to receive.
    pub sending: bool,
    /// The other rank; nothing: any.
    pub on: Option<u32>,
    /// The tag; nothing: any.
    pub tag: Option<u32>,
    /// When it last got anywhere, on the monotonic clock. Another wait has another time.
    pub since: Duration,
    /// Whether it goes on by itself after some time.
    pub timed: bool,
}

/// The agent's side of the commons.
#[derive(Debug)]
pub struct Commons {
    file: OwnedFd,
    front: Front,
    /// The ranks of this host.
    ranks: Vec<u32>,
    /// Bytes deposited so far, by receiver's place and sender.
    deposited: HashMap<(u32, u32), u64>,
}

impl Commons {
    /// Makes the commons for `ranks`, those of `world` that this agent runs, and a descriptor to
    /// hand to each of them.
    ///
    /// `on_host` is how many ranks the host has in all: only where each has a core of its own do
    /// they look a little before they sleep.
    ///
    /// # Errors
    /// [`CommonsError::Layout`], [`CommonsError::Make`].
    pub fn create(
        world: u32,
        ranks: &[u32],
        on_host: u32,
    ) -> Result<(Commons, OwnedFd), CommonsError> {
        let here = u32::try_from(ranks.len()).ok().filter(|_| ranks.iter().all(|&r| r < world));
        let layout = here.and_then(|here| Layout::new(world, here));
        let layout = layout.ok_or(CommonsError::Layout { world, here: ranks.len() })?;
        let length = layout.total();
        let failed = |step| move |source| CommonsError::Make { step, length, source };

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create(c"px-commons", flags).map_err(failed("make"))?;
        rustix::fs::ftruncate(&file, length).map_err(failed("reserve"))?;
        // A file that another process makes shorter is a fault at the next access.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals).map_err(failed("seal"))?;
        let front = Front::map(&file, layout).map_err(failed("map"))?;
        let theirs = rustix::io::fcntl_dupfd_cloexec(&file, 0).map_err(failed("share"))?;

        let head = front.head();
        head.world.store(world, Ordering::Relaxed);
        head.here.store(layout.here(), Ordering::Relaxed);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if on_host as usize <= cores {
            head.spin.store(SPIN.as_nanos() as u64, Ordering::Relaxed);
        }
        front.peers().iter().for_each(|peer| peer.local.store(ELSEWHERE, Ordering::Relaxed));
        for (local, &rank) in (0..).zip(ranks) {
            front.peers()[rank as usize].local.store(local, Ordering::Relaxed);
        }
        head.magic.store(MAGIC, Ordering::Release);
        let ranks = ranks.to_vec();
        Ok((Commons { file, front, ranks, deposited: HashMap::new() }, theirs))
    }

    /// Puts bytes that came from another host into the ring of the rank at the place `to_local`,
    /// and calls it.
    ///
    /// # Errors
    /// [`CommonsError::Rank`], [`CommonsError::Full`], [`CommonsError::Write`]. Nothing was put
    /// then, and nothing more can be.
    pub fn deposit(&mut self, to_local: u32, from: u32, bytes: &[u8]) -> Result<(), CommonsError> {
        self.check(to_local, from)?;
        let written = self.deposited.entry((to_local, from)).or_default();
        let read = self.front.ring(to_local, from).read.count.load(Ordering::Acquire);
        let used = written.wrapping_sub(read);
        if used.saturating_add(bytes.len() as u64) > RING {
            return Err(CommonsError::Full { from, length: bytes.len(), used });
        }
        let ring = self.front.layout().ring(to_local, from);
        for (at, part) in layout::spans(*written, bytes.len()) {
            // By a call, and not over a mapping: where memory is short this is an error.
            write_all(&self.file, ring + at as u64, &bytes[part])
                .map_err(|source| CommonsError::Write { length: bytes.len(), source })?;
        }
        *written += bytes.len() as u64;
        self.front.publish(to_local, from, *written);
        Ok(())
    }

    /// Tells the rank at the place `sender_local` that `to`, on another host, has read so many
    /// bytes of what it sent.
    ///
    /// # Errors
    /// [`CommonsError::Rank`].
    pub fn drained(&self, sender_local: u32, to: u32, bytes: u64) -> Result<(), CommonsError> {
        self.check(sender_local, to)?;
        let counts = &self.front.ring(sender_local, to).written;
        counts.drained.fetch_add(bytes, Ordering::SeqCst);
        self.front.mailbox(sender_local).room.ring();
        Ok(())
    }

    /// Notes that the program of the rank at the place `local` has begun.
    pub fn begun(&self, local: u32) {
        let peer = self.ranks.get(local as usize).and_then(|&rank| self.peer(rank));
        if let Some(peer) = peer {
            let order = Ordering::Relaxed;
            let _ = peer.state.compare_exchange(WAITED_FOR, RUNNING, order, order);
        }
    }

    /// Notes that the process of the rank at the place `local` has ended, though another one may
    /// follow it. It must not have been waited for yet, since its process number is known to others.
    pub fn ended(&self, local: u32) {
        let Some(&rank) = self.ranks.get(local as usize) else { return };
        self.front.mailbox(local).posting.withdraw();
        for at in 0..self.front.layout().here() {
            self.front.ring(at, rank).read.claims.store(0, Ordering::SeqCst);
            let other = self.front.mailbox(at);
            other.posting.give_back(rank);
            // It may also have died between filling a buffer and saying so.
            other.arrivals.ring();
        }
        if let Some(peer) = self.peer(rank) {
            let order = Ordering::AcqRel;
            let _ = peer.state.compare_exchange(RUNNING, WAITED_FOR, order, Ordering::Relaxed);
        }
    }

    /// Lets ranks send to each other, and calls those that wait for that.
    pub fn allow(&self) {
        self.front.allow();
    }

    /// Notes that `rank`, of this host or another one, sends and receives no more, and calls all
    /// who may wait for it. All that it has sent must have been deposited.
    ///
    /// A rank of this host must have [`Commons::ended`], or said itself that it is done: until then
    /// it could be writing into the memory of another one.
    pub fn gone(&self, rank: u32) {
        let Some(peer) = self.peer(rank) else { return };
        if peer.state.swap(GONE, Ordering::SeqCst) != GONE {
            self.front.head().gone.fetch_add(1, Ordering::SeqCst);
            for local in 0..self.front.layout().here() {
                self.front.mailbox(local).arrivals.ring();
                self.front.mailbox(local).room.ring();
            }
        }
    }

    /// Who waits for whom, of this host.
    ///
    /// A rank that was called and has not looked yet is not in it, and is called again. One rank may be in it twice,
    /// where one of its threads sends while another one receives.
    pub fn blocked(&self) -> Vec<Blocked> {
        let mut all = Vec::new();
        for (local, &rank) in (0..).zip(&self.ranks) {
            let mailbox = self.front.mailbox(local);
            if !self.front.is_gone(rank) {
                all.extend(self.waits(local, rank, &mailbox.receiving, false));
                all.extend(self.waits(local, rank, &mailbox.sending, true));
            }
        }
        all
    }

    fn waits(&self, local: u32, rank: u32, said: &Blocking, sending: bool) -> Option<Blocked> {
        let since = said.since.load(Ordering::Acquire);
        let given = |word: u32| Some(word).filter(|&word| word != ANY);
        let on = given(said.peer.load(Ordering::Relaxed));
        let tag = given(said.tag.load(Ordering::Relaxed));
        let timed = said.timed.load(Ordering::Relaxed) != 0;
        let seen = said.seen.load(Ordering::Acquire);
        let moved = match on {
            Some(peer) => self.counter(local, peer, rank, sending)? != seen,
            None => self.front.news(local).iter().any(|word| word.load(Ordering::Relaxed) != 0),
        };
        let same = since != 0 && said.since.load(Ordering::Acquire) == since;
        if same && moved {
            // It was called when that moved. Should it sleep all the same, this is not for ever.
            let mailbox = self.front.mailbox(local);
            if sending { mailbox.room.ring() } else { mailbox.arrivals.ring() }
        }
        let since = Duration::from_nanos(since);
        (same && !moved).then_some(Blocked { rank, sending, on, tag, since, timed })
    }

    /// What moves when the rank at `local` can go on with `peer`.
    fn counter(&self, local: u32, peer: u32, rank: u32, sending: bool) -> Option<u64> {
        let there = self.peer(peer)?.local.load(Ordering::Relaxed);
        let counter = match (sending, there < self.front.layout().here()) {
            (false, _) => &self.front.ring(local, peer).written.count,
            (true, true) => &self.front.ring(there, rank).read.count,
            (true, false) => &self.front.ring(local, peer).written.drained,
        };
        Some(counter.load(Ordering::Acquire))
    }

    fn peer(&self, rank: u32) -> Option<&front::Peer> {
        self.front.peers().get(rank as usize)
    }

    fn check(&self, local: u32, rank: u32) -> Result<(), CommonsError> {
        if local >= self.front.layout().here() {
            return Err(CommonsError::Rank { rank: local });
        }
        self.peer(rank).map(|_| ()).ok_or(CommonsError::Rank { rank })
    }
}

fn write_all(file: &OwnedFd, mut at: u64, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, at) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                at += written as u64;
                bytes = &bytes[written..];
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
