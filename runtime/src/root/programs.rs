//! Copies that use libpx: chunks are given one by one and released one by one, and a copy that is
//! killed has the chunks that it held dealt again.

use std::time::Instant;

use super::loss::{ATTEMPTS, NO_RETRY, PRINTED, dealt_again};
use super::{RankState, Root, Source};
use crate::failure::{Failure, Kind, Message, signal_name};
use crate::job::{Contract, Deal, OnFailure, Run};
use crate::libpx::wire::{self, Released};
use crate::message::{Blocked, Conduct, Ended, ExitStatus, FromAgent, ToAgent};
use crate::output::chunks::Running;
use crate::output::gather::Fate;
use crate::poller::{Poller, percent};

/// Chunks that a copy may have before it takes them, whatever their length.
const AHEAD: usize = 3;
/// The same where they are given to whoever asks first.
const AHEAD_DYNAMIC: usize = 2;
/// Further chunks that a copy may have before it takes them.
const SMALL_AHEAD: usize = 256;
/// How many bytes all may have together for that. Those that it maps cost nothing until then; of
/// what goes over its socket there is never more on the way than a window.
const SMALL_BYTES: usize = 16 << 20;
/// Shown of what a copy printed where it must not, in bytes.
const SHOWN: usize = 32;

/// Where a chunk belongs.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) running: Running,
    pub(super) attempt: u32,
    /// Logical offset of its first byte.
    pub(super) offset: u64,
}

impl RankState {
    /// Whether a copy that uses libpx may be given a further chunk before it takes those it has.
    pub(super) fn has_room_ahead(&self, dynamic: bool) -> bool {
        let count = self.untaken.len();
        if dynamic {
            return count < AHEAD_DYNAMIC;
        }
        count < AHEAD || count < SMALL_AHEAD && self.untaken_bytes() < SMALL_BYTES as u64
    }

    /// How far it has used up what it may have before it takes it, in percent: how soon it may have
    /// nothing left.
    fn shortage(&self, dynamic: bool) -> usize {
        if dynamic {
            return 100;
        }
        let chunks = self.untaken.len() * 100 / SMALL_AHEAD;
        let left = chunks.max(percent(self.untaken_bytes(), SMALL_BYTES));
        100_usize.saturating_sub(left).max(1)
    }

    /// Bytes of chunks that it was given as a whole and has not taken.
    fn untaken_bytes(&self) -> u64 {
        self.untaken.iter().map(|(_, length)| length).sum()
    }

    /// Bytes of chunks that it has not taken, whether it was given all of them yet or not.
    pub(super) fn unread_bytes(&self) -> u64 {
        let untaken = self.untaken.iter().filter_map(|(chunk, _)| self.held.get(chunk));
        untaken.map(|held| held.range.end - held.range.start).sum()
    }

    /// Whether a copy may have been at work on a chunk that it has. It says late what it takes,
    /// so where nothing is known to be taken, the first one may be.
    pub(super) fn may_have_touched(&self, chunk: u64) -> bool {
        let known = usize::from(self.held.len() <= self.untaken.len());
        !self.untaken.iter().skip(known).any(|(untaken, _)| *untaken == chunk)
    }
}

impl Root {
    fn runs(&self, rank: u32) -> bool {
        self.ranks.get(rank as usize).is_some_and(|state| state.running)
    }

    fn is_px(&self) -> bool {
        self.job.contract == Contract::Px
    }

    /// Begins a chunk for a copy that uses libpx; its bytes follow.
    pub(super) fn begin_chunk(
        &mut self,
        rank: u32,
        place: Place,
        length: Option<u64>,
        poller: &Poller,
        now: Instant,
    ) {
        if !self.is_px() {
            return;
        }
        let Place { running, attempt, offset } = place;
        self.gather.begin(rank, running);
        let dynamic = self.job.deal == Deal::Dynamic;
        self.shortage = self.shortage.max(self.ranks[rank as usize].shortage(dynamic));
        self.ranks[rank as usize].untaken.push_back((running.chunk, 0));
        let chunk = wire::Chunk { index: running.chunk, offset, attempt };
        self.hosts.order(ToAgent::Begin { rank, chunk, length }, poller, now);
    }

    /// All `length` bytes of the chunk that has begun were given.
    pub(super) fn end_chunk(&mut self, rank: u32, length: u64, poller: &Poller, now: Instant) {
        if self.is_px() {
            if let Some(last) = self.ranks[rank as usize].untaken.back_mut() {
                last.1 = length;
            }
            self.hosts.order(ToAgent::End { rank }, poller, now);
        }
    }

