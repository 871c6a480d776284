//! The bytes of a chunk that is held: a part of an input file as it lies there, or bytes of its own.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use px_runtime::libpx::wire::Seen;
use px_runtime::sys::mapping::{Behind, Mapping};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::status::{Fault, PX_ERR_INPUT_CHANGED, PX_ERR_PROTOCOL};

/// Up to this length all pages of a chunk are found in one call when it is taken. Beyond it a
/// program would wait long for bytes that it may never look at.
const POPULATED: usize = 4 << 20;

/// What is mapped at once, in bytes, and has many chunks in it: so much that the kernel can use large
/// pages and few calls are needed, and little beside what a process may have of addresses.
const WINDOW: u64 = 64 << 20;
/// Where windows begin, in bytes: where large pages do.
const ALIGNED: u64 = 2 << 20;

/// An input file.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    seen: Seen,
    /// Where the last chunk was found; the next one is likely to be there.
    window: Mutex<Option<Window>>,
}

/// A part of a file that is mapped.
#[derive(Clone, Debug)]
struct Window {
    at: u64,
    mapping: Arc<Mapping>,
}

/// The bytes of a chunk; one byte behind them can be read.
#[derive(Debug)]
pub enum Held {
    /// A part of the input itself: of a mapping these bytes.
    Mapped(Arc<Mapping>, Range<usize>, Arc<File>),
    /// A copy of a part of the input.
    Copied(Own, Arc<File>),
    /// Bytes that came.
    Received(Own),
}

/// Bytes, followed by one that does not count.
#[derive(Debug, Default)]
pub struct Own(Vec<u8>);

impl Own {
    /// Makes room for `bytes` bytes more than there are.
    ///
    /// # Errors
    /// `PX_ERR_MEMORY`.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Fault> {
        let reserved = self.0.try_reserve(bytes.saturating_add(1));
        reserved.map_err(|_| Fault::memory("a chunk", (self.0.len() + bytes) as u64))
    }

    /// Appends `bytes` zeros and returns them to be written over.
    ///
    /// # Errors
    /// `PX_ERR_MEMORY`.
    pub fn grow(&mut self, bytes: usize) -> Result<&mut [u8], Fault> {
        self.reserve(bytes)?;
        let before = self.0.len();
        self.0.resize(before + bytes, 0);
        Ok(&mut self.0[before..])
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// `PX_ERR_MEMORY`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.reserve(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes a chunk of them.
    ///
    /// # Errors
    /// `PX_ERR_MEMORY`.
    pub fn into_held(mut self) -> Result<Held, Fault> {
        self.reserve(0)?;
        self.0.push(0);
        Ok(Held::Received(self))
    }

    fn bytes(&self) -> &[u8] {
        &self.0[..self.0.len().saturating_sub(1)]
    }
}

impl Held {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Held::Mapped(mapping, part, _) => &mapping.bytes()[part.clone()],
            Held::Copied(own, _) | Held::Received(own) => own.bytes(),
        }
    }

    /// Compares the file that the bytes are from with what it was when the job began.
    ///
    /// # Errors
    /// `PX_ERR_INPUT_CHANGED`.
    pub fn check(&self) -> Result<(), Fault> {
        match self {
            Held::Mapped(_, _, file) | Held::Copied(_, file) => file.check(),
            Held::Received(_) => Ok(()),
        }
    }
}

impl File {
    /// Takes an open file that was as `seen` says when the job began.
    pub fn new(fd: OwnedFd, seen: Seen) -> File {
        File { fd, seen, window: Mutex::new(None) }
    }

    /// Shows a part of the file where it lies.
    ///
    /// # Errors
    /// `PX_ERR_INPUT_CHANGED` where the file has no such part any more, `PX_ERR_SYSTEM`,
    /// `PX_ERR_MEMORY`.
    pub fn map(self: &Arc<Self>, at: u64, length: u64) -> Result<Held, Fault> {
        let bytes = self.bounded(at, length)?;
        if bytes == 0 {
            return Own::default().into_held();
        }
        let (mapping, from) = match self.window_with(at, length) {
            // Some file systems have files that can be read and not mapped.
            Err(Errno::NODEV) => return self.copy(at, length),
            Err(Errno::NOMEM) => return Err(Fault::memory("a mapping", length)),
            found => found.map_err(|e| Fault::system("map a part of the input", e))?,
        };
        let part = from..from + bytes;
        if bytes <= POPULATED && mapping.populate(part.clone()).is_err() {
            // It was cut short, or its disk fails: reading tells which.
            self.copy(at, length)?;
        }
        Ok(Held::Mapped(mapping, part, Arc::clone(self)))
    }

