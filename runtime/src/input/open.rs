//! Opening the inputs and telling what each of them is.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::InputError;
use super::files::{FileInput, InputFile};
use super::reader::{Manner, Stream, StreamReader};
use crate::records::Records;

/// Where input comes from, as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputName {
    /// Standard input.
    Stdin,
    /// A file.
    Path(PathBuf),
}

/// Open input.
pub enum Input {
    /// Its length is known and any part of it can be read at any time.
    Files(FileInput),
    /// It comes as it comes.
    Stream(StreamReader),
}

/// Device and inode of each input that is a regular file, to tell when output would hit one.
pub type Identities = Vec<(u64, u64)>;

struct Opened {
    name: String,
    fd: OwnedFd,
    stat: Stat,
    stdin: bool,
}

impl Opened {
    fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Whether its length is known: not for pipes and devices, nor for what the kernel makes up
    /// while it is read.
    fn has_length(&self) -> bool {
        match self.file_type() {
            FileType::BlockDevice => true,
            FileType::CharacterDevice => {
                rustix::fs::major(self.stat.st_rdev) == 1
                    && rustix::fs::minor(self.stat.st_rdev) == 3
            }
            FileType::RegularFile => {
                const MADE_UP: [i64; 6] = [
                    0x9fa0,
                    0x6265_6572,
                    0x2727_56f0_u32 as i64,
                    0x6367_7270,
                    0x27e0eb,
                    0x7461_6d65,
                ];
                let kind = rustix::fs::fstatfs(&self.fd).map_or(0, |fs| fs.f_type);
                if MADE_UP.contains(&kind) {
                    return false;
                }
                let at = rustix::fs::tell(&self.fd).unwrap_or(0);
                self.stat.st_size > 0
                    || rustix::io::pread(&self.fd, &mut [0u8; 1], at).is_ok_and(|n| n == 0)
            }
            _ => false,
        }
    }
}

fn open(name: &InputName) -> Result<Opened, InputError> {
    let (shown, fd) = match name {
        InputName::Stdin => {
            let fd = crate::sys::fd::stdin().try_clone_to_owned();
            (
                "standard input".to_owned(),
                fd.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)),
            )
        }
        InputName::Path(path) => {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            (path.display().to_string(), rustix::fs::open(path, flags, Mode::empty()))
        }
    };
    let failed = |source| InputError::Open { name: shown.clone(), source };
    let fd = fd.map_err(failed)?;
    let stat = rustix::fs::fstat(&fd).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(InputError::Directory { name: shown });
    }
    Ok(Opened { name: shown, fd, stat, stdin: *name == InputName::Stdin })
}

/// Opens `names` as one sequence of records.
///
/// # Errors
/// Those of opening, of reading headers and last bytes.
pub fn open_all(
    names: &[InputName],
    records: Records,
    header_records: u64,
) -> Result<(Input, Identities), InputError> {
    let opened = names.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let identities = opened
        .iter()
        .filter(|o| o.file_type() == FileType::RegularFile)
        .map(|o| (o.stat.st_dev, o.stat.st_ino))
        .collect();
    if opened.iter().all(Opened::has_length) {
        let stdin = opened.iter().rposition(|o| o.stdin);
        let files = opened
            .into_iter()
            .map(|o| {
                let start = if o.stdin { rustix::fs::tell(&o.fd).unwrap_or(0) } else { 0 };
                InputFile::new(o.name, o.fd, start, o.stat)
            })
            .collect::<Result<Vec<_>, _>>()?;
        return Ok((
            Input::Files(FileInput::new(files, stdin, records, header_records)?),
            identities,
        ));
    }
    let streams = opened.into_iter().map(stream).collect();
    Ok((Input::Stream(StreamReader::new(streams)), identities))
}

fn stream(opened: Opened) -> Stream {
    let waits = !matches!(opened.file_type(), FileType::RegularFile | FileType::BlockDevice);
    let ready = opened.stdin || opened.file_type() != FileType::Fifo;
    let file = if opened.file_type() == FileType::RegularFile && opened.has_length() {
        let own = opened.fd.try_clone().ok();
        own.and_then(|own| InputFile::new(opened.name.clone(), own, 0, opened.stat).ok())
    } else {
        None
    };
    let Opened { name, fd, stdin, .. } = opened;
    if !stdin || !waits {
        return Stream { name, fd, manner: Manner::NonBlocking, ready, waits, file };
    }
    // Others share standard input's description, so its flags stay as they are.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(own) => Stream { name, fd: own, manner: Manner::NonBlocking, ready, waits, file },
        Err(_) if rustix::net::sockopt::socket_type(fd.as_fd()).is_ok() => {
            Stream { name, fd, manner: Manner::Socket, ready, waits, file }
        }
        Err(_) => Stream { name, fd, manner: Manner::AskFirst, ready, waits, file },
    }
}
