//! Describes a job: a command line of `pxrun` and the world it starts in.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Resource;

use crate::binary;
use crate::outcome::Outcome;
use crate::running::Running;
use crate::sys::Setup;

/// How long a job may take before the test gives up; far beyond what any takes.
pub const BOUND: Duration = Duration::from_secs(120);

/// How bytes come to a job's stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// As a regular file.
    File,
    /// Through a pipe.
    Pipe,
}

impl Feed {
    /// Both ways.
    pub const BOTH: [Feed; 2] = [Feed::File, Feed::Pipe];
}

/// What the job's stdin is.
#[derive(Debug)]
pub(crate) enum Stdin {
    Null,
    File(OwnedFd),
    Piped(Vec<u8>),
    Held,
}

/// Where one of the job's outputs goes.
#[derive(Debug)]
pub(crate) enum Sink {
    Captured,
    Held,
    File(OwnedFd),
}

/// A job to be run.
#[derive(Debug)]
pub struct Job {
    program: OsString,
    words: Vec<OsString>,
    before: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    directory: Option<PathBuf>,
    user: Option<u32>,
    setup: Setup,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Sink,
    pub(crate) stderr: Sink,
    pub(crate) measured: bool,
    pub(crate) bound: Duration,
}

impl Job {
    /// Starts a description with the words of a command line, parted by blanks.
    pub fn new(words: &str) -> Self {
        let job = Job {
            program: binary::pxrun().into_os_string(),
            words: Vec::new(),
            before: Vec::new(),
            variables: Vec::new(),
            directory: None,
            user: None,
            setup: Setup::default(),
            stdin: Stdin::Null,
            stdout: Sink::Captured,
            stderr: Sink::Captured,
            measured: false,
            bound: BOUND,
        };
        job.words(words).env("ZOO", binary::zoo())
    }

    /// Runs another program in the place of `pxrun`.
    pub fn program(mut self, program: impl AsRef<OsStr>) -> Self {
        program.as_ref().clone_into(&mut self.program);
        self
    }

    /// Adds words, parted by blanks.
    pub fn words(mut self, words: &str) -> Self {
        self.words.extend(words.split_whitespace().map(OsString::from));
        self
    }

    /// Adds one word as it is.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Adds a misbehaving child, and its arguments parted by blanks.
    pub fn zoo(self, words: &str) -> Self {
        self.arg(binary::zoo()).words(words)
    }

    /// Adds a shell script as the command; `$ZOO` is the program of misbehaving children.
    pub fn sh(self, script: &str) -> Self {
        self.words("sh -c").arg(script)
    }

    /// Runs `pxrun` under another command, say `strace -f`; a second one runs under the first.
    pub fn under(mut self, words: &[&str]) -> Self {
        self.before.extend(words.iter().map(OsString::from));
        self
    }

    /// Gives these bytes as a regular file on stdin.
    pub fn input(self, bytes: impl AsRef<[u8]>) -> Self {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes.as_ref()).expect("write");
        file.rewind().expect("rewind");
        self.stdin(file)
    }

    /// Gives these bytes on stdin in one of the two ways.
    pub fn fed(self, feed: Feed, bytes: impl AsRef<[u8]>) -> Self {
        match feed {
            Feed::File => self.input(bytes),
            Feed::Pipe => self.piped(bytes.as_ref()),
        }
    }

    /// Gives a file by name on stdin.
    pub fn input_file(self, path: &Path) -> Self {
        self.stdin(File::open(path).expect("the input"))
    }

    /// Gives these bytes through a pipe on stdin.
    pub fn piped(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Piped(bytes.into());
        self
    }

    /// Gives an open descriptor as stdin.
    pub fn stdin(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.stdin = Stdin::File(descriptor.into());
        self
    }

    /// Leaves stdin a pipe that the test writes, by [`Running::write`].
    pub fn held_stdin(mut self) -> Self {
        self.stdin = Stdin::Held;
        self
    }

    /// Sends stdout to a descriptor.
    pub fn stdout(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.stdout = Sink::File(descriptor.into());
        self
    }

    /// Leaves stdout a pipe that the test reads or closes, by [`Running::take_stdout`].
    pub fn held_stdout(mut self) -> Self {
        self.stdout = Sink::Held;
        self
    }

    /// Sends stderr to a descriptor.
    pub fn stderr(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.stderr = Sink::File(descriptor.into());
        self
    }

    /// Leaves stderr a pipe that the test reads, by [`Running::take_stderr`].
    pub fn held_stderr(mut self) -> Self {
        self.stderr = Sink::Held;
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    pub fn directory(mut self, path: &Path) -> Self {
        self.directory = Some(path.to_owned());
        self
    }

    /// Sets a resource limit.
    pub fn limit(mut self, resource: Resource, soft: u64, hard: u64) -> Self {
        self.setup.limits.push((resource, soft, hard));
        self
    }

    /// Runs as another user, which needs root.
    pub fn as_user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Gives the rest of the [`Setup`] at once.
    pub fn setup(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(&mut self.setup);
        self
    }

    /// Measures the memory of `pxrun`'s own processes.
    pub fn measured(mut self) -> Self {
        self.measured = true;
        self
    }

    /// Sets another bound than [`BOUND`].
    pub fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Starts it.
    pub fn start(self) -> Running {
        Running::start(self)
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    /// The command line, for messages.
    pub(crate) fn shown(&self) -> String {
        let program = Path::new(&self.program).file_name().unwrap_or(&self.program).to_owned();
        let words = self.before.iter().chain([&program]).chain(&self.words);
        let words = words.map(|word| word.to_string_lossy().into_owned());
        let shown = words.map(|word| if word.contains(' ') { format!("'{word}'") } else { word });
        shown.collect::<Vec<_>>().join(" ")
    }

    /// The command for the standard library, with stdin and outputs still to be set.
    pub(crate) fn command(&self, mark: &str) -> Command {
        let mut words = self.before.clone();
        words.push(self.program.clone());
        words.extend(self.words.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env(crate::processes::MARK, mark);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(user) = self.user {
            assert!(rustix::process::geteuid().is_root(), "needs root, to start as another user");
            command.uid(user).gid(user);
        }
        self.setup.clone().prepare(&mut command);
        command
    }
}

impl Stdin {
    pub(crate) fn stdio(&self) -> Stdio {
        match self {
            Stdin::Null => Stdio::null(),
            Stdin::File(descriptor) => descriptor.try_clone().expect("a descriptor").into(),
            Stdin::Piped(_) | Stdin::Held => Stdio::piped(),
        }
    }
}

impl Sink {
    pub(crate) fn stdio(&self) -> Stdio {
        match self {
            Sink::File(descriptor) => descriptor.try_clone().expect("a descriptor").into(),
            Sink::Captured | Sink::Held => Stdio::piped(),
        }
    }
}
