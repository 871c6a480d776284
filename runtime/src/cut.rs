//! Cutting an input of known length into chunks of whole records.
//!
//! A [`Cutter`] is a cursor without I/O: it says which bytes it must look at, is shown them, and
//! answers with chunks. It is small and can be cloned, so a rank that lags far behind the others
//! can walk the input by a cursor of its own instead of having its chunks remembered for it.
//!
//! ```
//! use px_runtime::cut::{Cutter, Rule, Step};
//! use px_runtime::{input::layout::Layout, records::Records};
//!
//! let input = b"one\ntwo\nthree\n";
//! let mut layout = Layout::default();
//! layout.push_file(0, 0, input.len() as u64);
//! let mut cutter = Cutter::new(Rule::Records { base: 2, longer: 0 }, Records::LINES, 0..14, 0);
//! let mut chunks = Vec::new();
//! loop {
//!     match cutter.step(&layout) {
//!         Step::Look { offset, .. } => {
//!             cutter.saw(&input[offset as usize..]);
//!         }
//!         Step::Cut(chunk) => chunks.push(chunk.range()),
//!         Step::End => break,
//!     }
//! }
//! assert_eq!(chunks, [0..8, 8..14]);
//! ```

use std::ops::Range;

use crate::input::layout::Layout;
use crate::records::{Records, count_delimiters, end_of_nth};

/// A run of whole records, contiguous in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its number, from 0 in input order.
    pub index: u64,
    /// Logical offset of its first byte.
    pub start: u64,
    /// Logical offset behind its last byte.
    pub end: u64,
    /// How many records it holds, where the cutter counts them.
    pub records: Option<u64>,
}

impl Chunk {
    /// The logical bytes of the chunk.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether it has no bytes (no cutter makes such a chunk).
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Where chunks end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// After `base` records, one more in the first `longer` chunks.
    Records {
        /// Records in a chunk.
        base: u64,
        /// How many chunks, from the first, have one record more.
        longer: u64,
    },
    /// Chunk c of `chunks` ends with the record that holds the last byte of the first
    /// (c + 1)/`chunks` of the range, but has at least one record.
    ///
    /// The borders are absolute, so that long records do not add up to a drift.
    Even {
        /// The number of chunks aimed at; long records can make it fewer or more.
        chunks: u64,
    },
    /// At the first record end at least this many bytes (at least 1) behind the chunk's start.
    Size(u64),
}

/// What a cutter needs or has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Show it bytes from this logical offset on: at least one, some `want` at best.
    Look {
        /// Logical offset of the first byte to show.
        offset: u64,
        /// How many bytes are of use.
        want: usize,
    },
    /// The next chunk.
    Cut(Chunk),
    /// The range has ended.
    End,
}

/// Bytes worth looking at where a border is searched.
const BORDER_LOOK: usize = 4 << 10;
/// Bytes worth looking at where every record is counted.
const SCAN_LOOK: usize = 256 << 10;
/// A border this near is searched by looking at the whole chunk, which then lies in memory and
/// can be dealt by value.
const NEAR: u64 = 8 << 10;

/// A cursor that cuts one logical range into chunks.
#[derive(Clone, Debug)]
pub struct Cutter {
    rule: Rule,
    records: Records,
    range: Range<u64>,
    counting: bool,
    within_files: bool,
    index: u64,
    first_index: u64,
    start: u64,
    scan: Scan,
}

/// How far the search for the present chunk's end has come.
#[derive(Clone, Debug)]
struct Scan {
    at: u64,
    seen: u64,
    looks: u32,
    end: Option<u64>,
}

impl Scan {
    fn from(at: u64) -> Self {
        Scan { at, seen: 0, looks: 0, end: None }
    }
}

impl Cutter {
    /// Makes a cursor over `range`, which starts at a record's first byte; its chunks are
    /// numbered from `first_index`.
    pub fn new(rule: Rule, records: Records, range: Range<u64>, first_index: u64) -> Self {
        Cutter {
            rule,
            records,
            counting: matches!(rule, Rule::Records { .. }),
            within_files: false,
            index: first_index,
            first_index,
            start: range.start,
            scan: Scan::from(range.start),
            range,
        }
    }

    /// Makes every chunk say how many records it has, which means looking at every byte.
    pub fn counting_records(mut self) -> Self {
        self.counting = true;
        self
    }

    /// Ends every chunk of records of one length where its file ends, so that whoever has only the
    /// chunk knows where a file's last, shorter record ends.
    pub fn within_files(mut self) -> Self {
        self.within_files = true;
        self
    }

