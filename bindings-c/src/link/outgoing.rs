//! What a program says to the agent: frames, written whole.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::gone;
use crate::status::Fault;

/// The writing side of a link.
#[derive(Default)]
pub struct Outgoing {
    head: Vec<u8>,
    tail: Vec<u8>,
    failed: Option<Fault>,
}

impl Outgoing {
    /// Writes a head, a body and a tail in one system call, or more where the socket is full.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`, from then on each time.
    pub fn write(
        &mut self,
        socket: &OwnedFd,
        head: impl FnOnce(&mut Vec<u8>),
        body: &[u8],
        tail: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Fault> {
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        self.head.clear();
        self.tail.clear();
        head(&mut self.head);
        tail(&mut self.tail);
        let sent = send_all(socket, [&self.head, body, &self.tail]);
        sent.inspect_err(|fault| self.failed = Some(fault.clone()))
    }
}

fn send_all(socket: &OwnedFd, parts: [&[u8]; 3]) -> Result<(), Fault> {
    let mut slices = parts.map(IoSlice::new);
    let mut left = &mut slices[..];
    // Takes empty slices from the front.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let mut nothing = SendAncillaryBuffer::default();
        match rustix::net::sendmsg(socket.as_fd(), left, &mut nothing, SendFlags::NOSIGNAL) {
            Ok(sent) => IoSlice::advance_slices(&mut left, sent),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(gone()),
            Err(e) => return Err(Fault::system("write to pxrun", e)),
        }
    }
    Ok(())
}
