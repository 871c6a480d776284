//! Who gets which chunk of an input of known length.
//!
//! The chunks are a function of the input alone; dealing only says whose they are. One cutter
//! walks ahead; a chunk that another rank will want is remembered for it. A rank that falls too
//! far behind has its chunks no longer remembered: it walks the input with a cutter of its own
//! until it has caught up, so memory stays bounded and a copy that does not read holds up nobody.

use std::collections::VecDeque;

use crate::cut::{Chunk, Cutter, Step};
use crate::input::InputError;
use crate::input::layout::Layout;
use crate::input::window::Look;

/// Chunks remembered for one rank before it must walk by itself.
const REMEMBERED: usize = 4096;

/// The answer to a rank that asks for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This one.
    Chunk(Chunk),
    /// The look at the input took its share of time; ask again.
    NotYet,
    /// There is no more for this rank.
    End,
}

/// Deals chunks.
pub struct Dealer {
    layout: Layout,
    way: Way,
    dropped: Dropped,
}

/// What was dealt to ranks that declined it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many chunks.
    pub chunks: u64,
    /// How many bytes.
    pub bytes: u64,
}

enum Way {
    RoundRobin { ahead: Cutter, ranks: Vec<Behind> },
    Block { cutters: Vec<Cutter> },
    Dynamic { cutter: Cutter },
}

#[derive(Default)]
struct Behind {
    chunks: VecDeque<Chunk>,
    own: Option<Cutter>,
    declined: bool,
}

impl Dealer {
    /// Chunk i goes to rank i mod `ranks`.
    pub fn round_robin(layout: Layout, cutter: Cutter, ranks: u32) -> Self {
        let ranks = (0..ranks).map(|_| Behind::default()).collect();
        Dealer::new(layout, Way::RoundRobin { ahead: cutter, ranks })
    }

    /// Rank r gets what `cutters[r]` cuts.
    pub fn block(layout: Layout, cutters: Vec<Cutter>) -> Self {
        Dealer::new(layout, Way::Block { cutters })
    }

    /// Whoever asks first.
    pub fn dynamic(layout: Layout, cutter: Cutter) -> Self {
        Dealer::new(layout, Way::Dynamic { cutter })
    }

    fn new(layout: Layout, way: Way) -> Self {
        Dealer { layout, way, dropped: Dropped::default() }
    }

    /// Finds the next chunk for `rank`.
    ///
    /// `budget` is how many bytes may still be looked at now; it shrinks.
    ///
    /// # Errors
    /// Whatever looking at the input can give.
    pub fn next(
        &mut self,
        rank: u32,
        look: &mut dyn Look,
        budget: &mut u64,
    ) -> Result<Next, InputError> {
        let rank = rank as usize;
        match &mut self.way {
            Way::Dynamic { cutter } => advance(cutter, &self.layout, look, budget),
            Way::Block { cutters } => match cutters.get_mut(rank) {
                Some(cutter) => advance(cutter, &self.layout, look, budget),
                None => Ok(Next::End),
            },
            Way::RoundRobin { ahead, ranks } => {
                if let Some(chunk) = ranks[rank].chunks.pop_front() {
                    return Ok(Next::Chunk(chunk));
                }
                let count = ranks.len() as u64;
                let owns = |chunk: &Chunk| chunk.index % count == rank as u64;
                let behind = &mut ranks[rank];
                if let Some(next) = catch_up(behind, owns, ahead, &self.layout, look, budget)? {
                    return Ok(next);
                }
                loop {
                    let chunk = match advance(ahead, &self.layout, look, budget)? {
                        Next::Chunk(chunk) => chunk,
                        other => return Ok(other),
                    };
                    let owner = usize::try_from(chunk.index % count).unwrap_or(0);
                    if owner == rank {
                        return Ok(Next::Chunk(chunk));
                    }
                    ranks[owner].remember(chunk, ahead, &mut self.dropped);
                }
            }
        }
    }

    /// Counts the bytes that `rank` is still to have, and gives them to nobody; the flag says
    /// whether that is all or the budget has ended before.
    ///
    /// # Errors
    /// Whatever looking at the input can give.
    pub fn rest_of(
        &mut self,
        rank: u32,
        look: &mut dyn Look,
        budget: &mut u64,
    ) -> Result<(u64, bool), InputError> {
        let mut bytes = 0;
        loop {
            match self.next(rank, look, budget)? {
                Next::Chunk(chunk) => bytes += chunk.len(),
                Next::NotYet => return Ok((bytes, false)),
                Next::End => return Ok((bytes, true)),
            }
        }
    }

    /// Notes that `rank` wants nothing more, and counts what it was still to have.
    pub fn decline(&mut self, rank: u32) {
        match &mut self.way {
            Way::RoundRobin { ranks, .. } => {
                let behind = &mut ranks[rank as usize];
                behind.declined = true;
                behind.own = None;
                for chunk in behind.chunks.drain(..) {
                    self.dropped.chunks += 1;
                    self.dropped.bytes += chunk.len();
                }
            }
            Way::Block { .. } | Way::Dynamic { .. } => {}
        }
    }

