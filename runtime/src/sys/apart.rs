//! Starting a program that is no child of this process.
//!
//! A library must not give its process a child: the process's own `wait` would find it, and a SIGCHLD
//! that nobody expects would come. So there are two steps, each of which shares memory with the
//! calling thread, which stands still meanwhile, and so costs the same however large the process is:
//!
//! ```text
//! calling thread     stands still until the middle has ended, then reaps it
//!   middle           ends without a signal; `wait` does not see it
//!     program        becomes init's child, or a subreaper's
//! ```
//!
//! # Source
//! `clone(2)`, `wait(2)` on `__WCLONE`, `signal-safety(7)`.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;

use super::process::last_errno;
use super::signal::Blocked;
use super::spawn::Image;

/// Of each of the two stacks, in bytes: all that runs on them are system calls.
const STACK: usize = 64 << 10;
/// Memory that begins and ends where a stack may.
type Aligned = u128;
/// Signals have numbers from 1 to this.
const LAST_SIGNAL: c_int = 64;

/// What the middle and the program-to-be work by; nothing of it is allocated or freed there.
struct Orders<'a> {
    image: &'a Image<'a>,
    /// The descriptors that become 0, 1, 2 and so on.
    sources: &'a [c_int],
    /// Where each of them is in between, above all that they become.
    moved: &'a [AtomicI32],
    /// Above every descriptor that may be open.
    limit: c_int,
    /// Where the program-to-be's stack begins.
    stack: *mut c_void,
    /// Why there is no program; zero where there is one.
    failure: &'a AtomicI32,
}

