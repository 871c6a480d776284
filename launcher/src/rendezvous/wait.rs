//! Waiting for a descriptor, until a deadline and no longer.

use std::os::fd::AsFd;
use std::time::Instant;

use px_runtime::sys::timespec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Waits until `descriptor` is ready or has ended; `false` says that the deadline came first.
pub(super) fn until_ready(
    descriptor: impl AsFd,
    what: PollFlags,
    deadline: Instant,
) -> Result<bool, Errno> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(&descriptor, what)];
        match poll(&mut watched, Some(&timespec(left))) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(other) => return Err(other),
        }
    }
}
