//! Frames: how messages and bytes stand on a link, as pure functions on bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | kind |
//! | 1 to 3 | zero |
//! | 4 to 7 | rank, little-endian; zero where the kind has none |
//! | 8 to 11 | length of the payload, little-endian |
//! | 12 to 15 | CRC-32 of bytes 0 to 11 and the payload, little-endian |
//! | 16 on | payload |
//!
//! A length is checked against its limit before anything is reserved for it. The checksum goes
//! from where the bytes were read to where they are written, whatever carries them.

/// Length of a header in bytes.
pub const HEADER: usize = 16;

/// Most bytes that a frame of data carries: with its header it fills a buffer.
pub const LARGEST_DATA: usize = crate::buffers::BUFFER - HEADER;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message; see [`super::control`].
    Control,
    /// Bytes for a copy's stdin.
    Feed,
    /// What a copy printed.
    Output,
    /// What a copy wrote to stderr.
    Diagnostic,
    /// Nothing: a sign of life.
    Heartbeat,
    /// What a copy emitted, behind its chunk's number.
    Emitted,
    /// What a copy says to one on another host, behind the other's rank.
    Talk,
}

const KINDS: [(u8, Kind); 7] = [
    (1, Kind::Control),
    (2, Kind::Feed),
    (3, Kind::Output),
    (4, Kind::Diagnostic),
    (5, Kind::Heartbeat),
    (6, Kind::Emitted),
    (7, Kind::Talk),
];

impl Kind {
    fn encode(self) -> u8 {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or(0, |(byte, _)| *byte)
    }

    fn decode(byte: u8) -> Option<Kind> {
        KINDS.iter().find(|(known, _)| *known == byte).map(|(_, kind)| *kind)
    }

    /// Most bytes of payload, where a message may have `control` bytes.
    fn limit(self, control: usize) -> usize {
        match self {
            Kind::Control => control,
            Kind::Feed | Kind::Output | Kind::Diagnostic | Kind::Emitted | Kind::Talk => {
                LARGEST_DATA
            }
            Kind::Heartbeat => 0,
        }
    }
}

/// Length of the number that the payload of [`Kind::Emitted`] and [`Kind::Talk`] begins with.
pub const NUMBER: usize = 8;

/// Splits such a payload into its number and the bytes behind it.
pub fn numbered(payload: &[u8]) -> Option<(u64, &[u8])> {
    let (number, bytes) = payload.split_first_chunk::<NUMBER>()?;
    Some((u64::from_le_bytes(*number), bytes))
}

/// A frame, its payload still where it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: Kind,
    /// Whose bytes they are.
    pub rank: u32,
    /// What it carries.
    pub payload: &'a [u8],
}

/// What a run of bytes begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// This frame.
    Frame(Frame<'a>),
    /// A part of a frame; so many bytes are needed in all before it can be told.
    Incomplete {
        /// From the frame's start on.
        needed: usize,
    },
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The kind, or what must be zero.
    #[error("a frame of unknown kind {0:#04x}")]
    Kind(u8),
    /// The payload would be larger than its kind may be.
    #[error("a frame of {length} bytes where at most {limit} are allowed")]
    Length {
        /// As the header says.
        length: u32,
        /// What is allowed.
        limit: usize,
    },
    /// The bytes are not those that were sent.
    #[error("a frame whose checksum is {found:#010x} and not {expected:#010x}")]
    Checksum {
        /// As the header says.
        expected: u32,
        /// Of the bytes that came.
        found: u32,
    },
}

/// Finds the frame that `bytes` begins with; messages may have up to `control` bytes.
///
/// # Errors
/// See [`FrameError`]. What follows cannot be trusted then.
pub fn decode(bytes: &[u8], control: usize) -> Result<Decoded<'_>, FrameError> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else {
        return Ok(Decoded::Incomplete { needed: HEADER });
    };
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let kind = Kind::decode(header[0]).filter(|_| header[1..4] == [0; 3]);
    let kind = kind.ok_or(FrameError::Kind(header[0]))?;
    let (rank, length, expected) = (word(4), word(8), word(12));
    let limit = kind.limit(control);
    let wanted = usize::try_from(length).ok().filter(|&wanted| wanted <= limit);
    let wanted = wanted.ok_or(FrameError::Length { length, limit })?;
    let Some(payload) = rest.get(..wanted) else {
        return Ok(Decoded::Incomplete { needed: HEADER + wanted });
    };
    let found = checksum(&header[..12], payload);
    if found != expected {
        return Err(FrameError::Checksum { expected, found });
    }
    Ok(Decoded::Frame(Frame { kind, rank, payload }))
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}

/// Appends a frame to `out`; of data it holds at most [`LARGEST_DATA`] bytes.
pub fn encode(out: &mut Vec<u8>, kind: Kind, rank: u32, payload: &[u8]) {
    let start = open(out);
    out.extend_from_slice(payload);
    close(out, start, kind, rank);
}

/// Leaves room for a header; what is appended until [`close`] is the payload.
pub fn open(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    start
}

/// Writes the header at `start` for the payload that follows it.
pub fn close(out: &mut [u8], start: usize, kind: Kind, rank: u32) {
    let (header, payload) = out[start..].split_at_mut(HEADER);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    header[0] = kind.encode();
    header[4..8].copy_from_slice(&rank.to_le_bytes());
    header[8..12].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&header[..12], payload);
    header[12..].copy_from_slice(&sum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONTROL: usize = 1000;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Control), Just(Kind::Feed), Just(Kind::Output)]
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_and_every_prefix_of_it_is_incomplete(
            kind in kinds(), rank: u32, payload in proptest::collection::vec(any::<u8>(), 0..CONTROL),
        ) {
            let mut bytes = Vec::new();
            encode(&mut bytes, kind, rank, &payload);
            let frame = Frame { kind, rank, payload: &payload };
            prop_assert_eq!(decode(&bytes, CONTROL), Ok(Decoded::Frame(frame)));
            for end in 0..bytes.len() {
                let incomplete = matches!(
                    decode(&bytes[..end], CONTROL),
                    Ok(Decoded::Incomplete { needed }) if needed > end && needed <= bytes.len()
                );
                prop_assert!(incomplete);
            }
        }

        #[test]
        fn no_flipped_bit_goes_unnoticed(
            payload in proptest::collection::vec(any::<u8>(), 0..200), at: usize, bit in 0u8..8,
        ) {
            let mut bytes = Vec::new();
            encode(&mut bytes, Kind::Output, 7, &payload);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let whole = Frame { kind: Kind::Output, rank: 7, payload: &payload };
            prop_assert_ne!(decode(&bytes, CONTROL), Ok(Decoded::Frame(whole)));
            prop_assert!(!matches!(decode(&bytes, CONTROL), Ok(Decoded::Frame(_))));
        }

        #[test]
        fn anything_at_all_is_decoded_without_panic_and_within_its_limits(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(Decoded::Incomplete { needed }) = decode(&bytes, CONTROL) {
                prop_assert!(needed <= HEADER + LARGEST_DATA);
            }
        }
    }

    #[test]
    fn a_heartbeat_carries_nothing() {
        let mut bytes = Vec::new();
        encode(&mut bytes, Kind::Heartbeat, 0, &[]);
        assert_eq!(bytes.len(), HEADER);
        bytes[8] = 1;
        assert!(matches!(decode(&bytes, CONTROL), Err(FrameError::Length { length: 1, .. })));
    }
}
