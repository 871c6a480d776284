//! One copy of the command: its process, its three pipes and how far they are.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use rustix::io::Errno;
use rustix::process::{Pid, Rlimit, Signal, WaitId, WaitIdOptions};

use super::feed::{Feed, Stopped};
use super::oom::OomPreference;
use super::pipes;
use super::program::Program;
use crate::buffers::Buffers;
use crate::input::files::FileInput;
use crate::libpx::wire::Welcome;
use crate::message::{Conduct, Ended, ExitStatus, StartStep};
use crate::poller::{Poller, Token, percent};
use crate::records::Records;
use crate::sys::fd::{pipe, set_nonblocking, socketpair, unread_in_pipe};
use crate::sys::spawn::{Image, Spawner, Streams};

/// Bytes that are worth a system call of their own.
const LARGE: usize = 32 << 10;
/// Moved into one copy's stdin before another's turn, in bytes.
const TURN: u64 = 2 << 20;
/// Waits between attempts to start a copy when there are too many processes.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(250)];

/// Stands for an end of which nothing is known.
const KILLED: i32 = 9;

/// A pipe's end in this process, and whether the next call may give something.
pub(super) struct Outlet {
    pub(super) fd: OwnedFd,
    pub(super) ready: bool,
    /// The other end is closed, or its process gone: it is read until nothing is left.
    pub(super) ending: bool,
    /// More came after the exit than lay in the pipe at that moment.
    pub(super) overrun: bool,
    left_at_exit: Option<u64>,
    capacity: usize,
}

/// What a turn of reading gave.
pub(super) enum Got {
    Bytes(Vec<u8>),
    Nothing,
    End,
    Failed(Errno),
}

/// A process, as long as it is not reaped.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) end: OwnedFd,
}

/// A running or ended copy.
pub(super) struct Copy {
    /// Its process; a guest has none.
    pub(super) child: Option<Child>,
    pub(super) stdin: Option<OwnedFd>,
    /// Kept open so that an early exit is told by the exit and never by EPIPE, and so that what
    /// lies unread in the pipe can be counted after it.
    kept: Option<OwnedFd>,
    /// What speaks to it where it uses libpx, instead of stdin.
    pub(super) program: Option<Program>,
    pub(super) conduct: Conduct,
    pub(super) feed: Feed,
    pub(super) writable: bool,
    /// The poller knows of stdin.
    watched: bool,
    pub(super) end_of_input: bool,
    pub(super) stdout: Option<Outlet>,
    pub(super) stderr: Option<Outlet>,
    pub(super) exited: Option<(ExitStatus, Instant)>,
    pub(super) stopped: bool,
    pub(super) printed: u64,
    pub(super) complained: u64,
    /// From the first to the last byte that it was given by reference.
    dealt: Range<u64>,
    /// The root knows of the exit.
    pub(super) exit_told: bool,
    given: u64,
    read: u64,
    capacity: usize,
    started: Instant,
    started_at: SystemTime,
}

/// How a copy comes to its input.
pub(super) enum Fed<'a> {
    /// By its stdin.
    ByPipe,
    /// By libpx; its stdin is this, where nothing is.
    BySocket(BorrowedFd<'a>, Greeting),
}

/// What a copy that uses libpx is told first.
pub(super) struct Greeting {
    /// Who it is.
    pub(super) welcome: Welcome,
    /// The memory that the ranks of this host share.
    pub(super) commons: Option<Rc<OwnedFd>>,
}

/// What could not be done when a copy was to be started, and why.
pub(super) type StartError = (StartStep, Errno);

impl Copy {
    pub(super) fn start(
        spawner: &Spawner,
        image: &Image<'_>,
        fed: Fed<'_>,
        pipe_size: usize,
        open_files: Rlimit,
        preferred_for_oom: &OomPreference,
        now: Instant,
    ) -> Result<Copy, StartError> {
        let make = || pipe().map_err(|source| (StartStep::MakePipe, source));
        let (stdout, child_stdout) = make()?;
        let (stderr, child_stderr) = make()?;
        let (pipe, socket) = match fed {
            Fed::ByPipe => (Some(make()?), None),
            Fed::BySocket(nothing, welcome) => {
                let ends = socketpair().map_err(|source| (StartStep::MakePipe, source))?;
                (None, Some((ends, nothing, welcome)))
            }
        };
        let streams = Streams {
            stdin: match (&pipe, &socket) {
                (Some((reads, _)), _) => reads.as_fd(),
                (None, Some((_, nothing, _))) => *nothing,
                (None, None) => rustix::stdio::stdin(),
            },
            stdout: child_stdout.as_fd(),
            stderr: child_stderr.as_fd(),
            socket: socket.as_ref().map(|((_, theirs), ..)| theirs.as_fd()),
        };
        let started_at = SystemTime::now();
        let pid = spawn(spawner, image, &streams, open_files, preferred_for_oom)?;
        let process = match crate::sys::process::pidfd(pid) {
            Ok(process) => process,
            Err(source) => {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                return Err((StartStep::Watch, source));
            }
        };
        let child = Child { pid, end: process };
        let (kept, stdin) = pipe.unzip();
        for end in stdin.iter().chain([&stdout, &stderr]) {
            set_nonblocking(end).map_err(|source| (StartStep::SetUpPipe, source))?;
        }
        let capacity = stdin.as_ref().map_or(1, |stdin| pipes::enlarge(stdin, pipe_size));
        let program = socket.map(|((ours, _), _, Greeting { welcome, commons })| {
            Program::new(ours, welcome, commons)
        });
        let outlet = |fd, size| {
            let capacity = pipes::enlarge(&fd, size);
            Some(Outlet {
                fd,
                ready: true,
                ending: false,
                overrun: false,
                left_at_exit: None,
                capacity,
            })
        };
        Ok(Copy {
            child: Some(child),
            kept,
            program,
            stdout: outlet(stdout, pipe_size),
            stderr: outlet(stderr, pipes::DEFAULT),
            capacity,
            started_at,
            stdin,
            ..Copy::bare(now)
        })
    }