    /// Finds or makes a mapping of so many bytes from `at` on, with one that can be read behind them;
    /// says where in it they begin.
    fn window_with(&self, at: u64, length: u64) -> Result<(Arc<Mapping>, usize), Errno> {
        let exactly = |behind| {
            let bytes = usize::try_from(length).map_err(|_| Errno::NOMEM)?;
            Ok((Arc::new(Mapping::of_file(&self.fd, at, bytes, behind)?), 0))
        };
        let Some((from, to)) = window(at, length, self.seen.size) else {
            return exactly(Behind::End);
        };
        let mut last = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match last.take().filter(|window| window.has(at, length)) {
            Some(window) => window,
            None => {
                let bytes = usize::try_from(to - from).map_err(|_| Errno::NOMEM)?;
                match Mapping::of_file(&self.fd, from, bytes, Behind::More) {
                    // Where memory is limited to less.
                    Err(Errno::NOMEM | Errno::AGAIN) => return exactly(Behind::More),
                    mapping => Window { at: from, mapping: Arc::new(mapping?) },
                }
            }
        };
        *last = Some(found.clone());
        let begins = usize::try_from(at - found.at).map_err(|_| Errno::NOMEM)?;
        Ok((found.mapping, begins))
    }

    /// Copies a part of the file.
    ///
    /// # Errors
    /// As those of [`map`](Self::map).
    pub fn copy(self: &Arc<Self>, at: u64, length: u64) -> Result<Held, Fault> {
        let bytes = self.bounded(at, length)?;
        let mut own = Own::default();
        let mut room = own.grow(bytes)?;
        let mut from = at;
        while !room.is_empty() {
            match rustix::io::pread(&self.fd, &mut *room, from) {
                Err(Errno::INTR) => {}
                Ok(0) => {
                    self.check()?;
                    let text = format!("the input has no byte {from} any more");
                    return Err(Fault::new(PX_ERR_INPUT_CHANGED, text));
                }
                Ok(read) => {
                    room = &mut room[read..];
                    from += read as u64;
                }
                Err(e) => return Err(Fault::system(&format!("read the input at byte {from}"), e)),
            }
        }
        own.0.push(0);
        Ok(Held::Copied(own, Arc::clone(self)))
    }

    /// Checks that the file had such a part.
    fn bounded(&self, at: u64, length: u64) -> Result<usize, Fault> {
        let end = at.checked_add(length).filter(|end| *end <= self.seen.size);
        let bytes = end.and_then(|_| usize::try_from(length).ok());
        bytes.ok_or_else(|| {
            let size = self.seen.size;
            Fault::new(
                PX_ERR_PROTOCOL,
                format!("a chunk of {length} bytes at byte {at} of a file of {size} bytes"),
            )
        })
    }

