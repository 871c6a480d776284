//! A directory of this user alone, on a file system that may be shared with other hosts.
//!
//! A file in it is written under another name and then linked to its own: nobody reads half of it,
//! and none that is there is written over.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::DirectoryError;

/// A directory, open.
pub(super) struct Private {
    path: PathBuf,
    directory: OwnedFd,
}

impl Private {
    /// Opens `name` in `base`; both are made where they are missing.
    pub fn open(base: &Path, name: &str) -> Result<Self, DirectoryError> {
        let path = base.join(name);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(base).map_err(|error| {
            let source = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            DirectoryError::Io { what: "make the directory", path: base.to_owned(), source }
        })?;
        let cannot = |what| {
            let path = path.clone();
            move |source| DirectoryError::Io { what, path, source }
        };
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(source) => return Err(cannot("make the directory")(source)),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty());
        let directory = directory.map_err(cannot("open the directory"))?;
        let stat = rustix::fs::fstat(&directory).map_err(cannot("look at the directory"))?;
        must_be_own(&path, stat.st_uid)?;
        if stat.st_mode & 0o077 != 0 {
            return Err(DirectoryError::Open { path, found: stat.st_mode & 0o7777 });
        }
        Ok(Private { path, directory })
    }

    /// Makes a file.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), DirectoryError> {
        let hidden = format!(".{name}-{}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, &hidden, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|source| self.cannot("make", &hidden, source))?;
        let written = write_all(&file, bytes)
            // Over NFS only this tells whether the bytes have arrived.
            .and_then(|()| rustix::fs::fsync(&file))
            .and_then(|()| self.link(&file, &hidden, name));
        let _ = rustix::fs::unlinkat(&self.directory, &hidden, AtFlags::empty());
        written.map_err(|error| match error {
            Errno::EXIST => {
                DirectoryError::InUse { path: self.path.clone(), name: name.to_owned() }
            }
            source => self.cannot("write", name, source),
        })
    }

    fn link(&self, file: &OwnedFd, hidden: &str, name: &str) -> Result<(), Errno> {
        let at = &self.directory;
        match rustix::fs::linkat(at, hidden, at, name, AtFlags::empty()) {
            // So says an NFS server of its own link, if its first answer was lost.
            Err(Errno::EXIST) if rustix::fs::fstat(file)?.st_nlink == 2 => Ok(()),
            other => other,
        }
    }

    /// Reads at most `most` bytes of a file of this user; `None` where there is none.
    pub fn read(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, DirectoryError> {
        // A FIFO without a writer would be waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::STALE) => return Ok(None),
            Err(source) => return Err(self.cannot("open", name, source)),
        };
        let stat = rustix::fs::fstat(&file);
        let stat = stat.map_err(|source| self.cannot("look at", name, source))?;
        must_be_own(&self.path.join(name), stat.st_uid)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(DirectoryError::NoFile(self.path.join(name)));
        }
        let mut bytes = vec![0; most];
        let length = fill(&file, &mut bytes);
        bytes.truncate(length.map_err(|source| self.cannot("read", name, source))?);
        Ok(Some(bytes))
    }

    /// Tells the names of all files, anew each time.
    pub fn list(&self, mut tell: impl FnMut(&str)) -> Result<(), DirectoryError> {
        for entry in Dir::read_from(&self.directory).map_err(|error| self.lost(error))? {
            let entry = entry.map_err(|error| self.lost(error))?;
            if let Ok(name) = entry.file_name().to_str() {
                tell(name);
            }
        }
        Ok(())
    }

    /// Changes the directory by a file `name`, and changes it back.
    ///
    /// An NFS client may list a directory as it was half a minute ago; after a change of its own it
    /// asks the server.
    pub fn stir(&self, name: &str) -> Result<(), DirectoryError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)
            .and_then(|_| rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()))
            .map_err(|error| self.lost(error))
    }

    /// Removes the files that `which` chooses, then the directory if nothing else is in it.
    pub fn remove(&self, which: impl Fn(&str) -> bool) {
        // Others may make a file while this one removes: there are a few tries.
        for _ in 0..3 {
            let mut names = Vec::new();
            let listed = self.list(|name| {
                if which(name) {
                    names.push(name.to_owned());
                }
            });
            for name in names {
                let _ = rustix::fs::unlinkat(&self.directory, &name, AtFlags::empty());
            }
            if listed.is_err() || rustix::fs::rmdir(&self.path) != Err(Errno::NOTEMPTY) {
                return;
            }
        }
    }

    fn cannot(&self, what: &'static str, name: &str, source: Errno) -> DirectoryError {
        DirectoryError::Io { what, path: self.path.join(name), source }
    }

    /// What an error while waiting means.
    fn lost(&self, error: Errno) -> DirectoryError {
        match error {
            Errno::NOENT | Errno::STALE => DirectoryError::Gone(self.path.clone()),
            source => DirectoryError::Io { what: "list", path: self.path.clone(), source },
        }
    }
}

fn must_be_own(path: &Path, found: u32) -> Result<(), DirectoryError> {
    let wanted = rustix::process::geteuid().as_raw();
    if found == wanted {
        return Ok(());
    }
    Err(DirectoryError::OtherOwner { path: path.to_owned(), wanted, found })
}

fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn fill(file: impl AsFd, bytes: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::read(&file, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::INTR) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(filled)
}
