//! What libpx and its helper, which runs jobs for it, say to each other, as pure functions on bytes.
//!
//! ```text
//! libpx  = mark length Request        its end of the socket closes: the job ends at once
//! helper = mark length Account        and then its end closes
//! ```
//!
//! The mark changes with whatever is said here, so that a helper of another version is told as that.
//! What else the helper is started with says [`SOCKET`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::link::control;

/// What both ends know the conversation by.
const MARK: &[u8; 8] = b"pxjob01\n";
/// Length of mark and length, in bytes.
pub const HEADER: usize = 12;
/// Most bytes of what is said.
pub const LARGEST: usize = 1 << 20;
/// Most guests of a job.
pub const MOST_GUESTS: usize = 1024;

/// The word that has pxrun be a helper.
pub const ENTRANCE: &str = "--as-helper";
/// The number of the helper's end of the socket: before it are an empty input, where output goes, and
/// where words go; after it the sockets of the guests, in the order of their ranks.
pub const SOCKET: i32 = 3;

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The words of a command line of pxrun.
    pub words: Vec<Vec<u8>>,
    /// Ranks that are no processes: each has a socket over which it speaks as a program of
    /// `--contract px` does.
    pub guests: Vec<Guest>,
}

/// Where a rank is that is no process of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guest {
    /// At the other end of its socket: descriptors can be given to it.
    Here,
    /// Further on: it gets bytes alone.
    Elsewhere,
}

/// How a job went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// As pxrun's exit status.
    pub status: u8,
    /// Chunks that were dealt.
    pub chunks: u64,
    /// Their length in bytes.
    pub input: u64,
    /// Bytes of output written.
    pub output: u64,
}

/// What is wrong with what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelperError {
    /// It does not begin with the mark.
    #[error("`pxrun` and libpx are not of the same version")]
    Foreign,
    /// It is too long.
    #[error("a job must be described in at most {LARGEST} bytes, found {0}")]
    TooLong(usize),
    /// It cannot be read.
    #[error("what was said cannot be read")]
    Unreadable,
}

/// Turns what is to be said into bytes.
///
/// # Errors
/// [`HelperError::TooLong`].
pub fn encode(said: &impl Serialize) -> Result<Vec<u8>, HelperError> {
    let mut bytes = vec![0; HEADER];
    let fits = control::encode(&mut bytes, said);
    let length = bytes.len() - HEADER;
    if !fits || length > LARGEST {
        return Err(HelperError::TooLong(length));
    }
    bytes[..MARK.len()].copy_from_slice(MARK);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    bytes[MARK.len()..HEADER].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Reads how many bytes follow a header.
///
/// # Errors
/// [`HelperError::Foreign`], [`HelperError::TooLong`].
pub fn decode_header(header: &[u8; HEADER]) -> Result<usize, HelperError> {
    let Some((MARK, length)) = header.split_first_chunk() else { return Err(HelperError::Foreign) };
    let length = length.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    if length > LARGEST { Err(HelperError::TooLong(length)) } else { Ok(length) }
}

/// Reads what was said.
///
/// # Errors
/// [`HelperError::Unreadable`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HelperError> {
    control::decode(bytes).map_err(|_| HelperError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_job_arrives_as_it_was_told(words: Vec<Vec<u8>>, guests in 0usize..9) {
            let request = Request { words, guests: vec![Guest::Here; guests] };
            let bytes = encode(&request).unwrap();
            let (header, rest) = bytes.split_first_chunk().unwrap();
            prop_assert_eq!(decode_header(header), Ok(rest.len()));
            prop_assert_eq!(decode(rest), Ok(request));
        }

        #[test]
        fn any_bytes_are_read_without_panic(header: [u8; HEADER], bytes: Vec<u8>) {
            let _ = decode_header(&header);
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Account>(&bytes);
        }
    }

    #[test]
    fn what_is_too_long_is_refused_at_both_ends() {
        let request = Request { words: vec![vec![0; LARGEST]], guests: Vec::new() };
        assert!(matches!(encode(&request), Err(HelperError::TooLong(_))));
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MARK);
        header[8..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode_header(&header), Err(HelperError::TooLong(u32::MAX as usize)));
    }

    #[test]
    fn another_version_is_told_as_that() {
        assert_eq!(decode_header(b"pxjob99\n\0\0\0\0"), Err(HelperError::Foreign));
    }
}
