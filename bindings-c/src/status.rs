//! What a call answers: a number, a text for each number, and the full text of the last failure of
//! each thread.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_int};

use serde::{Deserialize, Serialize};

/// The call did what it should.
pub const PX_OK: c_int = 0;
/// There is nothing further: no chunk, no record.
pub const PX_END: c_int = 1;
/// An argument cannot be right: NULL where that makes no sense, a bad length, an unknown flag.
pub const PX_ERR_ARGUMENT: c_int = -1;
/// Not now: before px_init, after px_finalize, px_init for the second time, or px_job_result of a job
/// that has none.
pub const PX_ERR_STATE: c_int = -2;
/// This program reads its input from stdin: pxrun was not told `--contract px`.
pub const PX_ERR_NOT_FED: c_int = -3;
/// Another launcher made this process one of several; each of them would be a world of one.
pub const PX_ERR_FOREIGN_WORLD: c_int = -4;
/// The job that this program is part of does not have this.
pub const PX_ERR_MODE: c_int = -5;
/// No such handle: it was released or freed, or never was one.
pub const PX_ERR_HANDLE: c_int = -6;
/// The handle was in use when a bug of libpx showed; all that is left is to release or free it.
pub const PX_ERR_POISONED: c_int = -7;
/// The process was forked from the one that uses libpx.
pub const PX_ERR_FORK: c_int = -8;
/// The input is not what it was when the job began; nothing of the chunk was committed.
pub const PX_ERR_INPUT_CHANGED: c_int = -9;
/// Chunks are held: PX_CHUNKS_MAX of them and no more fits, or any at px_finalize.
pub const PX_ERR_HELD: c_int = -10;
/// The other rank has finished or died.
pub const PX_ERR_PEER_GONE: c_int = -11;
/// The message is longer than the buffer, and waits still.
pub const PX_ERR_TRUNCATED: c_int = -12;
/// The time was over.
pub const PX_ERR_TIMEOUT: c_int = -13;
/// This combination is not supported.
pub const PX_ERR_UNSUPPORTED: c_int = -14;
/// MPI is not initialised, or finalised already.
pub const PX_ERR_MPI_STATE: c_int = -15;
/// MPI was initialised without the threads that are needed, or this is not its thread.
pub const PX_ERR_MPI_THREAD: c_int = -16;
/// A call of MPI failed.
pub const PX_ERR_MPI: c_int = -17;
/// The helper cannot be found or started, or ended without a word.
pub const PX_ERR_HELPER: c_int = -18;
/// The job failed; px_job_result and px_last_error say how.
pub const PX_ERR_JOB: c_int = -19;
/// A system call failed; px_last_error names it.
pub const PX_ERR_SYSTEM: c_int = -20;
/// There is not enough memory.
pub const PX_ERR_MEMORY: c_int = -21;
/// The other end is of another version, breaks the protocol, or is gone.
pub const PX_ERR_PROTOCOL: c_int = -22;
/// Another thread uses the handle right now.
pub const PX_ERR_BUSY: c_int = -23;
/// A bug in libpx.
pub const PX_ERR_INTERNAL: c_int = -24;

/// Says what a status means, whatever the call.
pub fn text(status: c_int) -> &'static CStr {
    match status {
        PX_OK => c"ok",
        PX_END => c"the end: there is nothing further",
        PX_ERR_ARGUMENT => c"an argument cannot be right",
        PX_ERR_STATE => {
            c"not now: before px_init, after px_finalize, or px_init for the second time"
        }
        PX_ERR_NOT_FED => {
            c"this program is not fed by libpx: pxrun was started without --contract px"
        }
        PX_ERR_FOREIGN_WORLD => c"another launcher made this process one of several",
        PX_ERR_MODE => c"the job does not have this",
        PX_ERR_HANDLE => c"no such handle: it was released or freed, or never was one",
        PX_ERR_POISONED => c"the handle was in use when a bug of libpx showed",
        PX_ERR_FORK => c"libpx cannot be used in a forked child",
        PX_ERR_INPUT_CHANGED => c"the input has changed since the job began",
        PX_ERR_HELD => c"chunks are held that must be released first",
        PX_ERR_PEER_GONE => c"the other rank has finished or died",
        PX_ERR_TRUNCATED => c"the message is longer than the buffer",
        PX_ERR_TIMEOUT => c"the time was over",
        PX_ERR_UNSUPPORTED => c"this combination is not supported",
        PX_ERR_MPI_STATE => c"MPI is not initialised, or finalised already",
        PX_ERR_MPI_THREAD => c"MPI lacks the threads that are needed, or this is not its thread",
        PX_ERR_MPI => c"a call of MPI failed",
        PX_ERR_HELPER => c"the helper cannot be started, or ended without a word",
        PX_ERR_JOB => c"the job failed",
        PX_ERR_SYSTEM => c"a system call failed",
        PX_ERR_MEMORY => c"not enough memory",
        PX_ERR_PROTOCOL => c"the other end is of another version, breaks the protocol, or is gone",
        PX_ERR_BUSY => c"another thread uses the handle right now",
        PX_ERR_INTERNAL => c"a bug in libpx",
        _ => c"not a status of this version of libpx",
    }
}

/// Whether it is an error that there is.
pub fn is_failure(status: c_int) -> bool {
    (PX_ERR_INTERNAL..PX_OK).contains(&status)
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// One of the negative numbers.
    pub status: c_int,
    /// The full text: what, where, the value found, the way out.
    pub text: String,
}

impl Fault {
    /// Makes a failure with its own text.
    pub fn new(status: c_int, text: impl Into<String>) -> Fault {
        Fault { status, text: text.into() }
    }

    /// An argument cannot be right.
    pub fn argument(text: impl Into<String>) -> Fault {
        Fault::new(PX_ERR_ARGUMENT, text)
    }

    /// A system call failed while this was tried.
    pub fn system(tried: &str, source: impl std::fmt::Display) -> Fault {
        Fault::new(PX_ERR_SYSTEM, format!("cannot {tried}: {source}"))
    }

    /// So many bytes cannot be had.
    pub fn memory(what: &str, bytes: u64) -> Fault {
        Fault::new(PX_ERR_MEMORY, format!("not enough memory for {what} of {bytes} bytes"))
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::new(CString::default());
}

/// Keeps the text of a failure for this thread.
pub fn remember(fault: &Fault) {
    let text = CString::new(fault.text.replace('\0', " ")).unwrap_or_default();
    // A thread that is ending has no place for it any more.
    let _ = LAST.try_with(|last| last.replace(text));
}

/// The text of this thread's last failure, valid until the next one; empty if there was none.
pub fn last() -> *const std::ffi::c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}
