//! Input of known length: regular files and block devices, read where they lie.
//!
//! Nothing is mapped into memory: borders are looked at with `pread` and copies are fed with
//! `splice`, so a file that is cut short meanwhile is an error and never a SIGBUS.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::InputError;
use super::layout::{Layout, Origin, Segment};
use crate::libpx::wire::Seen;
use crate::records::{Records, end_of_nth};

/// The longest header, in bytes: it is held in memory and given to every copy.
pub const HEADER_LIMIT: usize = 16 << 20;

/// An open input of known length.
pub struct InputFile {
    pub(super) name: String,
    pub(super) fd: OwnedFd,
    start: u64,
    end: u64,
    seen: Stat,
}

impl InputFile {
    /// Takes an open file whose bytes count from `start` to its end.
    pub(super) fn new(
        name: String,
        fd: OwnedFd,
        start: u64,
        seen: Stat,
    ) -> Result<Self, InputError> {
        let end = match FileType::from_raw_mode(seen.st_mode) {
            FileType::BlockDevice => rustix::fs::seek(&fd, SeekFrom::End(0))
                .map_err(|source| InputError::Read { name: name.clone(), offset: 0, source })?,
            FileType::RegularFile => u64::try_from(seen.st_size).unwrap_or(0),
            _ => 0,
        };
        Ok(InputFile { name, fd, start: start.min(end), end, seen })
    }

    fn read_at(&self, buffer: &mut Vec<u8>, offset: u64, want: usize) -> Result<(), InputError> {
        buffer.clear();
        self.append_at(buffer, offset, want)
    }

    /// Appends at least one byte at `offset`, at most `want`.
    fn append_at(&self, buffer: &mut Vec<u8>, offset: u64, want: usize) -> Result<(), InputError> {
        let before = buffer.len();
        buffer.reserve(want);
        // Not into all the room that there may be: what is not wanted would be copied for nothing.
        let exact = buffer.capacity() - before <= want + want / 8;
        let got = loop {
            let read = if exact {
                rustix::io::pread(&self.fd, rustix::buffer::spare_capacity(buffer), offset)
            } else {
                buffer.resize(before + want, 0);
                rustix::io::pread(&self.fd, &mut buffer[before..], offset)
            };
            match read {
                Err(Errno::INTR) => {}
                Err(source) => {
                    buffer.truncate(before);
                    return Err(InputError::Read { name: self.name.clone(), offset, source });
                }
                Ok(got) => break got,
            }
        };
        buffer.truncate(before + got.min(want));
        if got == 0 {
            self.check()?;
            return Err(InputError::Shrunk { name: self.name.clone(), was: self.end, now: offset });
        }
        Ok(())
    }

    /// Compares size and times with those at the start; says whether the file has grown.
    pub(super) fn check(&self) -> Result<Option<Grown>, InputError> {
        if FileType::from_raw_mode(self.seen.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let name = || self.name.clone();
        let now = rustix::fs::fstat(&self.fd).map_err(|source| InputError::Read {
            name: name(),
            offset: 0,
            source,
        })?;
        let size = u64::try_from(now.st_size).unwrap_or(0);
        if size < self.end {
            return Err(InputError::Shrunk { name: name(), was: self.end, now: size });
        }
        if now.st_size > self.seen.st_size {
            return Ok(Some(Grown { name: name(), was: self.end, now: size }));
        }
        let times =
            |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
        if times(&now) != times(&self.seen) {
            return Err(InputError::Rewritten { name: name(), size });
        }
        Ok(None)
    }
}

/// What tells two files apart without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Its size in bytes.
    pub size: u64,
    /// When its contents last changed, in nanoseconds since the epoch.
    changed: i64,
}

/// A file that has become longer since the start; what was added is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The file.
    pub name: String,
    /// Its length at the start, in bytes.
    pub was: u64,
    /// Its length now.
    pub now: u64,
}

/// All input files of a job as one run of bytes.
pub struct FileInput {
    files: Vec<InputFile>,
    layout: Layout,
    header: Vec<u8>,
    stdin: Option<usize>,
}

