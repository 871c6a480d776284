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
//! spoilt keeps nobody waiting. Of a process that has ended the agent withdraws what it posted, and
//! gives back what it had claimed.

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

    /// Gives back what `rank`, whose process has ended, had claimed, and returns whether it had.
    pub(super) fn give_back(&self, rank: u32) -> bool {
        let claimed = |word| step(word) == Step::Claimed(rank);
        let posted = |word| claimed(word).then(|| at(word, Step::Posted));
        self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, posted).is_ok()
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
    }
}
