//! Dealing an input of known length.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use super::loss::Held;
use super::programs::Place;
use super::{REORDERED, RankState, Root, Source};
use crate::cut::Chunk;
use crate::deal::{Dealer, Next};
use crate::input::InputError;
use crate::input::files::FileInput;
use crate::input::window::{Looking, Window};
use crate::job::{Contract, Deal, Run};
use crate::message::ToAgent;
use crate::output::chunks::Running;
use crate::poller::Poller;

/// Bytes of input looked at in one step, so that the copies are served between.
const LOOKS: u64 = 4 << 20;
/// Chunks up to this length are copied, larger ones dealt by reference.
const BY_VALUE: u64 = 8 << 10;

/// A chunk on its way to a rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    pub(super) chunk: Chunk,
    /// The rank to which it was dealt first.
    pub(super) home: u32,
    /// How often it has been dealt, this time included.
    pub(super) attempt: u32,
}

/// What a lost rank was still to have.
struct Orphan {
    home: u32,
    next: Option<Chunk>,
}

/// The answer to a rank that asks for a chunk.
enum Given {
    Chunk(Assigned),
    NotYet,
    End,
}
/// The files, and how they are dealt.
pub(super) struct FileSource {
    pub(super) input: Rc<FileInput>,
    pub(super) dealer: Dealer,
    window: Window,
    from: u32,
    /// Chunks whose copies were lost.
    returned: BTreeMap<u64, Assigned>,
    orphans: Vec<Orphan>,
    /// The next chunk of each rank, looked at once there is anything else to choose from.
    peeked: BTreeMap<u32, Option<Chunk>>,
    /// Homes all of whose chunks were dealt, not yet told.
    ended: Vec<u32>,
}

