//! What an agent says to a program: frames and the descriptors that come with them.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use px_runtime::libpx::wire::{
    Chunk, HEADER, Header, Kind, ToProgram, VERSION, Welcome, WireError, decode_header,
    decode_to_program, spoken_version,
};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};

use super::{Copies, Greeting, gone};
use crate::held::{File, Held, Own};
use crate::status::{Fault, PX_ERR_PROTOCOL};

/// Bytes received at once, more than the largest message with its header.
const BUFFER: usize = 32 << 10;
/// Descriptors that may come at once; an agent sends one a frame.
const DESCRIPTORS: usize = 4;
/// Bytes reserved at most for what is only announced.
const RESERVED: u64 = 16 << 20;

/// A chunk, with its bytes or why they cannot be had.
pub type Next = (Chunk, Result<Held, Fault>);

/// The reading side of a link.
pub struct Incoming {
    copies: Copies,
    buffer: Box<[u8]>,
    unread: std::ops::Range<usize>,
    descriptors: VecDeque<OwnedFd>,
    files: BTreeMap<u32, Arc<File>>,
    state: State,
}

enum State {
    Open,
    /// There is no further chunk.
    Ended,
    /// Nothing that comes can be understood any more.
    Failed(Fault),
}

impl Incoming {
    pub fn new(copies: Copies) -> Incoming {
        Incoming {
            copies,
            buffer: vec![0; BUFFER].into(),
            unread: 0..0,
            descriptors: VecDeque::new(),
            files: BTreeMap::new(),
            state: State::Open,
        }
    }

    /// Reads what an agent says first.
    pub fn greeting(&mut self, socket: &OwnedFd) -> Result<Greeting, Fault> {
        let mut at_once = || Ok(());
        let header = self.header(socket, &mut at_once)?;
        if header.kind != Kind::Message {
            return Err(astray("bytes before it has said who this is"));
        }
        let payload = self.payload(socket, header)?;
        match spoken_version(payload) {
            Some(VERSION) => {}
            Some(other) => return Err(foreign_version(other)),
            None => return Err(astray("something else than who this is")),
        }
        let ToProgram::Welcome(welcome) = decode_to_program(payload).map_err(unreadable)? else {
            return Err(astray("something else than who this is"));
        };
        check(&welcome)?;
        let commons = if welcome.talks { Some(self.descriptor()?) } else { None };
        Ok(Greeting { welcome: *welcome, commons })
    }

