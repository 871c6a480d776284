//! The agent: runs the ranks of one host.
//!
//! It is told what to start and what to write, and tells what came back; see [`crate::message`].
//! It never waits: one direction of one copy being full or empty holds up nothing else. Output is
//! read only as far as the root gave credit, so a reader of the job's output that is slow makes
//! the copies wait instead of filling memory.

mod copy;
pub mod family;
mod feed;
mod oom;
pub mod pipes;

use std::collections::VecDeque;
use std::ffi::CString;
use std::rc::Rc;
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::buffers::Buffers;
use crate::input::files::FileInput;
use crate::job::{Job, Run};
use crate::message::{FromAgent, ToAgent};
use crate::poller::{Poller, Ready, Token};
use crate::sys::process::raise_open_files;
use crate::sys::spawn::{Image, Spawner};
use copy::{Copy, Got, Outlet};
use feed::Stopped;

/// What a turn of [`Agent::pump`] did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    /// Something was moved or told.
    pub any: bool,
    /// More could be moved at once.
    pub more: bool,
    /// The largest share of a pipe that was moved, in percent.
    pub fullest: usize,
}

#[derive(Default)]
struct Slot {
    copy: Option<Copy>,
    output_credit: i64,
    diagnostic_credit: i64,
}

/// Runs the copies of some ranks.
pub struct Agent {
    job: Rc<Job>,
    input: Option<Rc<FileInput>>,
    spawner: Spawner,
    slots: Vec<Slot>,
    told: VecDeque<FromAgent>,
    buffers: Buffers,
    pipe_size: usize,
    open_files: rustix::process::Rlimit,
    oom: oom::OomPreference,
    running: usize,
}

