//! The handshake of a link and its records, without I/O.
//!
//! Two messages of 48 bytes, one each way, prove that both ends hold the same secret, or the keys
//! that each knows the other by, and mean the same [`Terms`], and agree on two keys, one a direction, that die with the link. After that bytes
//! travel as records, in order, each exactly once; a record that was changed, left out, moved or
//! sent again is an error, as is a secret or a term that differs.
//!
//! Nothing on the wire chooses a cipher, a version or a length before that is proven:
//!
//! ```text
//! link    = hello answer record*         a hello and a record* each way
//! hello   = 48 bytes                     public key, tag
//! answer  = 48 bytes                     public key, tag
//! record  = length sealed                length: 2 bytes, little-endian, of `sealed`
//! sealed  = 1 to 65519 bytes, enciphered, and a tag of 16
//! ```
//!
//! A hello that was recorded and is sent again is answered like a fresh one: only who made it can
//! use the answer. A peer therefore counts as in only after its first record was opened.
//!
//! # Source
//! The Noise Protocol Framework, revision 34: `Noise_NNpsk0_25519_AESGCM_SHA256` where there is a
//! secret, `Noise_KK_25519_AESGCM_SHA256` where each end knows the other's public key.

use std::rc::Rc;
use std::sync::Arc;

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, StatelessTransportState};

use super::keys::{KeyPair, PublicKey};
use super::primitives::Primitives;
use super::secret::Secret;

/// How long each of the two messages of the handshake is.
pub const HANDSHAKE_BYTES: usize = 48;
/// The most bytes that one record holds before sealing.
pub const LARGEST_PLAIN: usize = LARGEST_SEALED - TAG_BYTES;
/// The most bytes that a record takes on the wire.
pub const LARGEST_RECORD: usize = LENGTH_BYTES + LARGEST_SEALED;
/// What a record has besides its plain bytes.
pub const RECORD_OVERHEAD: usize = LENGTH_BYTES + TAG_BYTES;

const OF_SECRETS: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
const OF_KEYS: &str = "Noise_KK_25519_AESGCM_SHA256";
const LENGTH_BYTES: usize = 2;
const TAG_BYTES: usize = 16;
const LARGEST_SEALED: usize = u16::MAX as usize;

/// What proves the ends of a link to each other.
#[derive(Debug)]
pub enum Proof {
    /// Both hold the same secret, which nobody else knows.
    Secret(Secret),
    /// Each knows the other's public key.
    Keys {
        /// The keys of this end.
        own: Rc<KeyPair>,
        /// The other end's.
        theirs: PublicKey,
    },
}

impl Proof {
    fn pattern(&self) -> &'static str {
        match self {
            Proof::Secret(_) => OF_SECRETS,
            Proof::Keys { .. } => OF_KEYS,
        }
    }
}

/// What both ends must mean alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The program's version.
    pub version: String,
    /// The job's identity.
    pub job: String,
    /// Which agent the link is for.
    pub agent: u32,
    /// Which attempt to run that agent.
    pub attempt: u32,
    /// Who dials; the other one answers.
    pub dialer: Side,
}

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The root.
    Root,
    /// The agent.
    Agent,
}

impl Terms {
    /// Each term and its length, so that no two different sets of terms are the same bytes.
    fn prologue(&self, pattern: &str) -> Vec<u8> {
        let dialer: &[u8] = match self.dialer {
            Side::Root => b"root",
            Side::Agent => b"agent",
        };
        let (agent, attempt) = (self.agent.to_le_bytes(), self.attempt.to_le_bytes());
        let terms =
            [pattern.as_bytes(), self.version.as_bytes(), self.job.as_bytes(), &agent, &attempt];
        let mut bytes = Vec::new();
        for term in terms.into_iter().chain([dialer]) {
            bytes.extend_from_slice(&(term.len() as u64).to_le_bytes());
            bytes.extend_from_slice(term);
        }
        bytes
    }
}