    /// Goes back to the start of `chunk`, one that it has cut before.
    pub fn back_to(mut self, chunk: &Chunk) -> Self {
        self.index = chunk.index;
        self.start = chunk.start;
        self.scan = Scan::from(chunk.start);
        self
    }

    /// Number of the next chunk.
    pub fn next_index(&self) -> u64 {
        self.index
    }

    /// Logical offset of the next chunk's first byte.
    pub fn position(&self) -> u64 {
        self.start
    }

    /// Takes the next step: a request for bytes, a chunk, or the end.
    pub fn step(&mut self, layout: &Layout) -> Step {
        if self.start >= self.range.end {
            return Step::End;
        }
        match self.records {
            Records::Fixed(width) => self.cut_fixed(layout, width.get()),
            Records::Delimited(_) => match self.scan.end {
                Some(end) => self.cut_at(end),
                None => self.look(),
            },
        }
    }

    fn look(&mut self) -> Step {
        let near = self.target() - self.start < NEAR;
        if !self.counting && !near && self.scan.looks == 0 {
            self.scan.at = self.scan.at.max(self.target() - 1);
        }
        let want = if self.counting || (near && self.scan.looks == 0) {
            SCAN_LOOK
        } else {
            (BORDER_LOOK << self.scan.looks.min(6)).min(SCAN_LOOK)
        };
        let left = usize::try_from(self.range.end - self.scan.at).unwrap_or(usize::MAX);
        Step::Look { offset: self.scan.at, want: want.min(left) }
    }

