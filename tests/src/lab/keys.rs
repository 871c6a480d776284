//! Keys of users and hosts, made once a process: labs of one process share them.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::scratch::Scratch;

static KEYS: Mutex<Vec<Key>> = Mutex::new(Vec::new());

/// A key pair, as the texts of its two files.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) private: String,
    pub(super) public: String,
}

/// Returns `count` different keys, always the same ones.
pub(super) fn keys(count: usize) -> Vec<Key> {
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = keys.len()..count.max(keys.len());
    let scratch = Scratch::new();
    let making: Vec<(String, Child)> = missing.map(|number| start(&scratch, number)).collect();
    for (name, mut child) in making {
        let status = child.wait().expect("a child");
        assert!(status.success(), "ssh-keygen: {status}");
        let read = |name: &str| fs::read_to_string(scratch.at(name)).expect("a key");
        keys.push(Key { private: read(&name), public: read(&format!("{name}.pub")) });
    }
    keys[..count].to_vec()
}

fn start(scratch: &Scratch, number: usize) -> (String, Child) {
    let name = number.to_string();
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(scratch.at(&name));
    let child = command.stdin(Stdio::null()).spawn().expect("ssh-keygen");
    (name, child)
}
