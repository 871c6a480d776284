//! Judging how each copy ended, and what the job comes to.

use std::ops::Range;
use std::time::Instant;

use rustix::io::Errno;

use super::{CopyRecord, RankState, Root, Source};
use crate::failure::{Failure, Kind, Message, exit_status, signal_name};
use crate::input::files::Grown;
use crate::job::{ChunkSize, Contract, Deal, EarlyExit, OnFailure, Run};
use crate::message::{Ended, ExitStatus, StartStep};
use crate::output::gather::{Breach, BreachWay, Fate};
use crate::poller::Poller;

/// Messages of single copies shown while the job goes on; the others are counted.
const SHOWN: u64 = 20;

/// What a copy did not read of its input.
struct Unread {
    bytes: u64,
    /// Else there may be more.
    exact: bool,
}

/// Failures and losses so far.
#[derive(Default)]
pub struct Tally {
    fatal: Option<Failure>,
    lowest: Option<Failure>,
    failures: u64,
    declined_ranks: u64,
    dropped_chunks: u64,
    dropped_bytes: u64,
    grown: Option<Grown>,
}

impl Tally {
    /// Notes a failure that the job survives; returns what to say now.
    pub(super) fn note(&mut self, failure: Failure) -> Option<Message> {
        self.failures += 1;
        let message = (self.failures <= SHOWN).then(|| failure.message.clone());
        if self.lowest.as_ref().is_none_or(|lowest| failure.place < lowest.place) {
            self.lowest = Some(failure);
        }
        message
    }

    pub(super) fn set_fatal(&mut self, failure: Failure) {
        self.fatal.get_or_insert(failure);
    }

    /// Counts input that its rank had declined.
    pub(super) fn drop_bytes(&mut self, bytes: u64, ends_chunk: bool) {
        self.dropped_bytes += bytes;
        self.dropped_chunks += u64::from(ends_chunk);
    }

    /// Whether nothing has failed so far.
    pub fn is_clean(&self) -> bool {
        self.fatal.is_none() && self.lowest.is_none()
    }

    /// The exit status that all of it comes to.
    pub fn status(&self) -> u8 {
        let failure = self.fatal.as_ref().or(self.lowest.as_ref());
        failure.map_or(0, |failure| exit_status(failure.kind))
    }
}

impl Root {
    /// Names a rank as messages do.
    pub(super) fn who(&self, rank: u32) -> String {
        format!("rank {rank} on `{}`: `{}`", self.hosts.name_of(rank), self.job.command.shown)
    }

    pub(super) fn start_failed(
        &mut self,
        rank: u32,
        step: StartStep,
        source: Errno,
        poller: &Poller,
        now: Instant,
    ) {
        self.ranks[rank as usize].running = false;
        self.rank_over(rank, poller, now);
        let command = &self.job.command.shown;
        let host = self.hosts.name_of(rank);
        let step = step.verb();
        let mut message =
            Message::new(format!("rank {rank} on `{host}`: cannot {step} `{command}`: {source}"));
        let path = self.job.command.path.to_string_lossy();
        message.help = match source {
            Errno::NOEXEC => Some(format!(
                "give `{path}` a first line such as `#!/bin/sh`, or name its interpreter before it"
            )),
            Errno::AGAIN => Some("use fewer ranks, or raise `ulimit -u`".to_owned()),
            Errno::MFILE | Errno::NFILE => Some("use fewer ranks, or raise `ulimit -n`".to_owned()),
            Errno::TOOBIG => Some("shorten the arguments or the environment".to_owned()),
            _ => None,
        };
        let kind = Kind::Start(source);
        self.fail_now(Failure { kind, place: u64::from(rank), message }, poller, now);
    }

    pub(super) fn pipe_failed(
        &mut self,
        rank: u32,
        step: &'static str,
        source: Errno,
        poller: &Poller,
        now: Instant,
    ) {
        let text = format!("{}: cannot {step}: {source}", self.who(rank));
        let failure =
            Failure { kind: Kind::Own, place: u64::from(rank), message: Message::new(text) };
        self.fail_now(failure, poller, now);
    }

