//! Writing to a pipe that nobody reads, in a process whose signals are none of ours.

use std::ptr::null_mut;

use rustix::io::Errno;

/// Calls `write`, whose `EPIPE` comes without the signal that goes with it.
///
/// The signal is blocked in this thread meanwhile, and taken away if it came; no disposition is
/// touched.
///
/// # Errors
/// Those of `write`.
pub fn without_sigpipe<T>(write: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    // SAFETY: the sets are initialised before use, and all calls only read or write them and this
    // thread's mask and pending signals.
    unsafe {
        let mut pipe = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigemptyset(&mut pipe);
        libc::sigaddset(&mut pipe, libc::SIGPIPE);
        let waited_before = pending();
        libc::pthread_sigmask(libc::SIG_BLOCK, &pipe, &mut before);
        let written = write();
        if matches!(written, Err(Errno::PIPE)) && !waited_before {
            let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            while libc::sigtimedwait(&pipe, null_mut(), &none) == -1
                && super::process::last_errno() == Errno::INTR
            {}
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, null_mut());
        written
    }
}

/// Whether a SIGPIPE waits for this thread, blocked by the program.
fn pending() -> bool {
    // SAFETY: the set is initialised by sigemptyset and filled by sigpending before it is read.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigpending(&mut set);
        libc::sigismember(&set, libc::SIGPIPE) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_a_reader_is_an_error_and_no_signal() {
        let (reader, writer) = crate::sys::fd::pipe().unwrap();
        drop(reader);
        // Test programs ignore the signal, so a child of its own takes it as others do.
        // SAFETY: the child makes only system calls.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the child's own disposition.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let written = without_sigpipe(|| rustix::io::write(&writer, b"x"));
            let right = written == Err(Errno::PIPE) && !pending();
            // SAFETY: ends the child without anything of the test program's.
            unsafe { libc::_exit(if right { 7 } else { 8 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child just made.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!((waited, status), (child, 7 << 8));
    }
}
