//! An `srun` that runs: its process and two of its streams. What it complains of goes where this
//! process's own words go.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use px_runtime::failure::Message;
use px_runtime::sys::fd::{pipe, set_nonblocking};
use px_runtime::sys::process::{open_files_limit, pidfd};
use px_runtime::sys::spawn::{Image, Spawner, Streams};
use px_runtime::sys::timespec;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::command::locate;

/// How long it may take to end by itself, and once it was asked to.
const ENDING: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(2)];

/// A running `srun`.
pub struct Srun {
    pid: Pid,
    /// What its tasks print.
    pub stdout: OwnedFd,
    stdin: Option<OwnedFd>,
    /// What is still to be written to it.
    unsaid: Vec<u8>,
    ended: bool,
}

impl Srun {
    /// Starts `words`, of which the first is looked up in PATH, in `environment` alone.
    ///
    /// # Errors
    /// It cannot be found or started.
    pub fn start(
        words: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, Message> {
        let name = words.first().cloned().unwrap_or_default();
        let path = locate(&name).ok_or_else(|| {
            let name = name.to_string_lossy();
            Message::new(format!("cannot find `{name}` in PATH, which starts steps of this job"))
                .help("`--backend ssh` needs none")
        })?;
        Self::start_at(path.into_os_string(), words, environment).map_err(|errno| {
            Message::new(format!("cannot start `{}`: {errno}", name.to_string_lossy()))
        })
    }

    fn start_at(
        path: OsString,
        words: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, Errno> {
        let text = |word: OsString| CString::new(word.into_vec()).map_err(|_| Errno::INVAL);
        let path = text(path)?;
        let argv = words.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let pair = |(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            text(name)
        };
        let environment = environment.into_iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        let (theirs_in, stdin) = pipe()?;
        let (stdout, theirs_out) = pipe()?;
        set_nonblocking(&stdin)?;
        set_nonblocking(&stdout)?;
        let stderr = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        let streams = Streams {
            stdin: theirs_in.as_fd(),
            stdout: theirs_out.as_fd(),
            stderr: stderr.as_fd(),
            socket: None,
        };
        let image = Image::new(&path, &argv, &environment, &[]);
        let pid = Spawner::new()?.spawn(&image, &streams, open_files_limit())?;
        Ok(Srun { pid, stdout, stdin: Some(stdin), unsaid: Vec::new(), ended: false })
    }

    /// Has its tasks read `words`, after what they were told before.
    pub fn say(&mut self, words: &[u8]) {
        self.unsaid.extend_from_slice(words);
    }

    /// Writes what can be written now of what is to be said.
    pub fn write(&mut self) {
        while let Some(stdin) = self.stdin.as_ref().filter(|_| !self.unsaid.is_empty()) {
            match rustix::io::write(stdin, &self.unsaid) {
                Ok(count) => drop(self.unsaid.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // How it ended tells more.
                Err(_) => self.stdin = None,
            }
        }
    }

    /// Takes what its tasks have printed; `None` for nothing now.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 16 << 10];
        let count =
            rustix::io::retry_on_intr(|| rustix::io::read(&self.stdout, &mut bytes)).ok()?;
        bytes.truncate(count);
        (count > 0).then_some(bytes)
    }

    /// How it has ended, once it has.
    pub fn ended(&mut self) -> Option<String> {
        let (_, status) = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG).ok()??;
        self.ended = true;
        Some(shown(status))
    }

    /// Waits until it has ended, and ends it when it does not.
    pub fn finish(mut self) {
        self.stdin = None;
        let Ok(end) = pidfd(self.pid) else { return };
        for (patience, signal) in ENDING.into_iter().zip([Signal::TERM, Signal::KILL]) {
            let until = Instant::now() + patience;
            while !self.ended
                && let Some(left) = until.checked_duration_since(Instant::now())
            {
                // A full pipe would hold it up.
                while self.read().is_some() {}
                let look = left.min(Duration::from_millis(100));
                let mut fds = [PollFd::new(&end, PollFlags::IN)];
                let _ = rustix::event::poll(&mut fds, Some(&timespec(look)));
                self.ended();
            }
            if self.ended {
                return;
            }
            let _ = rustix::process::kill_process(self.pid, signal);
        }
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

fn shown(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
