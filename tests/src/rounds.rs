//! How often a suite repeats itself, and the random numbers of its repetitions.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns how many rounds a suite does: `$PX_TEST_ROUNDS`, else `default`.
pub fn rounds(default: u64) -> u64 {
    number("PX_TEST_ROUNDS").unwrap_or(default)
}

/// Returns the seed of a suite whose rounds differ from run to run: `$PX_TEST_SEED`, else the
/// clock's. The suite prints it, so that a failed run can be repeated.
pub fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros());
    number("PX_TEST_SEED").unwrap_or_else(|| clock() as u64)
}

/// Returns the size in bytes of a big input: `$PX_TEST_BIG`, else 1 GiB.
pub fn big() -> u64 {
    number("PX_TEST_BIG").unwrap_or(1 << 30)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, found `{text}`")))
}

/// A small random generator (xorshift64*): a seed gives the same numbers for ever, so a failed
/// round can be run again.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts at a seed.
    pub fn seeded(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.bits() >> 11) % end.max(1)
    }

    /// One of the choices.
    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
