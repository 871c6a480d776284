//! The secret that the two ends of a link share.
//!
//! It is never printed, is kept out of swap where the system allows it, and is wiped when dropped.
//! It lives on the heap, so that moving a [`Secret`] leaves no copy of it behind.

use std::fmt;

use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroize;

use crate::sys::memory;

/// How long a secret is, in bytes.
pub const SECRET_BYTES: usize = 32;

/// Sets this use of a job's secret apart from any other.
const PURPOSE: &[u8] = b"pxrun link 1";

/// Why there is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The system's source of random bytes failed.
    #[error("the system gives no random bytes")]
    Random,
    /// The key derivation refused what it was asked for.
    #[error("the key of agent {agent} cannot be derived")]
    Derive {
        /// Whose.
        agent: u32,
    },
}

/// 256 bits that only the two ends know.
pub struct Secret(Box<[u8; SECRET_BYTES]>);

impl Secret {
    /// Makes a new one at random.
    ///
    /// # Errors
    /// [`SecretError::Random`].
    pub fn random() -> Result<Self, SecretError> {
        let mut secret = Secret::empty();
        SystemRandom::new().fill(secret.0.as_mut_slice()).map_err(|_| SecretError::Random)?;
        Ok(secret)
    }

    /// Takes what was received, and wipes it where it stood.
    pub fn take(received: &mut [u8; SECRET_BYTES]) -> Self {
        let mut secret = Secret::empty();
        secret.0.copy_from_slice(received);
        received.zeroize();
        secret
    }

    /// The same secret once more, for another user of it.
    pub fn again(&self) -> Self {
        let mut secret = Secret::empty();
        secret.0.copy_from_slice(self.0.as_slice());
        secret
    }

    /// Derives the key of one attempt to run one agent from the job's secret.
    ///
    /// Who learns it can neither speak for another agent nor for another attempt of this one.
    ///
    /// # Errors
    /// [`SecretError::Derive`], never in practice.
    ///
    /// # Source
    /// HKDF-SHA256, RFC 5869: no salt, since the secret is uniform; the context is the purpose, the
    /// agent, the attempt and, of unknown length and therefore last, the job.
    pub fn for_agent(&self, job: &str, agent: u32, attempt: u32) -> Result<Self, SecretError> {
        let numbers = [agent.to_le_bytes(), attempt.to_le_bytes()];
        let context = [PURPOSE, &numbers[0], &numbers[1], job.as_bytes()];
        let mut derived = Secret::empty();
        hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(self.0.as_slice())
            .expand(&context, hkdf::HKDF_SHA256)
            .and_then(|key| key.fill(derived.0.as_mut_slice()))
            .map_err(|_| SecretError::Derive { agent })?;
        Ok(derived)
    }

    /// Shows the bytes, to hand them to the other end or to the cipher.
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    fn empty() -> Self {
        let place = Box::new([0; SECRET_BYTES]);
        memory::keep_out_of_swap(place.as_slice());
        Secret(place)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_differs_and_none_is_shown() {
        let (one, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(format!("{one:?} {:?}", Some(&other)), "Secret(..) Some(Secret(..))");
    }

    #[test]
    fn a_key_belongs_to_one_job_one_agent_and_one_attempt() {
        let secret = Secret::take(&mut [7; 32]);
        let key =
            |job: &str, agent, attempt| *secret.for_agent(job, agent, attempt).unwrap().expose();
        let mut keys = vec![
            key("a", 1, 1),
            key("b", 1, 1),
            key("a", 2, 1),
            key("a", 1, 2),
            key("", 1, 1),
            *Secret::take(&mut [8; 32]).for_agent("a", 1, 1).unwrap().expose(),
            [7; 32],
        ];
        assert_eq!(key("a", 1, 1), keys[0]);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 7);
    }

    #[test]
    fn what_was_received_is_wiped_where_it_stood() {
        let mut received = [9; 32];
        assert_eq!(Secret::take(&mut received).expose(), &[9; 32]);
        assert_eq!(received, [0; 32]);
    }
}
