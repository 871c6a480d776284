//! Where the file lies from which this code was loaded.

use std::ffi::{CStr, OsStr, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The shared library that this code is in, or else the program.
///
/// A library that was opened by a relative name has that name, and nobody knows any more to which
/// directory it was relative.
pub fn file_of_this_code() -> Option<PathBuf> {
    let own = found(file_of_this_code as *const c_void);
    // SAFETY: asks the kernel's list, which is there from the start on.
    let entry = unsafe { libc::getauxval(libc::AT_ENTRY) };
    let program = found(entry as *const c_void);
    match (own, program) {
        // The loader does not know the program's name, but as it was called.
        (Some(own), Some(program)) if own.dli_fbase != program.dli_fbase => {
            if own.dli_fname.is_null() {
                return None;
            }
            // SAFETY: the loader's own string, which lives as long as the library is loaded; and that
            // is as long as this code runs.
            let name = unsafe { CStr::from_ptr(own.dli_fname) };
            Some(OsStr::from_bytes(name.to_bytes()).into())
        }
        _ => std::fs::read_link("/proc/self/exe").ok(),
    }
}

/// What was loaded where `code` lies.
fn found(code: *const c_void) -> Option<libc::Dl_info> {
    let mut info = MaybeUninit::uninit();
    // SAFETY: the address is only compared; the struct is filled where something was found.
    unsafe { (libc::dladdr(code, info.as_mut_ptr()) != 0).then(|| info.assume_init()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn code_that_is_part_of_a_program_lies_in_it() {
        assert_eq!(super::file_of_this_code(), std::env::current_exe().ok());
    }
}
