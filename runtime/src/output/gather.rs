//! Gathering: from what each copy prints to the one output, in the order asked for.
//!
//! | run, order | what waits | when it is committed |
//! |---|---|---|
//! | per rank, none | each rank's unfinished line | as soon as the line is whole |
//! | per rank, rank; or blocks in input order | ranks whose turn it is not | rank by rank |
//! | per rank, input, one line a record | lines whose chunk's turn it is not | chunk by chunk |
//! | per chunk | every chunk | when its copy has ended well, and its turn has come |

use std::collections::BTreeMap;

use super::OutputError;
use super::hold::Lane;
use super::line_order::LineOrder;
use super::stage::Stage;
use super::tag::Tagger;
use crate::records::count_delimiters;

/// How a copy's end counts for its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ended well.
    Good,
    /// It failed.
    Failed,
    /// It was stopped for another's failure.
    Stopped,
}

/// Why output cannot be gathered.
#[derive(Debug)]
pub enum GatherError {
    /// It cannot be held or written.
    Output(OutputError),
    /// A copy did not print one line a record.
    Breach(Breach),
}

impl From<OutputError> for GatherError {
    fn from(error: OutputError) -> Self {
        GatherError::Output(error)
    }
}

/// Where a copy broke the contract of one line a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Whose copy.
    pub rank: u32,
    /// In which chunk, where known.
    pub chunk: Option<u64>,
    /// Which of its output lines, from 1.
    pub line: u64,
    /// In what way.
    pub way: BreachWay,
}

/// How the contract of one line a record can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreachWay {
    /// The line is more than the copy has read records.
    More {
        /// So many it was given.
        records: u64,
    },
    /// The line never came.
    Fewer {
        /// So many it was given.
        records: u64,
    },
    /// The line has no end, and others follow it.
    Unterminated,
}

/// What ways of ordering there are.
pub enum Way {
    /// Whole lines of all ranks as they come.
    Lines,
    /// One rank's after the other's.
    Ranks,
    /// Line by line in the order of the input.
    InputLines(LineOrder),
    /// Whole chunks as they end.
    Chunks,
    /// Whole chunks in the order of the input.
    InputChunks,
    /// Whole chunks, one rank's after the other's.
    RankChunks,
}

/// Counts the lines of one copy under the contract of one line a record.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    given: u64,
    printed: u64,
    open: bool,
    header: u64,
}

#[derive(Default)]
struct Rank {
    lane: Lane,
    /// Its chunks that are done and wait for the ranks before it.
    done: Lane,
    chunk: Option<u64>,
    lines: Lines,
    over: bool,
    failed: bool,
}

/// Gathers the output of all ranks.
pub struct Gather {
    stage: Stage,
    way: Way,
    ranks: Vec<Rank>,
    taggers: Option<Vec<Tagger>>,
    counts_lines: bool,
    header: u64,
    header_waits: bool,
    delimiter: u8,
    turn: usize,
    next_chunk: u64,
    waiting: BTreeMap<u64, Lane>,
    unterminated: Option<u32>,
    committed: u64,
}

/// What a [`Gather`] is made for.
pub struct Terms {
    /// World size.
    pub ranks: u32,
    /// Where a line of output ends.
    pub delimiter: u8,
    /// Whether each line gets its rank.
    pub tagged: bool,
    /// Whether copies must print one line a record; then so many header lines come first.
    pub one_line_a_record: Option<u64>,
}

impl Gather {
    /// Makes a gatherer that writes to `stage`.
    pub fn new(stage: Stage, way: Way, terms: &Terms) -> Self {
        let tagger = |rank| Tagger::new(rank, terms.delimiter);
        let header = terms.one_line_a_record.unwrap_or(0);
        Gather {
            stage,
            way,
            ranks: (0..terms.ranks).map(|_| Rank::default()).collect(),
            taggers: terms.tagged.then(|| (0..terms.ranks).map(tagger).collect()),
            counts_lines: terms.one_line_a_record.is_some(),
            header,
            header_waits: header > 0,
            delimiter: terms.delimiter,
            turn: 0,
            next_chunk: 0,
            waiting: BTreeMap::new(),
            unterminated: None,
            committed: 0,
        }
        .with_headers()
    }

