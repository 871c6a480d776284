//! The boundary to C: every function that C calls goes through [`status`] or [`value`] here, and
//! every pointer from C becomes a checked thing here.
//!
//! No panic crosses it: one that happens is caught, and its text is what `px_last_error` says. A
//! forked child gets no further than here, before any lock is touched that another thread may have
//! held when the child was made.

mod callback;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use px_runtime::sys::fork;

pub use callback::{ChunkCallback, OutputCallback, px_chunk_callback, px_output_callback};

use crate::status::{Fault, PX_ERR_FORK, PX_ERR_INTERNAL, remember};

/// Does the work of a function that answers with a status.
pub fn status(work: impl FnOnce() -> Result<c_int, Fault>) -> c_int {
    guarded(work).unwrap_or_else(|fault| fault.status)
}

/// Does the work of a function that answers with something else; `otherwise` stands for a failure.
pub fn value<T>(otherwise: T, work: impl FnOnce() -> Result<T, Fault>) -> T {
    guarded(work).unwrap_or(otherwise)
}

/// Does work that answers by itself: no panic leaves it, and its failure is this thread's last one.
///
/// # Errors
/// Those of the work; `PX_ERR_FORK`, `PX_ERR_INTERNAL`.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let done = match fork::in_forked_child() {
        true => Err(Fault::new(
            PX_ERR_FORK,
            "libpx cannot be used in a process that was forked from the one that uses it: \
             call it before fork only, or start a program of its own",
        )),
        false => caught(work),
    };
    if let Err(fault) = &done {
        remember(fault);
    }
    done
}

thread_local! {
    /// Whether this thread is inside libpx, where panics are caught and told.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// What the last panic said.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

fn caught<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !keep(panic) {
                others(panic);
            }
        }));
    });
    // Where a callback calls libpx again, what is around that call is still inside.
    let before = INSIDE.try_with(|inside| inside.replace(true));
    // What a panic may have left half done is behind locks, which are poisoned by it.
    let done = catch_unwind(AssertUnwindSafe(work));
    let _ = INSIDE.try_with(|inside| inside.set(before.unwrap_or(false)));
    done.unwrap_or_else(|_| {
        let said = SAID.try_with(RefCell::take).unwrap_or_default();
        Err(Fault::new(PX_ERR_INTERNAL, format!("a bug in libpx: {said}")))
    })
}

/// Keeps what a panic says instead of printing it: standard error is the program's.
fn keep(panic: &PanicHookInfo<'_>) -> bool {
    let inside = INSIDE.try_with(Cell::get).unwrap_or(false);
    if inside {
        let _ = SAID.try_with(|said| said.replace(panic.to_string()));
    }
    inside
}

/// A place of the caller's for a result.
pub struct Out<'a, T>(&'a mut MaybeUninit<T>);

impl<T> Out<'_, T> {
    /// Stores the result.
    pub fn set(&mut self, value: T) {
        self.0.write(value);
    }
}

fn null(name: &str) -> Fault {
    Fault::argument(format!("`{name}` is NULL"))
}

/// Checks a place for a result.
///
/// # Errors
/// `PX_ERR_ARGUMENT` for NULL or a place that is not aligned.
///
/// # Safety
/// `place` is NULL or can be written to during `'a`, by nobody else.
pub unsafe fn out<'a, T>(place: *mut T, name: &str) -> Result<Out<'a, T>, Fault> {
    // SAFETY: as the caller promises.
    unsafe { optional_out(place, name) }?.ok_or_else(|| null(name))
}

/// Checks a place for a result that the caller may not want.
///
/// # Errors
/// `PX_ERR_ARGUMENT` for a place that is not aligned.
///
/// # Safety
/// `place` is NULL or can be written to during `'a`, by nobody else.
pub unsafe fn optional_out<'a, T>(place: *mut T, name: &str) -> Result<Option<Out<'a, T>>, Fault> {
    if !place.is_aligned() {
        return Err(Fault::argument(format!("`{name}` is not aligned, found {place:p}")));
    }
    // SAFETY: aligned; the caller promises the rest, and nothing is read from it.
    Ok(unsafe { place.cast::<MaybeUninit<T>>().as_mut() }.map(Out))
}

