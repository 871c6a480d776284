//! A remote shell that runs: its process, its three pipes, and what is still to be written to it.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

use px_runtime::message::ExitStatus;
use px_runtime::poller::{Part, Poller, Token};
use px_runtime::sys::fd::{pipe, set_nonblocking};
use px_runtime::sys::process::open_files_limit;
use px_runtime::sys::spawn::{Image, Spawner, Streams};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

use super::own::Own;

/// Kept of what it says on stderr, in bytes.
const WORDS: usize = 4 << 10;
/// How large its pipes are made: data may have to go through them.
const PIPE: usize = 1 << 20;
/// Read and written at once, in bytes.
const PIECE: usize = 64 << 10;

/// A running remote shell.
pub struct Shell {
    pid: Pid,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    /// What is to be written before the binary.
    words: Vec<u8>,
    /// How much of the binary was written; `None` while none is wanted.
    pushed: Option<u64>,
    said: Vec<u8>,
}

/// What reading it gave.
pub enum Read {
    /// Bytes.
    Some(Vec<u8>),
    /// Nothing for now.
    Nothing,
    /// It says no more.
    End,
}

impl Shell {
    /// Starts `words` (its first is looked up in PATH) in a session of its own and has `poller`
    /// wait for it as the link `number`.
    ///
    /// # Errors
    /// That it cannot be found or started.
    pub fn start(words: Vec<OsString>, number: u32, poller: &Poller) -> Result<Shell, Errno> {
        let path = crate::command::locate(&words[0]).ok_or(Errno::NOENT)?;
        let text = |word: OsString| CString::new(word.into_vec()).map_err(|_| Errno::INVAL);
        let path = text(path.into_os_string())?;
        let argv = words.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let environment = std::env::vars_os().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            text(name)
        });
        let environment = environment.collect::<Result<Vec<_>, _>>()?;
        let (theirs_in, stdin) = pipe()?;
        let (stdout, theirs_out) = pipe()?;
        let (stderr, theirs_err) = pipe()?;
        for (end, part) in
            [(&stdin, Part::ControlOut), (&stdout, Part::ControlIn), (&stderr, Part::Words)]
        {
            set_nonblocking(end)?;
            poller.add(end, Token::Link(number, part))?;
        }
        for end in [&stdin, &stdout] {
            // As large as is allowed.
            let _ = rustix::pipe::fcntl_setpipe_size(end, PIPE);
        }
        let streams = Streams {
            stdin: theirs_in.as_fd(),
            stdout: theirs_out.as_fd(),
            stderr: theirs_err.as_fd(),
            socket: None,
        };
        let image = Image::new(&path, &argv, &environment, &[]);
        let pid = Spawner::new()?.spawn(&image, &streams, open_files_limit())?;
        Ok(Shell { pid, stdin, stdout, stderr, words: Vec::new(), pushed: None, said: Vec::new() })
    }

    /// Has `words` written.
    pub fn say(&mut self, words: &[u8]) {
        self.words.extend_from_slice(words);
    }

    /// Has the binary written.
    pub fn push(&mut self) {
        self.pushed = Some(0);
    }

    /// Writes what can be written now.
    ///
    /// # Errors
    /// That of the pipe (`EPIPE`: nobody listens any more) or of reading the binary.
    pub fn write(&mut self, own: &Own) -> Result<(), Errno> {
        while !self.words.is_empty() {
            match rustix::io::write(&self.stdin, &self.words) {
                Ok(count) => drop(self.words.drain(..count)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(other) => return Err(other),
            }
        }
        let Some(mut at) = self.pushed else { return Ok(()) };
        let size = own.identity().size;
        let mut piece = vec![0; PIECE];
        while at < size {
            let want = PIECE.min(usize::try_from(size - at).unwrap_or(PIECE));
            let got = own.file().read_at(&mut piece[..want], at);
            let got = got.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            if got == 0 {
                return Err(Errno::IO);
            }
            match rustix::io::write(&self.stdin, &piece[..got]) {
                Ok(count) => at += count as u64,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(other) => return Err(other),
            }
            self.pushed = Some(at);
        }
        if at >= size {
            self.pushed = None;
        }
        Ok(())
    }

    /// Reads what it has written.
    ///
    /// # Errors
    /// That of the pipe.
    pub fn read(&mut self) -> Result<Read, Errno> {
        let mut bytes = vec![0; PIECE];
        loop {
            match rustix::io::read(&self.stdout, &mut bytes) {
                Ok(0) => return Ok(Read::End),
                Ok(count) => {
                    bytes.truncate(count);
                    return Ok(Read::Some(bytes));
                }
                Err(Errno::AGAIN) => return Ok(Read::Nothing),
                Err(Errno::INTR) => {}
                Err(other) => return Err(other),
            }
        }
    }

    /// What it has said on stderr so far, the last of it.
    pub fn said(&mut self) -> &[u8] {
        const READS: u32 = 64;
        let mut bytes = [0; 1024];
        for _ in 0..READS {
            let Ok(count @ 1..) = rustix::io::read(&self.stderr, &mut bytes) else { break };
            self.said.extend_from_slice(&bytes[..count]);
            let more = self.said.len().saturating_sub(WORDS);
            self.said.drain(..more);
        }
        &self.said
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        let (_, status) = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG).ok()??;
        Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => ExitStatus::Exited(code),
            (None, signal) => ExitStatus::Signaled(signal.unwrap_or(9)),
        })
    }

    /// Ends it.
    pub fn kill(&self) {
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
    }

    /// Gives away its pipes: what it reads, what it prints, what it says on stderr.
    pub fn into_pipes(self) -> (OwnedFd, OwnedFd, OwnedFd) {
        (self.stdin, self.stdout, self.stderr)
    }
}
