//! The four primitives that Noise builds on.
//!
//! `snow` brings primitives of its own. Those of `ring` are chosen for speed: records of 64 KiB are
//! sealed and opened at 7.3 GB/s where `snow`'s default choice does 1.5 GB/s (one core with vector
//! AES). The key exchange alone is not `ring`'s, whose private keys agree once and cannot be given
//! to it, while a pair of keys that are known beforehand must agree twice; it is that of
//! [`super::keys`].

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};

use super::keys::{KEY_BYTES, KeyPair};

const TAG_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Gives `snow` what the patterns of this crate need, and nothing else.
pub struct Primitives;

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(FromSystem(SystemRandom::new())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(Exchange::default())),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::SHA256 => Some(Box::new(Sha256(digest::Context::new(&digest::SHA256)))),
            _ => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::AESGCM => Some(Box::new(AesGcm(None))),
            _ => None,
        }
    }
}

struct FromSystem(SystemRandom);

impl Random for FromSystem {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.0.fill(dest).map_err(|_| Error::Rng)
    }
}

/// A key pair, once there is one.
///
/// An all-zero outcome, which a peer can force by its public key, is an error.
#[derive(Default)]
struct Exchange(Option<KeyPair>);

impl Dh for Exchange {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    /// The trait knows no failure here; without a key nothing is agreed on.
    fn set(&mut self, private: &[u8]) {
        self.0 = private.try_into().ok().map(KeyPair::of_private);
    }

    fn generate(&mut self, _rng: &mut dyn Random) -> Result<(), Error> {
        self.0 = Some(KeyPair::random().map_err(|_| Error::Rng)?);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |pair| pair.public.as_bytes())
    }

    /// Not even `snow` sees it.
    fn privkey(&self) -> &[u8] {
        &[]
    }

    fn dh(&self, theirs: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let pair = self.0.as_ref().ok_or(Error::Dh)?;
        let theirs = theirs.first_chunk().ok_or(Error::Dh)?;
        let out = out.first_chunk_mut().ok_or(Error::Dh)?;
        if pair.agree(theirs, out) { Ok(()) } else { Err(Error::Dh) }
    }
}

struct Sha256(digest::Context);

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        HASH_BYTES
    }

    fn reset(&mut self) {
        self.0 = digest::Context::new(&digest::SHA256);
    }

    fn input(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..HASH_BYTES].copy_from_slice(self.0.clone().finish().as_ref());
    }
}

/// AES-256-GCM; without a key nothing can be sealed or opened.
struct AesGcm(Option<LessSafeKey>);

/// A counter becomes a nonce as Noise has it for AES-GCM: 32 zero bits, then 64 bits big-endian.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; KEY_BYTES]) {
        self.0 = UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new);
    }

    /// The trait knows no failure here; 0 bytes written say it, which [`super::seal`] looks at.
    fn encrypt(&self, counter: u64, bound: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let sealed = plain.len() + TAG_BYTES;
        let Some((place, tag)) =
            out.get_mut(..sealed).and_then(|out| out.split_at_mut_checked(plain.len()))
        else {
            return 0;
        };
        place.copy_from_slice(plain);
        let made = self.0.as_ref().and_then(|key| {
            key.seal_in_place_separate_tag(nonce(counter), Aad::from(bound), place).ok()
        });
        let Some(made) = made else {
            place.fill(0);
            return 0;
        };
        tag.copy_from_slice(made.as_ref());
        sealed
    }

    fn decrypt(
        &self,
        counter: u64,
        bound: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        // Opened in place, so the tag needs room too; whoever calls gives it.
        let place = out.get_mut(..sealed.len()).ok_or(Error::Input)?;
        place.copy_from_slice(sealed);
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let plain = key.open_in_place(nonce(counter), Aad::from(bound), place);
        plain.map(|plain| plain.len()).map_err(|_| Error::Decrypt)
    }
}

#[cfg(test)]
mod tests;
