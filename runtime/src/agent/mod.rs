//! The agent: runs the ranks of one host.
//!
//! It is told what to start and what to write, and tells what came back; see [`crate::message`].
//! It never waits: one direction of one copy being full or empty holds up nothing else. Output is
//! read only as far as the root gave credit, so a reader of the job's output that is slow makes
//! the copies wait instead of filling memory.

pub mod assignment;
pub mod binding;
mod copy;
mod directory;
pub mod family;
mod feed;
mod hear;
mod inbox;
mod oom;
pub mod pipes;
mod program;
mod talk;

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::buffers::Buffers;
use crate::input::files::FileInput;
use crate::libpx::helper;
use crate::link::{Link, Moved, Windows};
use crate::message::{FromAgent, StartStep, ToAgent};
use crate::poller::{Poller, Ready, Token};
use crate::sys::process::raise_open_files;
use crate::sys::spawn::{Image, Spawner};
use assignment::{Assignment, Binding, Feeding, Pipes, Reading};
use copy::{Copy, Fed, Got, Greeting, Outlet};
use feed::Stopped;
use program::Program;
use talk::Talk;

/// Somebody who does the work of a copy, though it is no process of the job's: it is there already, and
/// speaks as a program does that uses libpx.
#[derive(Debug)]
pub struct Guest {
    /// Over this.
    pub socket: OwnedFd,
    /// Where it is.
    pub place: helper::Guest,
}

#[derive(Default)]
struct Slot {
    copy: Option<Copy>,
    output_credit: i64,
    diagnostic_credit: i64,
}

/// Runs the copies of some ranks.
pub struct Agent {
    assignment: Assignment,
    input: Option<Rc<FileInput>>,
    spawner: Spawner,
    slots: Vec<Slot>,
    told: VecDeque<FromAgent>,
    buffers: Buffers,
    cores: Vec<Vec<u32>>,
    pipe_size: usize,
    open_files: rustix::process::Rlimit,
    oom: oom::OomPreference,
    /// What copies that use libpx have as stdin.
    nothing: Option<OwnedFd>,
    talk: Option<Talk>,
    /// Who does the work of copies, where nothing is started.
    guests: Option<Vec<Option<Guest>>>,
    checks_input: bool,
    headroom: usize,
    /// All were told to end: nothing is started any more.
    ending: bool,
    /// All were told to stand still: what is started does so too.
    standing_still: bool,
}

