//! Starting a helper, which is no child of this process.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use px_runtime::libpx::helper::ENTRANCE;
use px_runtime::sys::apart::start_apart;
use px_runtime::sys::fd::above_standard;
use px_runtime::sys::spawn::Image;
use rustix::fs::{Mode, OFlags};

use crate::status::{Fault, PX_ERR_HELPER};

/// Names a descriptor that this process alone has.
const OWN_VARIABLE: &str = "PX_FD";

/// Starts the program at `path` as a helper, with where its output and words go, else nowhere, its end
/// of the line, and the sockets of guests.
///
/// # Errors
/// `PX_ERR_HELPER` where it cannot be started, `PX_ERR_SYSTEM`.
pub fn start(
    path: &Path,
    output: Option<BorrowedFd<'_>>,
    words: Option<BorrowedFd<'_>>,
    line: BorrowedFd<'_>,
    guests: &[OwnedFd],
) -> Result<(), Fault> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, Mode::empty()).and_then(above_standard);
    let null = null.map_err(|errno| Fault::system("open `/dev/null`", errno))?;
    let null = null.as_fd();
    let failed = |why: &dyn std::fmt::Display| {
        let text = format!("cannot start `{}`: {why}", path.display());
        Fault::new(PX_ERR_HELPER, text)
    };
    let program = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(&error))?;
    let argv = [c"pxrun".to_owned(), CString::new(ENTRANCE).map_err(|error| failed(&error))?];
    let environment: Vec<_> = std::env::vars_os().filter_map(pair).collect();
    let image = Image::new(&program, &argv, &environment, &[]);
    let mut descriptors = vec![null, output.unwrap_or(null), words.unwrap_or(null), line];
    descriptors.extend(guests.iter().map(AsFd::as_fd));
    start_apart(&image, &descriptors).map_err(|errno| failed(&errno))
}

fn pair((name, value): (OsString, OsString)) -> Option<CString> {
    if name == OWN_VARIABLE {
        return None;
    }
    let pair = [name.into_vec(), value.into_vec()].join(&b'=');
    CString::new(pair).ok()
}
