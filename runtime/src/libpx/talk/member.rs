//! A rank's place in the commons, and how it waits.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::SealFlags;
use rustix::io::Errno;

use super::TalkError;
use crate::libpx::commons::SPIN;
use crate::libpx::commons::front::{ANY, Bell, Blocking, Front, MAGIC, Mailbox, Posting};
use crate::libpx::commons::layout::{Layout, RING};
use crate::sys::shared::Mapping;

/// Why a rank cannot use the commons that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// They are of another version, or of another world.
    #[error("the memory that ranks talk over is not what rank {rank} of {size} was told of")]
    Foreign {
        /// The rank.
        rank: u32,
        /// World size.
        size: u32,
    },
    /// A step of looking at them.
    #[error("the memory that ranks talk over: cannot {step} it")]
    System {
        /// What was tried.
        step: &'static str,
        /// Why not.
        #[source]
        source: Errno,
    },
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    Once,
    /// Until then.
    Until(Instant),
    /// For ever.
    Endless,
}

impl Patience {
    /// What is left of it; nothing once it has run out.
    pub fn left(self) -> Option<Duration> {
        match self {
            Patience::Once => None,
            Patience::Until(end) => {
                Some(end.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
            }
            Patience::Endless => Some(Duration::MAX),
        }
    }
}

/// What a call waits for, as others may read it.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Whether it sends.
    pub sending: bool,
    /// The other rank; nothing: any.
    pub on: Option<u32>,
    /// The tag; nothing: any.
    pub tag: Option<u32>,
    /// The counter that is to move.
    pub seen: u64,
}

/// A rank's place in the commons.
#[derive(Debug)]
pub struct Member {
    file: OwnedFd,
    front: Front,
    rank: u32,
    local: u32,
    /// Where the ranks of the world are, as it was when this one came.
    places: Vec<Option<u32>>,
    spin: Duration,
    process: u32,
    namespace: u64,
    straight: AtomicBool,
    /// That ranks may send was seen once; what others write there later takes it from nobody.
    allowed: AtomicBool,
}