/// Starts `image` in a session of its own, no signal blocked or ignored, with `descriptors` as its
/// descriptors 0, 1, 2 and so on, and no others.
///
/// It is nobody's child here, so its end is told by nothing but the end of what it holds.
///
/// # Errors
/// That of `clone` or `execve`: `EAGAIN`, `ENOENT`, `EACCES`, `ENOEXEC`, `E2BIG`; `EMFILE` where there
/// are not twice as many descriptors as it gets.
pub fn start_apart(image: &Image<'_>, descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let sources: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let moved: Vec<_> = sources.iter().map(|_| AtomicI32::new(-1)).collect();
    let failure = AtomicI32::new(0);
    let mut stacks = [stack(), stack()];
    let [middles, programs] = stacks.each_mut().map(|stack| top_of(stack));
    let mut orders = Orders {
        image,
        sources: &sources,
        moved: &moved,
        limit: open_files(),
        stack: programs,
        failure: &failure,
    };
    let orders: *mut Orders<'_> = &mut orders;
    let _blocked = Blocked::all();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    // SAFETY: the function runs on a stack of its own, which lives until it has ended, since this
    // thread stands still until then; so do the orders. It makes system calls only, with all signals
    // blocked, so that no code of the process runs in it.
    let middle = unsafe { libc::clone(middle, middles, flags, orders.cast()) };
    if middle == -1 {
        return Err(last_errno());
    }
    // SAFETY: waits for the process that was just made, whose status is of no interest.
    unsafe { libc::waitpid(middle, std::ptr::null_mut(), libc::__WCLONE) };
    match failure.load(Ordering::Relaxed) {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

fn stack() -> Vec<MaybeUninit<Aligned>> {
    let mut stack = Vec::new();
    stack.resize_with(STACK / size_of::<Aligned>(), MaybeUninit::uninit);
    stack
}

/// Stacks grow downwards.
fn top_of(stack: &mut [MaybeUninit<Aligned>]) -> *mut c_void {
    stack.as_mut_ptr_range().end.cast()
}

/// Above every descriptor that may be open, where the kernel cannot close a range of them.
fn open_files() -> c_int {
    const MOST: u64 = 1 << 20;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = limit.maximum.unwrap_or(MOST).min(MOST);
    c_int::try_from(limit).unwrap_or(c_int::MAX)
}

/// Starts the program and ends: what is left of it then is init's.
extern "C" fn middle(orders: *mut c_void) -> c_int {
    // SAFETY: as `start_apart` passed it; it outlives this process.
    let at = unsafe { &*orders.cast::<Orders<'_>>() };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: as in `start_apart`, on the other stack.
    if unsafe { libc::clone(program, at.stack, flags, orders) } == -1 {
        at.fail();
    }
    0
}

/// Becomes the program.
extern "C" fn program(orders: *mut c_void) -> c_int {
    // SAFETY: as `start_apart` passed it; it is used by nobody else until this has become the program.
    let at = unsafe { &*orders.cast::<Orders<'_>>() };
    if at.place_descriptors().is_some() {
        // SAFETY: starts a session; a process that was just made leads no group.
        unsafe { libc::setsid() };
        reset_signals();
        let (path, argv, envp) = at.image.pointers();
        // SAFETY: a path, and lists that end in null, whose strings outlive the call.
        unsafe { libc::execve(path, argv, envp) };
    }
    at.fail();
    127
}

impl Orders<'_> {
    fn fail(&self) {
        // SAFETY: the calling thread's own, which stands still.
        self.failure.store(unsafe { *libc::__errno_location() }, Ordering::Relaxed);
    }

    /// Puts the descriptors in their places and closes all others; `None` with an error number.
    fn place_descriptors(&self) -> Option<()> {
        let count = c_int::try_from(self.sources.len()).unwrap_or(c_int::MAX);
        for (source, moved) in self.sources.iter().zip(self.moved) {
            // First out of the way: the place of one may be where another still is.
            // SAFETY: copies a descriptor in a table of this process's own.
            let fd = unsafe { libc::fcntl(*source, libc::F_DUPFD, count) };
            if fd == -1 {
                return None;
            }
            moved.store(fd, Ordering::Relaxed);
        }
        for (moved, place) in self.moved.iter().zip(0..) {
            // SAFETY: as above.
            if unsafe { libc::dup2(moved.load(Ordering::Relaxed), place) } == -1 {
                return None;
            }
        }
        // SAFETY: closes descriptors of this process's own table, which nothing here uses.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, count, libc::c_uint::MAX, 0) };
        if closed != 0 {
            for fd in count..self.limit {
                // SAFETY: as above.
                unsafe { libc::close(fd) };
            }
        }
        Some(())
    }
}

/// Sets all signals to what they do by themselves, then lets them through.
fn reset_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: sets a disposition that runs no code, in a table of this process's own.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::fd::pipe;

    fn strings(words: &[&str]) -> Vec<CString> {
        words.iter().map(|word| CString::new(*word).unwrap()).collect()
    }

    /// What `script` prints as descriptor 1, with `more` of the descriptors that it gets.
    fn printed(script: &str, more: usize) -> String {
        let (read, write) = pipe().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let argv = strings(&["sh", "-c", script]);
        let environment = strings(&["PATH=/usr/bin:/bin"]);
        let image = Image::new(c"/bin/sh", &argv, &environment, &[]);
        let mut descriptors = vec![null.as_fd(), write.as_fd(), null.as_fd()];
        descriptors.extend((0..more).map(|_| null.as_fd()));
        start_apart(&image, &descriptors).unwrap();
        drop(write);
        let mut text = String::new();
        std::fs::File::from(read).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_program_apart_has_the_descriptors_that_it_was_given_and_no_other() {
        let _open = std::fs::File::open("/dev/null").unwrap();
        for more in [0, 5] {
            let listed = printed("ls /proc/self/fd | sort -n | tr '\\n' ' '", more);
            // The last one is what `ls` reads the directory by.
            let wanted: String = (0..=3 + more).map(|number| format!("{number} ")).collect();
            assert_eq!(listed, wanted);
        }
    }

    #[test]
    fn a_program_apart_is_no_child_and_leads_a_session_of_its_own() {
        let stat = printed("read line < /proc/$$/stat; echo $line", 0);
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let own = std::process::id().to_string();
        let pid = stat.split(' ').next().unwrap();
        assert_ne!(fields[1], own, "its parent");
        assert_eq!(fields[3], pid, "its session");
    }

    #[test]
    fn a_program_apart_has_no_signal_blocked_or_ignored() {
        let _all = Blocked::all();
        let status = printed("grep -E 'Sig(Blk|Ign)' /proc/self/status", 0);
        // Signals 32 and 33 are the C library's own: nobody can change what they do.
        let others = |line: &str| {
            let mask = line.split_whitespace().nth(1).unwrap();
            u64::from_str_radix(mask, 16).unwrap() & !(0b11 << 31)
        };
        let masks: Vec<_> = status.lines().map(others).collect();
        assert_eq!(masks, [0, 0], "{status}");
    }

    #[test]
    fn a_program_that_is_not_there_is_told_as_that() {
        let argv = strings(&["none"]);
        let null = std::fs::File::open("/dev/null").unwrap();
        let start = |path: &std::ffi::CStr| {
            start_apart(&Image::new(path, &argv, &[], &[]), &[null.as_fd()])
        };
        assert_eq!(start(c"/no/such/program"), Err(Errno::NOENT));
        assert_eq!(start(c"/dev/null"), Err(Errno::ACCESS));
    }
}
