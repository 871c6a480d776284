//! A last word to the launcher, over the wire that it has given this process for PMI.
//!
//! # Source
//! PMI 1.1, a line of `key=value` words each way; `PMI_FD` is the descriptor's number.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::ffi;

/// How long the launcher may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// The longest answer.
const LINE: usize = 1024;

/// Tells the launcher that this process leaves in order: one that just ends has the launcher end
/// all others.
///
/// # Errors
/// There is no such wire, or the launcher gave no such answer in time.
pub fn finalize() -> io::Result<()> {
    let number = std::env::var("PMI_FD").ok().and_then(|word| word.parse().ok());
    let mut wire = number.and_then(ffi::lent).ok_or(io::ErrorKind::NotFound)?;
    wire.set_read_timeout(Some(ANSWER))?;
    wire.write_all(b"cmd=finalize\n")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let mut byte = [0];
        wire.read_exact(&mut byte)?;
        answer.push(byte[0]);
        if answer.len() > LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    match answer.starts_with(b"cmd=finalize_ack") {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}