    /// What was dropped so far because its rank had declined it.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }
}

impl Behind {
    fn remember(&mut self, chunk: Chunk, ahead: &Cutter, dropped: &mut Dropped) {
        if self.declined {
            dropped.chunks += 1;
            dropped.bytes += chunk.len();
        } else if self.own.is_some() {
            // It will come to this chunk by itself.
        } else if self.chunks.len() < REMEMBERED {
            self.chunks.push_back(chunk);
        } else {
            self.own = Some(ahead.clone().back_to(&chunk));
        }
    }
}

/// Walks a rank's own cutter, if it has one, to the rank's next chunk or up to the one ahead.
fn catch_up(
    behind: &mut Behind,
    owns: impl Fn(&Chunk) -> bool,
    ahead: &Cutter,
    layout: &Layout,
    look: &mut dyn Look,
    budget: &mut u64,
) -> Result<Option<Next>, InputError> {
    while let Some(own) = &mut behind.own {
        if own.next_index() == ahead.next_index() {
            behind.own = None;
            break;
        }
        match advance(own, layout, look, budget)? {
            Next::Chunk(chunk) if !owns(&chunk) => {}
            next => return Ok(Some(next)),
        }
    }
    Ok(None)
}

fn advance(
    cutter: &mut Cutter,
    layout: &Layout,
    look: &mut dyn Look,
    budget: &mut u64,
) -> Result<Next, InputError> {
    loop {
        match cutter.step(layout) {
            Step::Cut(chunk) => return Ok(Next::Chunk(chunk)),
            Step::End => return Ok(Next::End),
            Step::Look { .. } if *budget == 0 => return Ok(Next::NotYet),
            Step::Look { offset, want } => {
                let looked_at = cutter.saw(look.look(offset, want)?);
                *budget = budget.saturating_sub(looked_at as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::Rule;
    use crate::records::Records;
    use proptest::prelude::*;

    struct Memory<'a>(&'a [u8]);

    impl Look for Memory<'_> {
        fn look(&mut self, offset: u64, want: usize) -> Result<&[u8], InputError> {
            let rest = &self.0[offset as usize..];
            Ok(&rest[..want.min(rest.len())])
        }
    }

    fn ask(dealer: &mut Dealer, rank: u32, memory: &mut Memory<'_>) -> Next {
        let mut budget = u64::MAX;
        dealer.next(rank, memory, &mut budget).unwrap()
    }

    fn layout(length: usize) -> Layout {
        let mut layout = Layout::default();
        layout.push_file(0, 0, length as u64);
        layout
    }

    proptest! {
        #[test]
        fn round_robin_gives_chunk_i_to_rank_i_mod_n_whatever_the_order_of_asking(
            lines in 0usize..300, ranks in 1u32..6, asks in proptest::collection::vec(0u32..6, 0..200),
        ) {
            let input = b"line\n".repeat(lines);
            let rule = Rule::Records { base: 1, longer: 0 };
            let cutter = Cutter::new(rule, Records::LINES, 0..input.len() as u64, 0);
            let mut dealer = Dealer::round_robin(layout(input.len()), cutter, ranks);
            let mut given = vec![Vec::new(); ranks as usize];
            let everyone = (0..ranks).cycle().take(ranks as usize * (lines + 1));
            for rank in asks.into_iter().map(|r| r % ranks).chain(everyone) {
                let next = ask(&mut dealer, rank, &mut Memory(&input));
                if let Next::Chunk(chunk) = next { given[rank as usize].push(chunk.index) }
            }
            for (rank, chunks) in given.iter().enumerate() {
                let expected: Vec<u64> = (rank as u64..lines as u64).step_by(ranks as usize).collect();
                prop_assert_eq!(chunks, &expected);
            }
        }
    }

    #[test]
    fn a_rank_that_lags_far_behind_gets_its_chunks_all_the_same() {
        let lines = 3 * REMEMBERED;
        let input = b"line\n".repeat(2 * lines);
        let rule = Rule::Records { base: 1, longer: 0 };
        let cutter = Cutter::new(rule, Records::LINES, 0..input.len() as u64, 0);
        let mut dealer = Dealer::round_robin(layout(input.len()), cutter, 2);
        let mut memory = Memory(&input);
        let mut all = |rank, count: usize| -> Vec<u64> {
            (0..count)
                .map_while(|_| match ask(&mut dealer, rank, &mut memory) {
                    Next::Chunk(chunk) => Some(chunk.index),
                    _ => None,
                })
                .collect()
        };
        let ahead = all(1, lines - 7);
        let behind = all(0, lines - 3);
        let rest = [all(1, 100), all(0, 100)];
        assert_eq!(ahead.len() + rest[0].len(), lines);
        assert!(behind.iter().chain(&rest[1]).copied().eq((0..2 * lines as u64).step_by(2)));
        assert_eq!(all(0, 1), []);
    }
}