/// Checks bytes of the caller's; NULL is right for none of them.
///
/// # Errors
/// `PX_ERR_ARGUMENT` for NULL with a length, or a length that nothing can have.
///
/// # Safety
/// `bytes` is NULL or can be read for `length` bytes during `'a`, and nobody writes there.
pub unsafe fn bytes<'a>(
    bytes: *const c_void,
    length: usize,
    name: &str,
) -> Result<&'a [u8], Fault> {
    check_length(bytes, length, name)?;
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, of a length that can be; the caller promises the rest.
    Ok(unsafe { std::slice::from_raw_parts(bytes.cast(), length) })
}

/// Checks a buffer of the caller's; NULL is right for one of no bytes.
///
/// # Errors
/// `PX_ERR_ARGUMENT` for NULL with a length, or a length that nothing can have.
///
/// # Safety
/// `buffer` is NULL or can be written to for `capacity` bytes during `'a`, by nobody else.
pub unsafe fn buffer<'a>(
    buffer: *mut c_void,
    capacity: usize,
    name: &str,
) -> Result<&'a mut [MaybeUninit<u8>], Fault> {
    check_length(buffer, capacity, name)?;
    if capacity == 0 {
        return Ok(&mut []);
    }
    // SAFETY: not NULL, of a length that can be; the caller promises the rest.
    Ok(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), capacity) })
}

fn check_length(at: *const c_void, length: usize, name: &str) -> Result<(), Fault> {
    if at.is_null() && length > 0 {
        return Err(Fault::argument(format!("`{name}` is NULL with a length of {length} bytes")));
    }
    if isize::try_from(length).is_err() || at.addr().checked_add(length).is_none() {
        return Err(Fault::argument(format!("`{name}` cannot be {length} bytes long")));
    }
    Ok(())
}

/// Checks a text of the caller's.
///
/// # Errors
/// `PX_ERR_ARGUMENT` for NULL.
///
/// # Safety
/// `text` is NULL or ends with a NUL that can be read, and nobody writes there during `'a`.
pub unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a CStr, Fault> {
    // SAFETY: as the caller promises.
    unsafe { optional_text(text) }.ok_or_else(|| null(name))
}

/// Takes a text that the caller may leave out.
///
/// # Safety
/// `text` is NULL or ends with a NUL that can be read, and nobody writes there during `'a`.
pub unsafe fn optional_text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: not NULL; the caller promises the rest.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// Words of the longest list.
const MOST_TEXTS: usize = 1 << 18;

/// Takes a list of texts of the caller's, of which NULL is the end; what is too long ends before it.
///
/// # Errors
/// `PX_ERR_ARGUMENT` for NULL or a place that is not aligned.
///
/// # Safety
/// `list` is NULL or a list that ends with NULL, of texts that end with a NUL, and nobody writes there
/// during `'a`.
pub unsafe fn texts<'a>(
    list: *const *const c_char,
    name: &str,
) -> Result<impl Iterator<Item = &'a CStr>, Fault> {
    if list.is_null() {
        return Err(null(name));
    }
    if !list.is_aligned() {
        return Err(Fault::argument(format!("`{name}` is not aligned, found {list:p}")));
    }
    // SAFETY: nothing is read behind NULL; the caller promises the rest.
    Ok((0..MOST_TEXTS).map_while(move |at| unsafe { optional_text(*list.add(at)) }))
}

