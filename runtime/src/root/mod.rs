//! The root: ties one input to one output.
//!
//! It deals while ranks have credit, gathers what they print, judges how each copy ended, and
//! stops the job at its first failure. All waiting is the [`crate::engine`]'s.

mod conclude;
mod files;
mod hosts;
mod judge;
mod loss;
mod memory;
mod programs;
pub mod setup;
mod stopping;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::failure::{Failure, Kind, Message};
use crate::job::Job;
use crate::message::{Blocked, Ended, FromAgent, ToAgent};
use crate::output::OutputError;
use crate::output::chunks::Running;
use crate::output::diagnostics::Diagnostics;
use crate::output::gather::{Gather, GatherError};
use crate::output::hold::Hold;
use crate::output::publish::Ending;
use crate::poller::Poller;

pub use conclude::Verdict;
use files::FileSource;
use hosts::Hosts;
pub use judge::Tally;
use loss::{Again, Held};
use stopping::Stopping;
use stream::StreamSource;

/// Output of one rank that may be on its way.
const OUTPUT_WINDOW: usize = 1 << 20;
/// Diagnostics of one rank that may be on their way.
const DIAGNOSTIC_WINDOW: usize = 64 << 10;
/// Unwritten output above which the copies wait.
const BACKLOG: u64 = 2 << 20;
/// Chunks that may wait for an earlier one to end.
const REORDERED: usize = 1 << 16;

/// Who wants to know how the job goes.
pub trait Observer {
    /// A copy has ended.
    ///
    /// # Errors
    /// What to tell the user when this could not be noted down.
    fn ended(&mut self, copy: &CopyRecord<'_>) -> Result<(), Message>;

    /// Draws a bar, without a line end; empty for none.
    fn bar(&mut self, progress: &Progress) -> String;

    /// How often to draw it; `None` for never.
    fn bar_every(&self) -> Option<Duration>;

    /// How much to say.
    fn verbosity(&self) -> Verbosity;

    /// All is written and said.
    fn over(&mut self, totals: &Totals);
}

/// What went through a job that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Chunks that were dealt, each counted once however often it was.
    pub chunks: u64,
    /// Their length in bytes.
    pub input: u64,
    /// Bytes of output written.
    pub output: u64,
}

/// How much to say besides errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// Warnings and notes that matter.
    Usual,
    /// How the job was planned and how it went, too.
    Verbose,
}

/// How a copy went.
#[derive(Debug)]
pub struct CopyRecord<'a> {
    /// Whose.
    pub rank: u32,
    /// Where it ran.
    pub host: &'a str,
    /// For which chunk alone, per chunk.
    pub chunk: Option<u64>,
    /// How it ended.
    pub end: &'a Ended,
}

/// How far the job is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Length of the input in bytes, where known.
    pub total: Option<u64>,
    /// Bytes that went into the copies' pipes.
    pub consumed: u64,
    /// Bytes written to the output.
    pub written: u64,
    /// Copies running.
    pub running: usize,
    /// Since the start.
    pub elapsed: Duration,
    /// What holds the job up right now.
    pub limit: Limit,
}

/// What holds a job up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The input brings no more.
    Input,
    /// The copies take no more.
    Copies,
    /// The reader of the output takes no more.
    Output,
}

/// Chunks given one after the other to one copy, for messages.
#[derive(Clone, Copy, Debug)]
struct Dealt {
    first: u64,
    last: u64,
    start: u64,
    end: u64,
    /// Bytes given to the copy up to their end.
    given: u64,
}

