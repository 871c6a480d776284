//! Chunks that have copies of their own: which rank runs which, what waits for its turn, and what
//! is committed next.
//!
//! A chunk belongs to the rank that it was dealt to first, its *home*, also when another rank runs
//! it in the end because the first one's host was lost: so the order of ranks is that of a run in
//! which nothing was lost.

use std::collections::BTreeMap;

use super::OutputError;
use super::gather::Fate;
use super::hold::Lane;
use super::stage::Stage;

/// In which order chunks are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkOrder {
    /// As they end.
    None,
    /// As the input stands.
    Input,
    /// One home's after the other's.
    Home,
}

/// A copy's chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its number.
    pub chunk: u64,
    /// The rank to which it was dealt first.
    pub home: u32,
}

/// A rank's chunks, whoever runs them.
#[derive(Default)]
struct Home {
    /// Those that were started and not yet joined to `done`; without a lane while they run.
    open: BTreeMap<u64, Option<Lane>>,
    /// Those before them, in order.
    done: Lane,
    over: bool,
}

/// All chunks of a job.
pub struct Chunks {
    order: ChunkOrder,
    running: Vec<Option<Running>>,
    waiting: BTreeMap<u64, Lane>,
    next: u64,
    homes: Vec<Home>,
    turn: usize,
    committed: u64,
}

impl Chunks {
    /// For the chunks of `ranks` ranks.
    pub fn new(order: ChunkOrder, ranks: u32) -> Self {
        Chunks {
            order,
            running: vec![None; ranks as usize],
            waiting: BTreeMap::new(),
            next: 0,
            homes: (0..ranks).map(|_| Home::default()).collect(),
            turn: 0,
            committed: 0,
        }
    }

    /// Chunks that have ended and wait for an earlier one.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many chunks, from the first, are committed, where they are in the order of the input.
    pub fn committed_in_order(&self) -> Option<u64> {
        (self.order == ChunkOrder::Input).then_some(self.next)
    }

    /// How many chunks are committed.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The chunk that `rank` runs.
    pub fn chunk_of(&self, rank: usize) -> Option<u64> {
        self.running[rank].map(|running| running.chunk)
    }

    /// Notes that a copy of `rank` starts.
    pub fn started(&mut self, rank: usize, running: Running) {
        self.running[rank] = Some(running);
        self.begun(running);
    }

    /// Notes that a chunk begins.
    pub fn begun(&mut self, running: Running) {
        if self.order == ChunkOrder::Home {
            self.homes[running.home as usize].open.insert(running.chunk, None);
        }
    }

    /// Notes that what `rank` ran counts for nothing and will be run again.
    pub fn take_back(&mut self, rank: usize) {
        self.running[rank] = None;
    }

    /// Takes the output of `rank`'s copy, which has ended.
    pub fn ended(&mut self, rank: usize, lane: Lane, fate: Fate, stage: &mut Stage) {
        if let Some(running) = self.running[rank].take() {
            self.done(running, lane, fate, stage);
        }
    }

    /// Takes the output of a chunk.
    pub fn done(&mut self, running: Running, mut lane: Lane, fate: Fate, stage: &mut Stage) {
        let Running { chunk, home } = running;
        match fate {
            Fate::Good => {}
            Fate::Failed => stage.hold.discard(std::mem::take(&mut lane)),
            Fate::Stopped => return stage.hold.discard(lane),
        }
        self.committed += u64::from(fate == Fate::Good);
        stage.hold.compact(&mut lane);
        match self.order {
            ChunkOrder::None | ChunkOrder::Input => {
                self.waiting.insert(chunk, lane);
            }
            ChunkOrder::Home => {
                let home = &mut self.homes[home as usize];
                home.open.insert(chunk, Some(lane));
                home.join();
            }
        }
    }

    /// Notes that `chunk` will never come.
    pub fn skipped(&mut self, chunk: u64) {
        if self.order == ChunkOrder::Input {
            self.waiting.insert(chunk, Lane::default());
        }
    }

    /// Notes that no further chunk is dealt to `home`.
    pub fn home_over(&mut self, home: u32) {
        self.homes[home as usize].over = true;
    }

    /// Writes what is at its turn.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn commit(&mut self, stage: &mut Stage) -> Result<(), OutputError> {
        match self.order {
            ChunkOrder::None => {
                while let Some((_, lane)) = self.waiting.pop_first() {
                    stage.emit_lane(lane)?;
                }
            }
            ChunkOrder::Input => {
                while let Some(lane) = self.waiting.remove(&self.next) {
                    self.next += 1;
                    stage.emit_lane(lane)?;
                }
            }
            ChunkOrder::Home => {
                while let Some(home) = self.homes.get_mut(self.turn) {
                    stage.emit_lane(std::mem::take(&mut home.done))?;
                    if !home.over || !home.open.is_empty() {
                        break;
                    }
                    self.turn += 1;
                }
            }
        }
        Ok(())
    }
}

impl Home {
    /// Joins the first chunks as far as they have ended, so that what waits is one lane however
    /// many chunks it is made of.
    fn join(&mut self) {
        while let Some(entry) = self.open.first_entry().filter(|entry| entry.get().is_some()) {
            if let Some(lane) = entry.remove() {
                self.done.append(lane);
            }
        }
    }
}
