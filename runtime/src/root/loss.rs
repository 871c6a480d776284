//! A host that is lost: what ran there counts for nothing.
//!
//! Where each chunk has a copy of its own, those that were under way are dealt again, and what its
//! ranks were still to have is dealt to the others; so it is with chunks of copies that use libpx. Where
//! other copies are long-lived, what they have printed is part of the output already, and the job ends.

use std::ops::Range;
use std::time::Instant;

use super::files::Assigned;
use super::stream::Returned;
use super::{Root, Source};
use crate::failure::{Failure, Kind, Message};
use crate::job::{Contract, Deal, OnLoss, Run};
use crate::output::gather::Fate;
use crate::output::hold::Lane;
use crate::poller::Poller;

/// How often a chunk is started before its job is given up.
pub(super) const ATTEMPTS: u32 = 3;
/// Why a chunk is not dealt again.
pub(super) const NO_RETRY: &str =
    "its ranks have sent messages to each other, so no chunk can be run again";
/// Why a copy that was killed is not started again.
pub(super) const PRINTED: &str =
    "what it printed on its stdout cannot be taken back, so no chunk of it is dealt again";
/// Chunks that a message names.
const NAMED: usize = 10;

/// What was given to a copy of a stream's chunk, for the next copy of that chunk.
#[derive(Default)]
pub(super) struct Again {
    pub(super) bytes: Lane,
    /// All of the chunk has come.
    pub(super) whole: bool,
}

/// A chunk that a copy has, and what is needed to deal it again.
pub(super) struct Held {
    /// The rank to which it was dealt first.
    pub(super) home: u32,
    /// How often it was dealt, this time included.
    pub(super) attempt: u32,
    /// Logical offsets in the input, as far as it was given.
    pub(super) range: Range<u64>,
    /// What it is of files.
    assigned: Option<Assigned>,
    /// What was given of a stream's.
    pub(super) again: Again,
}

impl Held {
    /// A chunk of files.
    pub(super) fn of_files(assigned: Assigned) -> Self {
        let Assigned { chunk, home, attempt } = assigned;
        let again = Again::default();
        Held { home, attempt, range: chunk.range(), assigned: Some(assigned), again }
    }

    /// A chunk of a stream, which begins at `offset`.
    pub(super) fn of_stream(home: u32, attempt: u32, offset: u64) -> Self {
        let again = Again::default();
        Held { home, attempt, range: offset..offset, assigned: None, again }
    }
}

impl Root {
    /// Takes note that the agent of a host is out of reach.
    pub(super) fn host_lost(
        &mut self,
        host: usize,
        mut message: Message,
        poller: &Poller,
        now: Instant,
    ) {
        if self.finished {
            // All copies had ended well, and yet something does not add up.
            return self.fail_now(Failure { kind: Kind::Own, place: 0, message }, poller, now);
        }
        let ranks = self.hosts.ranks_of(host).to_vec();
        let mut chunks = Vec::new();
        let (mut exhausted, mut printed) = (false, false);
        for &rank in &ranks {
            let state = &mut self.ranks[rank as usize];
            let ran = std::mem::replace(&mut state.running, false);
            let had_all = std::mem::replace(&mut state.over, true);
            state.lost = true;
            self.diagnostics.ended(rank);
            if ran && self.job.run == Run::PerRank {
                self.peer_gone(rank, poller, now);
                // Its last line may have been on its way.
                let result = self.gather.ended(rank, Fate::Stopped);
                self.gathered(result, poller, now);
            }
            if self.stopping.is_some() || !self.job.commits_chunks() {
                continue;
            }
            if ran {
                exhausted |= self.is_exhausted(rank);
                printed |= self.has_printed(rank);
                self.forgets(rank);
                chunks.extend(self.take_back(rank));
            }
            match (&mut self.source, self.job.deal) {
                (Source::Files(files), Deal::RoundRobin | Deal::Block) if !had_all => {
                    files.orphan(rank);
                }
                _ => {
                    let result = self.gather.rank_over(rank);
                    self.gathered(result, poller, now);
                }
            }
        }
        if self.stopping.is_some() {
            return;
        }
        let all_lost = self.ranks.iter().all(|rank| rank.lost);
        let stops = !self.job.commits_chunks() || self.talks || self.job.on_loss == OnLoss::Stop;
        if stops || all_lost || exhausted || printed {
            message.notes.extend(ran_there(&ranks));
            if exhausted {
                message.notes.push(format!("a chunk was started {ATTEMPTS} times"));
            }
            if self.job.on_loss == OnLoss::Stop {
                let help = "`--backend ssh` with `--run per-chunk` goes on without a lost host";
                message.help = Some(help.to_owned());
            } else if self.talks {
                message.notes.push(NO_RETRY.to_owned());
            } else if printed {
                message.notes.push(PRINTED.to_owned());
            } else if !self.job.commits_chunks() {
                let help = "with `--run per-chunk` what was lost is dealt to the other hosts";
                message.help = Some(help.to_owned());
            }
            return self.fail_now(Failure { kind: Kind::Own, place: 0, message }, poller, now);
        }
        message.notes.extend(ran_there(&ranks));
        message.notes.extend(dealt_again(&chunks));
        self.warn(&message);
        // Whoever had nothing more to do has now.
        for rank in 0..self.job.ranks.get() {
            let state = &mut self.ranks[rank as usize];
            if state.lost {
                continue;
            }
            state.over = false;
            if !state.running && self.job.run == Run::PerRank {
                self.start_copy(rank, None, poller, now);
            }
        }
    }

