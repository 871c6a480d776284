//! The input as one run of bytes, whatever files it lies in.
//!
//! Several files are one sequence of records: their bytes stand one behind the other at *logical*
//! offsets, and a file that does not end in its delimiter is followed by one, so that no record
//! spans two files. Everything that cuts and deals speaks of logical offsets; only the feeding of
//! a copy asks which file a byte lies in.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Where the bytes of a segment come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Bytes of the file with this number, from this offset on.
    File {
        /// The file's place in the list of inputs.
        file: usize,
        /// The first byte's offset in that file.
        offset: u64,
    },
    /// One delimiter that the file before it lacks.
    Delimiter,
}

/// A run of logical bytes from one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Logical offset of its first byte.
    pub start: u64,
    /// Its length in bytes, at least 1.
    pub len: u64,
    /// Where its bytes are.
    pub origin: Origin,
}

/// The segments of an input, in order, without a gap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Layout {
    segments: Vec<Segment>,
    length: u64,
}

impl Layout {
    /// Appends `len` bytes of a file; nothing happens for an empty run.
    pub fn push_file(&mut self, file: usize, offset: u64, len: u64) {
        self.push(len, Origin::File { file, offset });
    }

    /// Appends one delimiter.
    pub fn push_delimiter(&mut self) {
        self.push(1, Origin::Delimiter);
    }

    fn push(&mut self, len: u64, origin: Origin) {
        if len > 0 {
            self.segments.push(Segment { start: self.length, len, origin });
            self.length += len;
        }
    }

    /// The whole length in bytes, added delimiters counted.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether every segment lies inside its file, whose length `length_of` says, and they follow
    /// each other without a gap.
    ///
    /// # Errors
    /// The number of the first file that is too short or that there is not.
    pub fn fits(&self, length_of: impl Fn(usize) -> Option<u64>) -> Result<(), usize> {
        let mut at = 0;
        for segment in &self.segments {
            let (number, end) = match segment.origin {
                Origin::File { file, offset } => (file, offset.checked_add(segment.len)),
                Origin::Delimiter => (0, Some(0)),
            };
            let inside = end.zip(length_of(number)).is_some_and(|(end, length)| end <= length);
            if !inside || segment.start != at || segment.len == 0 {
                return Err(number);
            }
            at += segment.len;
        }
        if at == self.length { Ok(()) } else { Err(0) }
    }

    /// Yields the parts of `range` with the place of each, in order.
    pub fn parts(&self, range: Range<u64>) -> impl Iterator<Item = Segment> + '_ {
        let first = self.segment_at(range.start);
        self.segments[first..].iter().take_while(move |s| s.start < range.end).map(move |s| {
            let start = range.start.max(s.start);
            let end = range.end.min(s.start + s.len);
            let origin = match s.origin {
                Origin::File { file, offset } => {
                    Origin::File { file, offset: offset + (start - s.start) }
                }
                Origin::Delimiter => Origin::Delimiter,
            };
            Segment { start, len: end - start, origin }
        })
    }

    /// Number of the segment that holds the byte at `offset` (past the last one at the end).
    fn segment_at(&self, offset: u64) -> usize {
        self.segments.partition_point(|s| s.start + s.len <= offset)
    }

    /// Where the record of `width` bytes ends that holds the byte at `offset`.
    ///
    /// A file's records start anew at its first byte, so its last one may be short.
    pub fn fixed_record_end(&self, offset: u64, width: u64) -> u64 {
        match self.segments.get(self.segment_at(offset)) {
            Some(s) => {
                let behind = (offset - s.start) / width + 1;
                s.start + s.len.min(behind.saturating_mul(width))
            }
            None => self.length,
        }
    }

    /// Where the last of up to `n` records of `width` bytes ends that start at `start`, and how
    /// many there were; it stops at `end`.
    pub fn fixed_advance(&self, start: u64, end: u64, width: u64, n: u64) -> (u64, u64) {
        let (mut at, mut records) = (start, 0);
        for part in self.parts(start..end) {
            let here = part.len.div_ceil(width).min(n - records);
            at = part.start + part.len.min(here.saturating_mul(width));
            records += here;
            if records == n {
                break;
            }
        }
        (at, records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_files() -> Layout {
        let mut layout = Layout::default();
        layout.push_file(0, 5, 10);
        layout.push_delimiter();
        layout.push_file(1, 0, 7);
        layout
    }

    #[test]
    fn a_range_is_told_by_the_files_it_lies_in() {
        let parts: Vec<_> = two_files().parts(8..13).collect();
        assert_eq!(
            parts,
            [
                Segment { start: 8, len: 2, origin: Origin::File { file: 0, offset: 13 } },
                Segment { start: 10, len: 1, origin: Origin::Delimiter },
                Segment { start: 11, len: 2, origin: Origin::File { file: 1, offset: 0 } },
            ]
        );
    }

    #[test]
    fn fixed_records_start_anew_in_each_file() {
        let mut layout = Layout::default();
        layout.push_file(0, 0, 10);
        layout.push_file(1, 0, 7);
        assert_eq!(layout.fixed_record_end(9, 4), 10);
        assert_eq!(layout.fixed_record_end(10, 4), 14);
        assert_eq!(layout.fixed_advance(0, 17, 4, 4), (14, 4));
        assert_eq!(layout.fixed_advance(0, 17, 4, 9), (17, 5));
    }
}