impl FileInput {
    /// Lays the files one behind the other: headers taken out, missing delimiters added.
    pub(super) fn new(
        files: Vec<InputFile>,
        stdin: Option<usize>,
        records: Records,
        header_records: u64,
    ) -> Result<Self, InputError> {
        let mut layout = Layout::default();
        let mut header = Vec::new();
        let last = files.len().saturating_sub(1);
        for (number, file) in files.iter().enumerate() {
            let mut start = file.start;
            if header_records > 0 {
                let own = read_header(file, records, header_records)?;
                start += own.taken;
                if number == 0 {
                    header = own.bytes;
                } else if own.bytes != header {
                    return Err(InputError::OtherHeader {
                        name: file.name.clone(),
                        first: files[0].name.clone(),
                        records: header_records,
                    });
                }
            }
            layout.push_file(number, start, file.end - start);
            if let Records::Delimited(delimiter) = records
                && number < last
                && start < file.end
            {
                let mut end = Vec::new();
                file.read_at(&mut end, file.end - 1, 1)?;
                if end != [delimiter] {
                    layout.push_delimiter();
                }
            }
        }
        Ok(FileInput { files, layout, header, stdin })
    }

    /// The logical input.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The header's records, to be put before every copy's input.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The descriptor, offset and length of what the byte at `offset` begins, up to `end`.
    ///
    /// `None` stands for an added delimiter, one byte long.
    pub fn locate(&self, offset: u64, end: u64) -> Option<(Option<(&OwnedFd, u64)>, u64)> {
        let part = self.layout.parts(offset..end).next()?;
        Some(match part.origin {
            Origin::File { file, offset } => (Some((&self.files[file].fd, offset)), part.len),
            Origin::Delimiter => (None, part.len),
        })
    }

    /// Reads up to `want` logical bytes at `offset` into `buffer`: at least one, none behind the
    /// end of the file that the first of them lies in.
    ///
    /// # Errors
    /// [`InputError::Read`], [`InputError::Shrunk`], [`InputError::Rewritten`].
    pub fn read(
        &self,
        buffer: &mut Vec<u8>,
        offset: u64,
        want: usize,
        records: Records,
    ) -> Result<(), InputError> {
        buffer.clear();
        self.append(buffer, offset, want, records)
    }

    /// Appends up to `want` logical bytes at `offset` to `out`, as [`FileInput::read`] does.
    ///
    /// # Errors
    /// As [`FileInput::read`].
    pub fn append(
        &self,
        out: &mut Vec<u8>,
        offset: u64,
        want: usize,
        records: Records,
    ) -> Result<(), InputError> {
        let end = offset.saturating_add(want as u64).min(self.layout.length());
        let Some(part) = self.layout.parts(offset..end).next() else { return Ok(()) };
        match part.origin {
            Origin::File { file, offset } => {
                let want = usize::try_from(part.len).unwrap_or(want);
                self.files[file].append_at(out, offset, want)
            }
            Origin::Delimiter => {
                out.extend(records.delimiter());
                Ok(())
            }
        }
    }

    /// What each file was at the start.
    pub fn seen(&self) -> Vec<FileSeen> {
        let seen = |file: &InputFile| FileSeen {
            size: file.end,
            changed: file
                .seen
                .st_mtime
                .wrapping_mul(1_000_000_000)
                .wrapping_add(i64::try_from(file.seen.st_mtime_nsec).unwrap_or(0)),
        };
        self.files.iter().map(seen).collect()
    }

    /// The file that all of `range` lies in, and where in it the range begins.
    pub fn place(&self, range: std::ops::Range<u64>) -> Option<(usize, u64)> {
        let length = range.end - range.start;
        match self.layout.parts(range).next()? {
            Segment { len, origin: Origin::File { file, offset }, .. } if len == length => {
                Some((file, offset))
            }
            _ => None,
        }
    }

    /// What the file with this number was when it was opened.
    pub fn seen_of(&self, number: usize) -> Seen {
        let Some(file) = self.files.get(number) else { return Seen::default() };
        let nanos = |nanos| i64::try_from(nanos).unwrap_or(0);
        Seen {
            size: file.end,
            modified: (file.seen.st_mtime, nanos(file.seen.st_mtime_nsec)),
            changed: (file.seen.st_ctime, nanos(file.seen.st_ctime_nsec)),
        }
    }