    /// Takes the bytes that the last [`Step::Look`] asked for, or more, or fewer but not none.
    ///
    /// Returns how many of them it had to look at.
    pub fn saw(&mut self, bytes: &[u8]) -> usize {
        let Records::Delimited(delimiter) = self.records else { return 0 };
        let left = usize::try_from(self.range.end - self.scan.at).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(left)];
        self.scan.looks += 1;
        if let Some(end) = self.find_end(bytes, delimiter) {
            self.scan.end = Some(self.scan.at + end as u64);
            return end;
        }
        self.scan.at += bytes.len() as u64;
        if self.scan.at == self.range.end {
            let unterminated = bytes.last().is_some_and(|&byte| byte != delimiter);
            self.scan.seen += u64::from(unterminated);
            self.scan.end = Some(self.range.end);
        }
        bytes.len()
    }

    /// Finds where in `bytes` the chunk ends.
    fn find_end(&mut self, bytes: &[u8], delimiter: u8) -> Option<usize> {
        if let Rule::Records { base, longer } = self.rule {
            let wanted = (base + u64::from(self.index - self.first_index < longer)).max(1);
            let end = end_of_nth(bytes, delimiter, wanted - self.scan.seen);
            self.scan.seen = end.map_or_else(|found| self.scan.seen + found, |_| wanted);
            return end.ok();
        }
        // The delimiter that ends the chunk is the first one at or behind byte target - 1.
        let before = usize::try_from((self.target() - 1).saturating_sub(self.scan.at));
        let before = before.unwrap_or(usize::MAX).min(bytes.len());
        if self.counting {
            self.scan.seen += count_delimiters(&bytes[..before], delimiter);
        }
        let end = end_of_nth(&bytes[before..], delimiter, 1).ok()?;
        self.scan.seen += 1;
        Some(before + end)
    }

    fn cut_at(&mut self, end: u64) -> Step {
        let records = self.counting.then_some(self.scan.seen);
        let chunk = Chunk { index: self.index, start: self.start, end, records };
        self.index += 1;
        self.start = end;
        self.scan = Scan::from(end);
        Step::Cut(chunk)
    }

    /// The chunk must reach at least to here (and then to the end of the record there).
    fn target(&self) -> u64 {
        let least = self.start + 1;
        let target = match self.rule {
            Rule::Records { .. } => least,
            Rule::Size(bytes) => self.start.saturating_add(bytes.max(1)),
            Rule::Even { chunks } => {
                let done = u128::from(self.index - self.first_index + 1);
                let length = u128::from(self.range.end - self.range.start);
                let target = (length * done).div_ceil(u128::from(chunks.max(1)));
                self.range.start.saturating_add(u64::try_from(target).unwrap_or(u64::MAX))
            }
        };
        target.clamp(least, self.range.end)
    }

    fn cut_fixed(&mut self, layout: &Layout, width: u64) -> Step {
        let end = match self.rule {
            Rule::Records { base, longer } => {
                let wanted = base + u64::from(self.index - self.first_index < longer);
                layout.fixed_advance(self.start, self.range.end, width, wanted.max(1)).0
            }
            _ => layout.fixed_record_end(self.target() - 1, width).min(self.range.end),
        };
        let end = match layout.parts(self.start..end).next().filter(|_| self.within_files) {
            Some(first) => end.min(self.start + first.len),
            None => end,
        };
        if self.counting {
            self.scan.seen = layout.fixed_advance(self.start, end, width, u64::MAX).1;
        }
        self.cut_at(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU64;

    fn cut_all(mut cutter: Cutter, layout: &Layout, input: &[u8], shown: usize) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        loop {
            match cutter.step(layout) {
                Step::Look { offset, want } => {
                    assert!(want > 0);
                    let from = offset as usize;
                    cutter.saw(&input[from..input.len().min(from + shown)]);
                }
                Step::Cut(chunk) => chunks.push(chunk),
                Step::End => return chunks,
            }
        }
    }

    fn rules() -> impl Strategy<Value = Rule> {
        prop_oneof![
            (0u64..9, 0u64..9).prop_map(|(base, longer)| Rule::Records { base, longer }),
            (1u64..40).prop_map(|chunks| Rule::Even { chunks }),
            (1u64..40).prop_map(Rule::Size),
        ]
    }

    proptest! {
        #[test]
        fn chunks_cover_the_input_in_whole_records(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400),
            rule in rules(),
            counting in any::<bool>(),
            shown in 1usize..50,
        ) {
            let mut layout = Layout::default();
            layout.push_file(0, 0, input.len() as u64);
            let mut cutter = Cutter::new(rule, Records::LINES, 0..input.len() as u64, 7);
            if counting { cutter = cutter.counting_records(); }
            let chunks = cut_all(cutter, &layout, &input, shown);
            let mut at = 0;
            for (i, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(chunk.index, 7 + i as u64);
                prop_assert_eq!(chunk.start, at);
                prop_assert!(!chunk.is_empty());
                let bytes = &input[chunk.start as usize..chunk.end as usize];
                let last = chunk.end == input.len() as u64;
                prop_assert!(last || bytes.ends_with(b"\n"));
                let records = bytes.split_inclusive(|&b| b == b'\n').count() as u64;
                if let Some(counted) = chunk.records { prop_assert_eq!(counted, records); }
                match rule {
                    Rule::Records { base, longer } => {
                        let wanted = (base + u64::from((i as u64) < longer)).max(1);
                        prop_assert!(records == wanted || (last && records < wanted));
                    }
                    Rule::Size(n) => prop_assert!(last || chunk.len() >= n),
                    Rule::Even { .. } => {}
                }
                at = chunk.end;
            }
            prop_assert_eq!(at, input.len() as u64);
        }

        #[test]
        fn fixed_records_are_never_split(
            len in 0u64..500, width in 1u64..20, rule in rules(), counting in any::<bool>(),
        ) {
            let mut layout = Layout::default();
            layout.push_file(0, 0, len);
            let records = Records::Fixed(NonZeroU64::new(width).unwrap());
            let mut cutter = Cutter::new(rule, records, 0..len, 0);
            if counting { cutter = cutter.counting_records(); }
            let mut at = 0;
            for chunk in cut_all(cutter, &layout, &[], 1) {
                prop_assert_eq!(chunk.start, at);
                prop_assert!(chunk.end % width == 0 || chunk.end == len);
                if let Some(n) = chunk.records { prop_assert_eq!(n, chunk.len().div_ceil(width)); }
                at = chunk.end;
            }
            prop_assert_eq!(at, len);
        }
    }

    #[test]
    fn even_chunks_differ_by_no_more_than_a_record() {
        let input = b"0123456789abcde\n".repeat(1000);
        let mut layout = Layout::default();
        layout.push_file(0, 0, input.len() as u64);
        let rule = Rule::Even { chunks: 10 };
        let cutter = Cutter::new(rule, Records::LINES, 0..input.len() as u64, 0);
        let chunks = cut_all(cutter, &layout, &input, 4096);
        assert_eq!(chunks.len(), 10);
        assert!(chunks.iter().all(|c| c.len() == 1600));
    }

    #[test]
    fn a_chunk_within_files_ends_where_its_file_does() {
        let mut layout = Layout::default();
        layout.push_file(0, 0, 6);
        layout.push_file(1, 0, 10);
        let width = Records::Fixed(NonZeroU64::new(4).unwrap());
        for rule in [Rule::Records { base: 10, longer: 0 }, Rule::Size(12)] {
            let cutter = Cutter::new(rule, width, 0..16, 0).within_files();
            let chunks = cut_all(cutter, &layout, &[0; 16], 16);
            let ranges: Vec<_> = chunks.iter().map(Chunk::range).collect();
            assert_eq!(ranges, [0..6, 6..16], "{rule:?}");
        }
    }
}