    fn with_headers(mut self) -> Self {
        for rank in &mut self.ranks {
            rank.lines.header = self.header;
        }
        self
    }

    /// Where it writes to.
    pub fn stage(&mut self) -> &mut Stage {
        &mut self.stage
    }

    /// Chunks that have ended and wait for an earlier one.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many chunks, from the first, are committed, where output is in the order of the input.
    pub fn chunks_committed(&self) -> Option<u64> {
        match &self.way {
            Way::InputLines(order) => Some(order.turn()),
            Way::InputChunks => Some(self.next_chunk),
            _ => None,
        }
    }

    /// How many chunks are committed, where each has its own copy.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Notes that a fresh copy of `rank` starts, for `chunk` alone where it has one.
    pub fn started(&mut self, rank: u32, chunk: Option<u64>) {
        if let Some(taggers) = &mut self.taggers {
            taggers[rank as usize].restart();
        }
        let rank = &mut self.ranks[rank as usize];
        rank.chunk = chunk;
        rank.lines = Lines { header: self.header, ..Lines::default() };
    }

    /// Notes that `rank` was given the start of `records` more records.
    pub fn given(&mut self, rank: u32, records: u64) {
        self.ranks[rank as usize].lines.given += records;
    }

    /// Notes that a chunk of `records` records has been given to `rank`.
    pub fn dealt(&mut self, rank: u32, records: u64) -> Result<(), GatherError> {
        if let Way::InputLines(order) = &mut self.way {
            order.dealt(rank, records);
            return self.advance_lines();
        }
        Ok(())
    }

    /// Takes what a copy has printed.
    ///
    /// # Errors
    /// A breach of contract; or that it cannot be held or written.
    pub fn output(&mut self, rank: u32, bytes: Vec<u8>) -> Result<(), GatherError> {
        let mut bytes = bytes;
        if self.counts_lines {
            let Some(rest) = self.count(rank, bytes)? else { return Ok(()) };
            bytes = rest;
        }
        if let Some(taggers) = &mut self.taggers {
            bytes = taggers[rank as usize].tag(&bytes);
        }
        self.place(rank, bytes)
    }

    /// Counts lines; cuts off the header's, which only the first copy's are kept of.
    fn count(&mut self, rank: u32, bytes: Vec<u8>) -> Result<Option<Vec<u8>>, GatherError> {
        let delimiter = self.delimiter;
        let lines = &mut self.ranks[rank as usize].lines;
        let mut body = &bytes[..];
        if lines.header > 0 {
            let end = match crate::records::end_of_nth(body, delimiter, lines.header) {
                Ok(end) => {
                    lines.header = 0;
                    end
                }
                Err(found) => {
                    lines.header -= found;
                    body.len()
                }
            };
            let whole = lines.header == 0;
            let first = self.is_first(rank);
            let header;
            (header, body) = body.split_at(end);
            if first && self.header_waits {
                let header = header.to_vec();
                self.emit_header(header, whole)?;
            }
            if body.is_empty() {
                return Ok(None);
            }
        }
        let lines = &mut self.ranks[rank as usize].lines;
        lines.printed += count_delimiters(body, delimiter);
        lines.open = body.last() != Some(&delimiter);
        if lines.printed + u64::from(lines.open) > lines.given {
            let way = BreachWay::More { records: lines.given };
            let line = lines.given + 1;
            return Err(self.breach(rank, line, way));
        }
        if body.len() == bytes.len() { Ok(Some(bytes)) } else { Ok(Some(body.to_vec())) }
    }

    /// Whether `rank`'s copy is the one whose header lines are kept.
    fn is_first(&self, rank: u32) -> bool {
        self.ranks[rank as usize].chunk.map_or(rank == 0, |chunk| chunk == 0)
    }

    fn emit_header(&mut self, header: Vec<u8>, whole: bool) -> Result<(), GatherError> {
        let header = match &mut self.taggers {
            Some(taggers) => taggers[0].tag(&header),
            None => header,
        };
        self.stage.emit(header)?;
        if whole { self.header_done() } else { Ok(()) }
    }