    /// Takes what a copy that uses libpx has to tell.
    pub(super) fn hear_program(&mut self, told: FromAgent, poller: &Poller, now: Instant) {
        match told {
            FromAgent::Took { rank, chunks } => {
                let untaken = &mut self.ranks[rank as usize].untaken;
                if chunks as usize > untaken.len() {
                    return self.broke(rank, "more chunks taken than it was given", poller, now);
                }
                untaken.drain(..chunks as usize);
            }
            FromAgent::Emitted { rank, chunk, bytes } => {
                let state = &mut self.ranks[rank as usize];
                state.owed_output += bytes.len();
                if !state.held.contains_key(&chunk) {
                    return self.broke(
                        rank,
                        "output of a chunk that it does not have",
                        poller,
                        now,
                    );
                }
                if !self.output_dead {
                    let result = self.gather.emitted(chunk, bytes);
                    self.gathered(result, poller, now);
                }
            }
            FromAgent::Released { rank, chunk, how, emitted } => {
                self.released(rank, chunk, how, emitted, poller, now);
            }
            FromAgent::Talks { rank } if !self.may_speak(rank, poller, now) => {}
            FromAgent::Talks { .. } => {
                // From now on no chunk is run again: what was said cannot be taken back. It is said
                // once this is known, since who has heard it may die before the next frame is read.
                if !std::mem::replace(&mut self.talks, true) {
                    self.hosts.order(ToAgent::MayTalk, poller, now);
                }
                self.listens_now(poller, now);
            }
            FromAgent::Listens { .. } => self.listens_now(poller, now),
            FromAgent::Talked { rank, to, bytes } if self.runs(to) && to != rank => {
                let talk = ToAgent::Talk { rank: to, from: rank, bytes: &bytes };
                self.hosts.order(talk, poller, now);
            }
            FromAgent::Drained { rank, from, bytes } if self.runs(from) => {
                let drained = ToAgent::Drained { rank: from, by: rank, bytes };
                self.hosts.order(drained, poller, now);
            }
            FromAgent::Finalized { rank } => self.peer_gone(rank, poller, now),
            FromAgent::Aborted { rank, status, why } => {
                let text = format!("{} called px_abort with status {status}", self.who(rank));
                let mut message = Message::new(text);
                message.notes.extend((!why.is_empty()).then_some(why));
                let kind = Kind::Copy(ExitStatus::Exited(i32::from(status)));
                self.fail_now(Failure { kind, place: u64::from(rank), message }, poller, now);
            }
            FromAgent::Broke { rank, what } => self.broke(rank, &what, poller, now),
            _ => {}
        }
    }

    fn broke(&mut self, rank: u32, what: &str, poller: &Poller, now: Instant) {
        let text = format!("{} does not speak as libpx does: {what}", self.who(rank));
        let message = Message::new(text).help("link it with the libpx of this pxrun's version");
        let failure = Failure { kind: Kind::Own, place: u64::from(rank), message };
        self.fail_now(failure, poller, now);
    }

    fn released(
        &mut self,
        rank: u32,
        chunk: u64,
        how: Released,
        emitted: u64,
        poller: &Poller,
        now: Instant,
    ) {
        let Some(held) = self.forget(rank, chunk) else {
            return self.broke(rank, "a chunk released that it does not have", poller, now);
        };
        if emitted != self.gather.emitted_for(chunk) {
            return self.broke(rank, "a chunk released without all its output", poller, now);
        }
        self.ranks[rank as usize].idle_deaths = 0;
        self.ranks[rank as usize].released += 1;
        let range = held.range;
        if !self.is_unchanged(range.clone(), poller, now) {
            return;
        }
        let fate = match how {
            Released::Commit => Fate::Good,
            Released::Fail => self.fate_of_failed(),
            Released::InputChanged => {
                let who = self.who(rank);
                let text = format!("{who} found the input of chunk {chunk} changed");
                return self.input_failed(text, poller, now);
            }
        };
        if !self.output_dead {
            let result = self.gather.released(chunk, fate);
            self.gathered(result, poller, now);
        }
        if how == Released::Fail {
            let text = format!(
                "{} released chunk {chunk} (bytes {} to {}) as failed",
                self.who(rank),
                range.start,
                range.end
            );
            let message = Message::new(text);
            self.fail(Failure { kind: Kind::Own, place: chunk, message }, poller, now);
        }
    }

