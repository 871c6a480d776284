//! Reading streams: pipes, FIFOs, sockets, terminals, and files that do not know their length.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::InputError;
use crate::records::Records;

/// How a read is kept from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// The description is our own and does not block.
    NonBlocking,
    /// A socket shared with others: each receive says that it must not wait.
    Socket,
    /// A shared description: asked first whether there is anything.
    AskFirst,
}

/// One stream of the input's sequence.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) fd: OwnedFd,
    pub(super) manner: Manner,
    /// A FIFO opened by name ends at once until its first writer comes, so it is not read before.
    pub(super) ready: bool,
    pub(super) waits: bool,
    /// What it was at the start, where it is a file of known length.
    pub(super) file: Option<super::files::InputFile>,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Bytes.
    Some,
    /// Nothing for now.
    Nothing,
    /// The end of one stream of several; the next read is another stream's.
    EndOfOne,
    /// The end of the last one.
    EndOfAll,
}

/// Reads a sequence of streams.
pub struct StreamReader {
    streams: VecDeque<Stream>,
    offset: u64,
    last: Option<u8>,
    capacity: usize,
    begun: bool,
}

impl StreamReader {
    pub(super) fn new(streams: Vec<Stream>) -> Self {
        StreamReader {
            streams: streams.into(),
            offset: 0,
            last: None,
            capacity: crate::agent::pipes::DEFAULT,
            begun: false,
        }
    }

    /// The descriptor to wait on, when the present stream is one that can be waited for.
    pub fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        self.streams.front().filter(|s| s.waits).map(|s| s.fd.as_fd())
    }

    /// How many bytes the present stream's pipe holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Enlarges the pipes among the streams up to `size` bytes.
    pub fn enlarge(&mut self, size: usize) {
        for stream in &self.streams {
            self.capacity = crate::agent::pipes::enlarge(&stream.fd, size);
        }
    }

    /// Notes that the present stream has something to read, or has ended.
    pub fn woken(&mut self) {
        if let Some(stream) = self.streams.front_mut() {
            stream.ready = true;
        }
    }

    /// Takes the present stream for ready, unless it has yet to get its first writer.
    pub fn stir(&mut self) {
        if self.begun {
            self.woken();
        }
    }

    /// Whether a read may give something.
    pub fn is_ready(&self) -> bool {
        self.streams.front().is_none_or(|s| s.ready)
    }

    /// Appends what has come, at most `buffer`'s spare capacity.
    ///
    /// At the end of a stream that is not the last one and lacks its delimiter, the delimiter is
    /// appended.
    ///
    /// # Errors
    /// [`InputError::Read`], with the offset in the present stream.
    pub fn read(&mut self, buffer: &mut Vec<u8>, records: Records) -> Result<Arrived, InputError> {
        let more = self.streams.len() > 1;
        let Some(stream) = self.streams.front_mut() else { return Ok(Arrived::EndOfAll) };
        self.begun = true;
        match read_some(stream, buffer) {
            Ok(0) => {
                if let Some(file) = &stream.file {
                    file.check()?;
                }
            }
            Ok(count) => {
                self.offset += count as u64;
                self.last = buffer.last().copied();
                return Ok(Arrived::Some);
            }
            Err(Errno::AGAIN) => {
                stream.ready = false;
                return Ok(Arrived::Nothing);
            }
            Err(Errno::INTR) => return Ok(Arrived::Nothing),
            Err(source) => {
                let name = stream.name.clone();
                return Err(InputError::Read { name, offset: self.offset, source });
            }
        }
        if more
            && let Some(delimiter) = records.delimiter()
            && self.last.is_some_and(|last| last != delimiter)
        {
            buffer.push(delimiter);
        }
        self.streams.pop_front();
        self.begun = false;
        self.offset = 0;
        self.last = None;
        Ok(if more { Arrived::EndOfOne } else { Arrived::EndOfAll })
    }
}

fn read_some(stream: &Stream, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    let spare = rustix::buffer::spare_capacity(buffer);
    match stream.manner {
        Manner::NonBlocking => rustix::io::read(&stream.fd, spare),
        Manner::Socket => rustix::net::recv(&stream.fd, spare, RecvFlags::DONTWAIT).map(|(n, _)| n),
        Manner::AskFirst => {
            let mut asked = [PollFd::new(&stream.fd, PollFlags::IN)];
            let none = crate::sys::timespec(std::time::Duration::ZERO);
            if rustix::event::poll(&mut asked, Some(&none))? == 0 {
                return Err(Errno::AGAIN);
            }
            rustix::io::read(&stream.fd, spare)
        }
    }
}