    /// A copy was told to end, by force at last, and nobody says that it has.
    pub(super) fn outlived(&mut self, rank: u32, poller: &Poller, now: Instant) {
        let seconds = self.job.timeout.map_or(0.0, |timeout| timeout.as_secs_f64());
        let text =
            format!("{} ran longer than {seconds} s, and SIGKILL did not end it", self.who(rank));
        let failure =
            Failure { kind: Kind::Own, place: u64::from(rank), message: Message::new(text) };
        self.fail_now(failure, poller, now);
    }

    /// Takes the end of a copy; all that it printed was taken before.
    pub(super) fn ended(&mut self, rank: u32, end: &Ended, poller: &Poller, now: Instant) {
        let only = self.job.run == Run::PerChunk;
        let chunk = self.ranks[rank as usize].chunk.filter(|_| only);
        self.diagnostics.ended(rank);
        let host = self.hosts.name_of(rank);
        if let Err(message) = self.observer.ended(&CopyRecord { rank, host, chunk, end }) {
            self.fail_now(Failure { kind: Kind::Own, place: 0, message }, poller, now);
        }
        if self.runs_again(rank, end, poller, now) {
            return;
        }
        let unread = self.unread(rank, end);
        let complaint = self.complaint(rank, end, &unread);
        let stopped = end.stopped && !self.ranks[rank as usize].timed_out;
        let unchanged = stopped || self.input_is_unchanged(rank, poller, now);
        self.drop_held(rank, poller, now);
        self.release(rank);
        self.peer_gone(rank, poller, now);
        let state = &mut self.ranks[rank as usize];
        state.running = false;
        let fate = match &complaint {
            _ if stopped || !unchanged => Fate::Stopped,
            Some(_) => Fate::Failed,
            None => Fate::Good,
        };
        if !self.output_dead {
            let fate = if fate == Fate::Failed { self.fate_of_failed() } else { fate };
            let result = self.gather.ended(rank, fate);
            self.gathered(result, poller, now);
        }
        self.after_copy(rank, fate, &unread, poller, now);
        self.mention_small_chunks();
        if let (Some((kind, message)), Fate::Failed) = (complaint, fate) {
            let place = chunk.unwrap_or(u64::from(rank));
            self.fail(Failure { kind, place, message }, poller, now);
        }
    }

    /// Says once that most of the time goes into starting copies.
    fn mention_small_chunks(&mut self) {
        const COPIES: u64 = 1000;
        const SMALL: u64 = 32 << 10;
        let chosen_by_us = self.job.chunk == ChunkSize::Automatic;
        let started = self.gather.committed();
        // A person who waits wants to know; a script's stderr stays empty.
        let somebody_looks = self.observer.bar_every().is_some()
            || self.observer.verbosity() == super::Verbosity::Verbose;
        if !somebody_looks || !chosen_by_us || started != COPIES || self.dealt / COPIES > SMALL {
            return;
        }
        let text = format!(
            "{COPIES} copies were started for {} bytes each on average",
            self.dealt / COPIES
        );
        self.note(&Message::new(text).help("`--chunk-size 1M` starts fewer"));
    }

    /// Decides whether a rank goes on after its copy has ended.
    fn after_copy(
        &mut self,
        rank: u32,
        fate: Fate,
        unread: &Unread,
        poller: &Poller,
        now: Instant,
    ) {
        let state = &mut self.ranks[rank as usize];
        if self.job.run == Run::PerChunk {
            if fate == Fate::Good && unread.bytes > 0 {
                self.tally.drop_bytes(unread.bytes, false);
                self.tally.declined_ranks += 1;
            }
            self.over_with_stream(rank, poller, now);
            return;
        }
        let early = !state.end_of_input || unread.bytes > 0;
        match fate {
            Fate::Good if unread.bytes > 0 => self.declines(rank, unread.bytes, poller, now),
            // Whether it left too early shows when there is more for it.
            Fate::Good if early => state.gone = true,
            Fate::Failed if early => self.declines(rank, unread.bytes, poller, now),
            // Whoever has ended may be needed again.
            _ if self.stopping.is_none() && self.has_leftovers() => {
                self.start_copy(rank, None, poller, now);
            }
            _ => self.rank_over(rank, poller, now),
        }
        self.over_with_stream(rank, poller, now);
    }

