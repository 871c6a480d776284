//! What everybody maps of the commons: who is there, and what each rank of this host waits for.
//!
//! All of it is written by other processes, so every value read here may be anything at all.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex;

use super::layout::Layout;
use crate::sys::shared::{Mapping, shared_structs};

/// What the commons begin with: `pxtalk`, and a version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"pxtalk\0\x03");

/// [`Peer::state`]: has not begun.
pub const WAITED_FOR: u32 = 0;
/// [`Peer::state`]: uses libpx.
pub const RUNNING: u32 = 1;
/// [`Peer::state`]: has ended, or said that it will send and receive no more.
pub const GONE: u32 = 2;
/// [`Peer::local`]: on another host.
pub const ELSEWHERE: u32 = u32::MAX;

shared_structs! {
    /// What is said once.
    #[repr(align(64))]
    Head {
        /// [`MAGIC`]
        magic: AtomicU64,
        /// World size.
        world: AtomicU32,
        /// Ranks of this host.
        here: AtomicU32,
        /// How long to look before sleeping, in nanoseconds.
        spin: AtomicU64,
        /// How many ranks of the world are gone.
        gone: AtomicU32,
        /// One once ranks may send to each other.
        allowed: AtomicU32,
    }

    /// A rank of the world.
    #[repr(align(8))]
    Peer {
        /// How far it is.
        state: AtomicU32,
        /// Its place on this host, or [`ELSEWHERE`].
        local: AtomicU32,
    }

    /// A rank of this host.
    #[repr(align(128))]
    Mailbox {
        /// Where it is called when something has come for it.
        arrivals: Bell,
        /// Where it is called when there is room for what it sends. A bell of its own: who asks and
        /// waits for the answer is not woken by its question being read.
        room: Bell,
        /// Where it wants a message to be written.
        posting: Posting,
        /// What it waits to receive.
        receiving: Blocking,
        /// What it waits to send.
        sending: Blocking,
    }

    /// Where one thread of a rank sleeps until it is called.
    #[repr(align(64))]
    Bell {
        /// One while it sleeps, or is about to, and was not called.
        asleep: AtomicU32,
    }

    /// A buffer that a rank waits to see filled.
    #[repr(align(64))]
    Posting {
        /// How far it is.
        word: AtomicU64,
        /// Whose memory: a process number.
        process: AtomicU32,
        /// From whom and with which tag.
        source: AtomicU32,
        /// From whom and with which tag.
        tag: AtomicU32,
        /// The namespace that the number is one of; zero where nobody can know.
        namespace: AtomicU64,
        /// Where the buffer begins.
        address: AtomicU64,
        /// How long it is; once it is filled, how long the message is.
        length: AtomicU64,
        /// The sum of all the others, as they were [`Posted`](super::posting::Posted).
        sum: AtomicU64,
    }

    /// What a rank waits for.
    #[repr(align(64))]
    Blocking {
        /// When it last got anywhere, in nanoseconds of the monotonic clock; zero: it does not wait.
        since: AtomicU64,
        /// The other rank, or [`ANY`].
        peer: AtomicU32,
        /// The tag, or [`ANY`].
        tag: AtomicU32,
        /// One where it waits with a timeout.
        timed: AtomicU32,
        /// The counter of the ring that it waits to see moved.
        seen: AtomicU64,
    }

    /// The counters of a ring: bytes since the beginning, of which the sender knows those before
    /// and the receiver those after.
    #[repr(align(128))]
    RingHead {
        /// Bytes that were put in.
        written: Line,
        /// Bytes that were taken out.
        read: Line,
    }

    /// A line of a cache.
    #[repr(align(64))]
    Line {
        /// The counter.
        count: AtomicU64,
        /// Beside [`RingHead::written`]: bytes that the source, on another host, has read of what
        /// this rank sent to it.
        drained: AtomicU64,
        /// Beside [`RingHead::read`], which the receiver looks at least: the word, as it was posted,
        /// of the posting that the source has claimed or is about to; zero: none.
        claims: AtomicU64,
    }
}

