//! What a program that uses libpx says, put together from what its socket brings.

use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::program::receive;
use crate::buffers::Buffers;
use crate::libpx::wire::{self, FromProgram, HEADER, Header, Kind, WireError};

/// Read at once, in bytes.
const READ: usize = 64 << 10;

/// What one look gave.
pub(super) enum Heard {
    /// A message.
    Said(FromProgram),
    /// Output of a chunk, behind the headroom.
    Emitted(u64, Vec<u8>),
    /// Bytes for a rank on another host, behind the headroom.
    Talked(u64, Vec<u8>),
    /// Nothing more now.
    Nothing,
    /// The other end is closed.
    End,
    /// The socket cannot be read.
    Failed(Errno),
    /// It is no libpx that speaks there.
    Broke(WireError),
}

/// Bytes that have come and are no whole frame yet.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// Where in `bytes` they are.
    unread: Range<usize>,
    /// A frame with bytes, of which so many at its end are still to come.
    filling: Option<(Header, Vec<u8>, usize)>,
    pub(super) ready: bool,
    pub(super) ended: bool,
}

impl Inbox {
    /// Takes the next frame, reading once where there is no whole one.
    pub(super) fn read(
        &mut self,
        socket: BorrowedFd<'_>,
        buffers: &Buffers,
        headroom: usize,
    ) -> Heard {
        if self.ended {
            return Heard::Nothing;
        }
        loop {
            match self.next(buffers, headroom) {
                Ok(Some(heard)) => return heard,
                Ok(None) => {}
                Err(error) => return Heard::Broke(error),
            }
            if !self.ready {
                return Heard::Nothing;
            }
            match self.fill(socket) {
                Ok(0) => return Heard::End,
                Ok(_) => {}
                Err(Errno::AGAIN) => {
                    self.ready = false;
                    return Heard::Nothing;
                }
                // A program that was killed with something unread.
                Err(Errno::CONNRESET) => return Heard::End,
                Err(source) => return Heard::Failed(source),
            }
        }
    }

    /// Reads once: into the frame that is being filled, else into the bytes at hand.
    fn fill(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        if let Some((_, frame, missing)) = &mut self.filling {
            let from = frame.len() - *missing;
            let got = receive(socket, &mut frame[from..]);
            *missing -= got.as_ref().unwrap_or(&0);
            return got;
        }
        self.bytes.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let room = self.unread.end + READ;
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
        let got = receive(socket, &mut self.bytes[self.unread.end..room]);
        self.unread.end += got.as_ref().unwrap_or(&0);
        got
    }

    /// Takes the next frame out of what is at hand.
    fn next(&mut self, buffers: &Buffers, headroom: usize) -> Result<Option<Heard>, WireError> {
        if let Some((header, frame, missing)) = self.filling.take() {
            if missing == 0 {
                return Ok(Some(bytes_of(&header, frame)));
            }
            self.filling = Some((header, frame, missing));
            return Ok(None);
        }
        let Some((head, rest)) = self.bytes[self.unread.clone()].split_first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        let header = wire::decode_header(head)?;
        match header.kind {
            Kind::Message => {
                let Some(payload) = rest.get(..header.length) else { return Ok(None) };
                let said = wire::decode_from_program(payload)?;
                self.unread.start += HEADER + header.length;
                Ok(Some(Heard::Said(said)))
            }
            Kind::Bytes => Err(WireError::Kind(head[0])),
            Kind::Emit | Kind::Talk => {
                let here = rest.len().min(header.length);
                // A crumb gets no more memory than its bytes; many may wait.
                let mut frame = if header.length < READ / 4 { Vec::new() } else { buffers.take() };
                frame.resize(headroom, 0);
                frame.extend_from_slice(&rest[..here]);
                frame.resize(headroom + header.length, 0);
                self.unread.start += HEADER + here;
                if here == header.length {
                    return Ok(Some(bytes_of(&header, frame)));
                }
                self.filling = Some((header, frame, header.length - here));
                Ok(None)
            }
        }
    }
}

fn bytes_of(header: &Header, frame: Vec<u8>) -> Heard {
    match header.kind {
        Kind::Talk => Heard::Talked(header.number, frame),
        _ => Heard::Emitted(header.number, frame),
    }
}
