//! What an agent and a program that uses libpx say to each other, as pure functions on bytes.
//!
//! ```text
//! agent   = Welcome (File | Reference | Begin Bytes* End)* EndOfInput
//! program = Hello (Took | Emit | Release | Talks | Listens | Talk | Drained)* (Finalize | Abort)
//! ```
//!
//! Both write as they like: the agent says `Welcome` and the first chunks before the program has
//! begun. A frame is a header and a payload:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | kind |
//! | 1 to 3 | zero |
//! | 4 to 7 | length of the payload, little-endian |
//! | 8 to 15 | a number, little-endian: a chunk's, or a rank |
//! | 16 on | payload |
//!
//! `Welcome` and `File` bring a descriptor each, in that order, attached to the frame's first byte.
//! A length is checked against its limit before anything is reserved for it.

use serde::{Deserialize, Serialize};

use crate::job::Run;
use crate::link::control;
use crate::records::Records;

/// What must be equal at both ends.
pub const VERSION: u32 = 1;
/// Length of a header in bytes.
pub const HEADER: usize = 16;
/// Most bytes of payload: with any header it fits a buffer.
pub const LARGEST: usize = crate::buffers::BUFFER - 64;
/// Most bytes of a message.
const LARGEST_MESSAGE: usize = 16 << 10;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A [`ToProgram`] or a [`FromProgram`].
    Message,
    /// To the program: the next bytes of the chunk that has begun.
    Bytes,
    /// From the program: output of the chunk with this number.
    Emit,
    /// From the program: the next bytes for the rank with this number, which is on another host.
    Talk,
}

const KINDS: [(u8, Kind); 4] =
    [(1, Kind::Message), (2, Kind::Bytes), (3, Kind::Emit), (4, Kind::Talk)];

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it carries.
    pub kind: Kind,
    /// Length of the payload in bytes.
    pub length: usize,
    /// A chunk's number, or a rank; zero where there is none.
    pub number: u64,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The kind, or what must be zero.
    #[error("a frame of unknown kind {0:#04x}")]
    Kind(u8),
    /// The payload would be larger than its kind may be.
    #[error("a frame of {length} bytes where at most {limit} are allowed")]
    Length {
        /// As the header says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A message that cannot be read.
    #[error("a message that cannot be read")]
    Message,
}

/// Reads a header.
///
/// # Errors
/// [`WireError::Kind`], [`WireError::Length`]. What follows cannot be trusted then.
pub fn decode_header(header: &[u8; HEADER]) -> Result<Header, WireError> {
    let known = KINDS.iter().find(|(byte, _)| *byte == header[0] && header[1..4] == [0; 3]);
    let (_, kind) = known.ok_or(WireError::Kind(header[0]))?;
    let (_, rest) = header.split_at(4);
    let (length, number) = rest.split_at(4);
    let length = length.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    let number = number.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let limit = if *kind == Kind::Message { LARGEST_MESSAGE } else { LARGEST };
    if length > limit {
        return Err(WireError::Length { length, limit });
    }
    Ok(Header { kind: *kind, length, number })
}

/// Makes a header for `length` bytes of payload, at most [`LARGEST`].
pub fn encode_header(kind: Kind, number: u64, length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = KINDS.iter().find(|(_, known)| *known == kind).map_or(0, |(byte, _)| *byte);
    header[4..8].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    header[8..].copy_from_slice(&number.to_le_bytes());
    header
}

/// Appends a message as a frame.
pub fn encode_message(out: &mut Vec<u8>, message: &impl Serialize) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    // A message is some dozen bytes long, the longest a text that was cut to its limit.
    let _ = control::encode(out, message);
    let header = encode_header(Kind::Message, 0, out.len() - start - HEADER);
    out[start..start + HEADER].copy_from_slice(&header);
}

/// Reads a message.
///
/// # Errors
/// [`WireError::Message`].
pub fn decode_to_program(payload: &[u8]) -> Result<ToProgram, WireError> {
    control::decode(payload).map_err(|_| WireError::Message)
}

/// The version that the first message of an agent names; `None` where it is no such message.
///
/// Every version begins its first message like this one, so that another version can be told.
pub fn spoken_version(payload: &[u8]) -> Option<u32> {
    let (variant, rest) = payload.split_first_chunk()?;
    let (version, _) = rest.split_first_chunk()?;
    (u32::from_le_bytes(*variant) == 0).then(|| u32::from_le_bytes(*version))
}

/// Reads a message.
///
/// # Errors
/// [`WireError::Message`].
pub fn decode_from_program(payload: &[u8]) -> Result<FromProgram, WireError> {
    control::decode(payload).map_err(|_| WireError::Message)
}

