//! What a record is, and how many of them a run of bytes holds.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// The unit that a copy must see whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Records {
    /// Records end with this byte; the last one of the input may lack it.
    Delimited(u8),
    /// Records are this many bytes long; the last one of each file may be shorter.
    Fixed(NonZeroU64),
}

impl Records {
    /// One line: ended by LF, a CR before it being part of the line.
    pub const LINES: Records = Records::Delimited(b'\n');

    /// The byte at which the output of a copy may be cut, and which ends a line of output.
    ///
    /// `None` where records have no delimiter: such output has no place to cut it.
    pub fn delimiter(self) -> Option<u8> {
        match self {
            Records::Delimited(byte) => Some(byte),
            Records::Fixed(_) => None,
        }
    }
}

/// Counts the delimiters in `bytes`.
pub fn count_delimiters(bytes: &[u8], delimiter: u8) -> u64 {
    memchr::memchr_iter(delimiter, bytes).count() as u64
}

/// Returns the length of the shortest prefix of `bytes` with `n` delimiters (`n` at least 1), or
/// how many delimiters `bytes` has when those are fewer.
///
/// # Errors
/// `Err(found)` is no failure: it says how many of the `n` were seen.
///
/// # Cost
/// Counting runs at several bytes a cycle and finding one by one does not, so blocks are counted
/// until the one that holds the nth.
pub fn end_of_nth(bytes: &[u8], delimiter: u8, n: u64) -> Result<usize, u64> {
    const BLOCK: usize = 4 << 10;
    let mut found = 0;
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        let here = if n - found == 1 { 0 } else { count_delimiters(block, delimiter) };
        if found + here < n && n - found > 1 {
            found += here;
            continue;
        }
        for at in memchr::memchr_iter(delimiter, block) {
            found += 1;
            if found == n {
                return Ok(number * BLOCK + at + 1);
            }
        }
    }
    Err(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_record_ends_behind_its_delimiter() {
        assert_eq!(end_of_nth(b"a\nbb\nc", b'\n', 1), Ok(2));
        assert_eq!(end_of_nth(b"a\nbb\nc", b'\n', 2), Ok(5));
        assert_eq!(end_of_nth(b"a\nbb\nc", b'\n', 3), Err(2));
        assert_eq!(count_delimiters(b"a\nbb\nc", b'\n'), 2);
    }

    #[test]
    fn the_nth_record_is_found_across_blocks() {
        let bytes = b"0123456789\n".repeat(2000);
        for n in [1, 2, 372, 373, 744, 745, 1999, 2000] {
            assert_eq!(end_of_nth(&bytes, b'\n', n), Ok(11 * n as usize));
        }
        assert_eq!(end_of_nth(&bytes, b'\n', 2001), Err(2000));
    }
}
