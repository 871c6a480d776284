//! A directory of a test's own.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

/// A directory that goes with the test; every user may write in it, since some copies run as
/// another user than the test.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// Makes one.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("px-test-").tempdir().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).expect("chmod");
        Scratch(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a name in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        let mut file = File::create(&path).expect("a file");
        file.write_all(bytes.as_ref()).expect("write");
        path
    }

    /// Makes a program of a script's or a binary's bytes, and returns its path.
    ///
    /// Another process writes it: what this one holds open for writing a fork of another test might
    /// hold a moment longer, and then it could not be executed.
    pub fn program(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        let mut writer = Command::new("install")
            .args(["-m", "755", "/dev/stdin"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("install");
        writer.stdin.take().expect("a pipe").write_all(bytes.as_ref()).expect("write");
        assert!(writer.wait().expect("a child").success(), "install {}", path.display());
        path
    }

    /// Makes a directory in it and returns its path.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("chmod");
        path
    }

    /// Makes a sparse file of `size` bytes and returns its path.
    pub fn sparse(&self, name: &str, size: u64) -> PathBuf {
        let path = self.at(name);
        File::create(&path).expect("a file").set_len(size).expect("a sparse file");
        path
    }

    /// Makes a FIFO and returns its path.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.at(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a FIFO");
        path
    }

    /// Reads a file of it.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Tells whether a name exists in it.
    pub fn has(&self, name: &str) -> bool {
        self.at(name).symlink_metadata().is_ok()
    }

    /// The sorted names in one of its directories (`.` is itself).
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(directory)).expect("a directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What copies of `px-zoo keep` stored in a directory, by rank or chunk number.
    pub fn kept(&self, directory: &str) -> Vec<Vec<u8>> {
        let mut numbers: Vec<u64> =
            self.names(directory).iter().map(|name| name.parse().expect("a number")).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().zip(0..).all(|(&a, b)| a == b), "numbers with gaps: {numbers:?}");
        numbers.iter().map(|n| fs::read(self.at(directory).join(n.to_string())).unwrap()).collect()
    }
}
