//! Signals as bytes to read: blocked everywhere, taken from a descriptor.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Signal;

use super::process::{owned, raw};

/// Reads the signals that were named when it was made; they are blocked from then on.
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks `signals` and opens a descriptor to read them from.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn block(signals: &[Signal]) -> Result<Self, Errno> {
        // SAFETY: the set is initialised by sigemptyset before any other use, and all calls only
        // read or write it and this process's mask.
        let fd = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, signal.as_raw());
            }
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        Ok(Signals { fd: owned(fd)? })
    }

    /// Takes the next signal that has come, if there is one.
    pub fn next(&self) -> Option<Signal> {
        let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
        // SAFETY: reads at most the buffer's length into the buffer.
        let n = unsafe { libc::read(raw(&self.fd), record.as_mut_ptr().cast(), record.len()) };
        if usize::try_from(n) != Ok(record.len()) {
            return None;
        }
        let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
        i32::try_from(number).ok().and_then(Signal::from_named_raw)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether whoever started this process asked for `signal` to be ignored (`nohup`, `trap ''`).
pub fn is_ignored(signal: Signal) -> bool {
    // SAFETY: asks for the present action without setting one; the struct is plain data.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal.as_raw(), std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Sets `signal` back to what it does by itself.
pub fn set_default(signal: Signal) {
    // SAFETY: sets a disposition that runs no code.
    unsafe { libc::signal(signal.as_raw(), libc::SIG_DFL) };
}

/// Sets `signal` to be ignored.
pub fn ignore(signal: Signal) {
    // SAFETY: sets a disposition that runs no code.
    unsafe { libc::signal(signal.as_raw(), libc::SIG_IGN) };
}

/// What a thread is sent for what it has just done itself.
const FAULTS: [Signal; 6] =
    [Signal::SEGV, Signal::BUS, Signal::FPE, Signal::ILL, Signal::TRAP, Signal::SYS];

/// Keeps signals from this thread as long as it lives; threads that it starts inherit that.
#[must_use]
pub struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    /// Keeps all signals away.
    pub fn all() -> Self {
        Self::but(&[])
    }

    /// Keeps all signals away but those by which a thread learns of its own faults: who has a handler
    /// for them has it for whatever the thread does.
    pub fn but_faults() -> Self {
        Self::but(&FAULTS)
    }

    fn but(let_through: &[Signal]) -> Self {
        // SAFETY: both sets are initialised by the calls before they are used; the mask is this
        // thread's own.
        unsafe {
            let (mut blocked, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut blocked);
            for signal in let_through {
                libc::sigdelset(&mut blocked, signal.as_raw());
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &blocked, &mut before);
            Blocked { before }
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: sets this thread's mask to what it was.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}
