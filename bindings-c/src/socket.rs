//! A socket that ends when this process is done with it.

use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::Shutdown;

/// One end of a connection that is over when it is dropped, whoever else has its descriptor: a child
/// that another thread of the program forked has a copy of all of them, for as long as it lives.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Socket {
        Socket(fd)
    }
}

impl Deref for Socket {
    type Target = OwnedFd;

    fn deref(&self) -> &OwnedFd {
        &self.0
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It fails where the other end is gone, and then it is over.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }
}
