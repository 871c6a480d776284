//! What the allocator does with large buffers, and where secrets may end up.

use rustix::io::Errno;
use rustix::process::DumpableBehavior;

/// Has buffers of this many bytes and more mapped and unmapped one by one.
const MAPPED: i32 = 128 << 10;

/// Makes freed large buffers go back to the system at once.
///
/// By default the allocator raises its bound with the first one freed, keeps the next ones in its
/// heap, and a heap with held output in it fragments to twice what is in use. Buffers in constant
/// use are kept by [`crate::buffers::Buffers`], so this costs no page faults where speed matters.
pub fn return_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a parameter of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

/// Asks that the pages of `bytes` are never written to swap.
///
/// The limit on locked memory may forbid it, which changes nothing else. The pages are not unlocked
/// later: another secret may lie in the same one, and locks do not count.
pub fn keep_out_of_swap(bytes: &[u8]) {
    // SAFETY: locking pages changes nothing that a program can read or write.
    let _ = unsafe { libc::mlock(bytes.as_ptr().cast(), bytes.len()) };
}

/// Forbids core files of this process, and reading its memory to other processes of its user.
///
/// Programs that it starts are not touched.
///
/// # Errors
/// None in practice.
pub fn keep_secrets_out_of_core_files() -> Result<(), Errno> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

#[cfg(test)]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};

    #[test]
    fn a_process_with_secrets_leaves_no_core_file() {
        super::keep_secrets_out_of_core_files().unwrap();
        let behavior = dumpable_behavior().unwrap();
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }
}
