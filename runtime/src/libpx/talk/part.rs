//! What stands in a ring, as pure functions on bytes.
//!
//! ```text
//! ring = (Part+ | Part* Cancel)*        a message, or the beginning of one that was given up
//! ```
//!
//! A part is a header and bytes. A message that does not fit into what is free goes in several, so
//! that one of any length can flow through a ring. A header:
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 3 | tag, little-endian |
//! | 4 to 7 | bytes of this part |
//! | 8 to 15 | bytes of the message's further parts; all ones: it was given up |

use crate::libpx::commons::layout::RING;

/// Length of a header in bytes.
pub const HEADER: usize = 16;
/// The highest tag.
pub const HIGHEST_TAG: u32 = i32::MAX.unsigned_abs();

/// The header of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes of a message follow.
    Bytes {
        /// The message's tag.
        tag: u32,
        /// How many bytes.
        length: u32,
        /// How many further ones the message has.
        left: u64,
    },
    /// The message that has begun does not go on.
    Cancel,
}

impl Part {
    /// Makes the header's bytes.
    pub fn encode(self) -> [u8; HEADER] {
        let (tag, length, left) = match self {
            Part::Bytes { tag, length, left } => (tag, length, left),
            Part::Cancel => (0, 0, u64::MAX),
        };
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&tag.to_le_bytes());
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..].copy_from_slice(&left.to_le_bytes());
        header
    }

    /// Reads a header; nothing where it cannot be one.
    pub fn decode(header: [u8; HEADER]) -> Option<Part> {
        let header = u128::from_le_bytes(header);
        let (tag, length, left) = (header as u32, (header >> 32) as u32, (header >> 64) as u64);
        if (tag, length, left) == (0, 0, u64::MAX) {
            return Some(Part::Cancel);
        }
        // A part without bytes is a whole message of none.
        let fits = u64::from(length) <= RING && left <= isize::MAX as u64 - RING;
        let good = tag <= HIGHEST_TAG && fits && (length > 0 || left == 0);
        good.then_some(Part::Bytes { tag, length, left })
    }
}

/// A message of which the first header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arriving {
    /// Its tag.
    pub tag: u32,
    /// Its length in bytes.
    pub length: u64,
    /// Bytes that were taken.
    pub taken: u64,
    /// Bytes of the part that has begun which were not.
    pub in_part: u64,
}

impl Arriving {
    /// Begins with the first header of a message; nothing where a message cannot begin so.
    pub fn begin(first: Part) -> Option<Arriving> {
        let Part::Bytes { tag, length, left } = first else { return None };
        let length = u64::from(length);
        Some(Arriving { tag, length: length + left, taken: 0, in_part: length })
    }

    /// Goes on with the header of a further part; nothing where it is none of this message.
    pub fn go_on(&mut self, part: Part) -> Option<()> {
        let Part::Bytes { tag, length, left } = part else { return None };
        let length = u64::from(length);
        if tag != self.tag || length + left != self.length - self.taken {
            return None;
        }
        self.in_part = length;
        Some(())
    }

    /// Whether all of it was taken.
    pub fn is_whole(&self) -> bool {
        self.taken == self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_made(
            tag in 0..=HIGHEST_TAG, length in 1..=RING as u32, left in 0..1u64 << 60,
        ) {
            let part = Part::Bytes { tag, length, left };
            prop_assert_eq!(Part::decode(part.encode()), Some(part));
        }

        #[test]
        fn whatever_stands_there_a_message_ends(headers: Vec<[u8; HEADER]>) {
            let mut arriving: Option<Arriving> = None;
            for part in headers.into_iter().filter_map(Part::decode) {
                match &mut arriving {
                    None => arriving = Arriving::begin(part),
                    Some(message) => {
                        message.taken += message.in_part;
                        message.in_part = 0;
                        let _ = message.go_on(part);
                    }
                }
                prop_assert!(arriving.is_none_or(|m| m.taken + m.in_part <= m.length));
            }
        }

        #[test]
        fn a_message_is_the_sum_of_its_parts(lengths in proptest::collection::vec(1u32..999, 1..9)) {
            let mut left: u64 = lengths.iter().copied().map(u64::from).sum();
            let total = left;
            let mut message: Option<Arriving> = None;
            for length in lengths {
                left -= u64::from(length);
                let part = Part::Bytes { tag: 5, length, left };
                match &mut message {
                    None => message = Arriving::begin(part),
                    Some(message) => prop_assert_eq!(message.go_on(part), Some(())),
                }
                let message = message.as_mut().unwrap();
                prop_assert_eq!(message.is_whole(), false);
                message.taken += message.in_part;
            }
            prop_assert!(message.is_some_and(|m| m.is_whole() && m.length == total));
        }
    }

    #[test]
    fn what_cannot_be_a_header_is_none() {
        let header = |tag, length, left| Part::Bytes { tag, length, left }.encode();
        assert_eq!(Part::decode(Part::Cancel.encode()), Some(Part::Cancel));
        assert_eq!(Part::decode(header(HIGHEST_TAG + 1, 1, 0)), None);
        assert_eq!(Part::decode(header(1, RING as u32 + 1, 0)), None);
        assert_eq!(Part::decode(header(1, 0, 1)), None);
        assert_eq!(Part::decode(header(1, 1, u64::MAX)), None);
        assert!(Part::decode(header(1, 0, 0)).is_some());
    }

    #[test]
    fn a_part_of_another_message_is_refused() {
        let begin = || Arriving::begin(Part::Bytes { tag: 1, length: 10, left: 20 }).unwrap();
        let taken = || Arriving { taken: 10, in_part: 0, ..begin() };
        assert_eq!(taken().go_on(Part::Bytes { tag: 1, length: 10, left: 10 }), Some(()));
        assert_eq!(taken().go_on(Part::Bytes { tag: 2, length: 10, left: 10 }), None);
        assert_eq!(taken().go_on(Part::Bytes { tag: 1, length: 10, left: 11 }), None);
        assert_eq!(taken().go_on(Part::Cancel), None);
        assert_eq!(Arriving::begin(Part::Cancel), None);
    }
}
