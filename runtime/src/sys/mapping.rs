//! Parts of files as memory.

use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A part of a file that can be read as memory, and one byte behind it.
///
/// It is the file itself, not a copy: what others write there shows, and where others have cut the
/// file short a look is a SIGBUS.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
    skipped: usize,
    mapped: usize,
}

// SAFETY: memory that is only read, and unmapped by its one owner.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// What follows the part that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// More bytes of the file.
    More,
    /// The file's end.
    End,
}

impl Mapping {
    /// Maps `length` bytes of `file`, at least 1, from `at` on.
    ///
    /// # Errors
    /// `ENOMEM`; `ENODEV` where files of this kind cannot be mapped; `EACCES`.
    ///
    /// # Cost
    /// One system call; two where a file ends with a page.
    pub fn of_file(
        file: impl AsFd,
        at: u64,
        length: usize,
        behind: Behind,
    ) -> Result<Mapping, Errno> {
        let page = rustix::param::page_size();
        let skipped = usize::try_from(at % page as u64).map_err(|_| Errno::INVAL)?;
        let from_file = skipped.checked_add(length).ok_or(Errno::NOMEM)?;
        let readable = from_file.checked_add(1).ok_or(Errno::NOMEM)?;
        let mapped = readable.checked_next_multiple_of(page).ok_or(Errno::NOMEM)?;
        let (protection, flags) = (ProtFlags::READ, MapFlags::SHARED);
        let offset = at - skipped as u64;
        let start = if behind == Behind::End && from_file.is_multiple_of(page) {
            // The file has no page for the byte behind its end.
            let unmapping = Unmapping(
                // SAFETY: a fresh mapping at a place that the kernel chooses.
                unsafe {
                    rustix::mm::mmap_anonymous(null_mut(), mapped, protection, MapFlags::PRIVATE)
                }?,
                mapped,
            );
            let flags = flags | MapFlags::FIXED;
            // SAFETY: replaces the first pages of the mapping just made, which nobody knows of.
            unsafe { rustix::mm::mmap(unmapping.0, from_file, protection, flags, file, offset) }?;
            let start = unmapping.0;
            std::mem::forget(unmapping);
            start
        } else {
            // SAFETY: a fresh mapping at a place that the kernel chooses.
            unsafe { rustix::mm::mmap(null_mut(), mapped, protection, flags, file, offset) }?
        };
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Mapping { start, length, skipped, mapped })
    }

    /// Has the kernel find the pages of a part now, in bytes of [`bytes`](Self::bytes), which costs
    /// less than a fault for each sixteen later.
    ///
    /// # Errors
    /// `EFAULT` where the file has no such page any more, or it cannot be read. Kernels before 5.14
    /// do nothing.
    pub fn populate(&self, part: Range<usize>) -> Result<(), Errno> {
        let page = rustix::param::page_size();
        let from = (self.skipped + part.start.min(self.length)) / page * page;
        let to = (self.skipped + part.end).next_multiple_of(page).min(self.mapped);
        // SAFETY: inside of the mapping, which is ours, and nothing in it changes.
        let done = unsafe {
            let start = self.start.as_ptr().add(from).cast::<c_void>();
            rustix::mm::madvise(start, to.saturating_sub(from), Advice::LinuxPopulateRead)
        };
        done.or_else(|e| if e == Errno::FAULT { Err(e) } else { Ok(()) })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped, for as long as this lives. Others may write to the file meanwhile; then
        // other bytes are seen, and nobody here relies on seeing the same ones twice.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(self.skipped), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        drop(Unmapping(self.start.as_ptr().cast(), self.mapped));
    }
}

struct Unmapping(*mut c_void, usize);

impl Drop for Unmapping {
    fn drop(&mut self) {
        // SAFETY: a mapping of ours that nobody uses any more.
        let _ = unsafe { rustix::mm::munmap(self.0, self.1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn byte_behind(mapping: &Mapping) -> u8 {
        let bytes = mapping.bytes();
        // SAFETY: what this module promises, and what is tested here.
        unsafe { bytes.as_ptr().add(bytes.len()).read_volatile() }
    }

    #[test]
    fn any_part_is_the_files_bytes_and_one_readable_behind_them() {
        let page = rustix::param::page_size();
        let all: Vec<u8> = (0..3 * page).map(|n| (n / 7) as u8).collect();
        for size in [1, page - 1, page, page + 1, 3 * page] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&all[..size]).unwrap();
            for at in [0, 1, page - 1, page, 2 * page].into_iter().filter(|at| *at < size) {
                for length in [1, size - at, (size - at).div_ceil(2)] {
                    let end = at + length;
                    let behind = if end == size { Behind::End } else { Behind::More };
                    let mapping = Mapping::of_file(&file, at as u64, length, behind).unwrap();
                    mapping.populate(0..length).unwrap();
                    assert!(mapping.bytes() == &all[at..end], "{size} {at} {length}");
                    let wanted = if end == size { 0 } else { all[end] };
                    assert_eq!(byte_behind(&mapping), wanted, "{size} {at} {length}");
                }
            }
        }
    }

    #[test]
    fn a_file_cut_short_is_told_before_it_is_looked_at() {
        let page = rustix::param::page_size();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 3 * page]).unwrap();
        let mapping = Mapping::of_file(&file, 0, 3 * page, Behind::End).unwrap();
        file.set_len(page as u64).unwrap();
        assert_eq!(mapping.populate(0..page), Ok(()));
        assert_eq!(mapping.populate(page..page + 1), Err(Errno::FAULT));
        assert_eq!(mapping.populate(0..3 * page), Err(Errno::FAULT));
        assert_eq!(mapping.bytes()[..page], vec![7; page]);
    }
}
