//! Key pairs: what the two ends of a link know each other by where nobody brought them a secret.
//!
//! The public part is for everybody. The private part is treated as [`super::secret`] treats a
//! secret: never printed, kept out of swap where the system allows it, wiped when dropped, on the
//! heap so that moving a [`KeyPair`] leaves no copy of it behind.
//!
//! # Source
//! X25519, RFC 7748.

use std::fmt;

use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroize;

use super::secret::SecretError;
use crate::sys::memory;

/// How long either part of a key pair is, in bytes.
pub const KEY_BYTES: usize = 32;

/// The part of a key pair that others know it by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// Takes what somebody has told for their key; any bytes are one.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        PublicKey(bytes)
    }

    /// The bytes to tell others.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for PublicKey {
    /// Its first bytes tell one from another.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(out, "PublicKey({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// A private key and its public one.
pub struct KeyPair {
    private: Box<[u8; KEY_BYTES]>,
    pub(super) public: PublicKey,
}

impl KeyPair {
    /// Makes a new one at random.
    ///
    /// # Errors
    /// [`SecretError::Random`].
    pub fn random() -> Result<Self, SecretError> {
        let mut private = empty();
        SystemRandom::new().fill(private.as_mut_slice()).map_err(|_| SecretError::Random)?;
        Ok(KeyPair::of(private))
    }

    /// Makes the pair of a private key that is known already.
    pub(super) fn of_private(private: &[u8; KEY_BYTES]) -> Self {
        let mut place = empty();
        place.copy_from_slice(private);
        KeyPair::of(place)
    }

    fn of(private: Box<[u8; KEY_BYTES]>) -> Self {
        let public = PublicKey(MontgomeryPoint::mul_base_clamped(*private).to_bytes());
        KeyPair { private, public }
    }

    /// The part to tell others.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Shows the private part, to hand it to the handshake.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.private
    }

    /// What only the two owners of these keys can compute; written to `out`.
    ///
    /// Nothing comes of a public key that forces the outcome, which is then all zeros.
    pub(super) fn agree(&self, theirs: &[u8; KEY_BYTES], out: &mut [u8; KEY_BYTES]) -> bool {
        let mut shared = MontgomeryPoint(*theirs).mul_clamped(*self.private);
        out.copy_from_slice(shared.as_bytes());
        shared.zeroize();
        out.iter().fold(0, |any, byte| any | byte) != 0
    }
}

fn empty() -> Box<[u8; KEY_BYTES]> {
    let place = Box::new([0; KEY_BYTES]);
    memory::keep_out_of_swap(place.as_slice());
    place
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        self.private.zeroize();
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyPair({:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> [u8; KEY_BYTES] {
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn keys_and_what_they_agree_on_are_those_of_the_standard() {
        let alice = KeyPair::of_private(&bytes(
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        ));
        let bob = KeyPair::of_private(&bytes(
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        ));
        let publics = [
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        ];
        assert_eq!([&alice, &bob].map(|pair| *pair.public().as_bytes()), publics.map(bytes));
        let shared = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        for (one, other) in [(&alice, &bob), (&bob, &alice)] {
            let mut out = [0; KEY_BYTES];
            assert!(one.agree(other.public().as_bytes(), &mut out));
            assert_eq!(out, shared);
        }
    }

    #[test]
    fn each_pair_differs_and_its_private_part_is_never_shown() {
        let (one, other) = (KeyPair::random().unwrap(), KeyPair::random().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_ne!(one.public(), other.public());
        assert_eq!(format!("{one:?}"), format!("KeyPair({:?})", one.public()));
    }

    #[test]
    fn nothing_comes_of_a_public_key_that_forces_the_outcome() {
        let pair = KeyPair::random().unwrap();
        let mut one = [0; KEY_BYTES];
        one[0] = 1;
        for forcing in [[0; KEY_BYTES], one] {
            assert!(!pair.agree(&forcing, &mut [9; KEY_BYTES]));
        }
    }
}