impl FileSource {
    pub(super) fn new(input: Rc<FileInput>, dealer: Dealer, window: Window) -> Self {
        FileSource {
            input,
            dealer,
            window,
            from: 0,
            returned: BTreeMap::new(),
            orphans: Vec::new(),
            peeked: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    /// Has the chunks that `rank` was still to have dealt to others.
    pub(super) fn orphan(&mut self, rank: u32) {
        let next = self.peeked.remove(&rank).flatten();
        self.orphans.push(Orphan { home: rank, next });
    }

    /// Has a chunk dealt once more.
    pub(super) fn give_back(&mut self, assigned: Assigned) {
        self.returned.insert(assigned.chunk.index, assigned);
    }

    fn next_of(&mut self, rank: u32, budget: &mut u64) -> Result<Next, InputError> {
        let looking = &mut Looking { window: &mut self.window, input: &self.input };
        self.dealer.next(rank, looking, budget)
    }

    /// The next chunk for `rank`: the first of its own, of those that came back, and of those that
    /// nobody else will ask for, so that no later chunk waits for an earlier one for long.
    fn next(&mut self, rank: u32, budget: &mut u64) -> Result<Given, InputError> {
        let own = |chunk| Assigned { chunk, home: rank, attempt: 1 };
        if self.returned.is_empty() && self.orphans.is_empty() {
            if let Some(Some(chunk)) = self.peeked.remove(&rank) {
                return Ok(Given::Chunk(own(chunk)));
            }
            return Ok(match self.next_of(rank, budget)? {
                Next::Chunk(chunk) => Given::Chunk(own(chunk)),
                Next::NotYet => Given::NotYet,
                Next::End => Given::End,
            });
        }
        if !self.peeked.get(&rank).is_some_and(Option::is_some) {
            match self.next_of(rank, budget)? {
                Next::Chunk(chunk) => drop(self.peeked.insert(rank, Some(chunk))),
                Next::NotYet => return Ok(Given::NotYet),
                Next::End => self.ended.push(rank),
            }
        }
        if !self.look_for_orphans(budget)? {
            return Ok(Given::NotYet);
        }
        let peeked = self.peeked.get(&rank).copied().flatten().map(own);
        let returned = self.returned.first_key_value().map(|(_, assigned)| *assigned);
        let orphans = self.orphans.iter();
        let orphans =
            orphans.filter_map(|o| Some(Assigned { chunk: o.next?, home: o.home, attempt: 1 }));
        let first = orphans.chain(peeked).chain(returned).min_by_key(|a| a.chunk.index);
        let Some(first) = first else { return Ok(Given::End) };
        if self.returned.remove(&first.chunk.index).is_some() {
            // It is nobody's next one.
        } else if first.home == rank {
            self.peeked.remove(&rank);
        } else if let Some(orphan) = self.orphans.iter_mut().find(|o| o.home == first.home) {
            orphan.next = None;
        }
        Ok(Given::Chunk(first))
    }

    /// Whether chunks wait that nobody else will ask for.
    pub(super) fn has_leftovers(&self) -> bool {
        !self.returned.is_empty() || !self.orphans.is_empty()
    }

    /// Finds the next chunk of each lost rank; `false` when the look took its share of time.
    fn look_for_orphans(&mut self, budget: &mut u64) -> Result<bool, InputError> {
        let mut at = 0;
        while at < self.orphans.len() {
            if self.orphans[at].next.is_none() {
                let home = self.orphans[at].home;
                match self.next_of(home, budget)? {
                    Next::Chunk(chunk) => self.orphans[at].next = Some(chunk),
                    Next::NotYet => return Ok(false),
                    Next::End => {
                        self.ended.push(home);
                        self.orphans.remove(at);
                        continue;
                    }
                }
            }
            at += 1;
        }
        Ok(true)
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
                self.tell_ended_homes(poller, now);
                match next {
                    Ok(Given::Chunk(assigned)) => self.deal_chunk(rank, assigned, poller, now),
                    Ok(Given::End) => self.no_more_for(rank, poller, now),
                    Ok(Given::NotYet) => {
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

    fn tell_ended_homes(&mut self, poller: &Poller, now: Instant) {
        let ended = self.files().map(|files| std::mem::take(&mut files.ended));
        for home in ended.unwrap_or_default() {
            let result = self.gather.rank_over(home);
            self.gathered(result, poller, now);
        }
    }

    /// Whether `rank` may be given a chunk now.
    fn wants(&mut self, rank: u32) -> bool {
        let reordered = self.gather.waiting();
        let dynamic = self.job.deal == Deal::Dynamic;
        let nobody_runs = !self.ranks.iter().any(|rank| rank.running);
        let is_px = self.job.contract == Contract::Px;
        let at_turn = self.is_at_turn(rank);
        let windows = self.hosts.windows_of(rank);
        if !self.hosts.has_room(rank) {
            return false;
        }
        let state = &mut self.ranks[rank as usize];
        if state.over || state.declined || state.lost {
            return false;
        }
        match self.job.run {
            Run::PerChunk => !state.running && (reordered < REORDERED || at_turn),
            // Asks whether a copy that has left was to have more.
            Run::PerRank if state.gone => !dynamic || nobody_runs,
            Run::PerRank if !state.running || state.end_of_input => false,
            Run::PerRank if is_px => {
                let may_wait = reordered < REORDERED || state.held.is_empty();
                may_wait && state.has_room_ahead(dynamic) && state.outstanding() < windows.dealt
            }
            Run::PerRank if !dynamic => state.outstanding() < windows.dealt,
            Run::PerRank => {
                state.outstanding() < windows.allowance && state.has_read(windows.allowance)
            }
        }
    }

    /// Whether the others' chunks may be waiting for this rank's next one.
    fn is_at_turn(&self, rank: u32) -> bool {
        let before = &self.ranks[..rank as usize];
        self.job.deal == Deal::Block && before.iter().all(|rank| rank.over || rank.lost)
    }

    fn deal_chunk(&mut self, rank: u32, assigned: Assigned, poller: &Poller, now: Instant) {
        let Assigned { chunk, home, attempt } = assigned;
        if self.ranks[rank as usize].gone {
            self.left_early(rank, chunk.len(), poller, now);
            return;
        }
        if self.job.run == Run::PerChunk {
            self.start_chunk(rank, chunk.index, home, attempt, poller, now);
            self.feed_header(rank, poller, now);
        }
        self.hold(rank, chunk.index, Held::of_files(assigned));
        let running = Running { chunk: chunk.index, home };
        let place = Place { running, attempt, offset: chunk.start };
        self.begin_chunk(rank, place, Some(chunk.len()), poller, now);
        if attempt == 1 {
            self.dealt += chunk.len();
            self.dealt_chunks += 1;
        }
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
        self.end_chunk(rank, chunk.len(), poller, now);
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
    fn has_read(&mut self, most: u64) -> bool {
        let unread = self.unread();
        if unread == 0 {
            self.allowance = (self.allowance * 2).clamp(1, most);
            return true;
        }
        if unread < self.allowance / 2 {
            return true;
        }
        self.allowance -= self.allowance / 8;
        false
    }
}
