//! The few system calls that neither the standard library nor `rustix` wraps: the only unsafe code.

use std::ffi::{CString, OsStr, c_char, c_int};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::process::Pid;

/// A child that has ended and was reaped.
pub struct Ended {
    pub status: ExitStatus,
    /// User and system time of the child and of every descendant that was waited for.
    pub cpu: Duration,
}

/// Whether to wait for a child's end or only to look.
#[derive(Clone, Copy, PartialEq)]
pub enum Patience {
    Wait,
    Look,
}

/// Reaps `pid`, or any child where there is none; `None` when no child has ended (only on `Look`).
pub fn reap(pid: Option<Pid>, patience: Patience) -> io::Result<Option<Ended>> {
    let wanted = pid.map_or(-1, |pid| pid.as_raw_nonzero().get());
    let flags = if patience == Patience::Look { libc::WNOHANG } else { 0 };
    let mut status: c_int = 0;
    let mut usage = no_usage();
    loop {
        // SAFETY: both pointers are to live, writable values of the types that wait4 fills in.
        let got = unsafe { libc::wait4(wanted, &raw mut status, flags, &raw mut usage) };
        if got >= 0 {
            return Ok(Pid::from_raw(got).map(|_| Ended {
                status: ExitStatus::from_raw(status),
                cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            }));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// User and system time of this process alone.
pub fn own_cpu() -> io::Result<(Duration, Duration)> {
    let mut usage = no_usage();
    // SAFETY: the pointer is to a live, writable rusage.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((duration(usage.ru_utime), duration(usage.ru_stime)))
}

fn no_usage() -> libc::rusage {
    // SAFETY: rusage is made of integers only, for which all zeros is a value.
    unsafe { std::mem::zeroed() }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// A command whose words are laid out once, so that starting it costs the system call and no more.
pub struct Spawner {
    argv: Vec<CString>,
    environment: Vec<CString>,
}

impl Spawner {
    /// `argv[0]` is the path to execute, searched for nowhere.
    pub fn new(argv: Vec<CString>, environment: Vec<CString>) -> Option<Spawner> {
        (!argv.is_empty()).then_some(Spawner { argv, environment })
    }

    /// Calls `spawn` with a function that starts one child by `posix_spawn` without attributes.
    pub fn with<T>(&self, spawn: impl FnOnce(&dyn Fn() -> io::Result<Pid>) -> T) -> T {
        let argv = pointers(&self.argv);
        let environment = pointers(&self.environment);
        spawn(&|| {
            let mut pid: libc::pid_t = 0;
            // SAFETY: both arrays end in null and point to strings that `self` keeps alive; argv
            // has at least one word; posix_spawn writes through none of them despite their type.
            let error = unsafe {
                libc::posix_spawn(
                    &raw mut pid,
                    argv[0],
                    ptr::null(),
                    ptr::null(),
                    argv.as_ptr(),
                    environment.as_ptr(),
                )
            };
            match (error, Pid::from_raw(pid)) {
                (0, Some(pid)) => Ok(pid),
                (error, _) => Err(io::Error::from_raw_os_error(error)),
            }
        })
    }
}

/// Gives this process a host name of its own, that nobody else sees. Needs root.
pub fn take_name(name: &OsStr) -> io::Result<()> {
    // SAFETY: of all that can be unshared, the name alone is, which no memory depends on.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUTS)? };
    Ok(rustix::system::sethostname(name.as_bytes())?)
}

fn pointers(words: &[CString]) -> Vec<*mut c_char> {
    let words = words.iter().map(|word| word.as_ptr().cast_mut());
    words.chain([ptr::null_mut()]).collect()
}

static SIGNAL: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: c_int) {
    SIGNAL.store(signal, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP are only noted, so that children can be ended and files
/// removed first. Children get the default dispositions back when they execute.
pub fn note_interrupts() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: all zeros is a valid sigaction (empty mask, no flags, default disposition).
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as *const () as libc::sighandler_t;
        // SAFETY: the handler only stores to an atomic, which is safe in a signal handler.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The signal that asked this process to end, if one did.
pub fn interrupt() -> Option<i32> {
    Some(SIGNAL.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}
