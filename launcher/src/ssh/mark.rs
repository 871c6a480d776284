//! The mark of one login: it tells the answers of our script from whatever else a shell prints.

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};

/// Sixteen random bytes, made anew for each login, so that no start-up file can imitate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark([u8; 16]);

/// The system has no random bytes to give.
#[derive(Debug, thiserror::Error)]
#[error("cannot get random bytes from the system")]
pub struct NoRandomness;

impl Mark {
    /// Makes one.
    ///
    /// # Errors
    /// That the system gives no random bytes.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Mark(bytes))
    }
}

impl From<[u8; 16]> for Mark {
    fn from(bytes: [u8; 16]) -> Self {
        Mark(bytes)
    }
}

/// The text is none of a mark's.
#[derive(Debug, thiserror::Error)]
#[error("a mark must be 32 hexadecimal digits")]
pub struct NoMark;

impl FromStr for Mark {
    type Err = NoMark;

    /// Reads what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, NoMark> {
        let number = u128::from_str_radix(text, 16).map_err(|_| NoMark)?;
        let mark = Mark(number.to_be_bytes());
        if mark.to_string() == text { Ok(mark) } else { Err(NoMark) }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}