    /// Whether one of the chunks that `rank` has was dealt as often as it may be.
    pub(super) fn is_exhausted(&self, rank: u32) -> bool {
        let state = &self.ranks[rank as usize];
        let mut touched = state.held.iter().filter(|(chunk, _)| state.may_have_touched(**chunk));
        touched.any(|(_, held)| held.attempt >= ATTEMPTS)
    }

    /// Takes back the chunks that a lost copy was given, to be dealt again; returns the numbers of
    /// those that it may have been at work on, which is what counts as an attempt.
    pub(super) fn take_back(&mut self, rank: u32) -> Vec<u64> {
        let state = &mut self.ranks[rank as usize];
        let touched: Vec<u64> =
            state.held.keys().copied().filter(|&chunk| state.may_have_touched(chunk)).collect();
        let held = std::mem::take(&mut state.held);
        let open = state.chunk;
        let mut refeed = state.refeed.take();
        let whole = state.end_of_input;
        self.gather.take_back(rank);
        for (chunk, held) in held {
            let spent = u32::from(touched.contains(&chunk));
            self.gather.take_back_chunk(chunk);
            match (&mut self.source, held.assigned) {
                (Source::Files(files), Some(mut assigned)) => {
                    assigned.attempt += spent;
                    if spent == 0 && assigned.attempt == 1 {
                        self.dealt -= assigned.chunk.len();
                        self.dealt_chunks -= 1;
                    }
                    files.give_back(assigned);
                }
                (Source::Files(_), None) => {}
                (Source::Stream(stream), _) => {
                    let mut again = held.again;
                    if open == Some(chunk) {
                        again.whole |= whole;
                        if let Some(rest) = refeed.take() {
                            again.bytes.append(rest.bytes);
                            again.whole = rest.whole;
                        }
                    }
                    let returned = Returned {
                        again,
                        home: held.home,
                        attempt: held.attempt + spent,
                        offset: held.range.start,
                        is_open: false,
                    };
                    stream.give_back(chunk, returned, rank, open == Some(chunk));
                }
            }
        }
        touched
    }

    /// Gives chunks of a stream that were lost to whoever is free, and the bytes of each to its new
    /// copy as fast as that one takes them.
    pub(super) fn deal_again(&mut self, poller: &Poller, now: Instant) {
        while let Some(rank) = self.somebody_free() {
            let Source::Stream(stream) = &mut self.source else { return };
            let Some((chunk, lost)) = stream.returned.pop_first() else { break };
            if lost.is_open {
                stream.owner = Some(rank);
            }
            let Returned { again, home, attempt, offset, .. } = lost;
            self.begin_stream_chunk(
                rank,
                chunk,
                Held::of_stream(home, attempt, offset),
                poller,
                now,
            );
            self.ranks[rank as usize].refeed = Some(again);
        }
        for rank in 0..self.job.ranks.get() {
            self.refeed(rank, poller, now);
        }
    }

