//! Cutting a stream whose end is not known: which of the bytes that came belong to the present
//! chunk.
//!
//! Bytes are passed on as they come, so a record of any length needs no memory here. Without I/O:
//! shown some bytes, it says how many of them the present chunk takes and whether it ends there.

use crate::job::ChunkSize;
use crate::records::{Records, end_of_nth};

/// Automatic chunks stop growing here, in bytes.
const LARGEST: u64 = 256 << 10;

/// What the present chunk takes of the bytes shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// So many bytes from the first.
    pub bytes: usize,
    /// The chunk ends behind them.
    pub ends: bool,
}

/// Cuts a stream into chunks of whole records.
#[derive(Clone, Debug)]
pub struct StreamCutter {
    records: Records,
    size: ChunkSize,
    ranks: u64,
    index: u64,
    bytes: u64,
    whole: u64,
    in_record: u64,
}

impl StreamCutter {
    /// Makes a cutter; automatic chunks start at one record and double each time that every one
    /// of `ranks` ranks has had one.
    pub fn new(records: Records, size: ChunkSize, ranks: u32) -> Self {
        let ranks = u64::from(ranks.max(1));
        StreamCutter { records, size, ranks, index: 0, bytes: 0, whole: 0, in_record: 0 }
    }

    /// Number of the chunk that the next byte belongs to.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Whether the present chunk has a byte already.
    pub fn is_open(&self) -> bool {
        self.bytes > 0
    }

    /// How many records the present chunk has so far; an unfinished one counts.
    pub fn records(&self) -> u64 {
        self.whole + u64::from(self.in_record > 0)
    }

    /// Takes from `bytes` what belongs to the present chunk (all of them, or up to its end).
    pub fn take(&mut self, bytes: &[u8]) -> Take {
        let Take { bytes: taken, ends } = match self.size {
            ChunkSize::Records(wanted) => self.take_records(bytes, wanted),
            ChunkSize::Bytes(least) => self.take_bytes(bytes, least),
            ChunkSize::Automatic => {
                let round = (self.index / self.ranks).min(63);
                self.take_bytes(bytes, (1u64 << round).min(LARGEST))
            }
        };
        self.bytes += taken as u64;
        Take { bytes: taken, ends }
    }

    fn take_records(&mut self, bytes: &[u8], wanted: u64) -> Take {
        let left = wanted.max(1) - self.whole;
        match self.records {
            Records::Delimited(delimiter) => match end_of_nth(bytes, delimiter, left) {
                Ok(end) => {
                    self.whole += left;
                    self.in_record = 0;
                    Take { bytes: end, ends: true }
                }
                Err(found) => {
                    self.whole += found;
                    let open =
                        memchr::memrchr(delimiter, bytes).map_or(bytes, |at| &bytes[at + 1..]);
                    let fresh = if found > 0 { 0 } else { self.in_record };
                    self.in_record = fresh + open.len() as u64;
                    Take { bytes: bytes.len(), ends: false }
                }
            },
            Records::Fixed(width) => {
                let rest = left.saturating_mul(width.get()) - self.in_record;
                self.take_fixed(bytes, rest, width.get())
            }
        }
    }

    fn take_bytes(&mut self, bytes: &[u8], least: u64) -> Take {
        let missing = least.saturating_sub(self.bytes).max(1);
        match self.records {
            Records::Fixed(width) => {
                let reach = self.in_record + missing;
                let rest = reach.div_ceil(width.get()).saturating_mul(width.get()) - self.in_record;
                self.take_fixed(bytes, rest, width.get())
            }
            Records::Delimited(delimiter) => {
                // The first delimiter at or behind the last missing byte ends the chunk.
                let skip = usize::try_from(missing - 1).unwrap_or(usize::MAX).min(bytes.len());
                let end = memchr::memchr(delimiter, &bytes[skip..]).map(|at| skip + at + 1);
                let taken = end.unwrap_or(bytes.len());
                self.whole += crate::records::count_delimiters(&bytes[..taken], delimiter);
                self.in_record = u64::from(bytes[..taken].last() != Some(&delimiter));
                Take { bytes: taken, ends: end.is_some() }
            }
        }
    }

