//! Carriers: ways for whole messages to another process, which no descriptor tells of.
//!
//! An MPI library is one: it has sent or received something only when it is asked. A
//! [`super::channel::Channel`] over a carrier says for itself when it wants to be asked again.

use std::time::Duration;

/// Why a carrier carries no more, in the words of the layer below.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CarrierError(pub String);

/// A way to one other process: reliable, in order, a message at a time.
pub trait Carrier {
    /// Takes a message to be sent, after all before it. Never waits.
    ///
    /// # Errors
    /// [`CarrierError`]: nothing more comes of this way.
    fn send(&mut self, message: Vec<u8>) -> Result<(), CarrierError>;

    /// Bytes taken and not yet sent.
    fn in_flight(&self) -> usize;

    /// Hands back a buffer whose bytes have been sent.
    fn sent(&mut self) -> Option<Vec<u8>>;

    /// Takes the next message that has come.
    ///
    /// # Errors
    /// [`CarrierError`]: nothing more comes of this way.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, CarrierError>;

    /// How long to leave it alone before looking again, since nothing else will tell.
    fn pause(&self) -> Duration;
}