/// Agent to program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProgram {
    /// Who the program is. Where ranks talk to each other, the memory that those of a host share
    /// comes with it.
    Welcome(Box<Welcome>),
    /// A file of the input, whose descriptor comes with it.
    File {
        /// Its number; one that was told before is this file's from now on.
        file: u32,
        /// What it was when the job began.
        seen: Seen,
    },
    /// A chunk that lies in one file, to be mapped.
    Reference {
        /// The chunk and its place in the input.
        chunk: Chunk,
        /// The file's number, told before.
        file: u32,
        /// Where in the file it begins.
        at: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// A chunk whose bytes follow.
    Begin {
        /// The chunk and its place in the input.
        chunk: Chunk,
        /// Its length in bytes, where that is known already.
        length: Option<u64>,
    },
    /// All bytes of the chunk that has begun are there.
    End,
    /// There is no further chunk.
    EndOfInput,
}

/// A chunk and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number.
    pub index: u64,
    /// The offset of its first byte in the input.
    pub offset: u64,
    /// How often it has been dealt, this time included.
    pub attempt: u32,
}

/// What tells that a file is as it was: size and times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its size in bytes, as far as it counts as input.
    pub size: u64,
    /// When its contents were last changed: seconds and nanoseconds since the epoch.
    pub modified: (i64, i64),
    /// When it was last changed in any way.
    pub changed: (i64, i64),
}

/// Who a program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`]
    pub version: u32,
    /// Its rank.
    pub rank: u32,
    /// World size.
    pub size: u32,
    /// Its place among the ranks of its host.
    pub local_rank: u32,
    /// All ranks of its host.
    pub local_size: u32,
    /// What its host is called.
    pub host: String,
    /// How often it is started.
    pub run: Run,
    /// What a record is.
    pub records: Records,
    /// Whether it can talk to other ranks: the shared memory comes with this message then.
    pub talks: bool,
}

/// Program to agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromProgram {
    /// It has begun.
    Hello {
        /// [`VERSION`]
        version: u32,
    },
    /// It has taken so many further chunks.
    Took {
        /// Chunks.
        chunks: u32,
    },
    /// It is done with a chunk.
    Release {
        /// The chunk's number.
        chunk: u64,
        /// How.
        how: Released,
        /// Bytes of output that it emitted for it.
        emitted: u64,
    },
    /// It is about to send its first message to another rank, once the commons say that it may.
    Talks,
    /// It is about to look for its first message from another rank.
    Listens,
    /// It has read so many bytes of what a rank on another host has sent to it.
    Drained {
        /// The rank that has sent them.
        from: u32,
        /// Bytes.
        bytes: u64,
    },
    /// It uses libpx no more.
    Finalize,
    /// The job is to end.
    Abort {
        /// With this exit status.
        status: u8,
        /// Why; at most [`WHY`] bytes.
        why: String,
    },
}

/// Most bytes of the text of [`FromProgram::Abort`].
pub const WHY: usize = 4 << 10;

/// How a chunk was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Released {
    /// Its output counts.
    Commit,
    /// It has failed.
    Fail,
    /// Its input is not what it was when the job began.
    InputChanged,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_made(kind in 0usize..4, number: u64, length in 0..=LARGEST) {
            let kind = KINDS[kind].1;
            let header = decode_header(&encode_header(kind, number, length));
            if kind == Kind::Message && length > LARGEST_MESSAGE {
                let limit = LARGEST_MESSAGE;
                prop_assert_eq!(header, Err(WireError::Length { length, limit }));
            } else {
                prop_assert_eq!(header, Ok(Header { kind, length, number }));
            }
        }

        #[test]
        fn anything_at_all_is_read_without_panic(bytes: [u8; HEADER], payload: Vec<u8>) {
            if let Ok(header) = decode_header(&bytes) {
                prop_assert!(header.length <= LARGEST);
            }
            let _ = decode_to_program(&payload);
            let _ = decode_from_program(&payload);
        }
    }

    #[test]
    fn a_welcome_begins_with_its_version_in_every_version() {
        let welcome = Welcome {
            version: 7,
            rank: 0,
            size: 1,
            local_rank: 0,
            local_size: 1,
            host: String::new(),
            run: Run::PerRank,
            records: Records::LINES,
            talks: false,
        };
        let mut out = Vec::new();
        encode_message(&mut out, &ToProgram::Welcome(Box::new(welcome)));
        assert_eq!(spoken_version(&out[HEADER..]), Some(7));
        out.clear();
        encode_message(&mut out, &ToProgram::EndOfInput);
        assert_eq!(spoken_version(&out[HEADER..]), None);
    }

    #[test]
    fn a_message_is_read_as_it_was_said() {
        let said = FromProgram::Abort { status: 3, why: "x".repeat(WHY) };
        let mut out = Vec::new();
        encode_message(&mut out, &said);
        let (header, payload) = out.split_first_chunk().unwrap();
        let header = decode_header(header).unwrap();
        assert_eq!((header.kind, header.length), (Kind::Message, payload.len()));
        assert_eq!(decode_from_program(payload), Ok(said));
    }
}
