//! Gathering: from what each copy prints to the one output, in the order asked for.
//!
//! | run, order | what waits | when it is committed |
//! |---|---|---|
//! | per rank, none | each rank's unfinished line | as soon as the line is whole |
//! | per rank, rank; or blocks in input order | ranks whose turn it is not | rank by rank |
//! | per rank, input, one line a record | lines whose chunk's turn it is not | chunk by chunk |
//! | per chunk | every chunk | when its copy has ended well, and its turn has come |
//! | libpx | every chunk | when its copy has released it, and its turn has come |

use super::OutputError;
use super::chunks::{Chunks, Running};
use super::emits::Emits;
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
    /// A copy of this rank printed this, which has no place between what copies emit.
    Printed(u32, Vec<u8>),
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
    /// Whole chunks.
    Chunks(Chunks),
    /// What copies emit for each chunk.
    Emits(Emits),
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
    /// The start of a line whose end is still to come, where output is in the order of lines.
    piece: Lane,
    lines: Lines,
    over: bool,
    failed: bool,
    /// Its copy was stopped: nothing may follow where its next line would be.
    cut: bool,
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
    /// Header lines of the first chunk, kept until its copy has ended well.
    held_header: Lane,
    turn: usize,
    unterminated: Option<u32>,
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
            held_header: Lane::default(),
            turn: 0,
            unterminated: None,
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
        self.chunks().map_or(0, Chunks::waiting)
    }

    /// The chunks, where output is committed chunk by chunk.
    fn chunks(&self) -> Option<&Chunks> {
        match &self.way {
            Way::Chunks(chunks) => Some(chunks),
            Way::Emits(emits) => Some(emits.chunks()),
            Way::Lines | Way::Ranks | Way::InputLines(_) => None,
        }
    }

    /// The same, to be changed.
    fn chunks_mut(&mut self) -> Option<&mut Chunks> {
        match &mut self.way {
            Way::Chunks(chunks) => Some(chunks),
            Way::Emits(emits) => Some(emits.chunks_mut()),
            Way::Lines | Way::Ranks | Way::InputLines(_) => None,
        }
    }

    /// How many chunks, from the first, are committed, where output is in the order of the input.
    pub fn chunks_committed(&self) -> Option<u64> {
        match &self.way {
            Way::InputLines(order) => Some(order.turn()),
            _ => self.chunks().and_then(Chunks::committed_in_order),
        }
    }

    /// How many chunks are committed, where output is committed chunk by chunk.
    pub fn committed(&self) -> u64 {
        self.chunks().map_or(0, Chunks::committed)
    }

    /// Notes that a fresh copy of `rank` starts, for one chunk alone where it has one.
    pub fn started(&mut self, rank: u32, running: Option<Running>) {
        if let Some(taggers) = &mut self.taggers {
            taggers[rank as usize].restart();
        }
        self.ranks[rank as usize].lines = Lines { header: self.header, ..Lines::default() };
        if let (Way::Chunks(chunks), Some(running)) = (&mut self.way, running) {
            chunks.started(rank as usize, running);
        }
    }

    /// Drops what `rank`'s copy has printed: its chunk will be run again.
    pub fn take_back(&mut self, rank: u32) {
        if self.is_first(rank) {
            let header = std::mem::take(&mut self.held_header);
            self.stage.hold.discard(header);
        }
        self.discard(rank as usize);
        if let Way::Chunks(chunks) = &mut self.way {
            chunks.take_back(rank as usize);
        }
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
        match &self.way {
            Way::Chunks(chunks) => chunks.chunk_of(rank as usize) == Some(0),
            _ => rank == 0,
        }
    }

    fn emit_header(&mut self, header: Vec<u8>, whole: bool) -> Result<(), GatherError> {
        let header = match &mut self.taggers {
            Some(taggers) => taggers[0].tag(&header),
            None => header,
        };
        if matches!(self.way, Way::Chunks(_)) {
            // Its copy may yet fail, or have to be run again.
            return Ok(self.stage.hold.push(&mut self.held_header, header)?);
        }
        self.stage.emit(header)?;
        if whole { self.header_done() } else { Ok(()) }
    }

    /// Lets the others' output flow that has waited behind the header.
    fn header_done(&mut self) -> Result<(), GatherError> {
        self.header_waits = false;
        let header = std::mem::take(&mut self.held_header);
        self.stage.emit_lane(header)?;
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
            Way::Chunks(chunks) => chunks.chunk_of(rank as usize),
            _ => None,
        };
        GatherError::Breach(Breach { rank, chunk, line: line + self.header, way })
    }

    fn place(&mut self, rank: u32, bytes: Vec<u8>) -> Result<(), GatherError> {
        let index = rank as usize;
        match &self.way {
            Way::Lines if !self.header_waits => self.whole_lines(index, bytes),
            Way::Ranks if self.turn == index => Ok(self.stage.emit(bytes)?),
            Way::Emits(emits) if emits.lets_print() => self.whole_lines(index, bytes),
            Way::Emits(_) => Err(GatherError::Printed(rank, bytes)),
            Way::InputLines(_) => {
                self.line_up(index, bytes)?;
                self.advance_lines()
            }
            _ => self.wait(index, bytes),
        }
    }

    fn wait(&mut self, rank: usize, bytes: Vec<u8>) -> Result<(), GatherError> {
        Ok(self.stage.hold.push(&mut self.ranks[rank].lane, bytes)?)
    }

    /// Has whole lines wait for their turn; one that has only begun is none yet, since its copy may
    /// be lost.
    fn line_up(&mut self, rank: usize, mut bytes: Vec<u8>) -> Result<(), GatherError> {
        let rank = &mut self.ranks[rank];
        let hold = &mut self.stage.hold;
        if let Some(end) = memchr::memrchr(self.delimiter, &bytes) {
            let rest = bytes[end + 1..].to_vec();
            bytes.truncate(end + 1);
            rank.lane.append(std::mem::take(&mut rank.piece));
            hold.push(&mut rank.lane, bytes)?;
            bytes = rest;
        }
        Ok(hold.push(&mut rank.piece, bytes)?)
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
                if rank.over && !rank.cut {
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
            if fate == Fate::Failed {
                let header = std::mem::take(&mut self.held_header);
                self.stage.hold.discard(header);
            }
            self.header_done()?;
        }
        self.ranks[index].failed = fate != Fate::Good;
        match &mut self.way {
            Way::Lines | Way::Emits(_) => {
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
                let rank = &mut self.ranks[index];
                let piece = std::mem::take(&mut rank.piece);
                rank.cut = fate == Fate::Stopped;
                rank.over = !rank.cut;
                if rank.cut {
                    self.stage.hold.discard(piece);
                } else {
                    rank.lane.append(piece);
                }
                self.advance_lines()
            }
            Way::Chunks(chunks) => {
                let lane = std::mem::take(&mut self.ranks[index].lane);
                chunks.ended(index, lane, fate, &mut self.stage);
                self.commit_chunks()
            }
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

    fn commit_chunks(&mut self) -> Result<(), GatherError> {
        match &mut self.way {
            Way::Chunks(chunks) if !self.header_waits => Ok(chunks.commit(&mut self.stage)?),
            Way::Emits(emits) => Ok(emits.chunks_mut().commit(&mut self.stage)?),
            _ => Ok(()),
        }
    }

    /// Notes that a chunk is given to a copy of `rank` that uses libpx.
    pub fn begin(&mut self, rank: u32, running: Running) {
        let tagger = self.taggers.as_ref().map(|_| Tagger::new(rank, self.delimiter));
        if let Way::Emits(emits) = &mut self.way {
            emits.begin(running, tagger);
        }
    }

    /// Takes what such a copy has emitted for a chunk.
    ///
    /// # Errors
    /// That it cannot be held.
    pub fn emitted(&mut self, chunk: u64, bytes: Vec<u8>) -> Result<(), GatherError> {
        match &mut self.way {
            Way::Emits(emits) => Ok(emits.emit(chunk, bytes, &mut self.stage)?),
            _ => Ok(()),
        }
    }

    /// Bytes emitted so far for a chunk that such a copy has.
    pub fn emitted_for(&self, chunk: u64) -> u64 {
        if let Way::Emits(emits) = &self.way { emits.emitted(chunk) } else { 0 }
    }

    /// Notes that such a copy is done with a chunk.
    ///
    /// # Errors
    /// That output cannot be held or written.
    pub fn released(&mut self, chunk: u64, fate: Fate) -> Result<(), GatherError> {
        if let Way::Emits(emits) = &mut self.way {
            emits.end(chunk, fate, &mut self.stage);
        }
        self.commit_chunks()
    }

    /// Drops what was emitted for a chunk, which will be run again.
    pub fn take_back_chunk(&mut self, chunk: u64) {
        if let Way::Emits(emits) = &mut self.way {
            emits.take_back(chunk, &mut self.stage);
        }
    }

    /// Notes that `chunk` will never come: its rank declined it.
    pub fn skipped(&mut self, chunk: u64) -> Result<(), GatherError> {
        if let Some(chunks) = self.chunks_mut() {
            chunks.skipped(chunk);
        }
        self.commit_chunks()
    }

    /// Notes that `rank` runs no further chunk.
    pub fn rank_over(&mut self, rank: u32) -> Result<(), GatherError> {
        self.ranks[rank as usize].over = true;
        match &mut self.way {
            Way::InputLines(order) => {
                order.retire(rank);
                self.advance_lines()
            }
            _ => {
                if let Some(chunks) = self.chunks_mut() {
                    chunks.home_over(rank);
                }
                self.commit_chunks()
            }
        }
    }

    /// Ends the gathering: the unterminated last pieces follow all whole lines.
    ///
    /// # Errors
    /// That they cannot be held or written.
    pub fn finish(&mut self) -> Result<(), GatherError> {
        if matches!(self.way, Way::Lines | Way::Emits(_)) {
            for rank in 0..self.ranks.len() {
                let lane = std::mem::take(&mut self.ranks[rank].lane);
                self.stage.emit_lane(lane)?;
            }
        }
        Ok(())
    }
}
