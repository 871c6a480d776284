//! The agent's end of the socket to a program that uses libpx: chunks go in, output and news come
//! out.
//!
//! A chunk that lies in one file is told by its place, and the program maps it; any other goes as
//! bytes. Nothing here waits for the program.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
};

use super::Guest;
use super::feed::Stopped;
use super::inbox::{Heard, Inbox};
use crate::buffers::Buffers;
use crate::input::InputError;
use crate::input::files::FileInput;
use crate::libpx::helper;
use crate::libpx::wire::{self, Chunk, Kind, ToProgram, Welcome};
use crate::poller::percent;
use crate::records::Records;

/// Small frames are joined up to this many bytes.
const JOINED: usize = 64 << 10;
/// Bytes of a chunk in one frame.
const PIECE: usize = 240 << 10;
/// What a socket surely takes before it is full, in bytes.
pub(super) const SOCKET: usize = 128 << 10;
/// Written in one turn, in bytes.
const TURN: u64 = 2 << 20;

/// Input files that a program has open at once.
const FILES: usize = 16;

/// What is still to be written.
enum Item {
    /// Frames, so many of whose bytes are the input's.
    Frames { bytes: Vec<u8>, at: usize, counted: u64 },
    /// A frame that brings a descriptor.
    Rights { bytes: Vec<u8>, brings: Brings },
    /// Bytes of the input, not read yet.
    Range(Range<u64>),
}

/// A descriptor to be passed on.
enum Brings {
    /// That of an input file.
    File(usize),
    /// The memory that the ranks of this host share.
    Commons(Rc<OwnedFd>),
}

/// The input files that a program has open, by the numbers that they were told under. A program's
/// limit of open files is its own, so they are few, and the oldest one gives its number to the next.
#[derive(Default)]
struct ToldFiles {
    files: Vec<usize>,
    oldest: usize,
}

impl ToldFiles {
    /// The number of a file, and whether it is to be told first.
    fn number(&mut self, file: usize) -> (u32, bool) {
        let known = self.files.iter().position(|told| *told == file);
        let place = known.unwrap_or_else(|| {
            if self.files.len() < FILES {
                self.files.push(file);
                return self.files.len() - 1;
            }
            let place = self.oldest;
            self.files[place] = file;
            self.oldest = (place + 1) % FILES;
            place
        });
        (u32::try_from(place).unwrap_or(u32::MAX), known.is_none())
    }
}

/// A chunk that has begun and whose end was not told yet.
struct Open {
    chunk: Chunk,
    length: Option<u64>,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Undecided,
    ByReference,
    ByValue,
}

/// A program that uses libpx, as its agent sees it.
pub(super) struct Program {
    socket: OwnedFd,
    items: VecDeque<Item>,
    open: Option<Open>,
    told_files: ToldFiles,
    writable: bool,
    /// All was said that there will ever be to say, once what is queued has gone.
    ends: bool,
    /// Bytes written in this turn.
    sent: u64,
    inbox: Inbox,
    /// No descriptor can be passed on to it.
    only_bytes: bool,
}

impl Program {
    /// Welcomes the program at the other end of `socket`.
    pub(super) fn new(socket: OwnedFd, welcome: Welcome, commons: Option<Rc<OwnedFd>>) -> Self {
        let mut bytes = Vec::new();
        wire::encode_message(&mut bytes, &ToProgram::Welcome(Box::new(welcome)));
        let item = match commons {
            Some(commons) => Item::Rights { bytes, brings: Brings::Commons(commons) },
            None => Item::Frames { bytes, at: 0, counted: 0 },
        };
        Program {
            socket,
            items: VecDeque::from([item]),
            open: None,
            told_files: ToldFiles::default(),
            writable: true,
            ends: false,
            sent: 0,
            inbox: Inbox::default(),
            only_bytes: false,
        }
    }