/// What can go wrong with a handshake or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The system gave no random bytes, or a primitive is missing.
    #[error("the encryption cannot be set up")]
    SetUp,
    /// The other end holds another secret or other keys or means other terms, or the message was
    /// changed.
    #[error("the other end does not know this link's secret")]
    Refused,
    /// A record is shorter than a tag.
    #[error("a record has {found} bytes, fewer than {TAG_BYTES}")]
    TooShort {
        /// Its length in bytes.
        found: usize,
    },
    /// A record was changed, left out, moved or sent again.
    #[error("record {number} is not what the other end sealed")]
    Forged {
        /// Its number, from 0.
        number: u64,
    },
    /// A direction of the link has carried as many records as its key allows.
    #[error("the link's key is used up after {number} records")]
    UsedUp {
        /// How many.
        number: u64,
    },
}

/// The end that dials, between its hello and the answer.
pub struct Dialer(HandshakeState);

impl Dialer {
    /// Begins a handshake; the bytes are to be sent.
    ///
    /// # Errors
    /// [`SealError::SetUp`].
    pub fn new(terms: &Terms, proof: &Proof) -> Result<(Self, [u8; HANDSHAKE_BYTES]), SealError> {
        let prologue = terms.prologue(proof.pattern());
        let mut state = builder(&prologue, proof)?.build_initiator().map_err(set_up)?;
        let hello = write(&mut state)?;
        Ok((Dialer(state), hello))
    }

    /// Takes the other end's answer.
    ///
    /// # Errors
    /// [`SealError::Refused`].
    pub fn finish(mut self, answer: &[u8; HANDSHAKE_BYTES]) -> Result<(Sealer, Opener), SealError> {
        read(&mut self.0, answer)?;
        transport(self.0)
    }
}

/// Takes a hello; the bytes are to be sent back.
///
/// # Errors
/// [`SealError::Refused`], [`SealError::SetUp`].
///
/// # Cost
/// A wrong hello is refused before any key exchange where there is a secret, after two where there
/// are keys.
pub fn answer(
    terms: &Terms,
    proof: &Proof,
    hello: &[u8; HANDSHAKE_BYTES],
) -> Result<([u8; HANDSHAKE_BYTES], Sealer, Opener), SealError> {
    let prologue = terms.prologue(proof.pattern());
    let mut state = builder(&prologue, proof)?.build_responder().map_err(set_up)?;
    read(&mut state, hello)?;
    let answer = write(&mut state)?;
    let (sealer, opener) = transport(state)?;
    Ok((answer, sealer, opener))
}

fn set_up(_: snow::Error) -> SealError {
    SealError::SetUp
}

fn builder<'a>(prologue: &'a [u8], proof: &'a Proof) -> Result<Builder<'a>, SealError> {
    let pattern: NoiseParams = proof.pattern().parse().map_err(set_up)?;
    let builder = Builder::with_resolver(pattern, Box::new(Primitives)).prologue(prologue);
    builder
        .and_then(|builder| match proof {
            Proof::Secret(secret) => builder.psk(0, secret.expose()),
            Proof::Keys { own, theirs } => builder
                .local_private_key(own.expose())
                .and_then(|builder| builder.remote_public_key(theirs.as_bytes())),
        })
        .map_err(set_up)
}

fn write(state: &mut HandshakeState) -> Result<[u8; HANDSHAKE_BYTES], SealError> {
    let mut message = [0; HANDSHAKE_BYTES];
    match state.write_message(&[], &mut message) {
        Ok(HANDSHAKE_BYTES) => Ok(message),
        _ => Err(SealError::SetUp),
    }
}

fn read(state: &mut HandshakeState, message: &[u8; HANDSHAKE_BYTES]) -> Result<(), SealError> {
    let mut payload = [0; HANDSHAKE_BYTES];
    match state.read_message(message, &mut payload) {
        Ok(0) => Ok(()),
        _ => Err(SealError::Refused),
    }
}

fn transport(state: HandshakeState) -> Result<(Sealer, Opener), SealError> {
    let keys = Arc::new(state.into_stateless_transport_mode().map_err(set_up)?);
    Ok((Sealer { keys: Arc::clone(&keys), number: 0 }, Opener { keys, number: 0 }))
}

/// Seals what this end sends.
pub struct Sealer {
    keys: Arc<StatelessTransportState>,
    /// The next record's number, which is its nonce: it is never used twice.
    number: u64,
}

impl Sealer {
    /// How long `length` bytes are once they are sealed.
    pub fn sealed_length(length: usize) -> usize {
        length + length.div_ceil(LARGEST_PLAIN) * RECORD_OVERHEAD
    }

