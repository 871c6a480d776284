//! The binary that a host without pxrun is given: this very one, or a static build beside it.
//!
//! It is held open, so what is sent is what was hashed also when the file is replaced meanwhile,
//! say by an update in mid-job.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ring::digest::{Context, SHA256};

use super::identity::{HEADER_BYTES, Hash, Identity, Machine};

/// Works also for a file that was replaced or removed, or that never had a name.
const RUNNING: &str = "/proc/self/exe";

/// An open binary and its identity.
#[derive(Debug)]
pub struct Own {
    file: File,
    identity: Identity,
}

/// Why there is no binary to push, or none of the right content.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// It cannot be opened.
    #[error("cannot open `{RUNNING}`: {0}")]
    Open(#[source] io::Error),
    /// It cannot be read.
    #[error("cannot read `{RUNNING}`: {0}")]
    Read(#[source] io::Error),
    /// Its first bytes are not those of a binary.
    #[error("`{RUNNING}` is not an ELF file")]
    Foreign,
    /// Its content is another.
    #[error("the binary's hash must be `{wanted}`, found `{found}`")]
    Other {
        /// What it ought to be.
        wanted: String,
        /// What it is.
        found: Hash,
    },
}

impl Own {
    /// Opens and hashes the binary to push.
    ///
    /// # Errors
    /// That the running binary cannot be read.
    ///
    /// # Cost
    /// One read of the file, at the speed of SHA-256; one process where a static build is beside.
    pub fn open() -> Result<Self, OwnError> {
        if let Some(file) = static_build() {
            // One that cannot be read is no reason to fail: the running one can.
            if let Ok(own) = Own::of(file) {
                return Ok(own);
            }
        }
        Own::of(File::open(RUNNING).map_err(OwnError::Open)?)
    }

    /// Takes any open file for the binary.
    ///
    /// # Errors
    /// That it cannot be read, or is no binary.
    pub fn of(file: File) -> Result<Self, OwnError> {
        let identity = identify(&file)?;
        Ok(Own { file, identity })
    }

    /// What it is told apart by.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where its bytes are read; several pushes at once read it by position.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Checks that this process runs a binary of that content: 64 hexadecimal digits.
///
/// # Errors
/// That it does not, or that it cannot be known.
pub fn check_agent(hash: &OsStr) -> Result<(), OwnError> {
    let own = Own::of(File::open(RUNNING).map_err(OwnError::Open)?)?;
    let found = own.identity.hash;
    if hash.as_encoded_bytes() == found.to_string().as_bytes() {
        return Ok(());
    }
    Err(OwnError::Other { wanted: hash.to_string_lossy().into_owned(), found })
}

fn identify(mut file: &File) -> Result<Identity, OwnError> {
    let mut context = Context::new(&SHA256);
    let mut header = Vec::new();
    let mut size = 0;
    let mut piece = vec![0; 256 << 10];
    loop {
        let count = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(OwnError::Read(error)),
        };
        let missing = HEADER_BYTES.saturating_sub(header.len());
        header.extend_from_slice(&piece[..count.min(missing)]);
        context.update(&piece[..count]);
        size += count as u64;
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    let machine = Machine::of_header(&header).ok_or(OwnError::Foreign)?;
    Ok(Identity { hash: Hash(hash), size, machine })
}

/// A static build of the same version: it runs whatever libc a host has.
fn static_build() -> Option<File> {
    let running = std::env::current_exe().ok()?;
    let path = static_names(running.parent()?).into_iter().find(|path| is_same_version(path))?;
    File::open(path).ok()
}

/// Where it may be: installed beside the running one, or in cargo's folder for its target.
fn static_names(beside: &Path) -> [PathBuf; 2] {
    let target = format!("../{}-unknown-linux-musl/release/pxrun", std::env::consts::ARCH);
    [beside.join("pxrun-static"), beside.join(target)]
}

fn is_same_version(path: &Path) -> bool {
    if !path.is_file() {
        return false;
    }
    let mut asked = Command::new(path);
    asked.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
    asked.output().is_ok_and(|answer| answer.stdout == crate::VERSION_LINE.as_bytes())
}