    /// Lets the others' output flow that has waited behind the header.
    fn header_done(&mut self) -> Result<(), GatherError> {
        self.header_waits = false;
        for rank in 0..self.ranks.len() {
            let mut lane = std::mem::take(&mut self.ranks[rank].lane);
            match self.way {
                Way::Lines => {
                    while let Some(bytes) = self.stage.hold.take(&mut lane)? {
                        self.whole_lines(rank, bytes)?;
                    }
                }
                _ => self.ranks[rank].lane = lane,
            }
        }
        self.advance_lines()?;
        self.commit_chunks()
    }

    fn breach(&self, rank: u32, line: u64, way: BreachWay) -> GatherError {
        let chunk = match &self.way {
            Way::InputLines(order) => Some(order.chunk_of(rank, line - 1)),
            _ => self.ranks[rank as usize].chunk,
        };
        GatherError::Breach(Breach { rank, chunk, line: line + self.header, way })
    }

    fn place(&mut self, rank: u32, bytes: Vec<u8>) -> Result<(), GatherError> {
        let index = rank as usize;
        match &self.way {
            Way::Lines if !self.header_waits => self.whole_lines(index, bytes),
            Way::Ranks if self.turn == index => Ok(self.stage.emit(bytes)?),
            Way::InputLines(_) => {
                self.wait(index, bytes)?;
                self.advance_lines()
            }
            _ => self.wait(index, bytes),
        }
    }

    fn wait(&mut self, rank: usize, bytes: Vec<u8>) -> Result<(), GatherError> {
        Ok(self.stage.hold.push(&mut self.ranks[rank].lane, bytes)?)
    }

    /// Writes up to the last line end; the rest waits for its own.
    fn whole_lines(&mut self, rank: usize, mut bytes: Vec<u8>) -> Result<(), GatherError> {
        let Some(end) = memchr::memrchr(self.delimiter, &bytes) else {
            return self.wait(rank, bytes);
        };
        let rest = bytes[end + 1..].to_vec();
        bytes.truncate(end + 1);
        let lane = std::mem::take(&mut self.ranks[rank].lane);
        if !lane.is_empty() {
            self.stage.emit_lane(lane)?;
        }
        self.stage.emit(bytes)?;
        if rest.is_empty() { Ok(()) } else { self.wait(rank, rest) }
    }

    /// Writes lines as far as the chunk at turn has them.
    fn advance_lines(&mut self) -> Result<(), GatherError> {
        if self.header_waits {
            return Ok(());
        }
        let Way::InputLines(order) = &mut self.way else { return Ok(()) };
        while let Some(owner) = order.owner() {
            let rank = &mut self.ranks[owner as usize];
            if rank.lane.is_empty() {
                if rank.over {
                    // What the copy had printed ends inside this chunk.
                    if rank.lines.open && rank.failed {
                        self.stage.emit(vec![self.delimiter])?;
                    } else if rank.lines.open {
                        self.unterminated = Some(owner);
                    }
                    rank.lines.open = false;
                    order.pass();
                    continue;
                }
                return Ok(());
            }
            if let Some(rank) = self.unterminated {
                let line = self.ranks[rank as usize].lines.given;
                return Err(self.breach(rank, line, BreachWay::Unterminated));
            }
            let front = self.stage.hold.front(&mut rank.lane)?;
            let (taken, all) = (order.take(front, self.delimiter), front.len());
            if taken == all {
                if let Some(bytes) = self.stage.hold.take(&mut rank.lane)? {
                    self.stage.emit(bytes)?;
                }
            } else {
                self.stage.emit_front(&mut rank.lane, taken)?;
            }
        }
        Ok(())
    }

    /// Notes that a copy has ended; all that it printed was taken before.
    ///
    /// # Errors
    /// A breach of contract; or that output cannot be held or written.
    pub fn ended(&mut self, rank: u32, fate: Fate) -> Result<(), GatherError> {
        let index = rank as usize;
        if self.counts_lines && fate == Fate::Good {
            let lines = self.ranks[index].lines;
            let printed = lines.printed + u64::from(lines.open);
            if printed < lines.given {
                let way = BreachWay::Fewer { records: lines.given };
                return Err(self.breach(rank, printed + 1, way));
            }
        }
        if self.is_first(rank) && self.header_waits && fate != Fate::Stopped {
            self.header_done()?;
        }
        self.ranks[index].failed = fate != Fate::Good;
        match &self.way {
            Way::Lines => {
                if fate == Fate::Stopped {
                    self.discard(index);
                }
                Ok(())
            }
            Way::Ranks => {
                self.ranks[index].over = true;
                if fate == Fate::Stopped { Ok(()) } else { self.next_rank() }
            }
            Way::InputLines(_) => {
                self.ranks[index].over = fate != Fate::Stopped;
                self.advance_lines()
            }
            Way::Chunks | Way::InputChunks | Way::RankChunks => self.chunk_ended(index, fate),
        }
    }

