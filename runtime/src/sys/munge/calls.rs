//! The functions of the library, found once.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;

use super::MungeError;

const LIBRARY: &CStr = c"libmunge.so.2";

pub(super) type Context = *mut c_void;
type Create = unsafe extern "C" fn() -> Context;
type Destroy = unsafe extern "C" fn(Context);
type Setting = unsafe extern "C" fn(Context, c_int, ...) -> c_int;
type ContextError = unsafe extern "C" fn(Context) -> *const c_char;
type Error = unsafe extern "C" fn(c_int) -> *const c_char;
type Encode = unsafe extern "C" fn(*mut *mut c_char, Context, *const c_void, c_int) -> c_int;
type Decode = unsafe extern "C" fn(
    *const c_char,
    Context,
    *mut *mut c_void,
    *mut c_int,
    *mut libc::uid_t,
    *mut libc::gid_t,
) -> c_int;

/// What is used of the library. It stays loaded for good, so these never dangle.
#[derive(Clone, Copy)]
pub(super) struct Calls {
    pub create: Create,
    pub destroy: Destroy,
    pub set: Setting,
    pub get: Setting,
    pub context_error: ContextError,
    pub error: Error,
    pub encode: Encode,
    pub decode: Decode,
}

impl Calls {
    /// Loads the library; `None` where there is none.
    pub(super) fn load() -> Result<Option<Self>, MungeError> {
        // SAFETY: the library's constructors, if any, need nothing of this process.
        let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Ok(None);
        }
        let find = |name: &CStr| {
            // SAFETY: looks a name up in a library that is loaded and never unloaded.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            if found.is_null() {
                return Err(MungeError::NoFunction(name.to_string_lossy().into_owned()));
            }
            Ok(found)
        };
        // SAFETY: each name is that of a function which `munge.h` declares with the type that it is
        // taken for; none of the pointers is null.
        unsafe {
            Ok(Some(Calls {
                create: transmute::<*mut c_void, Create>(find(c"munge_ctx_create")?),
                destroy: transmute::<*mut c_void, Destroy>(find(c"munge_ctx_destroy")?),
                set: transmute::<*mut c_void, Setting>(find(c"munge_ctx_set")?),
                get: transmute::<*mut c_void, Setting>(find(c"munge_ctx_get")?),
                context_error: transmute::<*mut c_void, ContextError>(find(c"munge_ctx_strerror")?),
                error: transmute::<*mut c_void, Error>(find(c"munge_strerror")?),
                encode: transmute::<*mut c_void, Encode>(find(c"munge_encode")?),
                decode: transmute::<*mut c_void, Decode>(find(c"munge_decode")?),
            }))
        }
    }
}
