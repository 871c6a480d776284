//! The library of munge, which proves to another host which user a process is of.
//!
//! It is loaded when it is asked for: where it is missing `pxrun` runs all the same.
//!
//! # Source
//! `munge(3)`, `munge_ctx(3)`; the numbers are those of `munge.h`, part of its binary interface.

mod calls;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use calls::{Calls, Context};

/// The longest payload that is put into a credential or taken out of one, in bytes.
pub const MOST_PAYLOAD: usize = 4 << 10;
/// The longest credential that is opened, in bytes.
pub const MOST_CREDENTIAL: usize = 8 << 10;

const SUCCESS: c_int = 0;
const OPT_SOCKET: c_int = 8;
const OPT_UID_RESTRICTION: c_int = 9;

/// Why munge does not do what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MungeError {
    /// The library lacks a function of its own interface.
    #[error("`libmunge.so.2` has no `{0}`")]
    NoFunction(String),
    /// The daemon's socket has a name that no file has.
    #[error("the socket's path holds a NUL byte")]
    NulInPath,
    /// The library has no memory.
    #[error("`libmunge.so.2` gives no context")]
    NoContext,
    /// The library or its daemon refuses a setting.
    #[error("munge refuses a setting: {0}")]
    Set(String),
    /// No credential was made.
    #[error("munge makes no credential: {0}")]
    Encode(String),
    /// The credential is not valid here: another key, another user's, too old, used before.
    #[error("munge refuses a credential: {0}")]
    Decode(String),
    /// A credential that another user made.
    #[error("the credential must be of user {wanted}, found user {found}")]
    OtherUser {
        /// This process's user.
        wanted: u32,
        /// Who made the credential.
        found: u32,
    },
    /// What is to be put into a credential, or was taken out of one, is too long.
    #[error("a credential's payload must have at most {MOST_PAYLOAD} bytes, found {0}")]
    LongPayload(usize),
    /// What came for a credential is too long to be one of ours.
    #[error("a credential must have at most {MOST_CREDENTIAL} bytes, found {0}")]
    LongCredential(usize),
    /// What came for a credential holds a NUL byte.
    #[error("a credential must not hold a NUL byte")]
    NulInCredential,
}

/// Munge, as this process's user.
pub struct Munge {
    calls: Calls,
    socket: Option<CString>,
}

impl Munge {
    /// Loads the library; its daemon is reached at `socket`, or where the library expects it.
    ///
    /// `None` where there is no library, or no socket of a daemon.
    ///
    /// # Errors
    /// What is there is no munge as it should be.
    pub fn open(socket: Option<&Path>) -> Result<Option<Self>, MungeError> {
        let Some(calls) = Calls::load()? else { return Ok(None) };
        let socket = socket.map(|path| CString::new(path.as_os_str().as_bytes()));
        let socket = socket.transpose().map_err(|_| MungeError::NulInPath)?;
        let munge = Munge { calls, socket };
        Ok(munge.socket()?.exists().then_some(munge))
    }

    /// Puts `payload` into a credential that only this user can open, once on each host.
    ///
    /// # Errors
    /// [`MungeError::LongPayload`], [`MungeError::Encode`].
    pub fn seal(&self, payload: &[u8]) -> Result<String, MungeError> {
        let length = c_int::try_from(payload.len()).unwrap_or(c_int::MAX);
        if payload.len() > MOST_PAYLOAD {
            return Err(MungeError::LongPayload(payload.len()));
        }
        let context = self.context()?;
        let mut made: *mut c_char = null_mut();
        // SAFETY: the context lives; the option takes a uid_t; encode reads `length` bytes and
        // stores a string that this process is to free, or null.
        let (result, text) = unsafe {
            let own = rustix::process::getuid().as_raw();
            context.check((self.calls.set)(context.raw, OPT_UID_RESTRICTION, own))?;
            let result =
                (self.calls.encode)(&mut made, context.raw, payload.as_ptr().cast(), length);
            (result, (!made.is_null()).then(|| CStr::from_ptr(made).to_bytes().to_vec()))
        };
        free(made.cast());
        match text.map(String::from_utf8) {
            Some(Ok(credential)) if result == SUCCESS => Ok(credential),
            _ => Err(MungeError::Encode(context.words(result))),
        }
    }

