//! A network namespace that a file under [`PINS`] keeps, and the processes in it.
//!
//! The files have fixed names, so that whoever comes next finds what a killed owner left, and the
//! namespace itself says which processes are in it, wherever they have fled to.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::processes::{self, Process};
use crate::sys;

/// Where the files are.
pub const PINS: &str = "/run/pxlab";

/// How long killed processes may take to go.
const GONE: Duration = Duration::from_secs(30);

/// A network namespace.
#[derive(Debug)]
pub(super) struct Space {
    pin: PathBuf,
}

impl Space {
    /// Makes a new one.
    pub(super) fn new(name: &str) -> Self {
        let pin = Path::new(PINS).join(name);
        fs::create_dir_all(PINS).expect("a directory for namespaces");
        File::create(&pin).expect("a file for a namespace");
        let mut unshare = Command::new("unshare");
        run(unshare.arg(format!("--net={}", pin.display())).arg("true"));
        Space { pin }
    }

    /// Finds those there are.
    pub(super) fn left() -> Vec<Space> {
        let entries = fs::read_dir(PINS).into_iter().flatten().flatten();
        let pins = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        pins.map(|entry| Space { pin: entry.path() }).collect()
    }

    pub(super) fn pin(&self) -> &Path {
        &self.pin
    }

    /// The word of `nsenter` that enters it.
    pub(super) fn entry(&self) -> String {
        format!("--net={}", self.pin.display())
    }

    /// Starts a command line inside it.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.entry()).arg(program);
        command
    }

    /// Gives `ip` lines to execute inside it.
    pub(super) fn ip(&self, lines: &str) {
        feed(self.command("ip").args(["-batch", "-"]), lines);
    }

    /// Runs something on a thread inside it.
    pub(super) fn within<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(&self.pin).expect("a namespace");
        let inside = || {
            let net = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), net).expect("enter a namespace");
            run()
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The live processes inside it; a zombie is in none.
    pub(super) fn processes(&self) -> Vec<Process> {
        let Ok(own) = fs::metadata(&self.pin) else { return Vec::new() };
        let mut found = processes::all();
        found.retain(|process| {
            fs::metadata(format!("/proc/{}/ns/net", process.pid))
                .is_ok_and(|its| (its.dev(), its.ino()) == (own.dev(), own.ino()))
        });
        found
    }

    /// Kills every process inside it, and waits until none is left.
    pub(super) fn kill_all(&self) {
        let gone = processes::holds_within(GONE, || {
            let left = self.processes();
            for process in &left {
                // One that has just ended needs no signal.
                let _ = sys::kill(process.pid, libc::SIGKILL);
            }
            left.is_empty()
        });
        assert!(gone, "SIGKILL does not end {:?}", self.processes());
    }

    /// Removes namespaces, whose processes must have gone.
    pub(super) fn remove(spaces: &[Space]) {
        if spaces.is_empty() {
            return;
        }
        let pins = spaces.iter().map(|space| &space.pin);
        // One whose maker was killed before it was mounted is a plain file.
        let mut umount = Command::new("umount");
        umount.arg("--lazy").args(pins.clone()).stderr(Stdio::null());
        umount.status().expect("umount");
        for pin in pins {
            fs::remove_file(pin).unwrap_or_else(|error| panic!("{}: {error}", pin.display()));
        }
    }
}

/// Tells whether a process of this name belongs to a host and not to a job. What Slurm starts for
/// a job, `slurmstepd`, is the job's.
pub(super) fn is_service(name: &str) -> bool {
    const SERVICES: [&str; 5] = ["px-wire", "munged", "slurmctld", "slurmscriptd", "slurmd"];
    // Newer versions call a login `sshd-session`.
    name.starts_with("sshd") || SERVICES.contains(&name)
}

/// Runs a command that must end well.
pub(super) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
}

/// Runs a command that must end well, with a text on its stdin.
pub(super) fn feed(command: &mut Command, text: &str) {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that stops reading says why on stderr.
    let _ = stdin.write_all(text.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("a child");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}\n{text}", output.status);
}