    /// Compares size and times with those at the start; what was added behind the end is no change.
    fn check(&self) -> Result<(), Fault> {
        let now = rustix::fs::fstat(&self.fd).map_err(|e| Fault::system("look at the input", e))?;
        if FileType::from_raw_mode(now.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let (was, now) = (self.seen, seen(&now));
        let how = if now.size < was.size {
            format!("it had {} bytes, now {}", was.size, now.size)
        } else if now.size == was.size && now != was {
            format!("same size ({} bytes), other times", was.size)
        } else {
            return Ok(());
        };
        let text = format!("the input changed while it was read: {how}");
        Err(Fault::new(PX_ERR_INPUT_CHANGED, text))
    }
}

impl Window {
    /// Whether these bytes are in it, and the one behind them.
    fn has(&self, at: u64, length: u64) -> bool {
        self.at <= at && at + length < self.at + self.mapping.bytes().len() as u64
    }
}

/// From where to where in a file of `size` bytes to map for a chunk; `None` where it is the last one
/// and has no byte of the file behind it.
fn window(at: u64, length: u64, size: u64) -> Option<(u64, u64)> {
    let from = at / ALIGNED * ALIGNED;
    let to = from.saturating_add(WINDOW).max((at + length).saturating_add(1));
    (at + length < size).then_some((from, to.min(size)))
}

/// What of a file tells that it is as it was.
pub fn seen(stat: &Stat) -> Seen {
    let nanoseconds = |n| i64::try_from(n).unwrap_or(0);
    Seen {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
        changed: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> (std::fs::File, Arc<File>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let fd = OwnedFd::from(file.try_clone().unwrap());
        let seen = seen(&rustix::fs::fstat(&fd).unwrap());
        (file, Arc::new(File::new(fd, seen)))
    }

    #[test]
    fn a_part_is_the_same_mapped_and_copied() {
        let (_, file) = file(b"one\ntwo\nthree");
        for (at, length) in [(0, 13), (4, 4), (12, 1), (5, 0)] {
            let wanted = &b"one\ntwo\nthree"[at as usize..(at + length) as usize];
            assert_eq!(file.map(at, length).unwrap().bytes(), wanted);
            assert_eq!(file.copy(at, length).unwrap().bytes(), wanted);
        }
    }

    #[test]
    fn parts_that_lie_close_to_each_other_share_a_mapping() {
        let bytes: Vec<u8> = (0..3 * ALIGNED + 5).map(|n| (n / 11) as u8).collect();
        let (_, file) = file(&bytes);
        let mut mappings = Vec::new();
        for (at, length) in [(ALIGNED + 1, 9), (2 * ALIGNED, ALIGNED + 4), (7, 1), (3 * ALIGNED, 5)]
        {
            let held = file.map(at, length).unwrap();
            assert!(held.bytes() == &bytes[at as usize..(at + length) as usize]);
            let Held::Mapped(mapping, ..) = held else { panic!("no mapping: {held:?}") };
            mappings.push(mapping);
        }
        assert!(Arc::ptr_eq(&mappings[0], &mappings[1]));
        // What lies in front of it, and what the file ends with.
        assert!(!Arc::ptr_eq(&mappings[1], &mappings[2]));
        assert!(!Arc::ptr_eq(&mappings[2], &mappings[3]));
    }

    #[test]
    fn a_window_has_a_byte_behind_its_chunk() {
        assert_eq!(window(0, 10, 11), Some((0, 11)));
        assert_eq!(window(0, 11, 11), None);
        let size = 10 * WINDOW;
        assert_eq!(window(ALIGNED - 1, 1, size), Some((0, WINDOW)));
        assert_eq!(window(ALIGNED, WINDOW, size), Some((ALIGNED, ALIGNED + WINDOW + 1)));
        assert_eq!(window(size - 2, 1, size), Some((size - ALIGNED, size)));
        assert_eq!(
            window(u64::MAX - 2, 1, u64::MAX),
            Some(((u64::MAX - 2) / ALIGNED * ALIGNED, u64::MAX))
        );
    }

    #[test]
    fn a_part_that_the_file_never_had_is_refused() {
        let (_, file) = file(b"one\n");
        for (at, length) in [(0, 5), (4, 1), (u64::MAX, 2), (2, u64::MAX)] {
            assert_eq!(file.map(at, length).unwrap_err().status, PX_ERR_PROTOCOL);
        }
    }

    #[test]
    fn a_file_that_was_cut_short_or_written_to_has_changed() {
        let (mut others, file) = file(b"one\ntwo\n");
        let held = file.map(0, 8).unwrap();
        held.check().unwrap();
        others.write_all(b"three\n").unwrap();
        held.check().unwrap();
        others.set_len(4).unwrap();
        let fault = held.check().unwrap_err();
        assert_eq!(fault.status, PX_ERR_INPUT_CHANGED);
        assert!(fault.text.ends_with("it had 8 bytes, now 4"), "{}", fault.text);
        assert_eq!(file.copy(0, 8).unwrap_err().status, PX_ERR_INPUT_CHANGED);
        others.set_len(0).unwrap();
        assert_eq!(file.map(0, 8).unwrap_err().status, PX_ERR_INPUT_CHANGED);
        others.set_len(8).unwrap();
        others.set_modified(std::time::UNIX_EPOCH).unwrap();
        let fault = held.check().unwrap_err();
        assert!(fault.text.ends_with("same size (8 bytes), other times"), "{}", fault.text);
    }
}