    fn discard(&mut self, rank: usize) {
        let lane = std::mem::take(&mut self.ranks[rank].lane);
        self.stage.hold.discard(lane);
    }

    fn next_rank(&mut self) -> Result<(), GatherError> {
        while self.ranks.get(self.turn).is_some_and(|rank| rank.over) {
            self.turn += 1;
            if let Some(next) = self.ranks.get_mut(self.turn) {
                let lane = std::mem::take(&mut next.lane);
                self.stage.emit_lane(lane)?;
            }
        }
        Ok(())
    }

    fn chunk_ended(&mut self, rank: usize, fate: Fate) -> Result<(), GatherError> {
        let mut lane = std::mem::take(&mut self.ranks[rank].lane);
        let Some(chunk) = self.ranks[rank].chunk.take() else { return Ok(()) };
        match fate {
            Fate::Good => {}
            Fate::Failed => self.stage.hold.discard(std::mem::take(&mut lane)),
            Fate::Stopped => {
                self.stage.hold.discard(lane);
                return Ok(());
            }
        }
        self.committed += u64::from(fate == Fate::Good);
        if matches!(self.way, Way::RankChunks) {
            // Chunk numbers of one rank grow, so its chunks stand in order by themselves.
            self.stage.hold.compact(&mut lane);
            if self.turn == rank && !self.header_waits {
                return Ok(self.stage.emit_lane(lane)?);
            }
            self.ranks[rank].done.append(lane);
            return Ok(());
        }
        self.stage.hold.compact(&mut lane);
        self.waiting.insert(chunk, lane);
        self.commit_chunks()
    }

    fn commit_chunks(&mut self) -> Result<(), GatherError> {
        if self.header_waits {
            return Ok(());
        }
        loop {
            let first = match self.way {
                Way::Chunks => self.waiting.pop_first(),
                Way::InputChunks => {
                    self.waiting.remove(&self.next_chunk).map(|lane| (self.next_chunk, lane))
                }
                _ => None,
            };
            let Some((chunk, lane)) = first else { return Ok(()) };
            self.next_chunk = chunk + 1;
            self.stage.emit_lane(lane)?;
        }
    }

    /// Notes that `chunk` will never come: its rank declined it.
    pub fn skipped(&mut self, chunk: u64) -> Result<(), GatherError> {
        if matches!(self.way, Way::InputChunks) {
            self.waiting.insert(chunk, Lane::default());
            return self.commit_chunks();
        }
        Ok(())
    }

    /// Notes that `rank` runs no further chunk.
    pub fn rank_over(&mut self, rank: u32) -> Result<(), GatherError> {
        self.ranks[rank as usize].over = true;
        match &mut self.way {
            Way::InputLines(order) => {
                order.retire(rank);
                self.advance_lines()
            }
            Way::RankChunks => {
                while !self.header_waits && self.ranks.get(self.turn).is_some_and(|rank| rank.over)
                {
                    let done = std::mem::take(&mut self.ranks[self.turn].done);
                    self.stage.emit_lane(done)?;
                    self.turn += 1;
                    if let Some(next) = self.ranks.get_mut(self.turn) {
                        let done = std::mem::take(&mut next.done);
                        self.stage.emit_lane(done)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends the gathering: the unterminated last pieces follow all whole lines.
    ///
    /// # Errors
    /// That they cannot be held or written.
    pub fn finish(&mut self) -> Result<(), GatherError> {
        if matches!(self.way, Way::Lines) {
            for rank in 0..self.ranks.len() {
                let lane = std::mem::take(&mut self.ranks[rank].lane);
                self.stage.emit_lane(lane)?;
            }
        }
        Ok(())
    }
}
