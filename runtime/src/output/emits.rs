//! What copies that use libpx emit: it belongs to a chunk, several of which a copy may have open,
//! and counts once the copy has released that chunk.

use std::collections::BTreeMap;

use super::OutputError;
use super::chunks::{ChunkOrder, Chunks, Running};
use super::gather::Fate;
use super::hold::Lane;
use super::stage::Stage;
use super::tag::Tagger;

/// A chunk that was given to a copy.
struct Open {
    running: Running,
    lane: Lane,
    tagger: Option<Tagger>,
    emitted: u64,
}

/// The chunks that copies have, and those that are done.
pub struct Emits {
    chunks: Chunks,
    order: ChunkOrder,
    open: BTreeMap<u64, Open>,
}

impl Emits {
    /// For the chunks of `ranks` ranks.
    pub fn new(order: ChunkOrder, ranks: u32) -> Self {
        Emits { chunks: Chunks::new(order, ranks), order, open: BTreeMap::new() }
    }

    /// The chunks that are done.
    pub fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// The same, to be changed.
    pub fn chunks_mut(&mut self) -> &mut Chunks {
        &mut self.chunks
    }

    /// Whether what copies print besides has a place in the output.
    pub fn lets_print(&self) -> bool {
        self.order == ChunkOrder::None
    }

    /// Notes that a chunk is given to a copy, with what tags its lines.
    pub fn begin(&mut self, running: Running, tagger: Option<Tagger>) {
        self.chunks.begun(running);
        let open = Open { running, lane: Lane::default(), tagger, emitted: 0 };
        self.open.insert(running.chunk, open);
    }

    /// Takes output of a chunk that a copy has.
    ///
    /// # Errors
    /// That it cannot be held.
    pub fn emit(
        &mut self,
        chunk: u64,
        bytes: Vec<u8>,
        stage: &mut Stage,
    ) -> Result<(), OutputError> {
        let Some(open) = self.open.get_mut(&chunk) else { return Ok(()) };
        open.emitted += bytes.len() as u64;
        let bytes = match &mut open.tagger {
            Some(tagger) => tagger.tag(&bytes),
            None => bytes,
        };
        stage.hold.push(&mut open.lane, bytes)
    }

    /// Bytes emitted so far for a chunk that a copy has.
    pub fn emitted(&self, chunk: u64) -> u64 {
        self.open.get(&chunk).map_or(0, |open| open.emitted)
    }

    /// Ends a chunk that a copy had.
    pub fn end(&mut self, chunk: u64, fate: Fate, stage: &mut Stage) {
        if let Some(open) = self.open.remove(&chunk) {
            self.chunks.done(open.running, open.lane, fate, stage);
        }
    }

    /// Drops what was emitted for a chunk, which will be run again.
    pub fn take_back(&mut self, chunk: u64, stage: &mut Stage) {
        if let Some(open) = self.open.remove(&chunk) {
            stage.hold.discard(open.lane);
        }
    }
}