#[derive(Default)]
struct RankState {
    running: bool,
    /// The copy's process has ended, though its pipes may not have.
    exited: bool,
    /// No copy will run here any more.
    over: bool,
    end_of_input: bool,
    /// Its copy has left; what else would be its own tells whether too early.
    gone: bool,
    declined: bool,
    /// Its host is lost.
    lost: bool,
    /// The chunk whose bytes it was given last, where output is committed chunk by chunk.
    chunk: Option<u64>,
    /// The chunks that it has and that can be dealt again.
    held: BTreeMap<u64, Held>,
    /// What is still to be given of a chunk that was lost with another copy.
    refeed: Option<Again>,
    chunk_range: Option<Range<u64>>,
    /// What a copy which uses libpx was given and has not taken, as far as it has said: chunks and
    /// their lengths.
    untaken: VecDeque<(u64, u64)>,
    /// Chunks that its copy has released.
    released: u64,
    /// Whether something came on its stdout.
    printed: bool,
    /// Copies that ended by a signal with no chunk, one after the other.
    idle_deaths: u32,
    given: u64,
    consumed: u64,
    /// Of what it was given, so much it has read; known where that decides the deal.
    read: u64,
    dealt: VecDeque<Dealt>,
    owed_output: usize,
    owed_diagnostics: usize,
    timeout: Option<Instant>,
    timed_out: bool,
    kill_at: Option<Instant>,
    /// When SIGKILL must have ended it.
    dead_at: Option<Instant>,
    allowance: u64,
}

enum Source {
    Files(FileSource),
    Stream(StreamSource),
}

/// The root of a job.
pub struct Root {
    job: Rc<Job>,
    hosts: Hosts,
    source: Source,
    gather: Gather,
    diagnostics: Diagnostics,
    ending: Option<Ending>,
    output_name: String,
    observer: Box<dyn Observer>,
    ranks: Vec<RankState>,
    /// What streams have brought and may have to be given again.
    retained: Hold,
    stopping: Option<Stopping>,
    tally: Tally,
    started: Instant,
    next_bar: Option<Instant>,
    consumed: u64,
    dealt: u64,
    dealt_chunks: u64,
    total: Option<u64>,
    blocked: Limit,
    output_dead: bool,
    finished: bool,
    /// How short of chunks a copy that uses libpx was when it was given one in this step, in percent.
    shortage: usize,
    /// Copies that use libpx have sent messages to each other: no chunk can be run again.
    talks: bool,
    /// What such copies had in memory is lost with one of them: which, and how much.
    forgotten: Option<String>,
    /// Such copies wait for messages: they are told who is gone.
    listens: bool,
    /// Who waits for whom, by host, where all of a host's copies do.
    waits: BTreeMap<usize, Vec<Blocked>>,
    told_of_waits: bool,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stepped {
    /// Bytes were moved or something was told.
    pub any: bool,
    /// More can be done at once.
    pub more: bool,
    /// The largest share of a pipe, or of what a copy has ahead, that was moved, in percent.
    pub fullest: usize,
}

impl Root {
    /// Does what can be done now.
    pub fn step(&mut self, poller: &Poller, now: Instant) -> Stepped {
        let mut stepped = Stepped::default();
        if self.stopping.is_none() {
            stepped.more |= self.deal(poller, now);
            stepped.fullest = self.take_stream_share().max(std::mem::take(&mut self.shortage));
        }
        let moved = self.hosts.pump(poller, now);
        stepped.any |= moved.any;
        stepped.more |= moved.more;
        stepped.fullest = stepped.fullest.max(moved.fullest);
        stepped.any |= self.hear_all(poller, now);
        self.check_deadlines(poller, now);
        self.diagnostics.tick(now);
        self.flush(poller, now, &mut stepped);
        self.give_credit(poller, now);
        self.draw_bar(now);
        stepped
    }

    fn deal(&mut self, poller: &Poller, now: Instant) -> bool {
        match self.source {
            Source::Files(_) => self.deal_files(poller, now),
            Source::Stream(_) => self.deal_stream(poller, now),
        }
    }

    /// Takes all that the agent has to tell; says whether there was anything.
    fn hear_all(&mut self, poller: &Poller, now: Instant) -> bool {
        let mut any = false;
        while let Some((host, told)) = self.hosts.told() {
            any = true;
            match told {
                FromAgent::Lost { message } => self.host_lost(host, message, poller, now),
                FromAgent::Blocked { waits } => self.blocked(host, waits),
                told => self.hear(told, poller, now),
            }
        }
        any
    }

