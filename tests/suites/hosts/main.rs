//! Jobs over several hosts: what one machine gives, wherever its ranks run; and every way in which
//! a host cannot take part.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod command;
mod ends;
mod links;
mod logins;
mod modes;
mod placing;
mod refused;
mod secrets;
mod sight;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use px_tests::{Job, Lab};

/// Far beyond what anything takes that must come.
const BOUND: Duration = Duration::from_secs(60);

/// A job of two ranks on every host of the lab.
fn job(lab: &Lab, options: &str) -> Job {
    let mut path = lab.path().join("hostfile-2");
    // One that another job may be reading is not written anew.
    if !path.exists() {
        path = lab.hostfile(2);
    }
    lab.pxrun("--hostfile").arg(path).words(options)
}

/// Writes a file that head and hosts see, unless a host hides its directory.
fn file(lab: &Lab, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = lab.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// Writes an executable file that head and hosts see.
fn program(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let path = lab.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, &path).unwrap();
    path
}

/// Makes a directory that every host sees.
fn directory(lab: &Lab, name: &str) -> PathBuf {
    let path = lab.path().join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The sorted names in a directory; none where there is no directory.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// How many logins a host's sshd has let in.
fn logins(lab: &Lab, number: usize) -> usize {
    lab.host(number).log().matches("Accepted publickey").count()
}

/// Nothing of any job runs anywhere.
#[track_caller]
fn is_left_alone(lab: &Lab) {
    assert_eq!(lab.leftovers(BOUND), []);
}
