//! One lab a machine: the lock, and the end of what a killed owner left.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::space::{PINS, Space};

const FILE: &str = "/run/pxlab.lock";

/// The link among the namespaces that leads to the lab's files.
const FILES: &str = "files";

/// How long other labs, one after the other, may keep this one waiting.
const BOUND: Duration = Duration::from_secs(1800);

/// The right to have a lab, until it is dropped. It serialises threads as well as processes.
#[derive(Debug)]
pub(super) struct Lock {
    /// Its descriptor is closed on exec, so that no process of the lab keeps the lock.
    _file: File,
}

impl Lock {
    /// Waits for it.
    pub(super) fn take() -> Self {
        let (sender, receiver) = mpsc::channel();
        let wait = move || {
            let file = File::create(FILE).expect("a lock file");
            flock(&file, FlockOperation::LockExclusive).expect("a lock");
            // Nobody takes it after the bound: the file is closed.
            drop(sender.send(file));
        };
        thread::Builder::new().name("lab-lock".into()).spawn(wait).expect("a thread");
        let file = receiver.recv_timeout(BOUND);
        Lock { _file: file.unwrap_or_else(|_| panic!("another lab has had {FILE} for {BOUND:?}")) }
    }
}

/// Says where the files of the lab are that comes up.
pub(super) fn register(lab: &Path) {
    fs::create_dir_all(PINS).expect("a directory for namespaces");
    symlink(lab, Path::new(PINS).join(FILES)).expect("a link");
}

/// Ends every process of the lab there is, and removes its namespaces and files; with them go
/// interfaces and mounts. The caller has the lock.
pub(super) fn sweep() {
    let spaces = Space::left();
    spaces.iter().for_each(Space::kill_all);
    Space::remove(&spaces);
    let link = Path::new(PINS).join(FILES);
    if let Ok(lab) = fs::read_link(&link) {
        // They may have gone before the link.
        let _ = fs::remove_dir_all(lab);
        fs::remove_file(&link).unwrap_or_else(|error| panic!("{}: {error}", link.display()));
    }
    match fs::remove_dir(PINS) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => panic!("{PINS}: {error}"),
    }
}
