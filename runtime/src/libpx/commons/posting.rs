//! The word of a posting: a rank that waits says where its buffer is, and another one fills it.
//!
//! A receiver *posts* a buffer. A sender *claims* that, writes into the other process's memory, and
//! says so. All steps are changes of one word, which only those make whose turn it is:
//!
//! ```text
//! idle --post--> posted --claim--> claimed --fill--> filled --take--> idle
//!         idle <--withdraw--'  ^---give back--' '--fail--> idle
//! ```
//!
//! The word counts the postings, so a sender that has read one cannot claim another. A sender also
//! says beside its ring what it claims, from before until it has written: as long as it says so the
//! receiver keeps the buffer, whatever the word says, and no longer, so that a word which somebody has
//! spoilt keeps nobody waiting. And a posting has a sum, so that one that was spoilt, or is none any
//! more, has nobody write where no buffer is. Of a process that has ended the agent withdraws what it
//! posted, and gives back what it had claimed.

use std::sync::atomic::Ordering;

use super::front::Posting;

/// How far a posting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none.
    Idle,
    /// A buffer waits.
    Posted,
    /// The rank with this number writes into it.
    Claimed(u32),
    /// A message is in it.
    Filled,
}

const STATE: u64 = 0b11;
/// Where the number of the rank that claims lies; above it postings are counted.
const CLAIMER: u32 = 2;
const COUNT: u32 = CLAIMER + 32;

/// Reads a word.
pub fn step(word: u64) -> Step {
    match word & STATE {
        0 => Step::Idle,
        1 => Step::Posted,
        2 => Step::Claimed((word >> CLAIMER) as u32),
        _ => Step::Filled,
    }
}

/// The word of the same posting at another step.
pub fn at(word: u64, step: Step) -> u64 {
    let (state, claimer) = match step {
        Step::Idle => (0, 0),
        Step::Posted => (1, 0),
        Step::Claimed(rank) => (2, u64::from(rank)),
        Step::Filled => (3, 0),
    };
    word >> COUNT << COUNT | claimer << CLAIMER | state
}

/// The word of the posting that follows.
pub fn next(word: u64) -> u64 {
    at((word >> COUNT).wrapping_add(1) << COUNT, Step::Posted)
}

impl Posting {
    /// Withdraws what a process has posted that has ended.
    pub(super) fn withdraw(&self) {
        let idle = |word| Some(at(word, Step::Idle));
        let _ = self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, idle);
    }

    /// Gives back what `rank`, whose process has ended, had claimed, if it had.
    pub(super) fn give_back(&self, rank: u32) {
        let claimed = |word| step(word) == Step::Claimed(rank);
        let posted = |word| claimed(word).then(|| at(word, Step::Posted));
        let _ = self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, posted);
    }
}

/// What a posting says besides its word.
#[derive(Clone, Copy, Debug)]
pub struct Posted {
    /// Whose memory: a process number.
    pub process: u32,
    /// The namespace that the number is one of.
    pub namespace: u64,
    /// From whom.
    pub source: u32,
    /// With which tag.
    pub tag: u32,
    /// Where the buffer begins.
    pub address: u64,
    /// How long it is.
    pub length: u64,
}

impl Posted {
    /// Reads it.
    pub fn load(posting: &Posting) -> Posted {
        let order = Ordering::Relaxed;
        Posted {
            process: posting.process.load(order),
            namespace: posting.namespace.load(order),
            source: posting.source.load(order),
            tag: posting.tag.load(order),
            address: posting.address.load(order),
            length: posting.length.load(order),
        }
    }

    /// Writes it, with the sum that it has under `word`.
    pub fn store(&self, posting: &Posting, word: u64) {
        let order = Ordering::Relaxed;
        posting.process.store(self.process, order);
        posting.namespace.store(self.namespace, order);
        posting.source.store(self.source, order);
        posting.tag.store(self.tag, order);
        posting.address.store(self.address, order);
        posting.length.store(self.length, order);
        posting.sum.store(self.sum(word), order);
    }

    /// Tells by a sum whether this is what was posted under `word`.
    pub fn is_of(&self, posting: &Posting, word: u64) -> bool {
        posting.sum.load(Ordering::Relaxed) == self.sum(word)
    }

    /// A number that is another one when one part of it is.
    fn sum(&self, word: u64) -> u64 {
        let wanted = u64::from(self.source) << 32 | u64::from(self.tag);
        let all = [u64::from(self.process), self.namespace, wanted, self.address, self.length];
        // No step maps two numbers to one, so the sums of two that differ in one place differ.
        all.iter().fold(word, |sum, part| {
            (sum ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_word_is_read_as_it_was_made(word: u64, rank: u32) {
            for made in [Step::Idle, Step::Posted, Step::Claimed(rank), Step::Filled] {
                let word = at(word, made);
                prop_assert_eq!(step(word), made);
                prop_assert_eq!(at(word, Step::Posted), at(at(word, Step::Idle), Step::Posted));
                prop_assert_ne!(next(word), at(word, Step::Posted));
            }
        }

        #[test]
        fn a_posting_of_which_one_part_was_spoilt_has_another_sum(
            word: u64, parts: [u64; 5], which in 0..6_usize, other: u64,
        ) {
            let of = |parts: [u64; 5]| Posted {
                process: parts[0] as u32,
                namespace: parts[1],
                source: parts[2] as u32,
                tag: (parts[2] >> 32) as u32,
                address: parts[3],
                length: parts[4],
            };
            let posted = of(parts);
            let mut spoilt = parts;
            if let Some(part) = spoilt.get_mut(which) {
                *part = other;
            }
            let under = if which == 5 { other } else { word };
            let same = format!("{posted:?}") == format!("{:?}", of(spoilt)) && under == word;
            prop_assert_eq!(posted.sum(word) == of(spoilt).sum(under), same);
        }
    }
}
