//! What the allocator does with large buffers.

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
