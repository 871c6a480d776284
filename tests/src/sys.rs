//! System calls that need `unsafe`, behind functions that do not.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::CpuSet;

/// What a new process is given between fork and exec.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Resource limits: which, soft, hard.
    pub limits: Vec<(Resource, u64, u64)>,
    /// Signals that it starts with ignored.
    pub ignored: Vec<i32>,
    /// Signals that it starts with at their default.
    pub defaults: Vec<i32>,
    /// Signals that it starts with blocked.
    pub blocked: Vec<i32>,
    /// Descriptors that it inherits under a number: from, to.
    pub inherited: Vec<(RawFd, RawFd)>,
    /// The cores it may use, where not all.
    pub cores: Option<CpuSet>,
    /// Whether it leads a session whose terminal is its stdin.
    pub terminal: bool,
}

impl Setup {
    /// Does it to the process that `command` will start.
    pub fn prepare(self, command: &mut Command) {
        // SAFETY: `apply` makes system calls only; it takes no lock and no memory, so it may run
        // in the child of a process with threads.
        unsafe { command.pre_exec(move || self.apply()) };
    }

    fn apply(&self) -> io::Result<()> {
        for &(resource, soft, hard) in &self.limits {
            setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })?;
        }
        // Whoever runs the tests may ignore some of these: under nohup, or in the background.
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTSTP] {
            restore(signal)?;
        }
        for &signal in &self.ignored {
            ignore(signal)?;
        }
        for &signal in &self.defaults {
            restore(signal)?;
        }
        block(&self.blocked)?;
        for &(from, to) in &self.inherited {
            // SAFETY: numbers only; `to` is a free descriptor of the new process.
            checked(unsafe { libc::dup2(from, to) })?;
        }
        if let Some(cores) = &self.cores {
            rustix::thread::sched_setaffinity(None, cores)?;
        }
        if self.terminal {
            rustix::process::setsid()?;
            // SAFETY: the request takes a number; descriptor 0 is the terminal.
            checked(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
        }
        Ok(())
    }
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Lets this process open as many files as it may.
///
/// # Panics
///
/// When the system does not raise a limit that it has itself set higher.
pub fn raise_open_files() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a soft limit up to the hard one");
}

/// Sends a signal to a process, or to a group when `pid` is negative.
///
/// # Errors
///
/// That there is no such process, or that it is another user's.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    assert!(pid.abs() > 1, "never all processes, never init");
    // SAFETY: takes numbers only.
    checked(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Ignores a signal.
///
/// # Errors
///
/// That there is no such signal.
pub fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours.
    let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives a signal its default effect.
///
/// # Errors
///
/// That there is no such signal.
pub fn restore(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_DFL runs no code of ours.
    let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Blocks signals in this thread and those it starts later.
///
/// # Errors
///
/// That there is no such signal.
pub fn block(signals: &[i32]) -> io::Result<()> {
    let set = set_of(signals);
    // SAFETY: `set` is a live, initialised set; the old one is not asked for.
    checked(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) }).map(drop)
}

/// Waits for one of these blocked signals and returns its number.
///
/// # Errors
///
/// That there is no such signal.
pub fn wait_for_signal(signals: &[i32]) -> io::Result<i32> {
    let set = set_of(signals);
    let mut signal = 0;
    // SAFETY: both pointers are to live values of the right types.
    match unsafe { libc::sigwait(&set, &mut signal) } {
        0 => Ok(signal),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that it is given.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for &signal in signals {
        // SAFETY: `set` is initialised; an unknown number is refused, not stored.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    set
}

/// Sends this process a signal.
pub fn raise(signal: i32) {
    // SAFETY: takes a number only.
    unsafe { libc::raise(signal) };
}

/// Opens a pseudo terminal: the end that the test holds, and the one that programs see.
///
/// # Errors
///
/// That there is none left.
pub fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut ours, mut theirs) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: two live integers; the name, attributes and size are not asked for.
    checked(unsafe { libc::openpty(&mut ours, &mut theirs, null, null.cast(), null.cast()) })?;
    // SAFETY: both were opened just now and nobody else owns them.
    let ends = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    // Without this, children that other tests start at the same time would hold our end open.
    rustix::io::fcntl_setfd(&ends.0, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::fcntl_setfd(&ends.1, rustix::io::FdFlags::CLOEXEC)?;
    Ok(ends)
}

/// Makes a TAP device in this thread's network namespace; it lives as long as its descriptor, on
/// which reads do not wait.
///
/// # Errors
///
/// That the name is taken or too long, or that this needs root.
pub fn open_tap(name: &str) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    // SAFETY: an all-zero `ifreq` is a valid one, with an empty name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays the 0 that ends the name.
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, &from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: `request` is a live `ifreq`, as TUNSETIFF wants, and outlives the call.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &mut request) })?;
    Ok(device)
}

/// The number of a descriptor, to be [inherited](Setup::inherited).
pub fn number(descriptor: &impl AsRawFd) -> RawFd {
    descriptor.as_raw_fd()
}
