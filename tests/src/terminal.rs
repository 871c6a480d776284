//! A job under a pseudo terminal, started by a small shell-like parent that does job control.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::Instant;

use crate::binary;
use crate::job::{BOUND, Job};
use crate::outcome::shown;
use crate::processes;
use crate::scratch::Scratch;
use crate::sys::{self, Setup};

/// Where the job's process group stands in its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Keys reach it.
    Fore,
    /// It may not read the terminal.
    Back,
}

/// A pseudo terminal with a job in it: stdin and stderr are the terminal, stdout is a file.
#[derive(Debug)]
pub struct Terminal {
    ours: Option<File>,
    shell: Child,
    mark: String,
    scratch: Scratch,
    screen: Vec<u8>,
    started: Instant,
}

impl Terminal {
    /// Starts a job in a new terminal. What the job says of stdin and outputs does not count.
    pub fn start(job: &Job, ground: Ground) -> Self {
        let scratch = Scratch::new();
        let (ours, theirs) = sys::open_terminal().expect("a terminal");
        rustix::io::ioctl_fionbio(&ours, true).expect("no waiting on our end");
        let mark = format!("terminal-{}", scratch.path().display());
        let mut shell = shell(&job.command(&mark), ground, &scratch);
        let copy = |end: &OwnedFd| end.try_clone().expect("a descriptor");
        shell.stdin(copy(&theirs)).stderr(theirs);
        shell.stdout(File::create(scratch.at("stdout")).expect("a file"));
        let shell = shell.spawn().expect("px-zoo");
        let ours = Some(File::from(ours));
        Terminal { ours, shell, mark, scratch, screen: Vec::new(), started: Instant::now() }
    }

    /// The mark of the job's processes.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Presses keys: `\x03` is Ctrl-C, `\x1a` is Ctrl-Z.
    pub fn press(&mut self, keys: &str) {
        let ours = self.ours.as_mut().expect("an open terminal");
        ours.write_all(keys.as_bytes()).expect("a key");
    }

    /// Closes the terminal, as the user does who closes its window.
    pub fn hang_up(&mut self) {
        self.ours = None;
    }

    /// The process number of the outermost `pxrun`, once it runs.
    pub fn pid(&mut self) -> i32 {
        self.await_event("started");
        let events = self.events();
        let started = events.iter().find_map(|event| event.strip_prefix("started "));
        started.expect("an event").parse().expect("a process number")
    }

    /// What the parent has seen of the job: `started PID`, `stopped SIGNAL`, `continued`,
    /// `exited CODE`, `signaled SIGNAL`.
    pub fn events(&self) -> Vec<String> {
        let events = std::fs::read_to_string(self.scratch.at("events")).unwrap_or_default();
        events.lines().map(str::to_owned).collect()
    }

    /// Waits until an event has come that starts so.
    pub fn await_event(&mut self, start: &str) {
        self.until(start, |terminal| terminal.events().iter().any(|e| e.starts_with(start)));
    }

    /// Waits until something holds, and reads the terminal meanwhile.
    ///
    /// # Panics
    ///
    /// When it does not within the bound, with everything seen.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let left = BOUND.saturating_sub(self.started.elapsed());
        let held = processes::holds_within(left, || {
            self.read_screen();
            holds(self)
        });
        assert!(held, "gave up waiting for: {what}\n{}", self.seen());
    }

    /// Waits for the job's end and returns the last event.
    pub fn end(&mut self) -> String {
        let ended = |event: &String| event.starts_with("exited") || event.starts_with("signaled");
        self.until("the end of the job", |terminal| terminal.events().iter().any(ended));
        self.read_screen();
        self.events().into_iter().find(ended).expect("an event")
    }

    /// What the terminal has shown so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }

    /// What the job has written to stdout so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.scratch.read("stdout")
    }

    /// Everything seen, for a message.
    pub fn seen(&self) -> String {
        let (events, left) = (self.events(), processes::survivors(&self.mark));
        let (screen, stdout) = (shown(&self.screen), shown(&self.stdout()));
        format!("events: {events:?}\nalive: {left:?}\nscreen: {screen}\nstdout: {stdout}")
    }

    fn read_screen(&mut self) {
        let Some(ours) = &mut self.ours else { return };
        let mut block = [0; 4096];
        while let Ok(count @ 1..) = ours.read(&mut block) {
            self.screen.extend_from_slice(&block[..count]);
        }
    }
}

/// The command that starts `job` as a shell does, in a session of its own on the terminal.
fn shell(job: &Command, ground: Ground, scratch: &Scratch) -> Command {
    let mut shell = Command::new(binary::zoo());
    shell.arg(if ground == Ground::Fore { "foreground" } else { "background" });
    shell.arg(scratch.at("events")).arg(job.get_program()).args(job.get_args());
    for (name, value) in job.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    Setup { terminal: true, ..Setup::default() }.prepare(&mut shell);
    shell
}

impl Drop for Terminal {
    fn drop(&mut self) {
        processes::kill_all(&self.mark);
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