/// Makes a copy of a descriptor of the caller's, above the standard three; no child inherits it.
///
/// # Errors
/// `PX_ERR_ARGUMENT` where there is none of that number, or no room for a copy.
pub fn descriptor(fd: c_int, name: &str) -> Result<OwnedFd, Fault> {
    if fd < 0 {
        return Err(Fault::argument(format!("`{name}` must be an open descriptor, found {fd}")));
    }
    // SAFETY: makes a new descriptor, or fails where there is none to copy.
    let copied = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copied < 0 {
        let why = std::io::Error::last_os_error();
        return Err(Fault::argument(format!("`{name}` cannot be used, found {fd}: {why}")));
    }
    // SAFETY: made just now, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(copied) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{PX_END, PX_ERR_ARGUMENT, last};

    fn said() -> String {
        // SAFETY: valid until the next failure in this thread.
        unsafe { CStr::from_ptr(last()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_status_with_its_text() {
        assert_eq!(status(|| panic!("seven is not eight")), PX_ERR_INTERNAL);
        assert!(said().starts_with("a bug in libpx: "), "{}", said());
        assert!(said().contains("seven is not eight"), "{}", said());
        assert_eq!(value(5, || panic!("once more")), 5);
    }

    #[test]
    fn the_last_error_is_that_of_the_last_call_that_failed_here() {
        assert_eq!(status(|| Err(Fault::argument("one\0two"))), PX_ERR_ARGUMENT);
        assert_eq!(status(|| Ok(PX_END)), PX_END);
        assert_eq!(said(), "one two");
        std::thread::scope(|threads| {
            threads.spawn(|| assert_eq!(said(), ""));
        });
    }

    #[test]
    fn pointers_and_lengths_are_checked() {
        let mut places = [0u32; 2];
        let place = places.as_mut_ptr();
        let odd = place.wrapping_byte_add(1);
        let at: *mut c_void = place.cast();
        // SAFETY: NULL, or the places above; what is not accepted is not touched.
        unsafe {
            assert!(out::<u32>(std::ptr::null_mut(), "place").is_err());
            assert!(optional_out::<u32>(std::ptr::null_mut(), "place").unwrap().is_none());
            assert!(out(odd, "place").is_err());
            out(place, "place").unwrap().set(9);
            assert!(bytes(std::ptr::null(), 1, "bytes").is_err());
            assert!(bytes(std::ptr::null(), 0, "bytes").unwrap().is_empty());
            assert!(bytes(at, usize::MAX, "bytes").is_err());
            assert!(bytes(at, isize::MAX as usize + 1, "bytes").is_err());
            assert_eq!(bytes(at, 4, "bytes").unwrap(), 9u32.to_ne_bytes());
            assert!(buffer(std::ptr::null_mut(), 1, "buffer").is_err());
            assert_eq!(buffer(at, 8, "buffer").unwrap().len(), 8);
            assert!(text(std::ptr::null(), "path").is_err());
            assert!(optional_text(std::ptr::null()).is_none());
            assert_eq!(text(c"here".as_ptr(), "path").unwrap(), c"here");
            assert!(texts(std::ptr::null(), "argv").is_err());
            let list = [c"one".as_ptr(), c"two".as_ptr(), std::ptr::null(), c"three".as_ptr()];
            assert!(texts(list.as_ptr().wrapping_byte_add(1), "argv").is_err());
            let taken: Vec<_> = texts(list.as_ptr(), "argv").unwrap().collect();
            assert_eq!(taken, [c"one", c"two"]);
        }
    }

    #[test]
    fn a_descriptor_is_copied_above_the_standard_three() {
        use std::os::fd::AsRawFd;
        let open = std::fs::File::open("/dev/null").unwrap();
        assert!(descriptor(open.as_raw_fd(), "fd").unwrap().as_raw_fd() > 2);
        assert_eq!(descriptor(-1, "fd").unwrap_err().status, PX_ERR_ARGUMENT);
        assert_eq!(descriptor(c_int::MAX, "fd").unwrap_err().status, PX_ERR_ARGUMENT);
    }
}
