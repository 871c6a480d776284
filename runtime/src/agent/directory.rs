//! Being in another directory for as long as it takes to start a copy.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Where this process was, and is again once this is dropped.
pub(super) struct Entered(OwnedFd);

/// Enters `directory` for now; nothing happens without one.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `EACCES`.
pub(super) fn enter(directory: Option<&Path>) -> Result<Option<Entered>, Errno> {
    let Some(directory) = directory else { return Ok(None) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let before = rustix::fs::open(".", flags, Mode::empty())?;
    rustix::process::chdir(directory)?;
    Ok(Some(Entered(before)))
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A directory that is open can be gone to.
        let _ = rustix::process::fchdir(&self.0);
    }
}
