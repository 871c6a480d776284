//! What a copy is still to read, and the writing of it into the copy's stdin.
//!
//! By-reference bytes go from the page cache into the pipe by `splice`, without a copy in user
//! space. Small chunks are joined, so that a million of them cost a few thousand writes.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use crate::input::files::FileInput;
use crate::records::Records;

/// Small pieces are joined up to this many bytes.
const JOINED: usize = 64 << 10;
/// Asked of one `splice`: no pipe takes more.
const SPLICED: u64 = 1 << 20;

#[derive(Debug)]
enum Piece {
    Bytes { bytes: Vec<u8>, at: usize },
    Range(Range<u64>),
}

/// The queue before a copy's stdin.
#[derive(Default)]
pub struct Feed {
    pieces: VecDeque<Piece>,
    queued: u64,
    spare: Vec<u8>,
}

/// Why the writing stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing is left to write.
    Empty,
    /// The pipe is full.
    Full,
    /// The share of this turn is used up.
    Turn,
    /// Writing into the pipe failed.
    Pipe(Errno),
    /// Reading the input at this offset failed, or gave nothing.
    Input(u64, Option<Errno>),
}

impl Feed {
    /// Bytes not yet written.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Appends bytes.
    pub fn push_bytes(&mut self, new: &[u8]) {
        self.queued += new.len() as u64;
        if let Some(Piece::Bytes { bytes, .. }) = self.pieces.back_mut()
            && bytes.len() + new.len() <= JOINED
        {
            bytes.extend_from_slice(new);
            return;
        }
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.clear();
        bytes.extend_from_slice(new);
        self.pieces.push_back(Piece::Bytes { bytes, at: 0 });
    }

    /// Appends a range of the input.
    pub fn push_range(&mut self, range: Range<u64>) {
        self.queued += range.end - range.start;
        if let Some(Piece::Range(last)) = self.pieces.back_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        self.pieces.push_back(Piece::Range(range));
    }

    /// Drops what is queued.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.queued = 0;
    }

    /// Writes up to `turn` bytes into `pipe` and says how many went in and why it stopped.
    pub fn write(
        &mut self,
        pipe: &OwnedFd,
        input: Option<&FileInput>,
        records: Records,
        turn: u64,
    ) -> (u64, Stopped) {
        let mut written = 0;
        let why = loop {
            if written >= turn {
                break Stopped::Turn;
            }
            let result = match self.pieces.front_mut() {
                None => break Stopped::Empty,
                Some(Piece::Bytes { bytes, at }) => {
                    rustix::io::write(pipe, &bytes[*at..]).map(|count| count as u64)
                }
                Some(Piece::Range(range)) => match input {
                    Some(input) => match splice(input, range, pipe, records) {
                        Ok(0) => break Stopped::Input(range.start, None),
                        Err(source @ (Errno::AGAIN | Errno::INTR)) => Err(source),
                        Err(source) => break Stopped::Input(range.start, Some(source)),
                        Ok(count) => Ok(count),
                    },
                    None => break Stopped::Input(range.start, Some(Errno::BADF)),
                },
            };
            match result {
                Ok(count) => {
                    written += count;
                    self.advance(count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Stopped::Full,
                Err(source) => break Stopped::Pipe(source),
            }
        };
        (written, why)
    }

    fn advance(&mut self, count: u64) {
        self.queued -= count;
        let done = match self.pieces.front_mut() {
            Some(Piece::Bytes { bytes, at }) => {
                *at += usize::try_from(count).unwrap_or(usize::MAX);
                *at >= bytes.len()
            }
            Some(Piece::Range(range)) => {
                range.start += count;
                range.start >= range.end
            }
            None => false,
        };
        if done && let Some(Piece::Bytes { bytes, .. }) = self.pieces.pop_front() {
            self.spare = bytes;
        }
    }
}

fn splice(
    input: &FileInput,
    range: &Range<u64>,
    pipe: &OwnedFd,
    records: Records,
) -> Result<u64, Errno> {
    let Some((place, length)) = input.locate(range.start, range.end) else { return Ok(0) };
    let want = usize::try_from(length.min(SPLICED)).unwrap_or(usize::MAX);
    let Some((file, mut offset)) = place else {
        let delimiter = [records.delimiter().unwrap_or(b'\n')];
        return rustix::io::write(pipe, &delimiter).map(|count| count as u64);
    };
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    match rustix::pipe::splice(file, Some(&mut offset), pipe, None, want, flags) {
        // Some file systems have no splice: their bytes are copied.
        Err(Errno::INVAL) => {
            let mut bytes = vec![0; want.min(JOINED)];
            let got = rustix::io::pread(file, &mut bytes, offset)?;
            if got == 0 {
                return Ok(0);
            }
            rustix::io::write(pipe, &bytes[..got]).map(|count| count as u64)
        }
        other => other.map(|count| count as u64),
    }
}
