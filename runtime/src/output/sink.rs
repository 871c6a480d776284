//! Writing to a descriptor without waiting for its reader.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::OutputError;
use crate::buffers::Buffers;

/// Above this many unwritten bytes a sink wants no more.
const FULL: usize = 1 << 20;
/// Smaller pieces are joined to the one before.
const SMALL: usize = 32 << 10;
/// Pieces in one call.
const GATHERED: usize = 32;

/// How a write is kept from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It never waits for a reader: a regular file, a disk.
    File,
    /// The description is our own and does not block.
    NonBlocking,
    /// A socket shared with others: each send says that it must not wait.
    Socket,
    /// A shared description: asked first, and given no more than surely fits.
    AskFirst,
}

/// A descriptor and what is to be written to it.
pub struct Sink {
    fd: OwnedFd,
    name: String,
    manner: Manner,
    queue: VecDeque<Vec<u8>>,
    at: usize,
    queued: usize,
    ready: bool,
    capacity: usize,
    written: u64,
    buffers: Buffers,
}

impl Sink {
    /// Takes a descriptor that others may share; its flags stay as they are.
    ///
    /// # Errors
    /// That of `fstat`.
    pub fn new(fd: OwnedFd, name: &str, buffers: Buffers) -> Result<Self, Errno> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        let (fd, manner) = match kind {
            FileType::RegularFile | FileType::BlockDevice => (fd, Manner::File),
            FileType::Socket => (fd, Manner::Socket),
            _ => match reopen(&fd) {
                Ok(own) => (own, Manner::NonBlocking),
                Err(_) => (fd, Manner::AskFirst),
            },
        };
        Ok(Sink {
            fd,
            name: name.to_owned(),
            manner,
            queue: VecDeque::new(),
            at: 0,
            queued: 0,
            ready: true,
            capacity: crate::agent::pipes::DEFAULT,
            written: 0,
            buffers,
        })
    }

    /// The descriptor to wait on; `None` where nothing ever makes it wait.
    pub fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        (self.manner != Manner::File).then(|| self.fd.as_fd())
    }

    /// The descriptor itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Notes that it may take more.
    pub fn woken(&mut self) {
        self.ready = true;
    }

    /// Bytes not yet written.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Enlarges the pipe, if it is one, up to `size` bytes.
    pub fn enlarge(&mut self, size: usize) {
        if self.manner != Manner::File {
            self.capacity = crate::agent::pipes::enlarge(&self.fd, size);
        }
    }

    /// How much of the pipe `bytes` bytes are, in percent; 0 where there is none.
    pub fn share_of_pipe(&self, bytes: u64) -> usize {
        if self.manner == Manner::File { 0 } else { crate::poller::percent(bytes, self.capacity) }
    }

    /// Whether it wants no more for now.
    pub fn is_full(&self) -> bool {
        self.queued >= FULL
    }

    /// Queues `bytes`.
    pub fn push(&mut self, bytes: Vec<u8>) {
        self.queued += bytes.len();
        if bytes.len() < SMALL
            && let Some(last) = self.queue.back_mut()
            && last.len() + bytes.len() <= last.capacity().max(SMALL)
        {
            last.extend_from_slice(&bytes);
            self.buffers.give(bytes);
        } else if !bytes.is_empty() {
            self.queue.push_back(bytes);
        }
    }

    /// Queues a copy of `bytes`.
    pub fn push_copy(&mut self, bytes: &[u8]) {
        self.queued += bytes.len();
        match self.queue.back_mut() {
            Some(last) if last.len() + bytes.len() <= last.capacity().max(SMALL) => {
                last.extend_from_slice(bytes);
            }
            _ => self.queue.push_back(bytes.to_vec()),
        }
    }

    /// Writes what can be written now; returns whether anything was.
    ///
    /// # Errors
    /// [`OutputError::Write`], or [`OutputError::Closed`] when the reader has left.
    pub fn flush(&mut self) -> Result<bool, OutputError> {
        let before = self.written;
        while self.ready && !self.queue.is_empty() {
            match self.write_some() {
                Ok(0) => return Err(self.failed(Errno::IO)),
                Ok(count) => self.advance(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.ready = false,
                Err(Errno::PIPE) => return Err(OutputError::Closed { name: self.name.clone() }),
                Err(source) => return Err(self.failed(source)),
            }
        }
        Ok(self.written > before)
    }

    fn failed(&self, source: Errno) -> OutputError {
        OutputError::Write { name: self.name.clone(), written: self.written, source }
    }

    fn write_some(&self) -> Result<usize, Errno> {
        let first = self.queue.front().map_or(&[][..], |bytes| &bytes[self.at..]);
        match self.manner {
            Manner::File | Manner::NonBlocking => {
                let mut slices = [IoSlice::new(&[]); GATHERED];
                let mut count = 0;
                let rest = self.queue.iter().skip(1).map(Vec::as_slice);
                for (slot, bytes) in slices.iter_mut().zip(std::iter::once(first).chain(rest)) {
                    *slot = IoSlice::new(bytes);
                    count += 1;
                }
                rustix::io::writev(&self.fd, &slices[..count])
            }
            Manner::Socket => {
                rustix::net::send(&self.fd, first, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            }
            Manner::AskFirst => {
                let mut asked = [PollFd::new(&self.fd, PollFlags::OUT)];
                let none = crate::sys::timespec(std::time::Duration::ZERO);
                if rustix::event::poll(&mut asked, Some(&none))? == 0 {
                    return Err(Errno::AGAIN);
                }
                rustix::io::write(&self.fd, &first[..first.len().min(512)])
            }
        }
    }

    fn advance(&mut self, mut count: usize) {
        self.written += count as u64;
        self.queued -= count;
        while let Some(first) = self.queue.front() {
            let left = first.len() - self.at;
            if count < left {
                self.at += count;
                return;
            }
            count -= left;
            self.at = 0;
            if let Some(done) = self.queue.pop_front() {
                self.buffers.give(done);
            }
            if count == 0 {
                return;
            }
        }
    }

    /// Closes the descriptor and puts another, which nobody reads, in its place.
    ///
    /// # Errors
    /// What some file systems say only now: `EIO`, `ENOSPC`, `EDQUOT`.
    pub fn close(&mut self) -> Result<(), Errno> {
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        crate::sys::fd::close(std::mem::replace(&mut self.fd, null))
    }

    /// Drops what is not yet written.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.queued = 0;
        self.at = 0;
    }

    /// Waits up to `patience` for the rest to be written, for the very end of a job.
    ///
    /// # Errors
    /// As [`Sink::flush`].
    pub fn drain(&mut self, patience: std::time::Duration) -> Result<(), OutputError> {
        let end = std::time::Instant::now().checked_add(patience);
        loop {
            self.ready = true;
            self.flush()?;
            let left = end
                .map_or(patience, |end| end.saturating_duration_since(std::time::Instant::now()));
            if self.queue.is_empty() || left.is_zero() {
                return Ok(());
            }
            let mut asked = [PollFd::new(&self.fd, PollFlags::OUT)];
            let _ = rustix::event::poll(&mut asked, Some(&crate::sys::timespec(left)));
        }
    }
}

/// Opens the same pipe or device once more, so that not blocking is a property of our own
/// description and not of the one that is shared with whoever started us.
fn reopen(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}