    /// After the stream's end no rank waits for more.
    fn over_with_stream(&mut self, rank: u32, poller: &Poller, now: Instant) {
        let running = self.ranks[rank as usize].running;
        if matches!(&self.source, Source::Stream(stream) if stream.has_ended() && !running) {
            self.rank_over(rank, poller, now);
        }
    }

    fn declines(&mut self, rank: u32, unread: u64, poller: &Poller, now: Instant) {
        self.tally.declined_ranks += 1;
        self.tally.drop_bytes(unread, false);
        let state = &mut self.ranks[rank as usize];
        state.declined = true;
        state.gone = false;
        if let Source::Files(files) = &mut self.source {
            files.dealer.decline(rank);
        }
        self.rank_over(rank, poller, now);
    }

    /// A chunk's own copy ended well before the chunk did, `bytes` bytes of which have come since.
    pub(super) fn chunk_left_early(
        &mut self,
        rank: u32,
        bytes: u64,
        poller: &Poller,
        now: Instant,
    ) {
        self.tally.drop_bytes(bytes, false);
        let state = &mut self.ranks[rank as usize];
        let chunk = state.chunk.unwrap_or(0);
        if std::mem::replace(&mut state.gone, true) {
            return;
        }
        if self.job.early_exit == EarlyExit::Allowed {
            self.tally.declined_ranks += 1;
            return;
        }
        let text = format!(
            "{} exited with status 0 before the end of chunk {chunk}, {bytes} bytes or more unread",
            self.who(rank)
        );
        let message = Message::new(text).help(self.early_exit_help());
        self.fail(Failure { kind: Kind::Own, place: chunk, message }, poller, now);
    }

    /// A copy that ended well before has more input of `bytes` bytes at least.
    pub(super) fn left_early(&mut self, rank: u32, bytes: u64, poller: &Poller, now: Instant) {
        // What was never dealt of a file is counted at the end.
        let counted = if matches!(self.source, Source::Files(_)) { 0 } else { bytes };
        if self.job.early_exit == EarlyExit::Allowed {
            return self.declines(rank, counted, poller, now);
        }
        self.ranks[rank as usize].gone = false;
        let who = self.who(rank);
        let text = format!(
            "{who} exited with status 0 before the end of its input, {bytes} bytes or more unread"
        );
        let message = Message::new(text).help(self.early_exit_help());
        self.declines(rank, counted, poller, now);
        let failure = Failure { kind: Kind::Own, place: u64::from(rank), message };
        self.fail(failure, poller, now);
    }