    /// A job that stops leaves a gap where the failed chunk's output would be, and nothing behind
    /// it; one that keeps going closes it.
    pub(super) fn fate_of_failed(&self) -> Fate {
        let stops = self.job.on_failure == OnFailure::Stop || self.stopping.is_some();
        if stops { Fate::Stopped } else { Fate::Failed }
    }

    /// From now on somebody wants to know who is gone.
    fn listens_now(&mut self, poller: &Poller, now: Instant) {
        if std::mem::replace(&mut self.listens, true) {
            return;
        }
        for rank in 0..self.job.ranks.get() {
            let state = &self.ranks[rank as usize];
            if state.over || state.gone {
                self.peer_gone(rank, poller, now);
            }
        }
    }

    /// Lets the others know that `rank` will not speak any more.
    pub(super) fn peer_gone(&mut self, rank: u32, poller: &Poller, now: Instant) {
        if self.listens {
            self.hosts.order(ToAgent::PeerGone { peer: rank }, poller, now);
        }
    }

    /// Has the chunks of a copy that was killed dealt again, and another copy started; says whether
    /// that can be.
    pub(super) fn runs_again(
        &mut self,
        rank: u32,
        end: &Ended,
        poller: &Poller,
        now: Instant,
    ) -> bool {
        let state = &self.ranks[rank as usize];
        let ExitStatus::Signaled(signal) = end.status else { return false };
        let may = self.is_px() && !self.talks && self.stopping.is_none() && !self.output_dead;
        let ours = end.stopped || state.timed_out || self.has_printed(rank);
        let idle = state.held.is_empty();
        if !may || ours || self.is_exhausted(rank) || idle && state.idle_deaths + 1 >= ATTEMPTS {
            return false;
        }
        if !self.input_is_unchanged(rank, poller, now) {
            return false;
        }
        let chunks = self.take_back(rank);
        self.forgets(rank);
        let result = self.gather.ended(rank, Fate::Stopped);
        self.gathered(result, poller, now);
        let name = signal_name(signal);
        let mut message =
            Message::new(format!("{} was killed by signal {signal} ({name})", self.who(rank)));
        message.notes.extend(dealt_again(&chunks));
        self.warn(&message);
        let state = &mut self.ranks[rank as usize];
        state.running = false;
        state.idle_deaths = if idle { state.idle_deaths + 1 } else { 0 };
        if self.job.run == Run::PerRank {
            self.start_copy(rank, None, poller, now);
        }
        true
    }

    /// Ends the chunks that a copy has not released.
    pub(super) fn drop_held(&mut self, rank: u32, poller: &Poller, now: Instant) {
        if !self.is_px() || self.output_dead {
            return;
        }
        let fate = self.fate_of_failed();
        let chunks: Vec<u64> = self.ranks[rank as usize].held.keys().copied().collect();
        for chunk in chunks {
            let result = self.gather.released(chunk, fate);
            self.gathered(result, poller, now);
        }
    }

    /// What is wrong with the way in which a copy that uses libpx ended with a good status.
    pub(super) fn misconduct(&self, rank: u32, end: &Ended) -> Option<Message> {
        if !self.is_px() {
            return None;
        }
        let who = self.who(rank);
        let state = &self.ranks[rank as usize];
        if end.conduct == Conduct::Stranger {
            let text = format!("{who} ended without having called px_init");
            let help = "under `--contract px` the program takes its input by libpx; leave the \
                        option out for one that reads stdin";
            return Some(Message::new(text).help(help));
        }
        let is_taken = |chunk: &u64| !state.untaken.iter().any(|(untaken, _)| untaken == chunk);
        let taken = state.held.keys().filter(|chunk| is_taken(chunk)).count();
        let (chunk, held) = state.held.iter().find(|(chunk, _)| is_taken(chunk))?;
        let more = if taken > 1 { format!(" and {} more", taken - 1) } else { String::new() };
        let text = format!(
            "{who} ended with chunk {chunk} (bytes {} to {}){more} unreleased",
            held.range.start, held.range.end
        );
        Some(Message::new(text).help("call px_chunk_release for each chunk"))
    }

