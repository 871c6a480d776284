//! A pipe, a terminal, a socket on standard input: read as it comes.

use std::os::fd::AsFd;

use px_runtime::input::reader::{Arrived as Read, StreamReader};
use px_runtime::input::stream::StreamCutter;
use px_runtime::job::ChunkSize;
use px_runtime::libpx::wire::Chunk;
use rustix::event::{PollFd, PollFlags};

use super::{RECORDS, fault, wait};
use crate::held::Own;
use crate::link::Arrived;
use crate::status::Fault;

/// Bytes read at once.
const READ: usize = 64 << 10;

/// A stream that is cut into chunks as it comes.
pub struct Flowing {
    reader: StreamReader,
    cutter: StreamCutter,
    arrived: Vec<u8>,
    used: usize,
    offset: u64,
    ended: bool,
}

impl Flowing {
    /// Takes the open input.
    pub fn new(reader: StreamReader) -> Flowing {
        let cutter = StreamCutter::new(RECORDS, ChunkSize::Automatic, 1);
        let arrived = Vec::with_capacity(READ);
        Flowing { reader, cutter, arrived, used: 0, offset: 0, ended: false }
    }

    /// Waits until a chunk is whole; `None` after the last one.
    ///
    /// A chunk ends also where nothing more has come for now, so that a slow stream is answered line
    /// by line.
    pub fn next(&mut self) -> Result<Option<Arrived>, Fault> {
        let mut own = Own::default();
        loop {
            if self.used < self.arrived.len() {
                let take = self.cutter.take(&self.arrived[self.used..]);
                own.append(&self.arrived[self.used..self.used + take.bytes])?;
                self.used += take.bytes;
                if take.ends {
                    return self.finish(own).map(Some);
                }
            } else if self.ended {
                return if self.cutter.is_open() { self.finish(own).map(Some) } else { Ok(None) };
            } else if !self.read()? {
                if self.cutter.may_end_here() {
                    return self.finish(own).map(Some);
                }
                self.wait()?;
            }
        }
    }

    fn finish(&mut self, own: Own) -> Result<Arrived, Fault> {
        let held = own.into_held()?;
        let chunk = Chunk { index: self.cutter.index(), offset: self.offset, attempt: 1 };
        self.offset += held.bytes().len() as u64;
        self.cutter.next_chunk();
        Ok(Arrived { chunk, held })
    }

    /// Reads what has come; says whether there was anything, be it the end.
    fn read(&mut self) -> Result<bool, Fault> {
        self.arrived.clear();
        self.used = 0;
        let read = self.reader.read(&mut self.arrived, RECORDS).map_err(fault)?;
        self.ended = read == Read::EndOfAll;
        Ok(read != Read::Nothing)
    }

    fn wait(&mut self) -> Result<(), Fault> {
        if let Some(stream) = self.reader.waits_on() {
            let event = PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN);
            wait(event).map_err(|e| Fault::system("wait for standard input", e))?;
        }
        self.reader.woken();
        Ok(())
    }
}
