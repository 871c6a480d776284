//! Whether this process is a forked copy of the one that asked first.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A page that is all zero in a forked child, its first word one elsewhere.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());
/// Where the kernel has no such pages: the process that asked first.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// Says whether this process was forked, in whatever way, from one that has asked before.
///
/// Takes no lock, so it can be asked in a child that was forked while another thread held one.
///
/// # Cost
/// One look at memory, no system call. Before Linux 4.14: one system call.
pub fn in_forked_child() -> bool {
    // SAFETY: the page was mapped before its address was stored, and stays mapped.
    match unsafe { PAGE.load(Ordering::Acquire).as_ref() } {
        Some(word) => word.load(Ordering::Relaxed) == 0,
        None => asked_first(),
    }
}

#[cold]
fn asked_first() -> bool {
    // Miri has neither forks nor what tells of them.
    if cfg!(miri) {
        return false;
    }
    let process = rustix::process::getpid().as_raw_nonzero().get();
    match PROCESS.load(Ordering::Relaxed) {
        0 => {}
        first => return first != process,
    }
    let length = rustix::param::page_size();
    let flags = MapFlags::PRIVATE;
    // SAFETY: a fresh mapping at a place that the kernel chooses.
    let page = unsafe {
        rustix::mm::mmap_anonymous(null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, flags)
    };
    let Ok(page) = page else {
        PROCESS.store(process, Ordering::Relaxed);
        return false;
    };
    // SAFETY: the mapping is ours, and nothing in it counts yet.
    if unsafe { rustix::mm::madvise(page, length, Advice::LinuxWipeOnFork) }.is_err() {
        PROCESS.store(process, Ordering::Relaxed);
        unmap(page, length);
        return false;
    }
    let word = page.cast::<AtomicU32>();
    // SAFETY: a page begins aligned, and any bytes are such a word.
    unsafe { &*word }.store(1, Ordering::Relaxed);
    let stored = PAGE.compare_exchange(null_mut(), word, Ordering::Release, Ordering::Acquire);
    if stored.is_err() {
        unmap(page, length);
    }
    false
}

fn unmap(page: *mut std::ffi::c_void, length: usize) {
    // SAFETY: mapped by the caller, and nobody else knows of it.
    let _ = unsafe { rustix::mm::munmap(page, length) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_is_told_from_the_process_that_asked() {
        assert!(!in_forked_child());
        assert!(!in_forked_child());
        // SAFETY: the child makes no call but those that look at a page and end it.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let status = i32::from(in_forked_child());
            // SAFETY: ends the child without anything of the test program's.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: waits for the child just made.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!((waited, libc::WEXITSTATUS(status)), (child, 1));
        assert!(!in_forked_child());
    }
}