    /// Where a copy that uses libpx was in its input.
    pub(super) fn held_place(&self, rank: u32) -> Option<String> {
        if !self.is_px() {
            return None;
        }
        let state = &self.ranks[rank as usize];
        let mut held = state.held.iter().filter(|(chunk, _)| state.may_have_touched(**chunk));
        let Some((chunk, held)) = held.next() else {
            return Some(String::new());
        };
        let (start, end) = (held.range.start, held.range.end);
        let attempt = match held.attempt {
            1 => String::new(),
            many => format!(", dealt {many} times"),
        };
        Some(format!(" while it had chunk {chunk} (bytes {start} to {end}{attempt})"))
    }

    /// Why what a killed copy had is not dealt again.
    pub(super) fn why_not_again(&self, rank: u32, end: &Ended) -> Option<String> {
        let killed = matches!(end.status, ExitStatus::Signaled(_)) && !end.stopped;
        match (self.is_px() && killed, self.talks) {
            (true, true) => Some(NO_RETRY.to_owned()),
            (true, false) if self.has_printed(rank) => Some(PRINTED.to_owned()),
            _ => None,
        }
    }

    /// A copy that uses libpx printed where only what is emitted has a place.
    pub(super) fn printed(&mut self, rank: u32, bytes: &[u8], poller: &Poller, now: Instant) {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
        let text = format!(
            "{} printed `{shown}` on its stdout, which has no place in this order of output",
            self.who(rank)
        );
        let help = "emit it with px_emit, print it on stderr, or use `--order none`";
        let message = Message::new(text).help(help);
        let failure = Failure { kind: Kind::Own, place: u64::from(rank), message };
        self.fail_now(failure, poller, now);
    }

    /// Takes note of who waits for whom on a host, and says so once all wait.
    pub(super) fn blocked(&mut self, host: usize, waits: Vec<Blocked>) {
        self.waits.insert(host, waits);
        let waiting: usize = self.waits.values().map(Vec::len).sum();
        let all = waiting > 0 && waiting == self.running();
        if !all || std::mem::replace(&mut self.told_of_waits, all) {
            self.told_of_waits &= all;
            return;
        }
        let mut message = Message::new("all ranks have been waiting for each other for 10 s");
        for wait in self.waits.values().flatten() {
            message.notes.push(describe(wait));
        }
        message.help = Some("Ctrl-C ends the job".to_owned());
        self.warn(&message);
    }

    /// Whether chunks wait that were lost with another copy.
    pub(super) fn has_leftovers(&self) -> bool {
        match &self.source {
            Source::Files(files) => self.is_px() && files.has_leftovers(),
            Source::Stream(stream) => self.is_px() && !stream.returned.is_empty(),
        }
    }
}

fn describe(wait: &Blocked) -> String {
    let Blocked { rank, on, tag, sends } = *wait;
    let whom = on.map_or("any rank".to_owned(), |rank| format!("rank {rank}"));
    let tag = tag.map_or("any tag".to_owned(), |tag| format!("tag {tag}"));
    match sends {
        true => format!("rank {rank} waits for room to send to {whom}"),
        false => format!("rank {rank} waits for a message from {whom} with {tag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(untaken: &[u64]) -> RankState {
        let untaken = (0..).zip(untaken.iter().copied()).collect();
        RankState { untaken, ..RankState::default() }
    }

    #[test]
    fn a_copy_is_given_chunks_ahead_by_number_by_length_and_always_a_few() {
        let all = SMALL_BYTES as u64;
        assert!(with(&[all; AHEAD - 1]).has_room_ahead(false));
        assert!(!with(&[all; AHEAD]).has_room_ahead(false));
        assert!(with(&[all / 16; 15]).has_room_ahead(false));
        assert!(!with(&[all / 16; 16]).has_room_ahead(false));
        assert!(with(&[1; SMALL_AHEAD - 1]).has_room_ahead(false));
        assert!(!with(&[1; SMALL_AHEAD]).has_room_ahead(false));
        assert!(!with(&[1; AHEAD_DYNAMIC]).has_room_ahead(true));
    }

    #[test]
    fn the_less_a_copy_has_ahead_the_shorter_it_is() {
        let all = SMALL_BYTES as u64;
        let shortages = [&[][..], &[all / 4], &[all / 2], &[all / 2; 2], &[all; 2]];
        let shortages = shortages.map(|untaken| with(untaken).shortage(false));
        assert_eq!(shortages, [100, 75, 50, 1, 1]);
        assert_eq!(with(&[1; SMALL_AHEAD / 2]).shortage(false), 50);
        // Who asks first is given first: it must not be left alone.
        assert_eq!(with(&[all; AHEAD_DYNAMIC]).shortage(true), 100);
    }
}