    /// Has a guest do the work of a copy: somebody who is there already and speaks as one does.
    pub(super) fn of_guest(program: Program, now: Instant) -> Copy {
        Copy { program: Some(program), ..Copy::bare(now) }
    }

    fn bare(now: Instant) -> Copy {
        Copy {
            child: None,
            stdin: None,
            kept: None,
            program: None,
            conduct: Conduct::Stranger,
            feed: Feed::default(),
            writable: true,
            watched: false,
            end_of_input: false,
            stdout: None,
            stderr: None,
            exited: None,
            stopped: false,
            printed: 0,
            complained: 0,
            dealt: 0..0,
            exit_told: false,
            given: 0,
            read: 0,
            capacity: 1,
            started: now,
            started_at: SystemTime::now(),
        }
    }

    /// The process that leads its family.
    pub(super) fn leader(&self) -> Option<Pid> {
        self.child.as_ref().map(|child| child.pid)
    }

    /// A guest is over once it hangs up: what it has not said by then nobody will hear.
    pub(super) fn hang_up(&mut self, now: Instant) {
        if let Some(program) = &mut self.program {
            program.hang_up();
        }
        if self.child.is_none() {
            self.exited.get_or_insert((ExitStatus::Exited(0), now));
        }
    }

    /// Listens to a guest no more, which is all that can be done to one; what is told of it is what a
    /// process would have ended by.
    pub(super) fn dismiss(&mut self, signal: Signal, now: Instant) {
        if self.child.is_none() {
            self.exited.get_or_insert((ExitStatus::Signaled(signal.as_raw()), now));
            self.hang_up(now);
        }
    }

    /// Queues bytes; large ones are written at once as far as the pipe takes them, which saves a
    /// copy. Returns how many were.
    pub(super) fn give_bytes(&mut self, bytes: &[u8]) -> u64 {
        self.given += bytes.len() as u64;
        if let Some(program) = &mut self.program {
            program.give_bytes(bytes);
            return 0;
        }
        let mut rest = bytes;
        while rest.len() >= LARGE && self.feed.queued() == 0 && self.writable {
            let Some(stdin) = &self.stdin else { break };
            match rustix::io::write(stdin, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                // What is queued tells of it.
                Err(_) => break,
            }
        }
        if !rest.is_empty() {
            self.feed.push_bytes(rest);
        }
        (bytes.len() - rest.len()) as u64
    }

    pub(super) fn give_range(&mut self, range: Range<u64>, input: Option<&FileInput>) {
        self.given += range.end - range.start;
        self.dealt = match self.dealt.is_empty() {
            true => range.clone(),
            false => self.dealt.start.min(range.start)..self.dealt.end.max(range.end),
        };
        match &mut self.program {
            Some(program) => program.give_range(range, input),
            None => self.feed.push_range(range),
        }
    }

    /// Writes what is queued; returns bytes written, how much of the pipe they fill in percent,
    /// and why it stopped.
    pub(super) fn write(
        &mut self,
        input: Option<&FileInput>,
        records: Records,
    ) -> (u64, usize, Stopped) {
        if let Some(program) = &mut self.program {
            return program.write(input, records);
        }
        let Some(stdin) = self.stdin.as_ref().filter(|_| self.writable) else {
            return (0, 0, Stopped::Full);
        };
        let (written, why) = self.feed.write(stdin, input, records, TURN);
        if why == Stopped::Full {
            self.writable = false;
        }
        if self.feed.queued() == 0 && self.end_of_input {
            self.stdin = None;
        }
        (written, percent(written, self.capacity), why)
    }

    /// Has the poller tell when stdin takes more; many a copy never needs it.
    pub(super) fn watch_stdin(&mut self, rank: u32, poller: &Poller) -> Result<(), Errno> {
        if let Some(stdin) = self.stdin.as_ref().filter(|_| !self.watched) {
            poller.add(stdin, Token::ChildStdin(rank))?;
            self.watched = true;
        }
        Ok(())
    }

    /// Bytes in stdin's pipe that the copy has not read.
    fn unread_in_pipe(&self) -> u64 {
        self.kept.as_ref().map_or(0, unread_in_pipe)
    }

