//! Descriptors: the standard three, pipes and what they hold.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

/// Which of descriptors 0, 1 and 2 were closed when this process began, one bit each.
static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

/// Looks before the language's own start-up code does, which opens `/dev/null` in their place.
extern "C" fn look_at_start() {
    for number in 0..3 {
        // SAFETY: asks for a flag of a descriptor, if there is one of that number.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
            CLOSED_AT_START.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

// SAFETY: the loader calls what stands here, once, before `main`; the function only makes system
// calls and touches an atomic.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_AT_START: extern "C" fn() = look_at_start;

/// Whether standard output was closed when this process began.
///
/// What is written to it then goes nowhere, without an error.
pub fn stdout_was_closed() -> bool {
    CLOSED_AT_START.load(Ordering::Relaxed) & 2 != 0
}

/// Makes sure that descriptors 0, 1 and 2 are open, on `/dev/null` where they were closed, and
/// that no other descriptor reaches a child.
///
/// Without this a file opened later could become "standard output" and be written over.
///
/// # Errors
/// When `/dev/null` cannot be opened.
pub fn secure_standard_streams() -> Result<(), Errno> {
    loop {
        let fd = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        if fd.as_raw_fd() > 2 {
            break;
        }
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty())?;
        std::mem::forget(fd);
    }
    mark_all();
    Ok(())
}

/// Set where a library opens descriptors of its own in this process.
static OTHERS: AtomicBool = AtomicBool::new(false);

/// Has each child from now on inherit nothing of what a library opens here without this program's
/// doing.
pub fn expect_others_descriptors() {
    OTHERS.store(true, Ordering::Relaxed);
}

/// Has the next child inherit nothing that others have opened.
pub(super) fn keep_others_descriptors() {
    if OTHERS.load(Ordering::Relaxed) {
        mark_all();
    }
}

/// Has no child inherit a descriptor above the standard three.
fn mark_all() {
    // SAFETY: close_range with CLOEXEC only sets a flag and touches no memory.
    let marked = unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if marked != 0 {
        mark_one_by_one();
    }
}

/// Does what kernels before 5.11 cannot do in one call.
fn mark_one_by_one() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in open.filter(|&number: &i32| number > 2) {
        // SAFETY: only sets a flag of a descriptor, if there is one of that number.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Set once what a launcher had opened was taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes over the socket that this process was started with under `number`: from now on no child
/// inherits it, and it is closed when dropped.
///
/// # Errors
/// `EBUSY` when one was taken before; `EBADF` where there is none, or one of the standard three;
/// `ENOTSOCK` where it is something else.
pub fn take_inherited_socket(number: i32) -> Result<OwnedFd, Errno> {
    mark_socket(number)?;
    let mut taken = take(number, 1)?;
    taken.pop().ok_or(Errno::BADF)
}

/// Takes over the socket that this process was started with under `first`, and up to `more` others that
/// follow it without a gap.
///
/// # Errors
/// As [`take_inherited_socket`], for the first one.
pub fn take_inherited_sockets(first: i32, more: usize) -> Result<Vec<OwnedFd>, Errno> {
    mark_socket(first)?;
    let others = (first..).skip(1).take(more);
    take(first, 1 + others.take_while(|&number| mark_socket(number).is_ok()).count())
}

/// Has no child inherit the socket of this number, if it is one.
fn mark_socket(number: i32) -> Result<(), Errno> {
    if number <= 2 {
        return Err(Errno::BADF);
    }
    // SAFETY: sets a flag of a descriptor, if there is one of that number.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(super::process::last_errno());
    }
    // SAFETY: borrowed for this one question; it was open just now.
    let stat = rustix::fs::fstat(unsafe { BorrowedFd::borrow_raw(number) })?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Socket => Ok(()),
        _ => Err(Errno::NOTSOCK),
    }
}

/// Owns `count` sockets from now on, of which the first has this number.
fn take(first: i32, count: usize) -> Result<Vec<OwnedFd>, Errno> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(Errno::BUSY);
    }
    // SAFETY: whoever started this process opened them for it and told their numbers to nobody else
    // in it; they are taken once.
    Ok((first..).take(count).map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

/// Borrows standard input, which [`secure_standard_streams`] made sure to be open.
pub fn stdin() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

/// Makes a pipe (read end, write end), neither of which a child inherits.
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
}

/// Makes two ends of a stream, neither of which a child inherits.
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn socketpair() -> Result<(OwnedFd, OwnedFd), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Gives a fresh descriptor a number above the standard three, which may be free and are others' all
/// the same; no child inherits it.
///
/// # Errors
/// `EMFILE`.
pub fn above_standard(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    if fd.as_raw_fd() > 2 { Ok(fd) } else { rustix::io::fcntl_dupfd_cloexec(&fd, 3) }
}

/// Makes reads and writes on this end of a fresh pipe return instead of waiting.
///
/// # Errors
/// None in practice.
pub fn set_nonblocking(pipe: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)
}

/// Returns how many bytes lie unread in a pipe.
pub fn unread_in_pipe(fd: impl AsFd) -> u64 {
    rustix::io::ioctl_fionread(fd).unwrap_or(0)
}

/// Closes a descriptor and says whether what was written through it is known to be lost.
///
/// # Errors
/// `EIO`, `ENOSPC`, `EDQUOT`: some file systems tell of a failed write only here.
pub fn close(fd: OwnedFd) -> Result<(), Errno> {
    let number = std::os::fd::IntoRawFd::into_raw_fd(fd);
    // SAFETY: the descriptor was owned, and ownership ends here.
    match unsafe { libc::close(number) } {
        0 => Ok(()),
        // Linux has released the descriptor all the same.
        _ => Err(super::process::last_errno())
            .or_else(|e| if e == Errno::INTR { Ok(()) } else { Err(e) }),
    }
}