    fn hear(&mut self, told: FromAgent, poller: &Poller, now: Instant) {
        match told {
            FromAgent::Started { rank } => {
                let timeout = self.job.timeout.map(|timeout| now + timeout);
                self.ranks[rank as usize].timeout = timeout;
            }
            FromAgent::StartFailed { rank, step, source } => {
                self.start_failed(rank, step, source, poller, now);
            }
            FromAgent::Consumed { rank, bytes } => {
                self.consumed += bytes;
                self.ranks[rank as usize].advance(bytes);
            }
            FromAgent::Read { rank, bytes } => self.ranks[rank as usize].read = bytes,
            FromAgent::Exited { rank } => self.ranks[rank as usize].exited = true,
            FromAgent::InputFailed { rank: _, message } => {
                self.input_failed(message, poller, now);
            }
            FromAgent::FeedFailed { rank, source } => {
                self.pipe_failed(rank, "write to its stdin", source, poller, now);
            }
            FromAgent::ReadFailed { rank, source } => {
                self.pipe_failed(rank, "read its output", source, poller, now);
            }
            FromAgent::Output { rank, bytes } => {
                self.ranks[rank as usize].owed_output += bytes.len();
                if !self.output_dead && self.prints(rank, poller, now) {
                    let result = self.gather.output(rank, bytes);
                    self.gathered(result, poller, now);
                }
            }
            FromAgent::Diagnostic { rank, bytes } => {
                self.ranks[rank as usize].owed_diagnostics += bytes.len();
                self.diagnostics.take(rank, &bytes, now);
            }
            FromAgent::Ended { rank, end } => self.ended(rank, &end, poller, now),
            FromAgent::Asked { signal } => self.stop(Some(signal), poller, now),
            FromAgent::Lost { .. } => {}
            of_libpx => self.hear_program(of_libpx, poller, now),
        }
    }

    fn flush(&mut self, poller: &Poller, now: Instant, stepped: &mut Stepped) {
        if !self.output_dead {
            let stage = self.gather.stage();
            let before = stage.sink.written();
            match stage.flush() {
                Ok(any) => {
                    stepped.any |= any;
                    let share = stage.sink.share_of_pipe(stage.sink.written() - before);
                    stepped.fullest = stepped.fullest.max(share);
                }
                Err(error) => self.output_failed(&error, poller, now),
            }
        }
        if let Some(warning) = self.gather.stage().hold.warning() {
            self.warn(&Message::new(warning));
        }
        match self.diagnostics.flush() {
            Ok(any) => stepped.any |= any,
            Err(error) => {
                self.diagnostics.sink().clear();
                let message = Message::new(error.to_string());
                self.fail_now(Failure { kind: Kind::Own, place: 0, message }, poller, now);
            }
        }
    }

    /// Lets the copies print on, unless what they print cannot be got rid of.
    fn give_credit(&mut self, poller: &Poller, now: Instant) {
        let output = self.output_dead || self.gather.stage().backlog() < BACKLOG;
        let diagnostics = !self.diagnostics.sink().is_full();
        for rank in 0..self.ranks.len() {
            let state = &mut self.ranks[rank];
            let number = u32::try_from(rank).unwrap_or(u32::MAX);
            if output && state.owed_output > 0 {
                let bytes = std::mem::take(&mut state.owed_output);
                self.hosts.order(ToAgent::OutputCredit { rank: number, bytes }, poller, now);
            }
            if diagnostics && state.owed_diagnostics > 0 {
                let bytes = std::mem::take(&mut state.owed_diagnostics);
                self.hosts.order(ToAgent::DiagnosticCredit { rank: number, bytes }, poller, now);
            }
        }
    }

    /// Starts a copy for one chunk, which was dealt to `home` first.
    fn start_chunk(
        &mut self,
        rank: u32,
        chunk: u64,
        home: u32,
        attempt: u32,
        poller: &Poller,
        now: Instant,
    ) {
        self.start_copy(rank, Some((Running { chunk, home }, attempt)), poller, now);
    }