impl Agent {
    /// Makes an agent for the ranks of `assignment`, none started.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(
        assignment: Assignment,
        input: Option<Rc<FileInput>>,
        buffers: Buffers,
    ) -> Result<Self, Errno> {
        let open_files = crate::sys::process::open_files_limit();
        raise_open_files();
        let cores = match assignment.binding {
            Binding::None => Vec::new(),
            Binding::Core => binding::cores(),
        };
        Ok(Agent {
            input,
            spawner: Spawner::new()?,
            slots: assignment.ranks.iter().map(|_| Slot::default()).collect(),
            told: VecDeque::new(),
            buffers,
            cores,
            pipe_size: match assignment.pipes {
                Pipes::Usual => pipes::DEFAULT,
                // Two for each copy, the root's input and output.
                Pipes::Enlarged => pipes::affordable(2 * assignment.ranks.len() + 2),
            },
            open_files,
            oom: oom::OomPreference::new(),
            talk: Talk::new(&assignment)?,
            nothing: match assignment.feeding {
                Feeding::Stdin => None,
                Feeding::Px => Some(open_nothing()?),
            },
            guests: None,
            checks_input: false,
            headroom: 0,
            ending: false,
            standing_still: false,
            assignment,
        })
    }

    /// Has it start nothing: `guests`, one for each rank, do the work of the copies. They do not talk to
    /// each other.
    pub fn of_guests(mut self, guests: Vec<Guest>) -> Self {
        self.talk = None;
        self.guests = Some(guests.into_iter().map(Some).collect());
        self
    }

    /// Has it do what the agent beside the root need not: see to it that the input is what it was
    /// whenever a copy has ended, and leave `headroom` bytes in front of what copies print, so that
    /// a frame of it needs no copy.
    pub fn for_a_link(mut self, headroom: usize) -> Self {
        self.checks_input = true;
        self.headroom = headroom;
        self
    }

    /// How many copies have been started and have not ended.
    pub fn running(&self) -> usize {
        self.slots.iter().filter(|slot| slot.copy.is_some()).count()
    }

    fn obey(&mut self, order: ToAgent<'_>, poller: &Poller, now: Instant) {
        match order {
            ToAgent::Start { rank, chunk, attempt } => {
                self.start(rank, chunk.map(|chunk| (chunk, attempt)), poller, now);
            }
            ToAgent::Feed { rank, bytes } => {
                if let Some(copy) = self.copy(rank) {
                    let written = copy.give_bytes(bytes);
                    if written > 0 {
                        self.told.push_back(FromAgent::Consumed { rank, bytes: written });
                    }
                }
            }
            ToAgent::Deal { rank, range } => {
                let input = self.input.clone();
                if let Some(copy) = self.copy(rank) {
                    copy.give_range(range, input.as_deref());
                }
            }
            ToAgent::EndOfInput { rank } => {
                if let Some(copy) = self.copy(rank) {
                    copy.end_input();
                }
            }
            ToAgent::Begin { rank, chunk, length } => {
                if let Some(program) = self.program(rank) {
                    program.begin(chunk, length);
                }
            }
            ToAgent::End { rank } => {
                if let Some(program) = self.program(rank) {
                    program.end_chunk();
                }
            }
            ToAgent::MayTalk => {
                if let Some(talk) = &self.talk {
                    talk.allow();
                }
            }
            ToAgent::PeerGone { peer } => {
                if let Some(talk) = &self.talk {
                    talk.gone(peer);
                }
            }
            ToAgent::Drained { rank, by, bytes } => {
                self.talk(rank, |talk, slot| talk.drained(slot, by, bytes));
            }
            ToAgent::Talk { rank, from, bytes } => {
                self.talk(rank, |talk, slot| talk.deposit(slot, from, bytes));
            }
            ToAgent::OutputCredit { rank, bytes } => {
                if let Some(slot) = self.slot(rank) {
                    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                    slot.output_credit = slot.output_credit.saturating_add(bytes);
                }
            }
            ToAgent::DiagnosticCredit { rank, bytes } => {
                if let Some(slot) = self.slot(rank) {
                    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                    slot.diagnostic_credit = slot.diagnostic_credit.saturating_add(bytes);
                }
            }
            ToAgent::Signal { rank, signal } => self.signal(rank, signal, now),
            ToAgent::Abandon => self.abandon(now),
            // The loop around an agent knows of silence.
            ToAgent::Pause | ToAgent::Resume => {}
            ToAgent::Leave => self.signal(None, Signal::KILL, now),
        }
    }

    fn slot(&mut self, rank: u32) -> Option<&mut Slot> {
        let slot = self.assignment.slot(rank)?;
        self.slots.get_mut(slot)
    }

    fn copy(&mut self, rank: u32) -> Option<&mut Copy> {
        self.slot(rank)?.copy.as_mut()
    }

    /// Does something in the memory that copies share.
    fn talk(&mut self, rank: u32, act: impl FnOnce(&mut Talk, usize) -> Result<(), String>) {
        let (Some(slot), Some(talk)) = (self.assignment.slot(rank), &mut self.talk) else { return };
        if let Err(what) = act(talk, slot) {
            self.told.push_back(FromAgent::Broke { rank, what });
        }
    }

    /// Says who waits for whom where all copies do, or that this is over.
    fn tell_waits(&mut self, now: Instant) {
        let copies = self
            .slots
            .iter()
            .zip(&self.assignment.ranks)
            .filter_map(|(slot, &rank)| slot.copy.as_ref().map(|copy| (rank, copy.leader())));
        let news = self.talk.as_mut().and_then(|talk| talk.news_of_waits(copies, now));
        if let Some(waits) = news {
            self.told.push_back(FromAgent::Blocked { waits });
        }
    }

    fn program(&mut self, rank: u32) -> Option<&mut Program> {
        self.copy(rank)?.program.as_mut()
    }

    fn start(&mut self, rank: u32, chunk: Option<(u64, u32)>, poller: &Poller, now: Instant) {
        let Some(slot) = self.assignment.slot(rank) else { return };
        let number = u32::try_from(slot).unwrap_or(u32::MAX);
        let started =
            self.start_copy(slot, chunk, now).and_then(|copy| match watch(&copy, number, poller) {
                Ok(()) => Ok(copy),
                Err(source) => {
                    family::signal(copy.leader().as_slice(), Signal::KILL);
                    copy.end(now, false);
                    Err((StartStep::Watch, source))
                }
            });
        match started {
            Ok(copy) => {
                if self.standing_still {
                    family::signal(copy.leader().as_slice(), Signal::STOP);
                }
                self.told.push_back(FromAgent::Started { rank });
                self.slots[slot].copy = Some(copy);
            }
            Err((step, source)) => {
                self.told.push_back(FromAgent::StartFailed { rank, step, source });
            }
        }
    }

    fn start_copy(
        &mut self,
        slot: usize,
        chunk: Option<(u64, u32)>,
        now: Instant,
    ) -> Result<Copy, copy::StartError> {
        if self.ending {
            return Err((StartStep::Start, Errno::CANCELED));
        }
        if let Some(guests) = &mut self.guests {
            // A guest comes once.
            let guest = guests.get_mut(slot).and_then(Option::take);
            let guest = guest.ok_or((StartStep::Start, Errno::NOTCONN))?;
            let program = Program::of_guest(guest, self.assignment.welcome(slot, false));
            return Ok(Copy::of_guest(program, now));
        }
        let command = &self.assignment.command;
        let core = self.assignment.local.cores_taken as usize + slot;
        let cpus = self.cores.get(core).map(Vec::as_slice);
        let more = self.assignment.variables(slot, chunk, cpus.map(binding::list).as_deref());
        let image = Image::new(&command.path, &command.argv, &command.environment, &more);
        let _entered = directory::enter(self.assignment.directory.as_deref())
            .map_err(|source| (StartStep::Enter, source))?;
        let _kept = binding::keep_on(cpus).map_err(|source| (StartStep::Bind, source))?;
        let fed = match &self.nothing {
            None => Fed::ByPipe,
            Some(nothing) => {
                let commons = self.talk.as_ref().map(Talk::descriptor);
                let welcome = self.assignment.welcome(slot, commons.is_some());
                Fed::BySocket(nothing.as_fd(), Greeting { welcome, commons })
            }
        };
        let pipe_size = self.pipe_size;
        Copy::start(&self.spawner, &image, fed, pipe_size, self.open_files, &self.oom, now)
    }

    fn signal(&mut self, rank: Option<u32>, signal: Signal, now: Instant) {
        let which = match rank.map(|rank| self.assignment.slot(rank)) {
            Some(Some(slot)) => slot..slot + 1,
            Some(None) => return,
            None => 0..self.slots.len(),
        };
        let ends = matches!(signal, Signal::TERM | Signal::KILL);
        if rank.is_none() {
            self.ending |= ends;
            match signal {
                Signal::STOP => self.standing_still = true,
                Signal::CONT => self.standing_still = false,
                _ => {}
            }
        }
        let mut leaders: Vec<Pid> = Vec::new();
        for copy in self.slots[which].iter_mut().filter_map(|slot| slot.copy.as_mut()) {
            leaders.extend(copy.leader());
            if ends && copy.exited.is_none() {
                copy.stopped = true;
                copy.dismiss(signal, now);
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

    fn pump_rank(&mut self, slot: usize, moved: &mut Moved, poller: &Poller, now: Instant) {
        let rank = self.assignment.ranks[slot];
        let number = u32::try_from(slot).unwrap_or(u32::MAX);
        let Slot { copy: Some(copy), output_credit, diagnostic_credit } = &mut self.slots[slot]
        else {
            return;
        };
        let (written, share, why) = copy.write(self.input.as_deref(), self.assignment.records);
        if written > 0 {
            moved.any = true;
            moved.fullest = moved.fullest.max(share);
            self.told.push_back(FromAgent::Consumed { rank, bytes: written });
        }
        moved.more |= why == Stopped::Turn;
        match why {
            Stopped::Input(offset, source) => {
                copy.feed.clear();
                let error = self.input.as_deref().map(|input| input.explain(offset, source));
                let message = error.map_or_else(String::new, |error| error.to_string());
                self.told.push_back(FromAgent::InputFailed { rank, message });
            }
            Stopped::Pipe(source) => {
                copy.feed.clear();
                self.told.push_back(FromAgent::FeedFailed { rank, source });
            }
            Stopped::Full => {
                if let Err(source) = copy.watch_stdin(number, poller) {
                    self.told.push_back(FromAgent::FeedFailed { rank, source });
                }
            }
            Stopped::Empty | Stopped::Turn => {}
        }
        if self.assignment.tells_reading == Reading::Told
            && let Some(bytes) = copy.news_of_reading()
        {
            moved.any = true;
            self.told.push_back(FromAgent::Read { rank, bytes });
        }
        let room = (&self.buffers, self.headroom);
        let began = copy.conduct;
        hear::hear(copy, rank, output_credit, room, moved, &mut self.told, now);
        if let (Some(talk), true) = (&self.talk, began != copy.conduct) {
            talk.begun(slot);
        }
        // What it said has left as much again for what it printed.
        let floor = 2 * hear::floor(copy);
        match read(&mut copy.stdout, output_credit, floor, room, moved) {
            Some(Ok(bytes)) => {
                copy.printed += (bytes.len() - self.headroom) as u64;
                self.told.push_back(FromAgent::Output { rank, bytes });
            }
            Some(Err(source)) => self.told.push_back(FromAgent::ReadFailed { rank, source }),
            None => {}
        }
        match read(&mut copy.stderr, diagnostic_credit, 0, room, moved) {
            Some(Ok(bytes)) => {
                copy.complained += (bytes.len() - self.headroom) as u64;
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
        let Some(copy) = &mut self.slots[slot].copy else { return };
        let Some((_, exited_at)) = copy.exited else { return };
        if !std::mem::replace(&mut copy.exit_told, true) {
            let rank = self.assignment.ranks[slot];
            self.told.push_back(FromAgent::Exited { rank });
            // What it held of others is free now, however long its output lies there unread.
            if let Some(talk) = &self.talk {
                talk.ended(slot);
            }
        }
        let late = now >= exited_at + self.assignment.leak_timeout;
        // What comes after all that lay in the pipe at the exit is a descendant's.
        let idle = |outlet: &Option<Outlet>| {
            outlet.as_ref().is_none_or(|outlet| late && (!outlet.ready || outlet.overrun))
        };
        let said_all = copy.program.as_ref().is_none_or(|program| !program.is_readable());
        if !idle(&copy.stdout) || !idle(&copy.stderr) || !said_all {
            return;
        }
        let Some(mut copy) = self.slots[slot].copy.take() else { return };
        // Once more: what it had said before may have been read after its end.
        if let Some(talk) = &self.talk {
            talk.ended(slot);
        }
        let leaked = copy.stdout.take().is_some();
        if leaked {
            family::signal(copy.leader().as_slice(), Signal::KILL);
        }
        let rank = self.assignment.ranks[slot];
        if let (true, Some(input)) = (self.checks_input, &self.input)
            && let Err(error) = input.check(copy.dealt())
        {
            let message = error.to_string();
            self.told.push_back(FromAgent::InputFailed { rank, message });
        }
        let end = copy.end(now, leaked);
        self.told.push_back(FromAgent::Ended { rank, end });
        moved.any = true;
    }

    fn abandon(&mut self, now: Instant) {
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

/// Read of a copy's output at once at least, in bytes.
const LEAST_READ: usize = 4 << 10;
/// What may wait in memory for a rank of this very process, and unread in its pipe.
const WINDOWS: Windows = Windows { dealt: 256 << 10, allowance: 48 << 10 };

impl Link for Agent {
    fn windows(&self) -> Windows {
        WINDOWS
    }

    fn is_over(&self) -> bool {
        self.slots.iter().all(|slot| slot.copy.is_none())
    }

    fn order(&mut self, order: ToAgent<'_>, poller: &Poller, now: Instant) {
        self.obey(order, poller, now);
    }

    fn told(&mut self) -> Option<FromAgent> {
        self.told.pop_front()
    }

    fn ready(&mut self, event: Ready, now: Instant) {
        let (Token::Process(slot)
        | Token::ChildStdin(slot)
        | Token::ChildStdout(slot)
        | Token::ChildStderr(slot)) = event.token
        else {
            return;
        };
        let copy = self.slots.get_mut(slot as usize).and_then(|slot| slot.copy.as_mut());
        let Some(copy) = copy else { return };
        match event.token {
            Token::Process(_) => copy.look_for_exit(now),
            Token::ChildStdin(_) => copy.woken(),
            Token::ChildStdout(_) => set_ready(&mut copy.stdout, event.ended),
            _ => set_ready(&mut copy.stderr, event.ended),
        }
    }

    fn pump(&mut self, poller: &Poller, now: Instant) -> Moved {
        let mut moved = Moved::default();
        self.tell_waits(now);
        for rank in 0..self.slots.len() {
            if self.slots[rank].copy.is_some() {
                self.pump_rank(rank, &mut moved, poller, now);
            }
        }
        moved
    }

    fn stir(&mut self, now: Instant) {
        for copy in self.slots.iter_mut().filter_map(|slot| slot.copy.as_mut()) {
            copy.woken();
            copy.look_for_exit(now);
            set_ready(&mut copy.stdout, false);
            set_ready(&mut copy.stderr, false);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let waits_for_credit = |outlet: &Option<Outlet>, credit: i64| {
            credit <= 0 && outlet.as_ref().is_some_and(|outlet| outlet.ready && !outlet.overrun)
        };
        let exits = self.slots.iter().filter_map(|slot| {
            let copy = slot.copy.as_ref()?;
            let held_up = waits_for_credit(&copy.stdout, slot.output_credit)
                || waits_for_credit(&copy.stderr, slot.diagnostic_credit);
            copy.exited.filter(|_| !held_up)
        });
        exits.map(|(_, at)| at + self.assignment.leak_timeout).min()
    }
}

fn open_nothing() -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, Mode::empty())
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
    floor: i64,
    (buffers, headroom): (&Buffers, usize),
    moved: &mut Moved,
) -> Option<Result<Vec<u8>, Errno>> {
    let open = outlet.as_mut().filter(|outlet| outlet.ready && *credit > floor)?;
    // With very many ranks there is little credit for each, and then it is not overdrawn by much.
    let most = usize::try_from(*credit - floor).unwrap_or(usize::MAX).max(LEAST_READ);
    let (got, share) = open.read(buffers, headroom, most);
    match got {
        Got::Bytes(bytes) => {
            *credit -= i64::try_from(bytes.len() - headroom).unwrap_or(i64::MAX);
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

fn watch(copy: &Copy, slot: u32, poller: &Poller) -> Result<(), Errno> {
    if let Some(child) = &copy.child {
        poller.add(&child.end, Token::Process(slot))?;
    }
    if let Some(program) = &copy.program {
        poller.add(program.fd(), Token::ChildStdin(slot))?;
    }
    if let (Some(stdout), Some(stderr)) = (&copy.stdout, &copy.stderr) {
        poller.add(&stdout.fd, Token::ChildStdout(slot))?;
        poller.add(&stderr.fd, Token::ChildStderr(slot))?;
    }
    Ok(())
}