    /// Seals `plain` into the start of `out`, which must have room for
    /// [`Sealer::sealed_length`] bytes; returns how many were written.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn seal_into(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        let mut at = 0;
        for part in plain.chunks(LARGEST_PLAIN) {
            let sealed = part.len() + TAG_BYTES;
            let length = u16::try_from(sealed).map_err(|_| SealError::SetUp)?;
            let place = out.get_mut(at..at + LENGTH_BYTES + sealed).ok_or(SealError::SetUp)?;
            let (header, place) = place.split_at_mut(LENGTH_BYTES);
            header.copy_from_slice(&length.to_le_bytes());
            if self.keys.write_message(self.number, part, place) != Ok(sealed) {
                return Err(SealError::UsedUp { number: self.number });
            }
            self.number += 1;
            at += LENGTH_BYTES + sealed;
        }
        Ok(at)
    }

    /// Appends `plain` to `out` as as many records as it takes; no bytes are no record.
    ///
    /// # Errors
    /// [`SealError::UsedUp`]; `out` then holds the records before.
    ///
    /// # Cost
    /// One copy, within the cache; nothing beyond the records is allocated.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let records = plain.len().div_ceil(LARGEST_PLAIN);
        out.reserve(plain.len() + records * RECORD_OVERHEAD);
        for part in plain.chunks(LARGEST_PLAIN) {
            let start = out.len();
            let sealed = part.len() + TAG_BYTES;
            let length = u16::try_from(sealed).map_err(|_| SealError::SetUp)?;
            out.extend_from_slice(&length.to_le_bytes());
            out.resize(start + LENGTH_BYTES + sealed, 0);
            let place = &mut out[start + LENGTH_BYTES..];
            if self.keys.write_message(self.number, part, place) != Ok(sealed) {
                out.truncate(start);
                return Err(SealError::UsedUp { number: self.number });
            }
            self.number += 1;
        }
        Ok(())
    }
}

/// Opens what the other end sealed.
pub struct Opener {
    keys: Arc<StatelessTransportState>,
    /// The next record's number: one that was moved or sent again does not open under it.
    number: u64,
}

impl Opener {
    /// Opens the whole records that `received` begins with, appends what they hold to `out` and
    /// returns how many bytes of `received` they took; the rest is the start of a record.
    ///
    /// At most as many bytes are reserved as were received.
    ///
    /// # Errors
    /// [`SealError::TooShort`], [`SealError::Forged`], [`SealError::UsedUp`]: nothing more comes of
    /// this link. `out` holds the records before.
    pub fn open(&mut self, received: &[u8], out: &mut Vec<u8>) -> Result<usize, SealError> {
        let mut rest = received;
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_le_bytes(*length));
            if length < TAG_BYTES {
                return Err(SealError::TooShort { found: length });
            }
            let Some((sealed, after)) = after.split_at_checked(length) else { break };
            self.open_one(sealed, out)?;
            rest = after;
        }
        Ok(received.len() - rest.len())
    }

    /// Opens the whole records that `received` begins with into `out`, which must have room for as
    /// many bytes; returns how many bytes of `received` they took and how many they held.
    ///
    /// # Errors
    /// As [`Opener::open`].
    pub fn open_into(
        &mut self,
        received: &[u8],
        out: &mut [u8],
    ) -> Result<(usize, usize), SealError> {
        let mut rest = received;
        let mut held = 0;
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_le_bytes(*length));
            if length < TAG_BYTES {
                return Err(SealError::TooShort { found: length });
            }
            let Some((sealed, after)) = after.split_at_checked(length) else { break };
            if self.number == u64::MAX {
                return Err(SealError::UsedUp { number: self.number });
            }
            let opened = self.keys.read_message(self.number, sealed, &mut out[held..]);
            held += opened.map_err(|_| SealError::Forged { number: self.number })?;
            self.number += 1;
            rest = after;
        }
        Ok((received.len() - rest.len(), held))
    }

    fn open_one(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        if self.number == u64::MAX {
            return Err(SealError::UsedUp { number: self.number });
        }
        let start = out.len();
        out.resize(start + sealed.len(), 0);
        let opened = self.keys.read_message(self.number, sealed, &mut out[start..]);
        out.truncate(start + opened.as_ref().map_or(0, |length| *length));
        opened.map_err(|_| SealError::Forged { number: self.number })?;
        self.number += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