impl Agent {
    /// Makes an agent for all ranks of `job`, none started.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(
        job: Rc<Job>,
        input: Option<Rc<FileInput>>,
        buffers: Buffers,
        pipe_size: usize,
    ) -> Result<Self, Errno> {
        let open_files = crate::sys::process::open_files_limit();
        raise_open_files();
        let slots = (0..job.ranks.get()).map(|_| Slot::default()).collect();
        Ok(Agent {
            input,
            spawner: Spawner::new()?,
            slots,
            told: VecDeque::new(),
            buffers,
            pipe_size,
            open_files,
            oom: oom::OomPreference::new(),
            running: 0,
            job,
        })
    }

    /// Takes the next thing it has to tell.
    pub fn told(&mut self) -> Option<FromAgent> {
        self.told.pop_front()
    }

    /// How many copies have been started and have not ended.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Whether a rank's copy has exited, though its pipes may not have ended.
    pub fn has_exited(&self, rank: u32) -> bool {
        self.slots[rank as usize].copy.as_ref().is_none_or(|copy| copy.exited.is_some())
    }

    /// Bytes given to a rank's copy that it has not read: queued or in the pipe.
    pub fn unread(&self, rank: u32) -> u64 {
        let copy = self.slots[rank as usize].copy.as_ref();
        copy.map_or(0, |copy| copy.feed.queued() + copy.unread_in_pipe())
    }

    /// Does as told.
    pub fn order(&mut self, order: ToAgent<'_>, poller: &Poller, now: Instant) {
        match order {
            ToAgent::Start { rank, chunk } => self.start(rank, chunk, poller, now),
            ToAgent::Feed { rank, bytes } => {
                if let Some(copy) = self.copy(rank) {
                    copy.give_bytes(bytes);
                }
            }
            ToAgent::Deal { rank, range } => {
                if let Some(copy) = self.copy(rank) {
                    copy.give_range(range);
                }
            }
            ToAgent::EndOfInput { rank } => {
                if let Some(copy) = self.copy(rank) {
                    copy.end_of_input = true;
                }
            }
            ToAgent::OutputCredit { rank, bytes } => {
                self.slots[rank as usize].output_credit += i64::try_from(bytes).unwrap_or(i64::MAX);
            }
            ToAgent::DiagnosticCredit { rank, bytes } => {
                let credit = &mut self.slots[rank as usize].diagnostic_credit;
                *credit += i64::try_from(bytes).unwrap_or(i64::MAX);
            }
            ToAgent::Signal { rank, signal } => self.signal(rank, signal),
        }
    }

    fn copy(&mut self, rank: u32) -> Option<&mut Copy> {
        self.slots[rank as usize].copy.as_mut()
    }

    fn start(&mut self, rank: u32, chunk: Option<u64>, poller: &Poller, now: Instant) {
        let started =
            self.start_copy(rank, chunk, now).and_then(|copy| match watch(&copy, rank, poller) {
                Ok(()) => Ok(copy),
                Err(source) => {
                    family::signal(&[copy.pid], Signal::KILL);
                    copy.end(now, false);
                    Err(("watch", source))
                }
            });
        match started {
            Ok(copy) => {
                self.told.push_back(FromAgent::Started { rank, pid: copy.pid });
                self.slots[rank as usize].copy = Some(copy);
                self.running += 1;
            }
            Err((step, source)) => {
                self.told.push_back(FromAgent::StartFailed { rank, step, source });
            }
        }
    }

    fn start_copy(
        &self,
        rank: u32,
        chunk: Option<u64>,
        now: Instant,
    ) -> Result<Copy, copy::StartError> {
        let command = &self.job.command;
        let more = variables(&self.job, rank, chunk);
        let image = Image::new(&command.path, &command.argv, &command.environment, &more);
        Copy::start(&self.spawner, &image, self.pipe_size, self.open_files, &self.oom, now)
    }

    fn signal(&mut self, rank: Option<u32>, signal: Signal) {
        let which = match rank {
            Some(rank) => rank as usize..rank as usize + 1,
            None => 0..self.slots.len(),
        };
        let ends = matches!(signal, Signal::TERM | Signal::KILL);
        let mut leaders: Vec<Pid> = Vec::new();
        for copy in self.slots[which].iter_mut().filter_map(|slot| slot.copy.as_mut()) {
            leaders.push(copy.pid);
            if ends && copy.exited.is_none() {
                copy.stopped = true;
            }
        }
        if leaders.is_empty() {
            return;
        }
        family::signal(&leaders, signal);
        if signal == Signal::TERM {
            // A stopped process takes it only once it goes on.
            family::signal(&leaders, Signal::CONT);
        }
    }

    /// Notes what the poller saw.
    pub fn ready(&mut self, event: Ready, now: Instant) {
        let (Token::Process(rank)
        | Token::ChildStdin(rank)
        | Token::ChildStdout(rank)
        | Token::ChildStderr(rank)) = event.token
        else {
            return;
        };
        let Some(copy) = self.copy(rank) else { return };
        match event.token {
            Token::Process(_) => copy.look_for_exit(now),
            Token::ChildStdin(_) => copy.writable = true,
            Token::ChildStdout(_) => set_ready(&mut copy.stdout, event.ended),
            _ => set_ready(&mut copy.stderr, event.ended),
        }
    }

    /// Writes, reads and ends what can be written, read and ended now.
    pub fn pump(&mut self, poller: &Poller, now: Instant) -> Moved {
        let mut moved = Moved::default();
        for rank in 0..self.slots.len() {
            if self.slots[rank].copy.is_some() {
                self.pump_rank(rank, &mut moved, poller, now);
            }
        }
        moved
    }

    fn pump_rank(&mut self, slot: usize, moved: &mut Moved, poller: &Poller, now: Instant) {
        let rank = u32::try_from(slot).unwrap_or(u32::MAX);
        let Slot { copy: Some(copy), output_credit, diagnostic_credit } = &mut self.slots[slot]
        else {
            return;
        };
        let (written, share, why) = copy.write(self.input.as_deref(), self.job.records);
        if written > 0 {
            moved.any = true;
            moved.fullest = moved.fullest.max(share);
            self.told.push_back(FromAgent::Consumed { rank, bytes: written });
        }
        moved.more |= why == Stopped::Turn;
        match why {
            Stopped::Input(offset, source) => {
                copy.feed.clear();
                self.told.push_back(FromAgent::InputFailed { rank, offset, source });
            }
            Stopped::Pipe(source) => {
                copy.feed.clear();
                self.told.push_back(FromAgent::FeedFailed { rank, source });
            }
            Stopped::Full => {
                if let Err(source) = copy.watch_stdin(rank, poller) {
                    self.told.push_back(FromAgent::FeedFailed { rank, source });
                }
            }
            Stopped::Empty | Stopped::Turn => {}
        }
        match read(&mut copy.stdout, output_credit, &self.buffers, moved) {
            Some(Ok(bytes)) => {
                copy.printed += bytes.len() as u64;
                self.told.push_back(FromAgent::Output { rank, bytes });
            }
            Some(Err(source)) => self.told.push_back(FromAgent::ReadFailed { rank, source }),
            None => {}
        }
        match read(&mut copy.stderr, diagnostic_credit, &self.buffers, moved) {
            Some(Ok(bytes)) => {
                copy.complained += bytes.len() as u64;
                self.told.push_back(FromAgent::Diagnostic { rank, bytes });
            }
            Some(Err(source)) => self.told.push_back(FromAgent::ReadFailed { rank, source }),
            None => {}
        }
        self.end_if_done(slot, moved, now);
    }

    /// A copy has ended when its process has exited and its pipes have; when a descendant keeps
    /// its stdout longer than the leak timeout that is a leak.
    fn end_if_done(&mut self, slot: usize, moved: &mut Moved, now: Instant) {
        let Some(copy) = &self.slots[slot].copy else { return };
        let Some((_, exited_at)) = copy.exited else { return };
        let late = now >= exited_at + self.job.leak_timeout;
        // What comes after all that lay in the pipe at the exit is a descendant's.
        let idle = |outlet: &Option<Outlet>| {
            outlet.as_ref().is_none_or(|outlet| late && (!outlet.ready || outlet.overrun))
        };
        if !idle(&copy.stdout) || !idle(&copy.stderr) {
            return;
        }
        let Some(mut copy) = self.slots[slot].copy.take() else { return };
        let leaked = copy.stdout.take().is_some();
        if leaked {
            family::signal(&[copy.pid], Signal::KILL);
        }
        let rank = u32::try_from(slot).unwrap_or(u32::MAX);
        let end = copy.end(now, leaked);
        self.told.push_back(FromAgent::Ended { rank, end });
        self.running -= 1;
        moved.any = true;
    }

    /// Takes every pipe for ready and looks at every process, whatever was reported.
    pub fn stir(&mut self, now: Instant) {
        for copy in self.slots.iter_mut().filter_map(|slot| slot.copy.as_mut()) {
            copy.writable = true;
            copy.look_for_exit(now);
            set_ready(&mut copy.stdout, false);
            set_ready(&mut copy.stderr, false);
        }
    }

    /// When [`Agent::pump`] must be called even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let waits_for_credit = |outlet: &Option<Outlet>, credit: i64| {
            credit <= 0 && outlet.as_ref().is_some_and(|outlet| outlet.ready && !outlet.overrun)
        };
        let exits = self.slots.iter().filter_map(|slot| {
            let copy = slot.copy.as_ref()?;
            let held_up = waits_for_credit(&copy.stdout, slot.output_credit)
                || waits_for_credit(&copy.stderr, slot.diagnostic_credit);
            copy.exited.filter(|_| !held_up)
        });
        exits.map(|(_, at)| at + self.job.leak_timeout).min()
    }

    /// Gives up on copies that are gone but whose pipes someone holds who could not be killed.
    pub fn abandon(&mut self, now: Instant) {
        for slot in 0..self.slots.len() {
            if let Some(copy) = &mut self.slots[slot].copy {
                copy.look_for_exit(now);
                if copy.exited.is_some() {
                    copy.stdout = None;
                    copy.stderr = None;
                }
            }
        }
    }
}

