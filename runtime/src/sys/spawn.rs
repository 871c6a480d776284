//! Starting a copy: `posix_spawn`, which shares memory with the child until it runs the command
//! and so costs the same however large this process is.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit};

use super::fd::keep_others_descriptors;

/// The attributes that every copy starts with: a session of its own, no signal blocked, every
/// signal at its default.
pub struct Spawner {
    attributes: libc::posix_spawnattr_t,
}

/// Under which number a copy finds its socket.
pub const SOCKET: i32 = 3;

/// The streams of a copy.
pub struct Streams<'a> {
    /// What it reads.
    pub stdin: BorrowedFd<'a>,
    /// What it prints.
    pub stdout: BorrowedFd<'a>,
    /// What it complains on.
    pub stderr: BorrowedFd<'a>,
    /// A socket that it finds as [`SOCKET`].
    pub socket: Option<BorrowedFd<'a>>,
}

/// Program, arguments and environment with the pointers that the kernel wants.
pub struct Image<'a> {
    path: &'a CStr,
    argv: Vec<*mut c_char>,
    envp: Vec<*mut c_char>,
    strings: std::marker::PhantomData<&'a CString>,
}

impl<'a> Image<'a> {
    /// Lists the pointers of `argv` and of the two parts of the environment.
    pub fn new(
        path: &'a CStr,
        argv: &'a [CString],
        environment: &'a [CString],
        more: &'a [CString],
    ) -> Self {
        let list = |strings: &mut dyn Iterator<Item = &CString>| {
            let mut pointers: Vec<_> = strings.map(|s| s.as_ptr().cast_mut()).collect();
            pointers.push(std::ptr::null_mut());
            pointers
        };
        Image {
            path,
            argv: list(&mut argv.iter()),
            envp: list(&mut environment.iter().chain(more)),
            strings: std::marker::PhantomData,
        }
    }

    /// Program, arguments and environment as `execve` takes them.
    pub(super) fn pointers(&self) -> (*const c_char, *const *const c_char, *const *const c_char) {
        (self.path.as_ptr(), self.argv.as_ptr().cast(), self.envp.as_ptr().cast())
    }
}

impl Spawner {
    /// Prepares the attributes.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new() -> Result<Self, Errno> {
        let flags = libc::POSIX_SPAWN_SETSIGDEF
            | libc::POSIX_SPAWN_SETSIGMASK
            | libc::c_int::from(libc::POSIX_SPAWN_SETSID);
        // SAFETY: each object is initialised by its own init call before other calls use it.
        unsafe {
            let mut attributes = std::mem::zeroed();
            check(libc::posix_spawnattr_init(&mut attributes))?;
            let mut all = std::mem::zeroed();
            let mut none = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::sigemptyset(&mut none);
            check(libc::posix_spawnattr_setsigdefault(&mut attributes, &all))?;
            check(libc::posix_spawnattr_setsigmask(&mut attributes, &none))?;
            check(libc::posix_spawnattr_setflags(&mut attributes, flags as libc::c_short))?;
            Ok(Spawner { attributes })
        }
    }

    /// Starts `image` on `streams` (all numbered above 2, and only the socket as [`SOCKET`]) as leader of a new session, with
    /// `open_files` as its limit: the one that we were given, not the one raised for our pipes.
    ///
    /// # Errors
    /// That of `clone` or `execve`: `EAGAIN`, `ENOENT`, `EACCES`, `ENOEXEC`, `E2BIG`, ...
    pub fn spawn(
        &self,
        image: &Image<'_>,
        streams: &Streams<'_>,
        open_files: Rlimit,
    ) -> Result<Pid, Errno> {
        let mut pid = 0;
        keep_others_descriptors();
        // SAFETY: the pointer lists end in null and their strings outlive the call (`Image`
        // borrows them); `actions` is initialised first and destroyed last.
        let result = unsafe {
            let mut actions = std::mem::zeroed();
            check(libc::posix_spawn_file_actions_init(&mut actions))?;
            let mut result = 0;
            let three = [(streams.stdin, 0), (streams.stdout, 1), (streams.stderr, 2)];
            let socket = streams.socket.map(|fd| (fd, SOCKET));
            for (fd, onto) in three.into_iter().chain(socket) {
                if result == 0 {
                    let from = fd.as_raw_fd();
                    result = libc::posix_spawn_file_actions_adddup2(&mut actions, from, onto);
                }
            }
            if result == 0 {
                // Only here: under a low limit the actions' descriptors would not be accepted.
                let ours = lower_open_files(open_files);
                result = libc::posix_spawn(
                    &mut pid,
                    image.path.as_ptr(),
                    &actions,
                    &self.attributes,
                    image.argv.as_ptr(),
                    image.envp.as_ptr(),
                );
                if let Some(ours) = ours {
                    let _ = rustix::process::setrlimit(Resource::Nofile, ours);
                }
            }
            libc::posix_spawn_file_actions_destroy(&mut actions);
            result
        };
        check(result)?;
        Pid::from_raw(pid).ok_or(Errno::CHILD)
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.attributes) };
    }
}

/// Sets the soft limit of open files; returns what it was where that was another.
fn lower_open_files(theirs: Rlimit) -> Option<Rlimit> {
    let ours = rustix::process::getrlimit(Resource::Nofile);
    if ours.current == theirs.current {
        return None;
    }
    rustix::process::setrlimit(Resource::Nofile, theirs).ok().map(|()| ours)
}

fn check(result: libc::c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(result)) }
}
