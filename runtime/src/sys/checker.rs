//! What a checker of memory cannot see by itself.

use std::mem::MaybeUninit;

/// Tells valgrind, if this process runs under it, that another process has filled `bytes`: it
/// would take every use of them for one of memory that was never written.
///
/// # Cost
/// Ten instructions; elsewhere than under valgrind they change nothing.
///
/// # Source
/// The client requests of valgrind's manual, and its `MAKE_MEM_DEFINED`.
pub fn filled_by_another(bytes: &mut [MaybeUninit<u8>]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let request = [0x4D43_0002, bytes.as_mut_ptr() as u64, bytes.len() as u64, 0, 0, 0];
        // SAFETY: turns a register by 128 bits in all, which leaves it as it was, and swaps one
        // with itself. Valgrind takes that for a call with `request`, and answers in rdx.
        unsafe {
            std::arch::asm!(
                "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
                in("rax") &raw const request,
                inout("rdx") 0_u64 => _,
                in("rdi") 0_u64,
                options(nostack),
            );
        }
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = bytes;
}