fn set_ready(outlet: &mut Option<Outlet>, ended: bool) {
    if let Some(outlet) = outlet {
        outlet.ready = true;
        outlet.ending |= ended;
    }
}

fn read(
    outlet: &mut Option<Outlet>,
    credit: &mut i64,
    buffers: &Buffers,
    moved: &mut Moved,
) -> Option<Result<Vec<u8>, Errno>> {
    let open = outlet.as_mut().filter(|outlet| outlet.ready && *credit > 0)?;
    let (got, share) = open.read(buffers);
    match got {
        Got::Bytes(bytes) => {
            *credit -= i64::try_from(bytes.len()).unwrap_or(i64::MAX);
            moved.any = true;
            moved.more |= open.ready;
            moved.fullest = moved.fullest.max(share);
            return Some(Ok(bytes));
        }
        Got::Nothing => {}
        Got::End => {
            moved.any = true;
            *outlet = None;
        }
        Got::Failed(source) => {
            moved.any = true;
            *outlet = None;
            return Some(Err(source));
        }
    }
    None
}

fn watch(copy: &Copy, rank: u32, poller: &Poller) -> Result<(), Errno> {
    poller.add(&copy.process, Token::Process(rank))?;
    if let (Some(stdout), Some(stderr)) = (&copy.stdout, &copy.stderr) {
        poller.add(&stdout.fd, Token::ChildStdout(rank))?;
        poller.add(&stderr.fd, Token::ChildStderr(rank))?;
    }
    Ok(())
}

/// The names of the variables by which a copy learns its place.
pub const VARIABLES: [&str; 7] =
    ["PX_RANK", "PX_SIZE", "PX_LOCAL_RANK", "PX_LOCAL_SIZE", "PX_HOST", "PX_JOB_ID", "PX_CHUNK"];

/// What a copy learns of the job through its environment.
fn variables(job: &Job, rank: u32, chunk: Option<u64>) -> Vec<CString> {
    let (rank, ranks) = (rank.to_string(), job.ranks.to_string());
    let chunk = chunk.filter(|_| job.run == Run::PerChunk).map(|chunk| chunk.to_string());
    let values = [
        Some(&rank),
        Some(&ranks),
        Some(&rank),
        Some(&ranks),
        Some(&job.host),
        Some(&job.id),
        chunk.as_ref(),
    ];
    let pairs = VARIABLES.iter().zip(values);
    let texts = pairs.filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    texts.filter_map(|text| CString::new(text).ok()).collect()
}