    /// Takes out what this very user put into a credential.
    ///
    /// # Errors
    /// [`MungeError::Decode`], [`MungeError::OtherUser`] and those of its lengths.
    pub fn open_credential(&self, credential: &str) -> Result<Vec<u8>, MungeError> {
        if credential.len() > MOST_CREDENTIAL {
            return Err(MungeError::LongCredential(credential.len()));
        }
        let credential = CString::new(credential).map_err(|_| MungeError::NulInCredential)?;
        let context = self.context()?;
        let (mut payload, mut length): (*mut c_void, c_int) = (null_mut(), 0);
        let (mut user, mut group) = (libc::uid_t::MAX, libc::gid_t::MAX);
        // SAFETY: the credential is a string that lives; the rest are places to store to.
        let result = unsafe {
            let (payload, length) = (&mut payload, &mut length);
            (self.calls.decode)(
                credential.as_ptr(),
                context.raw,
                payload,
                length,
                &mut user,
                &mut group,
            )
        };
        let length = usize::try_from(length).unwrap_or(0);
        let bytes = if result != SUCCESS {
            Err(MungeError::Decode(context.words(result)))
        } else if user != rustix::process::getuid().as_raw() {
            let wanted = rustix::process::getuid().as_raw();
            Err(MungeError::OtherUser { wanted, found: user })
        } else if length > MOST_PAYLOAD {
            Err(MungeError::LongPayload(length))
        } else if payload.is_null() {
            Ok(Vec::new())
        } else {
            // SAFETY: decode stored a buffer of `length` bytes, which is freed only below.
            Ok(unsafe { std::slice::from_raw_parts(payload.cast::<u8>(), length) }.to_vec())
        };
        // Also where the credential is refused there may be a payload.
        free(payload);
        bytes
    }

    /// Where the daemon is reached.
    fn socket(&self) -> Result<PathBuf, MungeError> {
        let context = self.context()?;
        let mut path: *const c_char = null_mut();
        // SAFETY: the option stores a pointer to a string that lives as long as the context, or
        // null.
        unsafe {
            context.check((self.calls.get)(context.raw, OPT_SOCKET, &mut path))?;
            if path.is_null() {
                return Ok(PathBuf::new());
            }
            Ok(std::ffi::OsStr::from_bytes(CStr::from_ptr(path).to_bytes()).into())
        }
    }

    /// Makes a context: one that has decoded something is not fit for anything else.
    fn context(&self) -> Result<OneContext, MungeError> {
        // SAFETY: takes nothing, returns a context or null.
        let raw = unsafe { (self.calls.create)() };
        if raw.is_null() {
            return Err(MungeError::NoContext);
        }
        let context = OneContext { raw, calls: self.calls };
        if let Some(socket) = &self.socket {
            // SAFETY: the context lives; the option takes a string, which is copied.
            context.check(unsafe { (self.calls.set)(raw, OPT_SOCKET, socket.as_ptr()) })?;
        }
        Ok(context)
    }
}

struct OneContext {
    raw: Context,
    calls: Calls,
}

impl OneContext {
    fn check(&self, result: c_int) -> Result<(), MungeError> {
        if result == SUCCESS { Ok(()) } else { Err(MungeError::Set(self.words(result))) }
    }

    /// What the library says of the last error.
    fn words(&self, result: c_int) -> String {
        // SAFETY: both return null or a string that lives as long as the context or longer.
        unsafe {
            let mut words = (self.calls.context_error)(self.raw);
            if words.is_null() {
                words = (self.calls.error)(result);
            }
            if words.is_null() {
                return format!("error {result}");
            }
            CStr::from_ptr(words).to_string_lossy().into_owned()
        }
    }
}

impl Drop for OneContext {
    fn drop(&mut self) {
        // SAFETY: made by `create`, destroyed once.
        unsafe { (self.calls.destroy)(self.raw) };
    }
}

/// Frees what the library has allocated; null is nothing.
fn free(pointer: *mut c_void) {
    // SAFETY: the callers pass what munge gave them to free, once.
    unsafe { libc::free(pointer) };
}
