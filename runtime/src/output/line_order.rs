//! Attributing output lines to chunks by counting, for copies that print one line a record.
//!
//! Without I/O: it knows how many lines the chunk at turn still has to come and whose they are.
//! The bytes wait elsewhere, a queue for each rank.

use std::collections::VecDeque;

use crate::records::end_of_nth;

/// Consecutive chunks of one rank that have the same number of records.
#[derive(Clone, Copy, Debug)]
struct Equal {
    records: u64,
    chunks: u64,
}

/// Whose chunk is whose.
enum Owners {
    /// Chunk i is rank i mod N's.
    Rotating,
    /// As dealt, from the chunk at turn on.
    Listed(VecDeque<u32>),
}

/// Says what may be written next.
pub struct LineOrder {
    owners: Owners,
    dealt: Vec<VecDeque<Equal>>,
    done: Vec<u64>,
    retired: Vec<bool>,
    turn: u64,
    left: Option<u64>,
}

impl LineOrder {
    /// Chunk i belongs to rank i mod `ranks`.
    pub fn rotating(ranks: u32) -> Self {
        LineOrder::new(ranks, Owners::Rotating)
    }

    /// Chunks belong to whom they are dealt to, in order of their index.
    pub fn listed(ranks: u32) -> Self {
        LineOrder::new(ranks, Owners::Listed(VecDeque::new()))
    }

    fn new(ranks: u32, owners: Owners) -> Self {
        let dealt = (0..ranks).map(|_| VecDeque::new()).collect();
        LineOrder {
            owners,
            dealt,
            done: vec![0; ranks as usize],
            retired: vec![false; ranks as usize],
            turn: 0,
            left: None,
        }
    }

    /// Notes that the next chunk of `rank` has `records` records.
    pub fn dealt(&mut self, rank: u32, records: u64) {
        if let Owners::Listed(list) = &mut self.owners {
            list.push_back(rank);
        }
        let queue = &mut self.dealt[rank as usize];
        match queue.back_mut() {
            Some(last) if last.records == records => last.chunks += 1,
            _ => queue.push_back(Equal { records, chunks: 1 }),
        }
    }

    /// Notes that no chunk will be dealt to `rank` any more: its turns are skipped once those that
    /// it has are done.
    pub fn retire(&mut self, rank: u32) {
        self.retired[rank as usize] = true;
        self.skip_retired();
    }

    fn skip_retired(&mut self) {
        let ranks = self.dealt.len() as u64;
        let nothing_left = self.dealt.iter().zip(&self.retired).all(|(d, r)| *r && d.is_empty());
        if !matches!(self.owners, Owners::Rotating) || nothing_left {
            return;
        }
        while self.left.is_none() {
            let rank = usize::try_from(self.turn % ranks).unwrap_or(0);
            if !self.retired[rank] || !self.dealt[rank].is_empty() {
                return;
            }
            self.turn += 1;
        }
    }

    /// The chunk whose lines are written now or next.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// The rank whose lines come next; `None` while that chunk is not dealt yet.
    pub fn owner(&self) -> Option<u32> {
        let rank = match &self.owners {
            Owners::Rotating => {
                u32::try_from(self.turn % self.dealt.len().max(1) as u64).unwrap_or(0)
            }
            Owners::Listed(list) => *list.front()?,
        };
        let known = self.left.is_some() || !self.dealt[rank as usize].is_empty();
        known.then_some(rank)
    }

    /// How many of `bytes`, the owner's next, belong to the chunk at turn; when its last line is
    /// among them the turn passes on.
    pub fn take(&mut self, bytes: &[u8], delimiter: u8) -> usize {
        let (Some(left), Some(owner)) = (self.lines_left(), self.owner()) else { return 0 };
        let found = end_of_nth(bytes, delimiter, left);
        self.done[owner as usize] += found.map_or_else(|found| found, |_| left);
        match found {
            Ok(end) => {
                self.pass();
                end
            }
            Err(found) => {
                self.left = Some(left - found);
                bytes.len()
            }
        }
    }