    /// Starts a copy, for one chunk alone where it is given one, with how often that is started.
    fn start_copy(
        &mut self,
        rank: u32,
        only: Option<(Running, u32)>,
        poller: &Poller,
        now: Instant,
    ) {
        let (running, attempt) = only.unzip();
        let chunk = running.map(|running: Running| running.chunk);
        let state = &mut self.ranks[rank as usize];
        state.running = true;
        state.exited = false;
        state.gone = false;
        state.end_of_input = false;
        state.chunk = chunk;
        state.given = 0;
        state.consumed = 0;
        state.read = 0;
        state.dealt.clear();
        state.timed_out = false;
        state.timeout = None;
        state.kill_at = None;
        state.dead_at = None;
        state.untaken.clear();
        state.released = 0;
        state.printed = false;
        self.gather.started(rank, running);
        let attempt = attempt.unwrap_or(0);
        self.hosts.order(ToAgent::Start { rank, chunk, attempt }, poller, now);
    }

    fn feed(&mut self, rank: u32, bytes: &[u8], poller: &Poller, now: Instant) {
        self.ranks[rank as usize].given += bytes.len() as u64;
        self.hosts.order(ToAgent::Feed { rank, bytes }, poller, now);
        self.retain(rank, bytes, poller, now);
    }

    fn end_input(&mut self, rank: u32, poller: &Poller, now: Instant) {
        let state = &mut self.ranks[rank as usize];
        if state.running && !state.end_of_input {
            state.end_of_input = true;
            self.hosts.order(ToAgent::EndOfInput { rank }, poller, now);
        }
    }

    fn rank_over(&mut self, rank: u32, poller: &Poller, now: Instant) {
        if !std::mem::replace(&mut self.ranks[rank as usize].over, true) {
            let result = self.gather.rank_over(rank);
            self.gathered(result, poller, now);
        }
    }

    fn gathered(&mut self, result: Result<(), GatherError>, poller: &Poller, now: Instant) {
        match result {
            Ok(()) => {}
            Err(GatherError::Output(error)) => self.output_failed(&error, poller, now),
            Err(GatherError::Breach(breach)) => self.breached(breach, poller, now),
            Err(GatherError::Printed(rank, bytes)) => self.printed(rank, &bytes, poller, now),
        }
    }

    fn input_failed(&mut self, what: impl ToString, poller: &Poller, now: Instant) {
        let message = Message::new(what.to_string());
        self.fail_now(Failure { kind: Kind::Own, place: 0, message }, poller, now);
    }

    fn output_failed(&mut self, error: &OutputError, poller: &Poller, now: Instant) {
        self.output_dead = true;
        self.gather.stage().abandon();
        let kind = match error {
            OutputError::Closed { .. } => Kind::ClosedOutput,
            _ => Kind::Own,
        };
        let message = Message::new(error.to_string());
        self.fail_now(Failure { kind, place: 0, message }, poller, now);
    }

    fn warn(&mut self, message: &Message) {
        if self.observer.verbosity() > Verbosity::Quiet {
            self.diagnostics.say(&message.render("warning"));
        }
    }

    fn note(&mut self, message: &Message) {
        if self.observer.verbosity() > Verbosity::Quiet {
            self.diagnostics.say(&message.render("note"));
        }
    }

    fn draw_bar(&mut self, now: Instant) {
        let Some(every) = self.observer.bar_every() else { return };
        if self.next_bar.is_none_or(|at| now >= at) {
            self.next_bar = Some(now + every);
            let progress = self.progress(now);
            let bar = self.observer.bar(&progress);
            self.diagnostics.set_bar(bar);
        }
    }

    fn progress(&mut self, now: Instant) -> Progress {
        let stage = self.gather.stage();
        let limit = if stage.backlog() >= BACKLOG { Limit::Output } else { self.blocked };
        Progress {
            total: self.total,
            consumed: self.consumed,
            written: stage.sink.written(),
            running: self.running(),
            elapsed: now.saturating_duration_since(self.started),
            limit,
        }
    }

    /// How many copies run.
    fn running(&self) -> usize {
        self.ranks.iter().filter(|rank| rank.running).count()
    }

    /// Sends a signal on to every copy's family.
    pub fn forward(&mut self, signal: Signal, poller: &Poller, now: Instant) {
        self.hosts.order(ToAgent::Signal { rank: None, signal }, poller, now);
    }

    /// Stops the copies for now, and tells their agents that the silence to come means nothing.
    pub fn pause(&mut self, poller: &Poller, now: Instant) {
        self.forward(Signal::STOP, poller, now);
        self.hosts.announce_silence(poller, now);
    }

