//! How large chunks are where the user did not say.
//!
//! Chunks must be many enough that every rank has its share and large enough that their overhead
//! vanishes. Small inputs are counted in records and cut exactly even: a list of 60,000 file
//! names gives each of 8 ranks 7,500. Large ones are cut by bytes at absolute borders, which
//! costs one look a border however large the input.

use std::num::NonZeroU32;

use super::InputError;
use super::files::FileInput;
use super::layout::Layout;
use super::window::{Looking, Window, count_chunks, count_records};
use crate::cut::{Cutter, Rule};
use crate::job::{ChunkSize, Contract, Job, Run};
use crate::records::Records;

/// Up to this length the records are counted before the first chunk is cut.
pub const COUNTED: u64 = 64 << 20;

/// A copy that uses libpx reads no pipe that would be idle meanwhile: so many bytes are no large
/// chunk for it.
const SMALL_PX: u64 = 64 << 10;

/// Chunks of a size that fits the length of the input, when it is known in records.
///
/// The first chunks may have one record more, so ranks differ by at most one record. They have 64
/// records at most, or `worthwhile` where that is more.
pub fn even_records(total: u64, ranks: NonZeroU32, worthwhile: u64) -> Rule {
    let ranks = u64::from(ranks.get());
    let target = (total / (16 * ranks)).clamp(1, worthwhile.max(64));
    let chunks = ranks * total.div_ceil(ranks * target).max(1);
    Rule::Records { base: total / chunks, longer: total % chunks }
}

/// Chunks of a size that fits the length of the input in bytes; their number is a multiple of the
/// number of ranks.
pub fn even_bytes(length: u64, ranks: NonZeroU32, run: Run) -> Rule {
    let ranks = u64::from(ranks.get());
    let target = match run {
        // What is large only makes output wait longer for its turn.
        Run::PerRank => (length / (64 * ranks)).clamp(64 << 10, 1 << 20),
        // A start costs about a millisecond of one core.
        Run::PerChunk => (length / (16 * ranks)).clamp(64 << 10, 4 << 20),
    };
    Rule::Even { chunks: ranks * length.div_ceil(ranks * target).max(1) }
}

/// One contiguous run for each rank.
fn blocks(total_records: Option<u64>, ranks: NonZeroU32) -> Rule {
    let ranks = u64::from(ranks.get());
    match total_records {
        Some(total) if total < ranks => Rule::Records { base: 1, longer: 0 },
        Some(total) => Rule::Records { base: total / ranks, longer: total % ranks },
        None => Rule::Even { chunks: ranks },
    }
}

/// Finds the rule for a whole input of known length.
///
/// # Errors
/// Whatever reading can give.
pub fn rule(input: &FileInput, job: &Job, ranks: NonZeroU32) -> Result<Rule, InputError> {
    let Job { records, run, .. } = *job;
    let length = input.layout().length();
    match job.chunk {
        ChunkSize::Bytes(bytes) => Ok(Rule::Size(bytes)),
        ChunkSize::Records(count) => Ok(Rule::Records { base: count, longer: 0 }),
        ChunkSize::Automatic => {
            checked(input, records, ranks, even_bytes(length, ranks, run), |total| {
                match job.contract {
                    Contract::Px => {
                        even_records(total, ranks, total.saturating_mul(SMALL_PX) / length.max(1))
                    }
                    Contract::None | Contract::Lines => even_records(total, ranks, 0),
                }
            })
        }
    }
}

/// Cuts an input of known length into one block for each rank, in the order of the ranks.
///
/// # Errors
/// Whatever reading can give.
pub fn block_rule(
    input: &FileInput,
    records: Records,
    ranks: NonZeroU32,
) -> Result<Rule, InputError> {
    checked(input, records, ranks, blocks(None, ranks), |total| blocks(Some(total), ranks))
}

/// Chooses by records where the input is short, or where its records are so long that cutting by
/// bytes would leave a rank without any.
fn checked(
    input: &FileInput,
    records: Records,
    ranks: NonZeroU32,
    by_bytes: Rule,
    by_records: impl FnOnce(u64) -> Rule,
) -> Result<Rule, InputError> {
    let length = input.layout().length();
    if length > COUNTED {
        let cutter = Cutter::new(by_bytes, records, 0..length, 0);
        let mut window = Window::new(records);
        let look = &mut Looking { window: &mut window, input };
        let enough = u64::from(ranks.get());
        if count_chunks(cutter, enough, input, look)? == enough {
            return Ok(by_bytes);
        }
    }
    Ok(by_records(count_records(input, records)?))
}

/// Counts the chunks that `cutter` makes.
///
/// # Errors
/// Whatever reading can give.
pub fn count_all(cutter: Cutter, input: &FileInput, records: Records) -> Result<u64, InputError> {
    let mut window = Window::new(records);
    let look = &mut Looking { window: &mut window, input };
    count_chunks(cutter, u64::MAX, input, look)
}

/// The rule inside one block where each chunk has its own copy.
pub fn rule_in_block(layout: &Layout, size: ChunkSize, whole: Rule, ranks: NonZeroU32) -> Rule {
    let per_rank = layout.length() / u64::from(ranks.get());
    match (size, whole) {
        (ChunkSize::Bytes(bytes), _) => Rule::Size(bytes),
        (ChunkSize::Records(count), _) => Rule::Records { base: count, longer: 0 },
        (ChunkSize::Automatic, Rule::Records { base, .. }) => {
            Rule::Records { base: (base / 16).clamp(1, 64), longer: 0 }
        }
        (ChunkSize::Automatic, _) => Rule::Size((per_rank / 16).clamp(64 << 10, 4 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_chunks_leave_ranks_at_most_one_record_apart(
            total in 1u64..100_000, n in 1u32..40,
        ) {
            let ranks = NonZeroU32::new(n).unwrap();
            let Rule::Records { base, longer } = even_records(total, ranks, 0) else { unreachable!() };
            let mut given = vec![0u64; n as usize];
            let (mut left, mut index) = (total, 0u64);
            while left > 0 {
                let size = (base + u64::from(index < longer)).max(1).min(left);
                given[(index % u64::from(n)) as usize] += size;
                left -= size;
                index += 1;
            }
            let (least, most) = (given.iter().min().unwrap(), given.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{given:?}");
            prop_assert!(base + u64::from(longer > 0) <= 64);
        }
    }
}
