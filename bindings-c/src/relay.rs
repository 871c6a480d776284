//! Guests on other ranks of a transport: rank 0 has the helper, every rank has a guest of it, and
//! between them the bytes of the guest's socket go over the transport.
//!
//! ```text
//! rank r = Hello  (Bytes | Credit | Close)*  Failed?  Left
//! rank 0 =        (Bytes | Credit | Close)*  Outcome
//! ```
//!
//! The two speak at the same time. Rank 0 says `Outcome` once, whatever has happened, and each rank
//! answers it with `Left`, the last it says: so all have the same outcome, and no message is on its
//! way when they part.
//!
//! | file | what |
//! |---|---|
//! | [`words`] | messages, as pure functions on bytes |
//! | [`window`] | what may be on its way, without I/O |
//! | [`lead`], [`follow`] | rank 0, and any other |
//! | [`pace`] | how long to leave the transport alone, without I/O |
//! | [`post`] | messages that the transport does not take yet |
//! | [`stream`] | one socket, relayed |

pub mod follow;
pub mod lead;
pub mod pace;
pub mod post;
pub mod stream;
pub mod window;
pub mod words;

#[cfg(test)]
mod tests;

use std::fmt::Display;

use crate::status::{Fault, PX_ERR_PROTOCOL};

/// Messages heard before the sockets are seen to again.
const AT_ONCE: usize = 64;

fn breach(from: usize, what: impl Display) -> Fault {
    Fault::new(PX_ERR_PROTOCOL, format!("rank {from} broke the protocol: {what}"))
}