    /// Has everything go on.
    pub fn resume(&mut self, poller: &Poller, now: Instant) {
        self.hosts.end_silence(poller, now);
        self.forward(Signal::CONT, poller, now);
    }

    /// Passes an event on to whoever waits for it.
    pub fn ready(&mut self, event: crate::poller::Ready, poller: &Poller, now: Instant) {
        use crate::poller::Token;
        match event.token {
            Token::Input => {
                if let Source::Stream(stream) = &mut self.source {
                    stream.woken();
                }
            }
            Token::Output => {
                self.gather.stage().sink.woken();
                // A pipe says that its reader has left as an error, a socket as a hang-up.
                if (event.broken || event.ended) && !self.output_dead {
                    let name = self.output_name.clone();
                    self.output_failed(&OutputError::Closed { name }, poller, now);
                }
            }
            Token::Stderr => self.diagnostics.sink().woken(),
            _ => self.hosts.ready(event, now),
        }
    }

    /// Tries everything once more, in case that something became ready and nobody was told.
    pub fn stir(&mut self, now: Instant) {
        self.hosts.stir(now);
        self.gather.stage().sink.woken();
        self.diagnostics.sink().woken();
        if let Source::Stream(stream) = &mut self.source {
            stream.reader.stir();
        }
    }

    /// Says how the job stands, for whoever asks while it runs.
    pub fn tell_status(&mut self, now: Instant) {
        let progress = self.progress(now);
        let mut message = Message::new(format!(
            "{} copies running, {} bytes given to them, {} bytes of output written, {:.1} s",
            progress.running,
            progress.consumed,
            progress.written,
            progress.elapsed.as_secs_f64()
        ));
        for (rank, state) in self.ranks.iter().enumerate().filter(|(_, state)| state.running) {
            let chunk =
                state.dealt.front().map_or(String::new(), |d| format!(", chunk {}", d.first));
            message.notes.push(format!("rank {rank}: {} bytes given{chunk}", state.given));
        }
        self.diagnostics.say(&message.render("note"));
    }

    /// When something must be done even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let ranks = self.ranks.iter().filter(|rank| rank.running);
        let ranks =
            ranks.flat_map(|rank| [rank.timeout, rank.kill_at, rank.dead_at]).flatten().min();
        let own = [
            ranks,
            self.hosts.deadline(),
            self.diagnostics.deadline(),
            self.next_bar,
            self.stopping.as_ref().map(Stopping::deadline),
        ];
        own.into_iter().flatten().min()
    }

    /// Whether dealing must look now and then at how far copies have read.
    pub fn ticks(&self) -> bool {
        self.stopping.is_none() && self.deals_by_reading()
    }

    fn deals_by_reading(&self) -> bool {
        use crate::job::Deal;
        self.job.deal == Deal::Dynamic
            && !self.job.commits_chunks()
            && self.ranks.iter().any(|rank| rank.running && !rank.end_of_input)
    }
}

impl RankState {
    /// Bytes given that it has not read, where that decides the deal.
    fn unread(&self) -> u64 {
        self.given - self.read
    }

    /// Bytes given that are not yet in the pipe.
    fn outstanding(&self) -> u64 {
        self.given - self.consumed
    }

    fn note_chunk(&mut self, index: u64, range: Range<u64>) {
        // Small chunks are remembered together: a bounded number of entries covers a window.
        const TOGETHER: u64 = 8 << 10;
        match self.dealt.back_mut() {
            Some(last) if range.start >= last.end && range.end - last.start < TOGETHER => {
                last.last = index;
                last.end = range.end;
                last.given = self.given;
            }
            _ => self.dealt.push_back(Dealt {
                first: index,
                last: index,
                start: range.start,
                end: range.end,
                given: self.given,
            }),
        }
    }

    fn advance(&mut self, bytes: u64) {
        const LARGEST_PIPE: u64 = 1 << 20;
        self.consumed += bytes;
        while self.dealt.len() > 1 && self.dealt[0].given + LARGEST_PIPE < self.consumed {
            self.dealt.pop_front();
        }
    }
}