impl Member {
    /// Takes the place of `rank` in a world of `size`.
    ///
    /// # Errors
    /// [`AttachError`]
    pub fn attach(file: OwnedFd, rank: u32, size: u32) -> Result<Member, AttachError> {
        let foreign = AttachError::Foreign { rank, size };
        let failed = |step| move |source| AttachError::System { step, source };
        let mut head = [0; 16];
        let read = rustix::io::pread(&file, &mut head, 0).map_err(failed("read"))?;
        let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|next| head[at + next]));
        let (world, here) = (word(8), word(12));
        if read < 16 || head[..8] != MAGIC.to_ne_bytes() || world != size || rank >= size {
            return Err(foreign);
        }
        let layout = Layout::new(size, here).ok_or(foreign)?;
        // Beyond its end a file in memory cannot be touched, so it has to stay as long as it is.
        let stat = rustix::fs::fstat(&file).map_err(failed("look at"))?;
        let seals = rustix::fs::fcntl_get_seals(&file).map_err(failed("look at"))?;
        if stat.st_size as u64 != layout.total() || !seals.contains(SealFlags::SHRINK) {
            return Err(foreign);
        }
        let front = Front::map(&file, layout).map_err(failed("map"))?;
        let place = |word: u32| Some(word).filter(|&local| local < here);
        let places: Vec<_> =
            front.peers().iter().map(|peer| place(peer.local.load(Ordering::Relaxed))).collect();
        let local = places[rank as usize].ok_or(foreign)?;
        let spin = Duration::from_nanos(front.head().spin.load(Ordering::Relaxed)).min(SPIN);
        let namespace = rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino);
        let process = std::process::id();
        let (straight, allowed) = (AtomicBool::new(true), AtomicBool::new(false));
        Ok(Member { file, front, rank, local, places, spin, process, namespace, straight, allowed })
    }

    /// Its rank.
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// World size.
    pub fn size(&self) -> u32 {
        self.front.layout().world()
    }

    /// Where on this host `rank` is; nothing where it is on another one.
    pub fn place(&self, rank: u32) -> Option<u32> {
        self.places.get(rank as usize).copied().flatten()
    }

    /// The part of the commons that everybody maps.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Maps the ring from `source` to the rank at `local`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn ring(&self, local: u32, source: u32) -> Result<Mapping, Errno> {
        Mapping::new(&self.file, self.front.layout().ring(local, source), RING as usize)
    }

    /// A rank of this host's mailbox.
    pub fn mailbox(&self, local: u32) -> &Mailbox {
        self.front.mailbox(local)
    }

    /// Its own place on this host.
    pub fn local(&self) -> u32 {
        self.local
    }

    /// Where it is called when something has come for it.
    pub fn arrivals(&self) -> &Bell {
        &self.mailbox(self.local).arrivals
    }

    /// Where it says which buffer waits.
    pub fn posting(&self) -> &Posting {
        &self.mailbox(self.local).posting
    }

    /// How long it may look before it sleeps.
    pub fn spin(&self) -> Duration {
        self.spin
    }

    /// Its process, as others of its namespace see it.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// The namespace of process numbers; zero where it cannot be told.
    pub fn namespace(&self) -> u64 {
        self.namespace
    }

    /// Whether messages may still go straight into another one's memory.
    pub fn goes_straight(&self) -> bool {
        self.namespace != 0 && self.straight.load(Ordering::Relaxed)
    }

    /// Notes that the system does not allow it.
    pub fn give_up_straight(&self) {
        self.straight.store(false, Ordering::Relaxed);
    }

    /// Whether `rank` is gone.
    pub fn is_gone(&self, rank: u32) -> bool {
        self.front.is_gone(rank)
    }

    /// Whether this rank has said that it is done.
    pub fn is_over(&self) -> bool {
        self.is_gone(self.rank)
    }

    /// Whether waiting for `rank`, nothing for any, is in vain.
    pub fn is_left_alone(&self, rank: Option<u32>) -> bool {
        let others = || self.front.head().gone.load(Ordering::SeqCst) >= self.size() - 1;
        self.is_over() || rank.map_or_else(others, |rank| self.is_gone(rank))
    }

    /// Why it is.
    pub fn why_alone(&self, rank: Option<u32>) -> TalkError {
        if self.is_over() { TalkError::Over } else { TalkError::Gone(rank) }
    }

    /// Whether ranks may send to each other.
    pub fn is_allowed(&self) -> bool {
        let known = self.allowed.load(Ordering::Acquire);
        if !known && self.front.is_allowed() {
            self.allowed.store(true, Ordering::Release);
            return true;
        }
        known
    }

    /// Waits until ranks may send to each other.
    ///
    /// # Errors
    /// [`TalkError::Timeout`], [`TalkError::Over`].
    pub fn wait_until_allowed(&self, patience: Patience) -> Result<(), TalkError> {
        while !self.is_allowed() {
            if self.is_over() {
                return Err(TalkError::Over);
            }
            let left = patience.left().ok_or(TalkError::Timeout)?;
            self.front.sleep_until_allowed(left.min(A_WHILE));
        }
        Ok(())
    }

    /// Waits until `look` finds something: looks a little, where that takes nobody's core, and then
    /// sleeps until it is called. Nothing: the patience has run out.
    ///
    /// What `look` loads it loads with [`Ordering::SeqCst`], as a [`Bell`] demands.
    pub fn wait<T>(
        &self,
        wish: Wish,
        patience: Patience,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        if let Some(found) = self.spinning(patience, &mut look) {
            return Some(found);
        }
        patience.left()?;
        let said = Said::new(self, wish, patience);
        let mailbox = self.mailbox(self.local);
        let bell = if wish.sending { &mailbox.room } else { &mailbox.arrivals };
        while let Some(left) = patience.left() {
            let mut found = None;
            let timed = patience != Patience::Endless;
            bell.sleep(timed.then_some(left), || {
                found = look();
                found.is_some()
            });
            if let Some(found) = found.or_else(&mut look) {
                return Some(found);
            }
        }
        drop(said);
        look()
    }

    fn spinning<T>(&self, patience: Patience, look: &mut impl FnMut() -> Option<T>) -> Option<T> {
        let spin = self.spin.min(patience.left()?);
        let mut since: Option<Instant> = None;
        while !spin.is_zero() && since.is_none_or(|since| since.elapsed() < spin) {
            since.get_or_insert_with(Instant::now);
            for _ in 0..LOOKS {
                std::hint::spin_loop();
                if let Some(found) = look() {
                    return Some(found);
                }
            }
        }
        None
    }
}

/// How long to sleep before looking whether this rank is still one.
pub(super) const A_WHILE: Duration = Duration::from_secs(1);

/// How often to look before the clock is asked.
const LOOKS: u32 = 16;

/// What a rank says that it waits for, as long as this lives.
struct Said<'a>(&'a Blocking);

impl<'a> Said<'a> {
    fn new(member: &'a Member, wish: Wish, patience: Patience) -> Said<'a> {
        let mailbox = member.mailbox(member.local);
        let said = if wish.sending { &mailbox.sending } else { &mailbox.receiving };
        said.peer.store(wish.on.unwrap_or(ANY), Ordering::Relaxed);
        said.tag.store(wish.tag.unwrap_or(ANY), Ordering::Relaxed);
        said.timed.store(u32::from(patience != Patience::Endless), Ordering::Relaxed);
        said.seen.store(wish.seen, Ordering::Relaxed);
        said.since.store(now(), Ordering::Release);
        Said(said)
    }
}

impl Drop for Said<'_> {
    fn drop(&mut self) {
        self.0.since.store(0, Ordering::Release);
    }
}

/// Nanoseconds of the monotonic clock, which is the same in all processes of a host, as of its last
/// tick: that costs a quarter.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64).max(1)
}