    /// The open file with this number.
    pub fn descriptor(&self, number: usize) -> Option<BorrowedFd<'_>> {
        self.files.get(number).map(|file| file.fd.as_fd())
    }

    /// What the file with this number is called in messages.
    pub fn name(&self, number: usize) -> &str {
        self.files.get(number).map_or("", |file| &file.name)
    }

    /// Where the file with this number lies, as another process could open it.
    pub fn path(&self, number: usize) -> Option<PathBuf> {
        let file = self.files.get(number)?;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.fd.as_raw_fd())).ok()?;
        let there = rustix::fs::stat(&path).ok()?;
        let same = (there.st_dev, there.st_ino) == (file.seen.st_dev, file.seen.st_ino);
        same.then_some(path)
    }

    /// Opens files that lie as `layout` says, for another process than the one that laid them out.
    ///
    /// # Errors
    /// That one cannot be opened, is a directory, or is shorter than the layout needs.
    pub fn again<'a>(
        files: impl Iterator<Item = (&'a Path, &'a FileSeen)>,
        layout: Layout,
    ) -> Result<FileInput, InputError> {
        let open = |(path, _): (&Path, &FileSeen)| {
            let name = path.display().to_string();
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let failed = |source| InputError::Open { name: name.clone(), source };
            let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
            let seen = rustix::fs::fstat(&fd).map_err(failed)?;
            if FileType::from_raw_mode(seen.st_mode) == FileType::Directory {
                return Err(InputError::Directory { name });
            }
            InputFile::new(name, fd, 0, seen)
        };
        let files = files.map(open).collect::<Result<Vec<_>, _>>()?;
        let fits = layout.fits(|file| files.get(file).map(|file| file.end));
        if let Err(file) = fits {
            let (name, now) =
                files.get(file).map_or((String::new(), 0), |f| (f.name.clone(), f.end));
            return Err(InputError::Shrunk { name, was: layout.length(), now });
        }
        Ok(FileInput { files, layout, header: Vec::new(), stdin: None })
    }

    /// Reads `length` bytes of one file, all of which it has.
    ///
    /// # Errors
    /// [`InputError::Read`], [`InputError::Shrunk`].
    pub fn window(&self, file: usize, offset: u64, length: usize) -> Result<Vec<u8>, InputError> {
        let Some(file) = self.files.get(file) else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        let mut part = Vec::new();
        while bytes.len() < length {
            file.read_at(&mut part, offset + bytes.len() as u64, length - bytes.len())?;
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    /// Explains why a `splice` at `offset` gave nothing or failed.
    pub fn explain(&self, offset: u64, source: Option<Errno>) -> InputError {
        let part = self.layout.parts(offset..offset + 1).next();
        let (file, offset) = match part.map(|p| p.origin) {
            Some(Origin::File { file, offset }) => (&self.files[file], offset),
            _ => (&self.files[0], offset),
        };
        let name = file.name.clone();
        match (source, file.check()) {
            (_, Err(changed)) => changed,
            (Some(source), Ok(_)) => InputError::Read { name, offset, source },
            (None, Ok(_)) => InputError::Shrunk { name, was: file.end, now: offset },
        }
    }

    /// Compares the files that `range` lies in with what they were at the start.
    ///
    /// # Errors
    /// [`InputError::Shrunk`], or [`InputError::Rewritten`] for the same size with other times.
    pub fn check(&self, range: std::ops::Range<u64>) -> Result<Option<Grown>, InputError> {
        let mut grown = None;
        for part in self.layout.parts(range) {
            if let Origin::File { file, .. } = part.origin {
                grown = self.files[file].check()?.or(grown);
            }
        }
        Ok(grown)
    }

    /// Leaves a regular file on standard input at its end, as if it had been read.
    pub fn leave_stdin_at_its_end(&self) {
        if let Some(number) = self.stdin {
            let file = &self.files[number];
            let _ = rustix::fs::seek(&file.fd, SeekFrom::Start(file.end));
        }
    }
}

struct Header {
    bytes: Vec<u8>,
    taken: u64,
}

fn read_header(file: &InputFile, records: Records, count: u64) -> Result<Header, InputError> {
    let too_long = || InputError::HeaderTooLong { name: file.name.clone(), records: count };
    let mut bytes = Vec::new();
    let mut window = Vec::new();
    let mut found = 0;
    loop {
        let at = file.start + bytes.len() as u64;
        let left = file.end - at;
        let wanted = match records {
            Records::Fixed(width) => width.get().saturating_mul(count) - bytes.len() as u64,
            Records::Delimited(_) if found == count => 0,
            Records::Delimited(_) => left,
        };
        if wanted == 0 || left == 0 {
            break;
        }
        if bytes.len() > HEADER_LIMIT {
            return Err(too_long());
        }
        let want = usize::try_from(wanted.min(left)).unwrap_or(usize::MAX).min(64 << 10);
        file.read_at(&mut window, at, want)?;
        let Records::Delimited(delimiter) = records else {
            bytes.extend_from_slice(&window);
            continue;
        };
        match end_of_nth(&window, delimiter, count - found) {
            Ok(end) => {
                bytes.extend_from_slice(&window[..end]);
                found = count;
            }
            Err(more) => {
                bytes.extend_from_slice(&window);
                found += more;
            }
        }
    }
    let taken = bytes.len() as u64;
    if let Records::Delimited(delimiter) = records
        && bytes.last().is_some_and(|&last| last != delimiter)
    {
        bytes.push(delimiter);
    }
    Ok(Header { bytes, taken })
}
