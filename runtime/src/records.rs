//! What a record is, and how many of them a run of bytes holds.

use std::num::NonZeroU64;

/// The unit that a copy must see whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub fn end_of_nth(bytes: &[u8], delimiter: u8, n: u64) -> Result<usize, u64> {
    let mut found = 0;
    for at in memchr::memchr_iter(delimiter, bytes) {
        found += 1;
        if found == n {
            return Ok(at + 1);
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
}