    /// Its stdin, or its socket, may have become ready.
    pub(super) fn woken(&mut self) {
        self.writable = true;
        if let Some(program) = &mut self.program {
            program.woken();
        }
    }

    /// There is no more input for it.
    pub(super) fn end_input(&mut self) {
        if !std::mem::replace(&mut self.end_of_input, true)
            && let Some(program) = &mut self.program
        {
            program.end_of_input();
        }
    }

    /// How far the copy has read, if that is further than when this was last asked.
    pub(super) fn news_of_reading(&mut self) -> Option<u64> {
        if self.read == self.given {
            return None;
        }
        let read = self.given - self.feed.queued() - self.unread_in_pipe();
        (read > self.read).then(|| {
            self.read = read;
            read
        })
    }

    /// From the first to the last byte of the input that it was given by reference.
    pub(super) fn dealt(&self) -> Range<u64> {
        self.dealt.clone()
    }

    /// Asks the kernel whether the process has ended, and leaves it unreaped so that its number
    /// stays its own while its family may have to be signalled.
    pub(super) fn look_for_exit(&mut self, now: Instant) {
        if self.exited.is_some() {
            return;
        }
        let Some(child) = &self.child else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let looked = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(child.end.as_fd()), options)
        });
        let status = match looked {
            Ok(None) => return,
            Ok(Some(end)) => match (end.exit_status(), end.terminating_signal()) {
                (Some(code), _) => ExitStatus::Exited(code),
                (None, signal) => ExitStatus::Signaled(signal.unwrap_or(KILLED)),
            },
            // Nothing will ever be known of it, which must not pass as success.
            Err(_) => ExitStatus::Signaled(KILLED),
        };
        self.exited = Some((status, now));
        self.stdin = None;
        if let Some(program) = &mut self.program {
            program.woken();
        }
        for outlet in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
            outlet.ready = true;
            outlet.ending = true;
            outlet.left_at_exit = Some(unread_in_pipe(&outlet.fd));
        }
    }

    /// Reaps the process and tells all about it.
    pub(super) fn end(self, now: Instant, leaked: bool) -> Ended {
        if let Some(child) = &self.child {
            let _ = rustix::io::retry_on_intr(|| {
                rustix::process::waitid(WaitId::PidFd(child.end.as_fd()), WaitIdOptions::EXITED)
            });
        }
        let status = self.exited.map_or(ExitStatus::Signaled(KILLED), |(status, _)| status);
        let ended = self.exited.map_or(now, |(_, at)| at);
        let epoch = self.started_at.duration_since(SystemTime::UNIX_EPOCH);
        Ended {
            status,
            given: self.given,
            unread: self.feed.queued() + self.unread_in_pipe(),
            leaked,
            started: epoch.map_or(0.0, |since| since.as_secs_f64()),
            ran: ended.saturating_duration_since(self.started).as_secs_f64(),
            printed: self.printed,
            complained: self.complained,
            stopped: self.stopped,
            conduct: self.conduct,
        }
    }
}

fn spawn(
    spawner: &Spawner,
    image: &Image<'_>,
    streams: &Streams<'_>,
    open_files: Rlimit,
    preferred_for_oom: &OomPreference,
) -> Result<Pid, StartError> {
    let start = || preferred_for_oom.around(|| spawner.spawn(image, streams, open_files));
    for pause in PAUSES {
        match start() {
            Err(Errno::AGAIN) => std::thread::sleep(pause),
            other => return other.map_err(|source| (StartStep::Start, source)),
        }
    }
    start().map_err(|source| (StartStep::Start, source))
}

impl Outlet {
    /// Reads once; says also how much of the pipe that was in percent.
    ///
    /// What was read lies behind `headroom` bytes that mean nothing; where `most` is little, it is
    /// no more than that.
    pub(super) fn read(&mut self, buffers: &Buffers, headroom: usize, most: usize) -> (Got, usize) {
        let mut bytes = buffers.take();
        bytes.resize(headroom, 0);
        let all = bytes.capacity() - headroom;
        let room = if most < LARGE { most } else { all };
        let result = if room < all {
            bytes.resize(headroom + room, 0);
            let result = rustix::io::read(&self.fd, &mut bytes[headroom..]);
            bytes.truncate(headroom + *result.as_ref().unwrap_or(&0));
            result
        } else {
            rustix::io::read(&self.fd, rustix::buffer::spare_capacity(&mut bytes))
        };
        match result {
            Ok(count) if count > 0 => {
                // A short read has emptied the pipe; what comes later is reported anew.
                self.ready = count == room || self.ending;
                if let Some(left) = &mut self.left_at_exit {
                    self.overrun |= count as u64 > *left;
                    *left = left.saturating_sub(count as u64);
                }
                return (Got::Bytes(bytes), percent(count as u64, self.capacity));
            }
            Err(Errno::AGAIN) => self.ready = false,
            _ => {}
        }
        buffers.give(bytes);
        let got = match result {
            Ok(_) => Got::End,
            Err(Errno::AGAIN | Errno::INTR) => Got::Nothing,
            Err(source) => Got::Failed(source),
        };
        (got, 0)
    }
}