    /// Reads on to the next chunk; `None` after the last one.
    ///
    /// Before it waits with nothing of a frame there, it calls `before_waiting`.
    pub fn next(
        &mut self,
        socket: &OwnedFd,
        mut before_waiting: impl FnMut() -> Result<(), Fault>,
    ) -> Result<Option<Next>, Fault> {
        match &self.state {
            State::Open => {}
            State::Ended => return Ok(None),
            State::Failed(fault) => return Err(fault.clone()),
        }
        let next = self.read_on(socket, &mut before_waiting);
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Ended,
            Err(fault) => self.state = State::Failed(fault.clone()),
        }
        next
    }

    fn read_on(
        &mut self,
        socket: &OwnedFd,
        before_waiting: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<Option<Next>, Fault> {
        loop {
            let header = self.header(socket, before_waiting)?;
            if header.kind != Kind::Message {
                return Err(astray("bytes outside of a chunk"));
            }
            let payload = self.payload(socket, header)?;
            match decode_to_program(payload).map_err(unreadable)? {
                ToProgram::File { file, seen } => {
                    let descriptor = self.descriptor()?;
                    self.files.insert(file, Arc::new(File::new(descriptor, seen)));
                }
                ToProgram::Reference { chunk, file, at, length } => {
                    let file = self.files.get(&file);
                    let file = file.ok_or_else(|| astray("a chunk of an unknown file"))?;
                    let held = match self.copies {
                        Copies::Shared => file.map(at, length),
                        Copies::Private => file.copy(at, length),
                    };
                    return Ok(Some((chunk, held)));
                }
                ToProgram::Begin { chunk, length } => {
                    return Ok(Some((chunk, Ok(self.receive(socket, length)?))));
                }
                ToProgram::EndOfInput => return Ok(None),
                ToProgram::Welcome(_) => return Err(astray("who this is, once more")),
                ToProgram::End => return Err(astray("the end of no chunk")),
            }
        }
    }

    /// Reads the bytes of a chunk that has begun.
    fn receive(&mut self, socket: &OwnedFd, length: Option<u64>) -> Result<Held, Fault> {
        let mut own = Own::default();
        let announced = length.unwrap_or(0).min(RESERVED);
        own.reserve(usize::try_from(announced).unwrap_or(0))?;
        loop {
            let header = self.header(socket, &mut || Ok(()))?;
            match header.kind {
                Kind::Bytes => {
                    let room = own.grow(header.length)?;
                    let here = self.unread.len().min(room.len());
                    room[..here].copy_from_slice(&self.buffer[self.unread.start..][..here]);
                    self.unread.start += here;
                    receive_exactly(socket, &mut room[here..])?;
                }
                Kind::Message => {
                    let payload = self.payload(socket, header)?;
                    match decode_to_program(payload).map_err(unreadable)? {
                        ToProgram::End => return own.into_held(),
                        _ => return Err(astray("something else inside of a chunk")),
                    }
                }
                _ => return Err(astray("output inside of a chunk")),
            }
        }
    }

    fn header(
        &mut self,
        socket: &OwnedFd,
        before_waiting: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<Header, Fault> {
        self.need(socket, HEADER, before_waiting)?;
        let (header, _) = self.buffer[self.unread.clone()].split_first_chunk().ok_or_else(gone)?;
        let header = decode_header(header).map_err(unreadable)?;
        self.unread.start += HEADER;
        Ok(header)
    }

    fn payload(&mut self, socket: &OwnedFd, header: Header) -> Result<&[u8], Fault> {
        self.need(socket, header.length, &mut || Ok(()))?;
        let payload = self.unread.start..self.unread.start + header.length;
        self.unread.start = payload.end;
        Ok(&self.buffer[payload])
    }

    /// Receives until `length` bytes are there, at most [`BUFFER`].
    fn need(
        &mut self,
        socket: &OwnedFd,
        length: usize,
        before_waiting: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut flags = RecvFlags::DONTWAIT;
        while self.unread.len() < length {
            if self.unread.start + length > self.buffer.len() || self.unread.is_empty() {
                self.buffer.copy_within(self.unread.clone(), 0);
                self.unread = 0..self.unread.len();
            }
            match self.fill(socket, flags | RecvFlags::CMSG_CLOEXEC) {
                Ok(0) => return Err(gone()),
                Ok(received) => self.unread.end += received,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    before_waiting()?;
                    flags = RecvFlags::empty();
                }
                Err(Errno::CONNRESET) => return Err(gone()),
                Err(e) => return Err(Fault::system("read from pxrun", e)),
            }
        }
        Ok(())
    }

    /// Receives some bytes, and the descriptors that come with them.
    fn fill(&mut self, socket: &OwnedFd, flags: RecvFlags) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut room = [IoSliceMut::new(&mut self.buffer[self.unread.end..])];
        let received = rustix::net::recvmsg(socket, &mut room, &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            // Descriptors were lost: this process may have no more of them.
            return Err(Errno::MFILE);
        }
        Ok(received.bytes)
    }

    fn descriptor(&mut self) -> Result<OwnedFd, Fault> {
        self.descriptors.pop_front().ok_or_else(|| astray("a file without its descriptor"))
    }
}

fn receive_exactly(socket: &OwnedFd, mut room: &mut [u8]) -> Result<(), Fault> {
    while !room.is_empty() {
        match rustix::net::recv(socket, &mut *room, RecvFlags::WAITALL) {
            Ok((0, _)) | Err(Errno::CONNRESET) => return Err(gone()),
            Ok((received, _)) => room = &mut room[received..],
            Err(Errno::INTR) => {}
            Err(e) => return Err(Fault::system("read from pxrun", e)),
        }
    }
    Ok(())
}

/// Ranks and sizes go to C as `int`, and each rank is one of its world's.
fn check(welcome: &Welcome) -> Result<(), Fault> {
    let fits = i32::try_from(welcome.size).is_ok() && i32::try_from(welcome.local_size).is_ok();
    match fits && welcome.rank < welcome.size && welcome.local_rank < welcome.local_size {
        true => Ok(()),
        false => Err(astray(&format!(
            "rank {} of {}, {} of {} on its host",
            welcome.rank, welcome.size, welcome.local_rank, welcome.local_size
        ))),
    }
}

fn astray(said: &str) -> Fault {
    Fault::new(PX_ERR_PROTOCOL, format!("pxrun said what it must not say: {said}"))
}

fn unreadable(error: WireError) -> Fault {
    Fault::new(PX_ERR_PROTOCOL, format!("what pxrun says cannot be read: {error}"))
}

fn foreign_version(other: u32) -> Fault {
    Fault::new(
        PX_ERR_PROTOCOL,
        format!(
            "pxrun speaks version {other} with libpx, this libpx ({}) version {VERSION}: \
             link the program with the libpx that came with pxrun",
            env!("CARGO_PKG_VERSION")
        ),
    )
}
