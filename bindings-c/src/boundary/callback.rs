//! Functions of the program's that libpx calls.

use std::ffi::{c_int, c_void};

use crate::chunk::px_chunk;

/// Takes output of a job, in order, in the thread that is in `px_job_run`; returns 0, or anything else to
/// end the job. The bytes are there until it returns. No exception and no jump may leave it.
#[allow(non_camel_case_types, reason = "its name in C")]
pub type px_output_callback =
    Option<unsafe extern "C" fn(bytes: *const c_void, length: usize, user: *mut c_void) -> c_int>;

/// A function that takes output, and what it wants to be told.
#[derive(Clone, Copy, Debug)]
pub struct OutputCallback {
    call: unsafe extern "C" fn(*const c_void, usize, *mut c_void) -> c_int,
    user: *mut c_void,
}

// SAFETY: the pointer is passed on and never followed here; that the function may be called with it in
// whichever thread runs the job is what the caller promised.
unsafe impl Send for OutputCallback {}
// SAFETY: as above.
unsafe impl Sync for OutputCallback {}

impl OutputCallback {
    /// Takes it as C gave it.
    ///
    /// # Safety
    /// It may be called with `user`, again and again, by whichever thread runs the job.
    pub unsafe fn new(
        call: unsafe extern "C" fn(*const c_void, usize, *mut c_void) -> c_int,
        user: *mut c_void,
    ) -> Self {
        OutputCallback { call, user }
    }

    /// Gives it `bytes`; an answer that is not zero wants no more.
    pub fn take(&self, bytes: &[u8]) -> c_int {
        // SAFETY: as promised when it was made; the bytes live until it returns.
        unsafe { (self.call)(bytes.as_ptr().cast(), bytes.len(), self.user) }
    }
}

/// Processes a chunk that it does not release: it returns `PX_COMMIT` or `PX_FAIL` instead. Each rank of the
/// job has a thread that calls it, so it is called by several at once. The chunk is there until it
/// returns. No exception and no jump may leave it.
#[allow(non_camel_case_types, reason = "its name in C")]
pub type px_chunk_callback =
    Option<unsafe extern "C" fn(chunk: *mut px_chunk, user: *mut c_void) -> c_int>;

/// A function that processes chunks, and what it wants to be told.
#[derive(Clone, Copy, Debug)]
pub struct ChunkCallback {
    call: unsafe extern "C" fn(*mut px_chunk, *mut c_void) -> c_int,
    user: *mut c_void,
}

// SAFETY: the pointer is passed on and never followed here; that the function may be called with it by
// several threads at once is what the caller promised.
unsafe impl Send for ChunkCallback {}
// SAFETY: as above.
unsafe impl Sync for ChunkCallback {}

impl ChunkCallback {
    /// Takes it as C gave it.
    ///
    /// # Safety
    /// It may be called with `user`, again and again, by several threads at once.
    pub unsafe fn new(
        call: unsafe extern "C" fn(*mut px_chunk, *mut c_void) -> c_int,
        user: *mut c_void,
    ) -> Self {
        ChunkCallback { call, user }
    }

    /// Has it process the chunk of this token; returns what it wants to become of it.
    pub fn process(&self, token: usize) -> c_int {
        let chunk = std::ptr::without_provenance_mut(token);
        // SAFETY: as promised when it was made; what it gets of a chunk is a number to all.
        unsafe { (self.call)(chunk, self.user) }
    }
}