    fn somebody_free(&self) -> Option<u32> {
        let is_px = self.job.contract == Contract::Px;
        let owner = match &self.source {
            Source::Stream(stream) => stream.owner,
            Source::Files(_) => None,
        };
        (0..self.job.ranks.get()).find(|&rank| {
            let state = &self.ranks[rank as usize];
            match self.job.run {
                Run::PerChunk => !state.running && !state.lost,
                Run::PerRank if is_px => {
                    let reads = state.running && !state.end_of_input && !state.gone;
                    reads && state.refeed.is_none() && owner != Some(rank)
                }
                Run::PerRank => false,
            }
        })
    }

    fn refeed(&mut self, rank: u32, poller: &Poller, now: Instant) {
        while let Some(mut again) = self.ranks[rank as usize].refeed.take() {
            let state = &self.ranks[rank as usize];
            let window = self.hosts.windows_of(rank).dealt;
            if !state.running || state.outstanding() >= window || !self.hosts.has_room(rank) {
                if state.running {
                    self.ranks[rank as usize].refeed = Some(again);
                }
                return;
            }
            let piece = match self.retained.take(&mut again.bytes) {
                Ok(piece) => piece,
                Err(error) => return self.output_failed(&error, poller, now),
            };
            match piece {
                Some(bytes) => {
                    self.feed(rank, &bytes, poller, now);
                    self.ranks[rank as usize].refeed = Some(again);
                }
                None if again.whole => return self.close_stream_chunk(rank, poller, now),
                None => return,
            }
        }
    }

    /// Keeps what a copy of a stream's chunk was given, in case that the copy is lost.
    pub(super) fn retain(&mut self, rank: u32, bytes: &[u8], poller: &Poller, now: Instant) {
        let remembers = matches!(self.source, Source::Stream(_))
            && (self.hosts.can_lose(rank) || self.job.contract == Contract::Px);
        let state = &mut self.ranks[rank as usize];
        let held = state.chunk.filter(|_| remembers).and_then(|chunk| state.held.get_mut(&chunk));
        let Some(held) = held else { return };
        if let Err(error) = self.retained.push(&mut held.again.bytes, bytes.to_vec()) {
            self.output_failed(&error, poller, now);
        }
    }

    /// Notes that a copy has a chunk that can be dealt again.
    pub(super) fn hold(&mut self, rank: u32, chunk: u64, held: Held) {
        if self.job.commits_chunks() {
            let state = &mut self.ranks[rank as usize];
            state.chunk = Some(chunk);
            state.held.insert(chunk, held);
        }
    }

    /// Forgets a chunk that a copy had.
    pub(super) fn forget(&mut self, rank: u32, chunk: u64) -> Option<Held> {
        let mut held = self.ranks[rank as usize].held.remove(&chunk)?;
        self.retained.discard(std::mem::take(&mut held.again.bytes));
        Some(held)
    }

    /// Forgets what a copy was given: it has ended.
    pub(super) fn release(&mut self, rank: u32) {
        let state = &mut self.ranks[rank as usize];
        let held = std::mem::take(&mut state.held);
        let refeed = state.refeed.take();
        for (_, held) in held {
            self.retained.discard(held.again.bytes);
        }
        if let Some(rest) = refeed {
            self.retained.discard(rest.bytes);
        }
    }
}

fn ran_there(ranks: &[u32]) -> Option<String> {
    match ranks {
        [] => None,
        [rank] => Some(format!("rank {rank} ran there")),
        [first, .., last] if last - first + 1 == u32::try_from(ranks.len()).unwrap_or(0) => {
            Some(format!("ranks {first} to {last} ran there"))
        }
        _ => Some(format!("{} ranks ran there", ranks.len())),
    }
}

pub(super) fn dealt_again(chunks: &[u64]) -> Option<String> {
    let mut chunks = chunks.to_vec();
    chunks.sort_unstable();
    let named: Vec<_> = chunks.iter().take(NAMED).map(u64::to_string).collect();
    let more = chunks.len().saturating_sub(NAMED);
    let named = named.join(", ");
    match (chunks.len(), more) {
        (0, _) => None,
        (1, _) => Some(format!("chunk {named} is dealt again")),
        (_, 0) => Some(format!("chunks {named} are dealt again")),
        (_, more) => Some(format!("chunks {named} and {more} more are dealt again")),
    }
}
