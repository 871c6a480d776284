//! A login as sshd would make it: the login shell runs the constant command, and the test plays
//! the root with pxrun's own [`Login`].

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use pxrun::ssh::identity::Identity;
use pxrun::ssh::login::{Event, Login};
use pxrun::ssh::mark::Mark;
use pxrun::ssh::own::Own;
use pxrun::ssh::script::COMMAND;

use crate::job::BOUND;
use crate::outcome::shown;

/// What the root sends to an agent that runs.
const TO_AGENT: &[u8] = b"for the agent\n";

/// The bytes to push, and what is said of them.
#[derive(Clone, Debug)]
pub struct Binary {
    /// What the root says that it is.
    pub identity: Identity,
    /// What it sends.
    pub bytes: Vec<u8>,
}

impl Binary {
    /// Reads a file.
    pub fn of(path: &Path) -> Self {
        let own = Own::of(File::open(path).expect("a binary")).expect("an ELF file");
        Binary { identity: own.identity(), bytes: fs::read(path).expect("a binary") }
    }

    /// The same with other bytes in one place.
    pub fn patched(&self, directory: &Path, from: &[u8], to: &[u8]) -> Self {
        assert_eq!(from.len(), to.len());
        let mut bytes = self.bytes.clone();
        let places = memchr::memmem::find_iter(&self.bytes, from).collect::<Vec<_>>();
        assert!(!places.is_empty(), "no {from:?} in the binary");
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        let path = directory.join("patched");
        fs::write(&path, bytes).expect("write");
        Binary::of(&path)
    }
}

/// A host to log in to.
#[derive(Clone, Debug)]
pub struct Host {
    home: PathBuf,
    shell: Vec<String>,
    variables: Vec<(String, OsString)>,
    before: Option<String>,
    agent: Option<PathBuf>,
    cut: Option<usize>,
}

/// What came of a login.
#[derive(Debug)]
pub struct Said {
    /// What the root has heard.
    pub events: Vec<Event>,
    /// What the host has written to stderr.
    pub stderr: String,
}

impl Host {
    /// One whose user has this home, and `sh` for a login shell.
    pub fn new(home: &Path) -> Self {
        let home = home.to_path_buf();
        let shell = vec!["sh".to_owned()];
        Host { home, shell, variables: Vec::new(), before: None, agent: None, cut: None }
    }

    /// Its login shell.
    pub fn shell(mut self, words: &[&str]) -> Self {
        self.shell = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// A variable of its environment.
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// What is done in a mount namespace of its own before the login. Needs root.
    pub fn mounted(mut self, script: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "needs root, to mount");
        self.before = Some(script.to_owned());
        self
    }

    /// The agent that it is told to run.
    pub fn agent(mut self, path: impl Into<PathBuf>) -> Self {
        self.agent = Some(path.into());
        self
    }

    /// The root ends after so many bytes of the binary.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    fn start(&self) -> Child {
        let mut words: Vec<String> = Vec::new();
        if let Some(script) = &self.before {
            let script = format!("set -e; {script}; exec \"$@\"");
            words.extend(["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned));
        }
        words.extend(self.shell.iter().cloned());
        words.extend(["-c".to_owned(), COMMAND.to_owned()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().current_dir("/");
        command.env("HOME", &self.home).env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        // By this a bash knows that it was started by sshd, and reads its start-up file.
        command.env("SSH_CLIENT", "192.0.2.1 1024 22");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Logs in, pushes when asked to, and says a line to the agent that runs.
    ///
    /// # Panics
    ///
    /// When the login does not end within the bound.
    pub fn log_in(&self, binary: &Binary) -> Said {
        let mark = Mark::random().expect("randomness");
        let mut login = Login::new(mark, binary.identity, self.agent.as_deref()).expect("a path");
        let mut child = self.start();
        let heard = reading(child.stdout.take().expect("a pipe"));
        let stderr = reading(child.stderr.take().expect("a pipe"));
        let mut to_host = Some(writing(child.stdin.take().expect("a pipe")));
        let mut say = |bytes: &[u8], last: bool| {
            if let Some(to_host) = &to_host {
                let _ = to_host.send(bytes.to_vec());
            }
            if last {
                to_host = None;
            }
        };
        say(&login.first_words(), false);
        let deadline = Instant::now() + BOUND;
        let mut events: Vec<Event> = Vec::new();
        while let Some(bytes) = next(&heard, deadline, &events) {
            if let Some(Event::Runs { rest }) = events.last_mut() {
                rest.extend(bytes);
                continue;
            }
            for event in login.hear(&bytes) {
                match &event {
                    Event::Push => match self.cut {
                        Some(cut) => say(&binary.bytes[..cut], true),
                        None => say(&binary.bytes, false),
                    },
                    Event::Runs { .. } => say(TO_AGENT, true),
                    Event::Failed { .. } | Event::TooNoisy => say(b"", true),
                    Event::Noise(_) => {}
                }
                events.push(event);
            }
        }
        let stderr: Vec<u8> =
            std::iter::from_fn(|| next(&stderr, deadline, &events)).flatten().collect();
        child.wait().expect("a child whose output has ended");
        Said { events, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

impl Said {
    /// Whether the binary was asked for.
    pub fn pushed(&self) -> bool {
        self.events.contains(&Event::Push)
    }

    /// What the shell's start-up file has printed.
    pub fn noise(&self) -> String {
        let noise = self.events.iter().filter_map(|event| match event {
            Event::Noise(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        noise.collect()
    }

    /// What the agent has printed, whose last line is what it was told.
    ///
    /// # Panics
    ///
    /// When no agent ran, or when it was told something else.
    #[track_caller]
    pub fn agent(&self) -> String {
        let Some(Event::Runs { rest }) = self.events.last() else { panic!("no agent: {self:?}") };
        let told = rest.strip_suffix(TO_AGENT);
        let told = told.unwrap_or_else(|| panic!("other words for the agent: {}", shown(rest)));
        String::from_utf8_lossy(told).into_owned()
    }

    /// The words of a host on which no agent runs.
    ///
    /// # Panics
    ///
    /// When one does.
    #[track_caller]
    pub fn failure(&self) -> String {
        let Some(Event::Failed { words }) = self.events.last() else {
            panic!("no failure: {self:?}")
        };
        words.clone()
    }
}

/// The next bytes; `None` at their end.
fn next(from: &Receiver<Vec<u8>>, deadline: Instant, events: &[Event]) -> Option<Vec<u8>> {
    match from.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(bytes) => Some(bytes),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("gave up waiting for a host: {events:?}"),
    }
}

fn reading(mut source: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (to, from) = mpsc::channel();
    thread::spawn(move || {
        let mut block = vec![0; 64 << 10];
        while let Ok(count @ 1..) = source.read(&mut block) {
            if to.send(block[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    from
}

fn writing(mut stdin: ChildStdin) -> Sender<Vec<u8>> {
    let (to, from) = mpsc::channel::<Vec<u8>>();
    // A host that reads no more is the login's affair: it is judged by its answers.
    thread::spawn(move || from.iter().try_for_each(|bytes| stdin.write_all(&bytes)));
    to
}
