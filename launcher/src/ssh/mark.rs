//! The mark of one login: it tells the answers of our script from whatever else a shell prints.

use std::fmt;

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

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}