    fn take_fixed(&mut self, bytes: &[u8], rest: u64, width: u64) -> Take {
        let taken = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes.len());
        let reach = self.in_record + taken as u64;
        self.whole += reach / width;
        self.in_record = reach % width;
        Take { bytes: taken, ends: taken as u64 == rest }
    }

    /// Begins the next chunk; the present one has ended.
    pub fn next_chunk(&mut self) {
        self.index += 1;
        self.bytes = 0;
        self.whole = 0;
        self.in_record = 0;
    }

    /// Whether the present chunk may end here because nothing more has come for now.
    ///
    /// Only automatic chunks do, at a record's end: what has arrived need not wait.
    pub fn may_end_here(&self) -> bool {
        self.size == ChunkSize::Automatic && self.bytes > 0 && self.in_record == 0
    }

    /// Starts a new record at a file's end; says whether the present chunk ends with the old one.
    pub fn end_record(&mut self) -> bool {
        if self.in_record > 0 {
            self.whole += 1;
            self.in_record = 0;
        }
        match self.size {
            ChunkSize::Records(wanted) => self.whole >= wanted.max(1),
            ChunkSize::Bytes(least) => self.bytes >= least.max(1),
            ChunkSize::Automatic => self.bytes > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU64;

    fn cut(mut cutter: StreamCutter, mut input: &[u8], shown: usize) -> Vec<(Vec<u8>, u64)> {
        let mut chunks = Vec::new();
        let mut open = Vec::new();
        while !input.is_empty() {
            let take = cutter.take(&input[..shown.min(input.len())]);
            open.extend_from_slice(&input[..take.bytes]);
            input = &input[take.bytes..];
            if take.ends {
                chunks.push((std::mem::take(&mut open), cutter.records()));
                cutter.next_chunk();
            }
        }
        if cutter.is_open() {
            chunks.push((open, cutter.records()));
        }
        chunks
    }

    fn sizes() -> impl Strategy<Value = ChunkSize> {
        prop_oneof![
            Just(ChunkSize::Automatic),
            (1u64..40).prop_map(ChunkSize::Bytes),
            (1u64..10).prop_map(ChunkSize::Records),
        ]
    }

    #[test]
    fn a_files_short_last_record_can_end_a_chunk() {
        let width = Records::Fixed(NonZeroU64::new(4).unwrap());
        let mut cutter = StreamCutter::new(width, ChunkSize::Bytes(6), 2);
        assert_eq!(cutter.take(b"aaaabb"), Take { bytes: 6, ends: false });
        assert!(cutter.end_record());
        let mut cutter = StreamCutter::new(width, ChunkSize::Records(3), 2);
        cutter.take(b"aaaabb");
        assert!(!cutter.end_record());
    }

    proptest! {
        #[test]
        fn a_stream_is_cut_the_same_however_it_arrives(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400),
            size in sizes(), shown in 1usize..60, width in 0u64..7,
        ) {
            let records = NonZeroU64::new(width).map_or(Records::LINES, Records::Fixed);
            let cutter = StreamCutter::new(records, size, 3);
            let chunks = cut(cutter.clone(), &input, shown);
            prop_assert_eq!(&chunks, &cut(cutter, &input, usize::MAX));
            let all: Vec<u8> = chunks.iter().flat_map(|c| c.0.clone()).collect();
            prop_assert_eq!(&all, &input);
            let last = chunks.len().saturating_sub(1);
            for (i, (bytes, counted)) in chunks.iter().enumerate() {
                let whole = match records {
                    Records::Delimited(d) => {
                        prop_assert!(i == last || bytes.ends_with(&[d]));
                        bytes.split_inclusive(|b| *b == d).count() as u64
                    }
                    Records::Fixed(w) => {
                        prop_assert!(i == last || bytes.len() as u64 % w == 0);
                        (bytes.len() as u64).div_ceil(w.get())
                    }
                };
                prop_assert_eq!(*counted, whole);
                match size {
                    ChunkSize::Records(n) => prop_assert!(whole == n || i == last),
                    ChunkSize::Bytes(n) => prop_assert!(bytes.len() as u64 >= n || i == last),
                    ChunkSize::Automatic => {}
                }
            }
        }
    }
}