/// Any rank, any tag.
pub const ANY: u32 = u32::MAX;

/// The part that everybody maps.
#[derive(Debug)]
pub struct Front {
    mapping: Mapping,
    layout: Layout,
}

impl Front {
    /// Maps it.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn map(file: impl AsFd, layout: Layout) -> Result<Front, Errno> {
        Ok(Front { mapping: Mapping::new(file, 0, layout.front())?, layout })
    }

    /// Where things lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What is said once.
    pub fn head(&self) -> &Head {
        self.mapping.get(0)
    }

    /// All ranks of the world.
    pub fn peers(&self) -> &[Peer] {
        self.mapping.slice(self.layout.peers(), self.layout.world() as usize)
    }

    /// Whether `rank` is gone.
    pub fn is_gone(&self, rank: u32) -> bool {
        self.peers().get(rank as usize).is_none_or(|peer| peer.state.load(Ordering::SeqCst) == GONE)
    }

    /// Whether ranks may send to each other.
    pub fn is_allowed(&self) -> bool {
        self.head().allowed.load(Ordering::SeqCst) != 0
    }

    /// Lets ranks send to each other.
    pub fn allow(&self) {
        self.head().allowed.store(1, Ordering::SeqCst);
        let _ = futex::wake(&self.head().allowed, futex::Flags::empty(), i32::MAX as u32);
    }

    /// Sleeps until ranks may send to each other, for `longest` at most.
    pub fn sleep_until_allowed(&self, longest: Duration) {
        let longest = crate::sys::timespec(longest);
        let _ = futex::wait(&self.head().allowed, futex::Flags::empty(), 0, Some(&longest));
    }

    /// A rank of this host.
    pub fn mailbox(&self, local: u32) -> &Mailbox {
        self.mapping.get(self.layout.mailbox(local))
    }

    /// A bit for each ring to `local` that may have something which it has not looked at.
    pub fn news(&self, local: u32) -> &[AtomicU64] {
        self.mapping.slice(self.layout.news(local), self.layout.news_words())
    }

    /// The counters of a ring.
    pub fn ring(&self, local: u32, source: u32) -> &RingHead {
        self.mapping.get(self.layout.ring_head(local, source))
    }

    /// Says that `count` bytes were put into the ring from `source` to `local`.
    pub fn publish(&self, local: u32, source: u32, count: u64) {
        self.ring(local, source).written.count.store(count, Ordering::SeqCst);
        let (word, bit) = (&self.news(local)[source as usize / 64], 1 << (source % 64));
        // The counter before the bit: whoever takes the bit looks at the counter after it.
        if word.load(Ordering::SeqCst) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
        self.mailbox(local).arrivals.ring();
    }
}

/// Who rings has changed something before, and who sleeps looks at it after saying so, all with
/// [`Ordering::SeqCst`]: so one of the two sees the other.
impl Bell {
    /// Wakes who sleeps here.
    pub fn ring(&self) {
        // Once called it need not be called again, however long it takes to get a core.
        if self.asleep.load(Ordering::SeqCst) != 0 && self.asleep.swap(0, Ordering::SeqCst) != 0 {
            let _ = futex::wake(&self.asleep, futex::Flags::empty(), 1);
        }
    }

    /// Sleeps until it is called, for `longest` at most, unless `ready`.
    ///
    /// # Cost
    /// Without `longest` there is no timer, which is a tenth of what a message takes then.
    pub fn sleep(&self, longest: Option<Duration>, ready: impl FnOnce() -> bool) {
        self.asleep.store(1, Ordering::SeqCst);
        if !ready() {
            let longest = longest.map(crate::sys::timespec);
            let _ = futex::wait(&self.asleep, futex::Flags::empty(), 1, longest.as_ref());
        }
        self.asleep.store(0, Ordering::Relaxed);
    }
}
