//! Dealing an input of known length.

use std::rc::Rc;
use std::time::Instant;

use super::{REORDERED, RankState, Root, Source, WINDOW};
use crate::cut::Chunk;
use crate::deal::{Dealer, Next};
use crate::input::InputError;
use crate::input::files::FileInput;
use crate::input::window::{Looking, Window};
use crate::job::{Contract, Deal, Run};
use crate::message::ToAgent;
use crate::poller::Poller;

/// Bytes of input looked at in one step, so that the copies are served between.
const LOOKS: u64 = 4 << 20;
/// Chunks up to this length are copied, larger ones dealt by reference.
const BY_VALUE: u64 = 8 << 10;
/// What a copy that reads fast may have before it, in bytes, where chunks go to who has read.
const ALLOWANCE: u64 = 48 << 10;

/// The files, and how they are dealt.
pub(super) struct FileSource {
    pub(super) input: Rc<FileInput>,
    pub(super) dealer: Dealer,
    window: Window,
    from: u32,
}

impl FileSource {
    pub(super) fn new(input: Rc<FileInput>, dealer: Dealer, window: Window) -> Self {
        FileSource { input, dealer, window, from: 0 }
    }

    fn next(&mut self, rank: u32, budget: &mut u64) -> Result<Next, InputError> {
        let looking = &mut Looking { window: &mut self.window, input: &self.input };
        self.dealer.next(rank, looking, budget)
    }

    /// Bytes that `rank` was still to have, and whether they are all.
    pub(super) fn rest_of(&mut self, rank: u32) -> (u64, bool) {
        const LOOKED_AT: u64 = 256 << 20;
        let looking = &mut Looking { window: &mut self.window, input: &self.input };
        let mut budget = LOOKED_AT;
        self.dealer.rest_of(rank, looking, &mut budget).unwrap_or((0, false))
    }
}

impl Root {
    fn files(&mut self) -> Option<&mut FileSource> {
        match &mut self.source {
            Source::Files(files) => Some(files),
            Source::Stream(_) => None,
        }
    }

    /// Gives each rank that has credit its next chunks; says whether it stopped for lack of time.
    pub(super) fn deal_files(&mut self, poller: &Poller, now: Instant) -> bool {
        let Some(from) = self.files().map(|files| files.from) else {
            return false;
        };
        let count = self.job.ranks.get();
        let mut budget = LOOKS;
        for step in 0..count {
            let rank = (from + step) % count;
            while self.wants(rank) {
                let Some(next) = self.files().map(|files| files.next(rank, &mut budget)) else {
                    return false;
                };
                match next {
                    Ok(Next::Chunk(chunk)) => self.deal_chunk(rank, chunk, poller, now),
                    Ok(Next::End) => self.no_more_for(rank, poller, now),
                    Ok(Next::NotYet) => {
                        if let Some(files) = self.files() {
                            files.from = rank;
                        }
                        return true;
                    }
                    Err(error) => self.input_failed(error, poller, now),
                }
                if self.stopping.is_some() {
                    return false;
                }
            }
        }
        false
    }

    /// Whether `rank` may be given a chunk now.
    fn wants(&mut self, rank: u32) -> bool {
        let reordered = self.gather.waiting();
        let dynamic = self.job.deal == Deal::Dynamic;
        let nobody_runs = !self.ranks.iter().any(|rank| rank.running);
        let at_turn = self.is_at_turn(rank);
        let state = &mut self.ranks[rank as usize];
        if state.over || state.declined {
            return false;
        }
        match self.job.run {
            Run::PerChunk => !state.running && (reordered < REORDERED || at_turn),
            // Asks whether a copy that has left was to have more.
            Run::PerRank if state.gone => !dynamic || nobody_runs,
            Run::PerRank if !state.running || state.end_of_input => false,
            Run::PerRank if !dynamic => state.outstanding() < WINDOW,
            Run::PerRank => state.outstanding() < ALLOWANCE && state.has_read(),
        }
    }

    /// Whether the others' chunks may be waiting for this rank's next one.
    fn is_at_turn(&self, rank: u32) -> bool {
        self.job.deal == Deal::Block && self.ranks[..rank as usize].iter().all(|rank| rank.over)
    }

    fn deal_chunk(&mut self, rank: u32, chunk: Chunk, poller: &Poller, now: Instant) {
        if self.ranks[rank as usize].gone {
            self.left_early(rank, chunk.len(), poller, now);
            return;
        }
        if self.job.run == Run::PerChunk {
            self.start_copy(rank, Some(chunk.index), poller, now);
            self.feed_header(rank, poller, now);
        }
        self.dealt += chunk.len();
        if let (Contract::Lines, Some(records)) = (self.job.contract, chunk.records) {
            self.gather.given(rank, records);
            let result = self.gather.dealt(rank, records);
            self.gathered(result, poller, now);
        }
        let state = &mut self.ranks[rank as usize];
        state.given += chunk.len();
        state.note_chunk(chunk.index, chunk.range());
        state.chunk_range = Some(chunk.range());
        let Source::Files(files) = &self.source else { return };
        let small = (chunk.len() <= BY_VALUE).then(|| files.window.cached(chunk.range())).flatten();
        let order = match small {
            Some(bytes) => ToAgent::Feed { rank, bytes },
            None => ToAgent::Deal { rank, range: chunk.range() },
        };
        self.hosts.order(order, poller, now);
        if self.job.run == Run::PerChunk {
            self.end_input(rank, poller, now);
        }
    }

    /// Gives the header to a copy that starts.
    pub(super) fn feed_header(&mut self, rank: u32, poller: &Poller, now: Instant) {
        let header = match &self.source {
            Source::Files(files) => files.input.header().to_vec(),
            Source::Stream(stream) => stream.header().to_vec(),
        };
        if !header.is_empty() {
            self.feed(rank, &header, poller, now);
        }
    }

    fn no_more_for(&mut self, rank: u32, poller: &Poller, now: Instant) {
        let state = &self.ranks[rank as usize];
        if self.job.run == Run::PerRank && state.running {
            self.end_input(rank, poller, now);
        } else {
            self.rank_over(rank, poller, now);
        }
    }
}

impl RankState {
    /// Whether a copy has read enough of what it was given to be given more: a fast one is
    /// found with nothing left and may have more before it the next time.
    fn has_read(&mut self) -> bool {
        let unread = self.unread();
        if unread == 0 {
            self.allowance = (self.allowance * 2).clamp(1, ALLOWANCE);
            return true;
        }
        if unread < self.allowance / 2 {
            return true;
        }
        self.allowance -= self.allowance / 8;
        false
    }
}