    /// Lines that the chunk at turn still lacks.
    fn lines_left(&mut self) -> Option<u64> {
        let owner = self.owner()?;
        if self.left.is_none() {
            self.left = self.dealt[owner as usize].front().map(|equal| equal.records);
        }
        self.left
    }

    /// Ends the chunk at turn: its last line lacks its end, or its copy has failed.
    pub fn pass(&mut self) {
        let Some(owner) = self.owner() else { return };
        let queue = &mut self.dealt[owner as usize];
        if let Some(first) = queue.front_mut() {
            first.chunks -= 1;
            if first.chunks == 0 {
                queue.pop_front();
            }
        }
        if let Owners::Listed(list) = &mut self.owners {
            list.pop_front();
        }
        self.left = None;
        self.turn += 1;
        self.skip_retired();
    }

    /// The chunk that line `line` (from 0) of all that `rank` prints belongs to, for a message;
    /// the last one dealt to it when there are not so many.
    pub fn chunk_of(&self, rank: u32, line: u64) -> u64 {
        if let Owners::Listed(list) = &self.owners {
            return self.chunk_in(list, rank, line);
        }
        let ranks = self.dealt.len().max(1) as u64;
        let rank_index = u64::from(rank);
        let mut chunk = self.turn + (rank_index + ranks - self.turn % ranks) % ranks;
        let mut behind = line.saturating_sub(self.done[rank as usize]);
        let mut at_turn = (self.owner() == Some(rank)).then_some(self.left).flatten();
        for equal in &self.dealt[rank as usize] {
            for _ in 0..equal.chunks {
                let here = at_turn.take().unwrap_or(equal.records);
                if behind < here {
                    return chunk;
                }
                behind -= here;
                chunk += ranks;
            }
        }
        if self.dealt[rank as usize].is_empty() { chunk } else { chunk.saturating_sub(ranks) }
    }

    /// The same where chunks are whose they were dealt to.
    fn chunk_in(&self, list: &VecDeque<u32>, rank: u32, line: u64) -> u64 {
        let mut behind = line.saturating_sub(self.done[rank as usize]);
        let mut sizes = self.dealt[rank as usize]
            .iter()
            .flat_map(|equal| std::iter::repeat_n(equal.records, equal.chunks as usize));
        let mut last = self.turn;
        for (place, _) in list.iter().enumerate().filter(|(_, owner)| **owner == rank) {
            last = self.turn + place as u64;
            let here = sizes.next().unwrap_or(0);
            let here = if place == 0 { self.left.unwrap_or(here) } else { here };
            if behind < here {
                break;
            }
            behind -= here;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_come_back_in_the_order_of_the_chunks(
            sizes in proptest::collection::vec(1u64..5, 1..40), ranks in 1u32..5, piece in 1usize..9,
        ) {
            let mut order = LineOrder::rotating(ranks);
            let mut queues = vec![VecDeque::<u8>::new(); ranks as usize];
            let mut expected = Vec::new();
            for (chunk, &records) in sizes.iter().enumerate() {
                let rank = chunk as u32 % ranks;
                order.dealt(rank, records);
                for line in 0..records {
                    let text = format!("{chunk}.{line}\n");
                    queues[rank as usize].extend(text.bytes());
                    expected.extend(text.bytes());
                }
            }
            let mut written = Vec::new();
            while let Some(owner) = order.owner() {
                let queue = &mut queues[owner as usize];
                let shown: Vec<u8> = queue.iter().copied().take(piece).collect();
                let taken = order.take(&shown, b'\n');
                written.extend(queue.drain(..taken));
            }
            prop_assert_eq!(written, expected);
            prop_assert_eq!(order.turn(), sizes.len() as u64);
        }
    }
}
