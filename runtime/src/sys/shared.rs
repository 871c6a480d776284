//! Memory that processes share, and writing into another one's.
//!
//! Whatever lies in a mapping may change at any moment, so it is seen as atomics or copied out, and
//! never as a reference to plain bytes.

use std::ffi::c_void;
use std::mem::{MaybeUninit, align_of, size_of};
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::process::last_errno;

/// What may lie in shared memory: atomics and nothing else.
///
/// # Safety
/// Every byte is part of an atomic, or is never looked at.
pub unsafe trait Atomics {}

// SAFETY: an atomic.
unsafe impl Atomics for AtomicU32 {}
// SAFETY: an atomic.
unsafe impl Atomics for AtomicU64 {}

/// Defines structs whose fields are all [`Atomics`], at places that every process agrees upon.
macro_rules! shared_structs {
    ($($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$about])*
        #[repr(C)]
        pub struct $name { $($(#[$what])* pub $field: $type,)+ }

        // SAFETY: every field is, as the bounds say.
        unsafe impl $crate::sys::shared::Atomics for $name
        where
            $($type: $crate::sys::shared::Atomics,)+
        {
        }
    )+};
}
pub(crate) use shared_structs;

/// Part of a file in memory, to be read and written together with other processes.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is reached through atomics and raw copies alone, from any thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes of `file` from `at` on, a multiple of the page size.
    ///
    /// The file must not become shorter, which seals can see to.
    ///
    /// # Errors
    /// `ENOMEM`, `EINVAL`.
    pub fn new(file: impl AsFd, at: u64, length: usize) -> Result<Mapping, Errno> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let start = unsafe {
            rustix::mm::mmap(null_mut(), length, access, MapFlags::SHARED, file.as_fd(), at)
        }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Mapping { start, length })
    }

    /// What lies at `at`.
    ///
    /// # Panics
    /// Where it would reach beyond the mapping.
    pub fn get<T: Atomics>(&self, at: usize) -> &T {
        &self.slice(at, 1)[0]
    }

    /// The `count` of them that lie at `at`.
    ///
    /// # Panics
    /// Where they would reach beyond the mapping.
    pub fn slice<T: Atomics>(&self, at: usize, count: usize) -> &[T] {
        self.check(at, count.saturating_mul(size_of::<T>()));
        assert!(at.is_multiple_of(align_of::<T>()), "{at} is not aligned");
        // SAFETY: inside of the mapping, which begins at a page, and aligned in it. Atomics may be
        // changed by anybody at any time, and all patterns of bits are valid.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(at).cast(), count) }
    }

    /// Copies `bytes` to `at`.
    ///
    /// # Panics
    /// Where they would reach beyond the mapping.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        self.check(at, bytes.len());
        // SAFETY: inside of the mapping, which no reference of ours lies in.
        unsafe {
            let to = self.start.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    /// Fills `to` with what lies at `at`.
    ///
    /// # Panics
    /// Where it would reach beyond the mapping.
    pub fn read(&self, at: usize, to: &mut [MaybeUninit<u8>]) {
        self.check(at, to.len());
        // SAFETY: inside of the mapping; `to` is ours alone.
        unsafe {
            let from = self.start.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(from, to.as_mut_ptr().cast(), to.len());
        }
    }

    /// Fills `to`, which holds something already, with what lies at `at`.
    ///
    /// # Panics
    /// Where it would reach beyond the mapping.
    pub fn read_bytes(&self, at: usize, to: &mut [u8]) {
        self.check(at, to.len());
        // SAFETY: as above.
        unsafe {
            let from = self.start.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len());
        }
    }

    fn check(&self, at: usize, length: usize) {
        let inside = at <= self.length && length <= self.length - at;
        assert!(inside, "{length} bytes at {at} of {}", self.length);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and what was borrowed from it is gone.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Writes `bytes` into the memory of the process `pid`, another one than this, and returns how many
/// of them it took.
///
/// # Errors
/// `EPERM` and `ENOSYS` where the system does not allow it, `ESRCH`, `EFAULT`; `EINVAL` for this
/// process itself.
pub fn write_into(pid: u32, address: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let pid = i32::try_from(pid).map_err(|_| Errno::INVAL)?;
    let address = usize::try_from(address).map_err(|_| Errno::INVAL)?;
    if pid <= 0 || pid.unsigned_abs() == std::process::id() {
        return Err(Errno::INVAL);
    }
    let from = libc::iovec { iov_base: bytes.as_ptr() as *mut c_void, iov_len: bytes.len() };
    let to = libc::iovec { iov_base: address as *mut c_void, iov_len: bytes.len() };
    // SAFETY: reads `bytes`, and writes to no memory of this process.
    let written = unsafe { libc::process_vm_writev(pid, &from, 1, &to, 1, 0) };
    usize::try_from(written).map_err(|_| last_errno())
}

/// What was read into a buffer that a test has filled before.
#[cfg(test)]
pub fn bytes_of(filled: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: the callers have filled it.
    filled.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}
