//! Processes: splitting in two, ending by a signal, limits.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal};

/// Which side of a [`fork`] this is.
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's number.
    Parent(Pid),
}

/// Splits this process in two.
///
/// # Errors
/// `EAGAIN` when the user's or the system's limit of processes is reached, and `EDEADLK` when
/// this process has more than one thread: then the child could inherit a lock that nobody frees.
pub fn fork() -> Result<Fork, Errno> {
    if threads() > 1 {
        return Err(Errno::DEADLK);
    }
    // SAFETY: there is one thread, so the child may go on with all of this process's memory.
    match unsafe { libc::fork() } {
        -1 => Err(last_errno()),
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid).map(Fork::Parent).ok_or(Errno::CHILD),
    }
}

/// Makes `variables` all of this process's environment.
///
/// # Errors
/// `EDEADLK` when this process has more than one thread: another could be reading it.
pub fn replace_environment(variables: Vec<(OsString, OsString)>) -> Result<(), Errno> {
    if threads() > 1 {
        return Err(Errno::DEADLK);
    }
    let names: Vec<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
    // SAFETY: there is one thread, so nobody reads the environment meanwhile.
    unsafe {
        names.iter().for_each(|name| std::env::remove_var(name));
        variables.iter().for_each(|(name, value)| std::env::set_var(name, value));
    }
    Ok(())
}

/// Sets a variable of this process's environment.
///
/// # Errors
/// `EDEADLK` when this process has more than one thread: another could be reading it.
pub fn set_variable(name: &str, value: &str) -> Result<(), Errno> {
    if threads() > 1 {
        return Err(Errno::DEADLK);
    }
    // SAFETY: there is one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
    Ok(())
}

/// Takes a variable out of this process's environment, for a library in a program of others.
///
/// Threads that read the environment meanwhile are that program's to hold back.
pub fn forget_variable(name: &str) {
    // SAFETY: the library's manual says that no other thread may use the environment meanwhile.
    unsafe { std::env::remove_var(name) };
}

/// How many threads this process has; one where that cannot be told.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count())
}

/// Ends this process at once, running no destructor of memory that another process shares.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit ends the process without touching memory.
    unsafe { libc::_exit(status) }
}

/// Ends this process by `signal`, so that its parent sees that signal and not a number.
pub fn die_by(signal: Signal) -> ! {
    let number = signal.as_raw();
    // SAFETY: plain calls on this process's own signal state; the set is initialised by
    // sigemptyset before use.
    unsafe {
        // A core file of the launcher would tell nothing about the copies.
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::signal(number, libc::SIG_DFL);
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, number);
        libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::raise(number);
    }
    exit_now(128 + number)
}

/// Opens a descriptor that becomes readable when the child `pid` ends.
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn pidfd(pid: Pid) -> Result<OwnedFd, Errno> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
}

/// The limit of open files as this process found it.
static OPEN_FILES: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit of open files to the hard one and returns it.
pub fn raise_open_files() -> u64 {
    let limit = open_files_limit();
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum {
        let _ = rustix::process::setrlimit(Resource::Nofile, raised);
    }
    rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The limit of open files as it was found, to be given back to children.
pub fn open_files_limit() -> Rlimit {
    *OPEN_FILES.get_or_init(|| rustix::process::getrlimit(Resource::Nofile))
}

/// Takes ownership of a descriptor number that a call outside `rustix` returned.
pub(super) fn owned(fd: i32) -> Result<OwnedFd, Errno> {
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the callers pass the fresh result of a call that makes a descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The error of the last call outside `rustix`.
pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Duplicates `from` onto the number of `onto`, both staying open.
pub(super) fn raw(fd: &OwnedFd) -> i32 {
    fd.as_raw_fd()
}

/// Processor time that this process has used, user and system, in microseconds.
pub fn own_cpu() -> (u64, u64) {
    // SAFETY: getrusage fills the struct, which is plain data.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let micros = |time: libc::timeval| (time.tv_sec * 1_000_000 + time.tv_usec).unsigned_abs();
    (micros(usage.ru_utime), micros(usage.ru_stime))
}

/// Processor time that a process has used; `None` where there is no such process.
pub fn cpu_of(pid: Pid) -> Option<Duration> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both fill a place of ours.
    let told = unsafe {
        libc::clock_getcpuclockid(pid.as_raw_pid(), &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    let nanoseconds = u32::try_from(time.tv_nsec).ok();
    told.then(|| Duration::new(time.tv_sec.unsigned_abs(), nanoseconds.unwrap_or(0)))
}