    /// How a copy can have its early end be none.
    fn early_exit_help(&self) -> &'static str {
        match self.job.contract {
            Contract::Px => RELEASE_ALL_HELP,
            Contract::None | Contract::Lines => EARLY_EXIT_HELP,
        }
    }

    /// Counts what a copy did not read: what it was given, and what it was still to be given.
    fn unread(&mut self, rank: u32, end: &Ended) -> Unread {
        let state = &self.ranks[rank as usize];
        let more_was_to_come = self.job.run == Run::PerRank && !state.end_of_input;
        let counts = self.job.early_exit == EarlyExit::Fails && !end.stopped;
        let left = match self.job.contract {
            Contract::Px => state.unread_bytes(),
            Contract::None | Contract::Lines => end.unread,
        };
        match &mut self.source {
            Source::Files(files)
                if more_was_to_come && counts && self.job.deal != Deal::Dynamic =>
            {
                let (rest, exact) = files.rest_of(rank);
                Unread { bytes: left + rest, exact }
            }
            _ => Unread { bytes: left, exact: !more_was_to_come },
        }
    }

    /// What is wrong with the way in which a copy ended, if anything is.
    fn complaint(&self, rank: u32, end: &Ended, unread: &Unread) -> Option<(Kind, Message)> {
        let state = &self.ranks[rank as usize];
        let who = self.who(rank);
        let own = |text: String| Some((Kind::Own, Message::new(text)));
        if state.timed_out {
            let seconds = self.job.timeout.map_or(0.0, |timeout| timeout.as_secs_f64());
            return own(format!("{who} was stopped: it ran longer than {seconds} s"));
        }
        let place = self.held_place(rank);
        let place = place.unwrap_or_else(|| state.place_of(end.given - end.unread));
        let notes = |mut message: Message| {
            if end.leaked {
                message = message.note("a process that it started still held its stdout");
            }
            message.notes.extend(self.why_not_again(rank, end));
            message
        };
        match end.status {
            ExitStatus::Exited(status) if !self.job.accepts(status) => {
                let text = format!("{who} exited with status {status}{place}");
                let mut message = notes(Message::new(text));
                if status == 1 && end.complained == 0 {
                    message =
                        message.help("if status 1 is no error for this command, pass `--ok 0,1`");
                }
                Some((Kind::Copy(end.status), message))
            }
            ExitStatus::Signaled(signal) => {
                let name = signal_name(signal);
                let text = format!("{who} was killed by signal {signal} ({name}){place}");
                Some((Kind::Copy(end.status), notes(Message::new(text))))
            }
            ExitStatus::Exited(_) if end.leaked => {
                let seconds = self.job.leak_timeout.as_secs_f64();
                let text = format!(
                    "{who} exited, but a process that it started held its stdout for {seconds} s \
                     more"
                );
                let help = "let the command wait for what it starts, or redirect their output; \
                            `--leak-timeout S` waits longer";
                Some((Kind::Own, Message::new(text).help(help)))
            }
            ExitStatus::Exited(_) if let Some(message) = self.misconduct(rank, end) => {
                Some((Kind::Own, message))
            }
            ExitStatus::Exited(status)
                if unread.bytes > 0 && self.job.early_exit == EarlyExit::Fails =>
            {
                let at_least = if unread.exact { "" } else { "at least " };
                let text = format!(
                    "{who} exited with status {status} and left {at_least}{} bytes of its input \
                     unread{place}",
                    unread.bytes
                );
                Some((Kind::Own, Message::new(text).help(self.early_exit_help())))
            }
            ExitStatus::Exited(_) => None,
        }
    }

    /// Compares what a rank may have seen of the input with what it was; a change ends the job.
    pub(super) fn input_is_unchanged(&mut self, rank: u32, poller: &Poller, now: Instant) -> bool {
        let Source::Files(files) = &self.source else { return true };
        let all = 0..files.input.layout().length();
        let state = &self.ranks[rank as usize];
        let ranges: Vec<_> = match (self.job.contract, self.job.run) {
            (Contract::Px, _) => state.held.values().map(|held| held.range.clone()).collect(),
            (_, Run::PerRank) => vec![all],
            (_, Run::PerChunk) => state.chunk_range.iter().cloned().collect(),
        };
        ranges.into_iter().all(|range| self.is_unchanged(range, poller, now))
    }

    /// Compares a part of the input with what it was; a change ends the job.
    pub(super) fn is_unchanged(
        &mut self,
        range: Range<u64>,
        poller: &Poller,
        now: Instant,
    ) -> bool {
        let Source::Files(files) = &self.source else { return true };
        match files.input.check(range) {
            Ok(None) => true,
            Ok(Some(grown)) => {
                if self.tally.grown.is_none() {
                    let text = format!(
                        "input `{}` has grown while it was read, from {} to {} bytes; what was \
                         added is not read",
                        grown.name, grown.was, grown.now
                    );
                    self.warn(&Message::new(text));
                    self.tally.grown = Some(grown);
                }
                true
            }
            Err(error) => {
                self.input_failed(error, poller, now);
                false
            }
        }
    }

    pub(super) fn breached(&mut self, breach: Breach, poller: &Poller, now: Instant) {
        let Breach { rank, chunk, line, way } = breach;
        let who = self.who(rank);
        let chunk = chunk.map_or(String::new(), |chunk| format!("chunk {chunk}, "));
        let what = match way {
            BreachWay::More { records } => {
                format!("printed more lines than the {records} records it was given")
            }
            BreachWay::Fewer { records } => {
                format!("ended without it; {records} records were given")
            }
            BreachWay::Unterminated => "has no line end, and other lines follow it".to_owned(),
        };
        let text =
            format!("{who} broke `--contract lines` at {chunk}output line {line}: it {what}");
        let message = Message::new(text)
            .help("without `--contract lines`, `-k` runs a fresh copy for each chunk");
        let failure = Failure { kind: Kind::Own, place: u64::from(rank), message };
        self.fail_now(failure, poller, now);
    }

    /// Says at the end what failed, what was written and what was dropped.
    pub(super) fn last_words(&mut self) {
        let notes = self.closing_notes();
        if let Some(mut fatal) = self.tally.fatal.take() {
            if fatal.kind != Kind::ClosedOutput {
                fatal.message.notes.extend(notes);
                self.diagnostics.say(&fatal.message.render("error"));
            }
            self.tally.fatal = Some(fatal);
        } else if self.job.on_failure == OnFailure::KeepGoing && self.tally.failures > 0 {
            let count = self.tally.failures;
            let what = match self.job.commits_chunks() {
                true => plural(count, "chunk", "chunks"),
                false => plural(count, "copy", "copies"),
            };
            let text = format!("{count} {what} failed");
            self.diagnostics.say(&Message::new(text).render("error"));
        }
        self.tell_dropped();
    }

    fn closing_notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        let stopped = self.stopping.as_ref().map_or(0, |stopping| stopping.stopped);
        if stopped > 0 {
            let were = plural(stopped as u64, "running copy was", "running copies were");
            notes.push(format!("{stopped} {were} stopped"));
        }
        if let Some(note) = self.output_as_before() {
            notes.push(note);
            return notes;
        }
        let written = self.gather.stage().sink.written();
        let all_written = written == self.gather.stage().emitted();
        notes.push(match self.gather.chunks_committed().filter(|_| all_written) {
            Some(0) if written == 0 => "no output was written".to_owned(),
            // A part of the first chunk's.
            Some(0) => format!("{written} bytes of output were written"),
            Some(1) => "output of chunk 0 was written".to_owned(),
            Some(count) => format!("output of chunks 0 to {} was written", count - 1),
            None if self.job.commits_chunks() && all_written => {
                let count = self.gather.committed();
                let chunks = plural(count, "chunk", "chunks");
                format!("output of {count} {chunks} was written ({written} bytes)")
            }
            None => format!("{written} bytes of output were written"),
        });
        notes
    }

    /// Says so of a file that is not replaced.
    pub(super) fn output_as_before(&self) -> Option<String> {
        let kept = matches!(self.ending, Some(super::Ending::Replace(_)));
        kept.then(|| format!("{} is as it was before", self.output_name))
    }

    fn tell_dropped(&mut self) {
        if let Source::Files(files) = &self.source {
            let dropped = files.dealer.dropped();
            self.tally.dropped_chunks += dropped.chunks;
            // What was never even looked at was dropped too, when everyone had left.
            let total = files.input.layout().length();
            let never_dealt = total - self.dealt.min(total);
            self.tally.dropped_bytes += never_dealt.max(dropped.bytes);
        }
        let Tally { declined_ranks, dropped_bytes, dropped_chunks, .. } = self.tally;
        if self.job.early_exit == EarlyExit::Allowed
            && declined_ranks > 0
            && dropped_bytes > 0
            && self.tally.is_clean()
            && self.stopping.is_none()
        {
            let text = format!(
                "{declined_ranks} {} left early: {dropped_bytes} bytes of input were dropped",
                plural(declined_ranks, "copy", "copies"),
            );
            let mut message = Message::new(text);
            if dropped_chunks > 0 {
                let were = plural(dropped_chunks, "whole chunk was", "whole chunks were");
                message = message.note(format!("{dropped_chunks} {were} cut for them and not run"));
            }
            self.note(&message);
        }
    }
}

const EARLY_EXIT_HELP: &str = "if the command may stop reading early, pass `--allow-early-exit`";
/// The same for a copy that uses libpx.
const RELEASE_ALL_HELP: &str =
    "call px_chunk_next until it answers PX_END, and px_chunk_release for each chunk";

fn plural<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

impl RankState {
    /// Where in the input a copy was that had read `read` of the bytes given to it.
    fn place_of(&self, read: u64) -> String {
        let at = self.dealt.iter().find(|dealt| dealt.given > read).or(self.dealt.back());
        match at {
            None => " before it read any input".to_owned(),
            Some(d) if d.first == d.last => {
                format!(" while it read chunk {} (bytes {} to {})", d.first, d.start, d.end)
            }
            Some(d) => format!(
                " while it read chunks {} to {} (bytes {} to {})",
                d.first, d.last, d.start, d.end
            ),
        }
    }
}