    /// Welcomes a guest.
    pub(super) fn of_guest(guest: Guest, welcome: Welcome) -> Self {
        let only_bytes = guest.place == helper::Guest::Elsewhere;
        Program { only_bytes, ..Program::new(guest.socket, welcome, None) }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Begins a chunk; its bytes follow.
    pub(super) fn begin(&mut self, chunk: Chunk, length: Option<u64>) {
        self.open = Some(Open { chunk, length, way: Way::Undecided });
    }

    /// Gives bytes of the chunk that has begun.
    pub(super) fn give_bytes(&mut self, bytes: &[u8]) {
        self.by_value();
        for piece in bytes.chunks(PIECE) {
            let frames = self.frames();
            frames.0.extend_from_slice(&wire::encode_header(Kind::Bytes, 0, piece.len()));
            frames.0.extend_from_slice(piece);
            *frames.1 += piece.len() as u64;
        }
    }

    /// Gives a range of the input for the chunk that has begun.
    pub(super) fn give_range(&mut self, range: Range<u64>, input: Option<&FileInput>) {
        let length = range.end - range.start;
        let place = match (&self.open, input) {
            (Some(open), Some(input))
                if open.way == Way::Undecided
                    && open.length == Some(length)
                    && !self.only_bytes =>
            {
                input.place(range.clone()).map(|place| (open.chunk, place, input))
            }
            _ => None,
        };
        let Some((chunk, (file, at), input)) = place else {
            self.by_value();
            self.items.push_back(Item::Range(range));
            return;
        };
        let (number, is_new) = self.told_files.number(file);
        if is_new {
            let mut bytes = Vec::new();
            let message = ToProgram::File { file: number, seen: input.seen_of(file) };
            wire::encode_message(&mut bytes, &message);
            self.items.push_back(Item::Rights { bytes, brings: Brings::File(file) });
        }
        let message = ToProgram::Reference { chunk, file: number, at, length };
        let frames = self.frames();
        wire::encode_message(frames.0, &message);
        *frames.1 += length;
        if let Some(open) = &mut self.open {
            open.way = Way::ByReference;
        }
    }

    /// Ends the chunk that has begun.
    pub(super) fn end_chunk(&mut self) {
        self.by_value();
        if self.open.take().is_some_and(|open| open.way == Way::ByValue) {
            self.say(&ToProgram::End);
        }
    }

    /// There is no further chunk.
    pub(super) fn end_of_input(&mut self) {
        self.say(&ToProgram::EndOfInput);
        self.ends = true;
    }

    /// Says that the chunk that has begun comes as bytes.
    fn by_value(&mut self) {
        let Some(open) = self.open.as_mut().filter(|open| open.way == Way::Undecided) else {
            return;
        };
        open.way = Way::ByValue;
        let message = ToProgram::Begin { chunk: open.chunk, length: open.length };
        self.say(&message);
    }

    fn say(&mut self, message: &ToProgram) {
        wire::encode_message(self.frames().0, message);
    }

    /// Where the next frame is to be appended, and the count of the input's bytes there.
    fn frames(&mut self) -> (&mut Vec<u8>, &mut u64) {
        let joins = matches!(self.items.back(), Some(Item::Frames { bytes, at: 0, .. })
            if bytes.len() < JOINED);
        if !joins {
            self.items.push_back(Item::Frames { bytes: Vec::new(), at: 0, counted: 0 });
        }
        match self.items.back_mut() {
            Some(Item::Frames { bytes, counted, .. }) => (bytes, counted),
            _ => unreachable!("one was put there just now"),
        }
    }

    /// Writes what is queued; returns how many bytes of the input went, how much of the socket was
    /// filled in percent, and why it stopped.
    pub(super) fn write(
        &mut self,
        input: Option<&FileInput>,
        records: Records,
    ) -> (u64, usize, Stopped) {
        let mut counted = 0;
        if !self.writable {
            return (0, 0, Stopped::Full);
        }
        self.sent = 0;
        let why = loop {
            if counted >= TURN {
                break Stopped::Turn;
            }
            match self.write_one(input, records) {
                Ok(Some(count)) => counted += count,
                Ok(None) => {
                    // A second program that finds the socket does not wait to be welcomed.
                    if std::mem::take(&mut self.ends) {
                        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
                    }
                    break Stopped::Empty;
                }
                Err(Stopped::Pipe(Errno::AGAIN)) => {
                    self.writable = false;
                    break Stopped::Full;
                }
                // A program that is gone takes no more; its end tells of it.
                Err(Stopped::Pipe(Errno::PIPE | Errno::CONNRESET)) => {
                    self.items.clear();
                    break Stopped::Empty;
                }
                Err(why) => break why,
            }
        };
        (counted, percent(self.sent, SOCKET), why)
    }

    /// Writes once; returns how many bytes of the input are through with it, `None` when nothing
    /// is left.
    fn write_one(
        &mut self,
        input: Option<&FileInput>,
        records: Records,
    ) -> Result<Option<u64>, Stopped> {
        match self.items.front_mut() {
            None => Ok(None),
            Some(Item::Frames { bytes, at, counted }) => {
                let sent = send(self.socket.as_fd(), &bytes[*at..], None)?;
                *at += sent;
                self.sent += sent as u64;
                if *at < bytes.len() {
                    return Ok(Some(0));
                }
                let counted = *counted;
                self.items.pop_front();
                Ok(Some(counted))
            }
            Some(Item::Rights { bytes, brings }) => {
                let fd = match (&*brings, input) {
                    (Brings::Commons(fd), _) => Some(fd.as_fd()),
                    (Brings::File(file), Some(input)) => input.descriptor(*file),
                    (Brings::File(_), None) => None,
                };
                let sent = send(self.socket.as_fd(), bytes, fd)?;
                // The descriptor went with the first byte.
                let bytes = std::mem::take(bytes);
                self.items.pop_front();
                if sent < bytes.len() {
                    self.items.push_front(Item::Frames { bytes, at: sent, counted: 0 });
                }
                Ok(Some(0))
            }
            Some(Item::Range(range)) => {
                let start = range.start;
                let want = usize::try_from(range.end - start).unwrap_or(PIECE).min(PIECE);
                let mut bytes = vec![0; wire::HEADER];
                let input = input.ok_or(Stopped::Input(start, Some(Errno::BADF)))?;
                input.append(&mut bytes, start, want, records).map_err(|error| match error {
                    InputError::Read { source, .. } => Stopped::Input(start, Some(source)),
                    _ => Stopped::Input(start, None),
                })?;
                let got = bytes.len() - wire::HEADER;
                if got == 0 {
                    return Err(Stopped::Input(start, None));
                }
                range.start += got as u64;
                if range.start >= range.end {
                    self.items.pop_front();
                }
                let header = wire::encode_header(Kind::Bytes, 0, got);
                bytes[..wire::HEADER].copy_from_slice(&header);
                self.items.push_front(Item::Frames { bytes, at: 0, counted: got as u64 });
                Ok(Some(0))
            }
        }
    }

    /// Reads what the program says, a bounded part of it; output is put behind `headroom` bytes.
    pub(super) fn read(&mut self, buffers: &Buffers, headroom: usize) -> Heard {
        self.inbox.read(self.socket.as_fd(), buffers, headroom)
    }

    /// It may take more, and there may be more to read.
    pub(super) fn woken(&mut self) {
        self.writable = true;
        self.inbox.ready = true;
    }

    /// Nothing that it might still say counts.
    pub(super) fn hang_up(&mut self) {
        self.inbox.ended = true;
        self.items.clear();
    }

    /// Whether there may be something to read.
    pub(super) fn is_readable(&self) -> bool {
        self.inbox.ready && !self.inbox.ended
    }
}

fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> Result<usize, Stopped> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
    });
    sent.map_err(Stopped::Pipe)
}

/// Receives bytes and nothing else: a descriptor that a program sends is closed.
pub(super) fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<usize, Errno> {
    let mut control = RecvAncillaryBuffer::new(&mut []);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)
    });
    received.map(|received| received.bytes)
}
