//! A host that is lost: what ran there counts for nothing.
//!
//! Where each chunk has a copy of its own, those that were under way are dealt again, and what its
//! ranks were still to have is dealt to the others. Where copies are long-lived, what they have
//! printed is part of the output already, and the job ends.

use std::time::Instant;

use super::{RankState, Root, Source};
use crate::failure::{Failure, Kind, Message};
use crate::job::{Deal, OnLoss, Run};
use crate::output::gather::Fate;
use crate::output::hold::Lane;
use crate::poller::Poller;

/// How often a chunk is started before its job is given up.
const ATTEMPTS: u32 = 3;
/// Chunks that a message names.
const NAMED: usize = 10;

/// What was given to a copy of a stream's chunk, for the next copy of that chunk.
#[derive(Default)]
pub(super) struct Again {
    pub(super) bytes: Lane,
    /// All of the chunk has come.
    pub(super) whole: bool,
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
        let mut exhausted = false;
        for &rank in &ranks {
            let state = &mut self.ranks[rank as usize];
            let ran = std::mem::replace(&mut state.running, false);
            let had_all = std::mem::replace(&mut state.over, true);
            state.lost = true;
            self.diagnostics.ended(rank);
            if ran && self.job.run == Run::PerRank {
                // Its last line may have been on its way.
                let result = self.gather.ended(rank, Fate::Stopped);
                self.gathered(result, poller, now);
            }
            if self.stopping.is_some() || self.job.run == Run::PerRank {
                continue;
            }
            if ran && let Some(chunk) = self.ranks[rank as usize].chunk {
                exhausted |= self.ranks[rank as usize].attempt >= ATTEMPTS;
                chunks.push(chunk);
                self.take_back(rank, chunk);
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
        let stops = self.job.run == Run::PerRank || self.job.on_loss == OnLoss::Stop;
        if stops || all_lost || exhausted {
            message.notes.extend(ran_there(&ranks));
            if exhausted {
                message.notes.push(format!("a chunk was started {ATTEMPTS} times"));
            }
            if self.job.on_loss == OnLoss::Stop {
                let help = "`--backend ssh` with `--run per-chunk` goes on without a lost host";
                message.help = Some(help.to_owned());
            } else if self.job.run == Run::PerRank {
                let help = "with `--run per-chunk` what was lost is dealt to the other hosts";
                message.help = Some(help.to_owned());
            }
            return self.fail_now(Failure { kind: Kind::Own, place: 0, message }, poller, now);
        }
        message.notes.extend(ran_there(&ranks));
        message.notes.extend(dealt_again(&chunks));
        self.warn(&message);
        // Whoever had nothing more to do has now.
        for state in self.ranks.iter_mut().filter(|state| !state.lost) {
            state.over = false;
        }
    }

    /// Takes back what a lost copy was given.
    fn take_back(&mut self, rank: u32, chunk: u64) {
        self.gather.take_back(rank);
        let state = &mut self.ranks[rank as usize];
        match &mut self.source {
            Source::Files(files) => {
                if let Some(mut assigned) = state.assigned.take() {
                    assigned.attempt += 1;
                    files.give_back(assigned);
                }
            }
            Source::Stream(stream) => {
                let mut again = std::mem::take(&mut state.again);
                if let Some(rest) = state.refeed.take() {
                    again.bytes.append(rest.bytes);
                    again.whole = rest.whole;
                } else {
                    again.whole = state.end_of_input;
                }
                stream.give_back(chunk, state.home, state.attempt + 1, again, rank);
            }
        }
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
            self.start_chunk(rank, chunk, lost.home, lost.attempt, poller, now);
            self.feed_header(rank, poller, now);
            self.ranks[rank as usize].refeed = Some(lost.again);
        }
        for rank in 0..self.job.ranks.get() {
            self.refeed(rank, poller, now);
        }
    }

    fn somebody_free(&self) -> Option<u32> {
        let free = |state: &RankState| !state.running && !state.lost;
        let at = self.ranks.iter().position(free)?;
        u32::try_from(at).ok()
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
                None if again.whole => return self.end_input(rank, poller, now),
                None => return,
            }
        }
    }

    /// Keeps what a copy of a stream's chunk was given, in case that its host is lost.
    pub(super) fn retain(&mut self, rank: u32, bytes: &[u8], poller: &Poller, now: Instant) {
        let remembers = self.hosts.can_lose(rank)
            && self.job.run == Run::PerChunk
            && matches!(self.source, Source::Stream(_));
        if remembers {
            let lane = &mut self.ranks[rank as usize].again.bytes;
            if let Err(error) = self.retained.push(lane, bytes.to_vec()) {
                self.output_failed(&error, poller, now);
            }
        }
    }

    /// Forgets what a copy was given: it has ended.
    pub(super) fn release(&mut self, rank: u32) {
        let state = &mut self.ranks[rank as usize];
        let again = std::mem::take(&mut state.again);
        self.retained.discard(again.bytes);
        if let Some(rest) = state.refeed.take() {
            self.retained.discard(rest.bytes);
        }
        state.assigned = None;
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

fn dealt_again(chunks: &[u64]) -> Option<String> {
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
