//! A program of the MPI that runs: its process, its session, and the last of what it has said.

use std::collections::VecDeque;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, Instant};

use px_runtime::agent::family;
use px_runtime::failure::signal_name;
use px_runtime::message::ExitStatus;
use px_runtime::sys::fd::{pipe, set_nonblocking};
use px_runtime::sys::process::{open_files_limit, pidfd};
use px_runtime::sys::spawn::{Image, Spawner, Streams};
use px_runtime::sys::timespec;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, waitid};

/// From SIGTERM to SIGKILL: a launcher ends what it has started on other hosts first.
const GRACE: Duration = Duration::from_secs(1);
/// A process that the kernel does not end for this long is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running program, in a session of its own, that reads nothing. When this is dropped, all that
/// is left of the session is killed.
pub struct Child {
    pid: Pid,
    end: OwnedFd,
    ended: Option<ExitStatus>,
    /// Its stdout and stderr, as long as anybody holds them.
    words: Option<OwnedFd>,
    said: VecDeque<u8>,
    /// Kept of what it says, in bytes.
    most: usize,
    /// How much it has said, in bytes.
    heard: u64,
}

impl Child {
    /// Starts the file at `path` with `words` (its name is the first of them) and an `environment`
    /// of `NAME=VALUE`; keeps the last `most` bytes of what it says.
    ///
    /// # Errors
    /// That it cannot be started.
    pub fn start(
        path: &Path,
        words: Vec<OsString>,
        environment: Vec<OsString>,
        most: usize,
    ) -> Result<Child, Errno> {
        let text = |word: OsString| CString::new(word.into_vec()).map_err(|_| Errno::INVAL);
        let path = text(path.into())?;
        let argv = words.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let environment = environment.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (words, theirs) = pipe()?;
        set_nonblocking(&words)?;
        let streams = Streams {
            stdin: null.as_fd(),
            stdout: theirs.as_fd(),
            stderr: theirs.as_fd(),
            socket: None,
        };
        let image = Image::new(&path, &argv, &environment, &[]);
        let pid = Spawner::new()?.spawn(&image, &streams, open_files_limit())?;
        let end = pidfd(pid).inspect_err(|_| family::signal(&[pid], Signal::KILL))?;
        let (said, words) = (VecDeque::new(), Some(words));
        Ok(Child { pid, end, ended: None, words, said, most, heard: 0 })
    }

    /// Has `fds` wait also for what the next [`Child::hear`] would take.
    pub fn watch<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if self.ended.is_none() {
            fds.push(PollFd::new(&self.end, PollFlags::IN));
        }
        fds.extend(self.words.as_ref().map(|words| PollFd::new(words, PollFlags::IN)));
    }

    /// Takes note of its end, and of what it has said by now, of which `each` is given every piece.
    pub fn hear(&mut self, mut each: impl FnMut(&[u8])) {
        const READS: u32 = 64;
        // Before its words: what an ended program has said is all there.
        self.look();
        let mut bytes = [0; 4096];
        for _ in 0..READS {
            let Some(words) = &self.words else { return };
            match rustix::io::read(words, &mut bytes) {
                Ok(count @ 1..) => {
                    each(&bytes[..count]);
                    self.heard += count as u64;
                    self.said.extend(&bytes[..count]);
                    let more = self.said.len().saturating_sub(self.most);
                    self.said.drain(..more);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                _ => self.words = None,
            }
        }
    }

    /// How much it has said, in bytes.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// The last of what it has said.
    pub fn said(&self) -> String {
        let (front, back) = self.said.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }

    /// How it ended, if that was seen by now.
    pub fn status(&self) -> Option<ExitStatus> {
        self.ended
    }

    /// Looks whether it has ended. Its number stays its own.
    fn look(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let (None, Ok(Some(status))) = (self.ended, waitid(WaitId::Pid(self.pid), options)) {
            self.ended = Some(match status.exit_status() {
                Some(code) => ExitStatus::Exited(code),
                None => ExitStatus::Signaled(status.terminating_signal().unwrap_or(9)),
            });
        }
    }

    /// Waits for its end, `time` at most, and hears it; says whether it has come.
    pub fn wait(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        self.hear(|_| ());
        while self.ended.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let mut fds = Vec::new();
            self.watch(&mut fds);
            let _ = rustix::event::poll(&mut fds, Some(&timespec(left)));
            self.hear(|_| ());
        }
        true
    }

    /// Has it end, in order if it can, within a few seconds.
    pub fn stop(&mut self) {
        if self.ended.is_none() {
            let _ = rustix::process::kill_process(self.pid, Signal::TERM);
            self.wait(GRACE);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        family::signal(&[self.pid], Signal::KILL);
        if self.wait(PATIENCE) {
            let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG);
        }
    }
}

/// Says how a program ended.
pub fn how(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(code) => format!("ended with status {code}"),
        ExitStatus::Signaled(signal) => {
            format!("was killed by signal {signal} ({})", signal_name(signal))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str, most: usize) -> Child {
        let words = ["sh", "-c", line].map(OsString::from).to_vec();
        Child::start(Path::new("/bin/sh"), words, vec!["A=b c".into()], most).unwrap()
    }

    fn hear_out(child: &mut Child) {
        while child.words.is_some() {
            let mut fds = Vec::new();
            child.watch(&mut fds);
            rustix::event::poll(&mut fds, None).unwrap();
            child.hear(|_| ());
        }
    }

    #[test]
    fn what_it_says_on_both_streams_is_kept_up_to_a_bound() {
        let mut child = shell("echo one; echo $A >&2; cat", 100);
        hear_out(&mut child);
        assert_eq!(child.said(), "one\nb c\n");
        let mut child = shell("head -c 100000 /dev/zero; echo end", 10);
        hear_out(&mut child);
        assert_eq!(child.said(), "\0\0\0\0\0\0end\n");
        assert_eq!(child.heard(), 100_004);
    }

    #[test]
    fn its_end_is_told_more_than_once() {
        let mut child = shell("exit 3", 10);
        assert!(child.wait(Duration::from_secs(60)));
        assert_eq!(child.status(), Some(ExitStatus::Exited(3)));
        assert_eq!(child.status().map(how).unwrap(), "ended with status 3");
        let mut child = shell("kill -9 $$", 10);
        assert!(child.wait(Duration::from_secs(60)));
        assert_eq!(child.status().map(how).unwrap(), "was killed by signal 9 (SIGKILL)");
    }

    #[test]
    fn what_it_has_started_ends_with_it_also_when_it_ignores_sigterm() {
        let mut child = shell("trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000", 100);
        while !child.said().ends_with('\n') {
            child.wait(Duration::from_millis(1));
        }
        let grandchild = child.said().trim().parse().ok().and_then(Pid::from_raw).unwrap();
        child.stop();
        assert_eq!(child.status(), None);
        let end = pidfd(grandchild).unwrap();
        drop(child);
        let mut fds = [PollFd::new(&end, PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut fds, Some(&timespec(Duration::from_secs(60)))), Ok(1));
    }
}
