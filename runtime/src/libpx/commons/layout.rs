//! Where things lie in the commons, without I/O.
//!
//! ```text
//! Head | Peer * world | Mailbox * here | (news, RingHead * world) * here || ring * world * here
//! ```
//!
//! What is left of the double bar is the front, which everybody maps. The rings behind it are a file
//! of holes: a ring costs the pages that were written to, and is mapped by those who use it.

use std::ops::Range;

use super::front::{Head, Mailbox, Peer, RingHead};

/// Bytes of messages that a pair can have on its way, at least.
pub const PROMISED: u64 = 1 << 20;
/// Most bytes of a ring that are in use, where both ranks are on one host: messages have headers.
pub const WINDOW: u64 = PROMISED + (64 << 10);
/// Bytes that a rank may have read of what comes from another host without having said so.
pub const UNTOLD: u64 = 128 << 10;
/// Most bytes on their way between ranks of two hosts, and the size of every ring.
pub const RING: u64 = WINDOW + UNTOLD;

/// Every part begins at a multiple of this, so that no line of a cache is in two of them.
const APART: u64 = 128;
/// The front ends at a multiple of this, which is one of the page size everywhere.
const PAGE: u64 = 64 << 10;

/// Places in the commons of a host with `here` of all `world` ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    world: u32,
    here: u32,
    peers: u64,
    mailboxes: u64,
    rows: u64,
    row: u64,
    /// Where in a row the marks end.
    marks: u64,
    front: u64,
    total: u64,
}

impl Layout {
    /// Lays out the commons; nothing where there are not 1 to `world` ranks here, or where it would
    /// be larger than files can be.
    pub fn new(world: u32, here: u32) -> Option<Layout> {
        if here == 0 || here > world {
            return None;
        }
        let size = |one: usize, count: u32| (one as u64 * u64::from(count)).next_multiple_of(APART);
        let peers = size(size_of::<Head>(), 1);
        let mailboxes = peers + size(size_of::<Peer>(), world);
        let rows = mailboxes + size(size_of::<Mailbox>(), here);
        let marks = size(8, world.div_ceil(64));
        let row = marks + size(size_of::<RingHead>(), world);
        let front = row.checked_mul(u64::from(here))?.checked_add(rows)?;
        let front = front.checked_next_multiple_of(PAGE)?;
        usize::try_from(front).ok()?;
        let rings = RING.checked_mul(u64::from(world))?.checked_mul(u64::from(here))?;
        let total = rings.checked_add(front).filter(|&total| i64::try_from(total).is_ok())?;
        Some(Layout { world, here, peers, mailboxes, rows, row, marks, front, total })
    }

    /// All ranks.
    pub fn world(&self) -> u32 {
        self.world
    }

    /// Ranks of this host.
    pub fn here(&self) -> u32 {
        self.here
    }

    /// Where the ranks of the world begin.
    pub fn peers(&self) -> usize {
        self.peers as usize
    }

    /// Where the mailbox of the rank at the place `local` is.
    pub fn mailbox(&self, local: u32) -> usize {
        self.mailboxes as usize + size_of::<Mailbox>() * local as usize
    }

    /// Where the marks are that say which rings to `local` may have something.
    pub fn news(&self, local: u32) -> usize {
        (self.rows + self.row * u64::from(local)) as usize
    }

    /// Words of marks.
    pub fn news_words(&self) -> usize {
        self.world.div_ceil(64) as usize
    }

    /// Where the counters of the ring from `source` to `local` are.
    pub fn ring_head(&self, local: u32, source: u32) -> usize {
        let row = self.news(local) + self.marks as usize;
        row + size_of::<RingHead>() * source as usize
    }

    /// Length of the front in bytes.
    pub fn front(&self) -> usize {
        self.front as usize
    }

    /// Where the bytes of the ring from `source` to `local` begin.
    pub fn ring(&self, local: u32, source: u32) -> u64 {
        let before = u64::from(local) * u64::from(self.world) + u64::from(source);
        self.front + before * RING
    }

    /// Length of it all in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// The places in a ring of `length` bytes that begin where `count` bytes were before, each with its
/// part of them: two where they reach around the ring's end.
pub fn spans(count: u64, length: usize) -> [(usize, Range<usize>); 2] {
    let at = (count % RING) as usize;
    let first = length.min(RING as usize - at);
    [(at, 0..first), (0, first..length)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_two_parts_overlap(world in 1u32..200, here in 1u32..20) {
            let here = here.min(world);
            let layout = Layout::new(world, here).unwrap();
            let mut parts = vec![(0, size_of::<Head>())];
            parts.push((layout.peers(), size_of::<Peer>() * world as usize));
            for local in 0..here {
                parts.push((layout.mailbox(local), size_of::<Mailbox>()));
                parts.push((layout.news(local), 8 * layout.news_words()));
                let heads = (0..world).map(|source| layout.ring_head(local, source));
                parts.extend(heads.map(|at| (at, size_of::<RingHead>())));
            }
            parts.sort_unstable();
            prop_assert!(parts.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0));
            prop_assert!(parts.last().is_some_and(|last| last.0 + last.1 <= layout.front()));
            prop_assert_eq!(layout.ring(0, 0), layout.front() as u64);
            prop_assert_eq!(layout.ring(here - 1, world - 1) + RING, layout.total());
        }
    }

    proptest! {
        #[test]
        fn bytes_lie_in_a_ring_one_after_another(count: u64, length in 0..=RING as usize) {
            let spans = spans(count, length);
            let places: Vec<_> = spans.iter().map(|(at, part)| (*at, part.len())).collect();
            prop_assert_eq!(places[0].0 as u64, count % RING);
            prop_assert!(places.iter().all(|(at, part)| at + part <= RING as usize));
            prop_assert!(places[1].1 == 0 || places[0].0 + places[0].1 == RING as usize);
            prop_assert_eq!(spans[0].1.clone(), 0..spans[1].1.start);
            prop_assert_eq!(spans[1].1.end, length);
        }
    }

    #[test]
    fn what_no_file_can_hold_has_no_layout() {
        assert_eq!(Layout::new(8, 0), None);
        assert_eq!(Layout::new(8, 9), None);
        assert_eq!(Layout::new(u32::MAX, u32::MAX), None);
        assert!(Layout::new(100_000, 1_000).is_some());
    }
}
