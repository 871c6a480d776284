//! Where output ends up: standard output, a device, or a file that appears whole or not at all.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::OutputError;
use crate::job::OutputName;

/// An open output.
pub struct Output {
    /// Where to write.
    pub fd: OwnedFd,
    /// What to call it in messages.
    pub name: String,
    /// What is to be done at the end.
    pub ending: Ending,
}

/// What is to be done once all is written.
pub enum Ending {
    /// Nothing but closing it.
    Close,
    /// A file is put in its place.
    Replace(Replacement),
}

/// A file that is to replace another.
pub struct Replacement {
    directory: PathBuf,
    target: PathBuf,
    temporary: Option<PathBuf>,
    name: String,
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.display())
}

/// Follows symbolic links to where the file is or would be.
fn resolve(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..40 {
        let Ok(link) = std::fs::read_link(&path) else { break };
        path = path.parent().map_or(link.clone(), |parent| parent.join(&link));
    }
    path
}

/// Opens the output.
///
/// # Errors
/// [`OutputError::Open`], `EISDIR` for a directory among them.
pub fn open(name: &OutputName) -> Result<Output, OutputError> {
    let path = match name {
        OutputName::Stdout => {
            let fd = rustix::io::dup(rustix::stdio::stdout());
            let name = "standard output".to_owned();
            let failed = |source| OutputError::Open { name: name.clone(), source };
            let fd = fd.map_err(failed)?;
            rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).map_err(failed)?;
            return Ok(Output { fd, name, ending: Ending::Close });
        }
        OutputName::Path(path) => path,
    };
    let failed = |source| OutputError::Open { name: path.display().to_string(), source };
    if ["/dev/fd", "/proc/self/fd"].iter().any(|descriptors| path.starts_with(descriptors)) {
        // What an open descriptor leads to is written to, never replaced.
        let fd = open_device(path).map_err(failed)?;
        return Ok(Output { fd, name: shown(path), ending: Ending::Close });
    }
    if path.as_os_str().is_empty() {
        return Err(failed(Errno::NOENT));
    }
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(failed(Errno::ISDIR));
    }
    let target = resolve(path);
    match rustix::fs::stat(&target) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let may = rustix::fs::access(&target, rustix::fs::Access::WRITE_OK);
                may.map_err(failed)?;
                replacement(path, target, Some(stat)).map_err(failed)
            }
            FileType::Directory => Err(failed(Errno::ISDIR)),
            _ => {
                let fd = open_device(&target).map_err(failed)?;
                Ok(Output { fd, name: shown(path), ending: Ending::Close })
            }
        },
        Err(Errno::NOENT) => replacement(path, target, None).map_err(failed),
        Err(source) => Err(failed(source)),
    }
}

/// Opens a device, or a FIFO once it has a reader.
fn open_device(path: &Path) -> Result<OwnedFd, Errno> {
    loop {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NXIO) => std::thread::sleep(Duration::from_millis(20)),
            other => return other,
        }
    }
}

fn replacement(
    path: &Path,
    target: PathBuf,
    old: Option<rustix::fs::Stat>,
) -> Result<Output, Errno> {
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let umask = rustix::process::umask(Mode::empty());
    rustix::process::umask(umask);
    let mode =
        old.map_or(Mode::from_raw_mode(0o666) & !umask, |old| Mode::from_raw_mode(old.st_mode));
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let owner_only = Mode::RUSR | Mode::WUSR;
    let (fd, temporary) = match rustix::fs::open(&directory, flags, owner_only) {
        Ok(fd) => (fd, None),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
            let temporary = temporary_name(&directory, &target);
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            (rustix::fs::open(&temporary, flags, owner_only)?, Some(temporary))
        }
        Err(source) => return Err(source),
    };
    if let Some(old) = old {
        // Only root can give a file away; for others the new file is simply theirs.
        let owner = rustix::fs::Uid::from_raw(old.st_uid);
        let group = rustix::fs::Gid::from_raw(old.st_gid);
        let _ = rustix::fs::fchown(&fd, Some(owner), Some(group));
    }
    rustix::fs::fchmod(&fd, mode & Mode::from_raw_mode(0o7777))?;
    let name = shown(path);
    let ending = Ending::Replace(Replacement { directory, target, temporary, name: name.clone() });
    Ok(Output { fd, name, ending })
}

fn temporary_name(directory: &Path, target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    name.push(format!(".px-{}-{}", rustix::process::getpid().as_raw_nonzero(), clock.tv_nsec));
    directory.join(name)
}

impl Replacement {
    /// Puts the file, wholly written, in its place: synced, renamed, the directory synced.
    ///
    /// # Errors
    /// [`OutputError::Finish`] with the step that failed; the old file is then untouched, unless
    /// it was the directory's sync.
    pub fn publish(mut self, fd: impl AsFd, written: u64) -> Result<(), OutputError> {
        let name = self.name.clone();
        let step = |step| {
            let name = name.clone();
            move |source| OutputError::Finish { step, name, written, source }
        };
        rustix::fs::fsync(&fd).map_err(step("fsync"))?;
        let temporary = match self.temporary.clone() {
            Some(temporary) => temporary,
            None => {
                let temporary = temporary_name(&self.directory, &self.target);
                let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
                rustix::fs::linkat(CWD, path, CWD, &temporary, AtFlags::SYMLINK_FOLLOW)
                    .map_err(step("link"))?;
                self.temporary = Some(temporary.clone());
                temporary
            }
        };
        rustix::fs::rename(&temporary, &self.target).map_err(step("rename"))?;
        self.temporary = None;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.directory, flags, Mode::empty())
            .map_err(step("open the directory of"))?;
        rustix::fs::fsync(directory).map_err(step("fsync the directory of"))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = rustix::fs::unlink(temporary);
        }
    }
}

/// Whether `fd` is one of the regular files `identities` names by device and inode.
pub fn is_one_of(fd: impl AsFd, identities: &[(u64, u64)]) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && identities.contains(&(stat.st_dev, stat.st_ino))
    })
}

/// Whether the file that `name` will replace is one of those.
pub fn replaces_one_of(name: &OutputName, identities: &[(u64, u64)]) -> bool {
    match name {
        OutputName::Stdout => is_one_of(rustix::stdio::stdout(), identities),
        OutputName::Path(path) => rustix::fs::stat(resolve(path))
            .is_ok_and(|stat| identities.contains(&(stat.st_dev, stat.st_ino))),
    }
}
