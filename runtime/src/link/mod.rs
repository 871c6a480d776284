//! Links: how root and agent reach each other.
//!
//! A link carries what [`crate::message`] says, reliably and in order. On one host it is a function
//! call: the [`crate::agent::Agent`] is its own link. The root sees only this trait, so another way
//! to reach an agent is another file here.

use std::time::Instant;

use crate::message::{FromAgent, ToAgent};
use crate::poller::{Poller, Ready};

/// What a turn of [`Link::pump`] did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    /// Something was moved or told.
    pub any: bool,
    /// More could be moved at once.
    pub more: bool,
    /// The largest share of a pipe that was moved, in percent.
    pub fullest: usize,
}

/// The root's end of the way to one agent.
pub trait Link {
    /// Has the agent do as told; on its way that takes no time of the caller's.
    fn order(&mut self, order: ToAgent<'_>, poller: &Poller, now: Instant);

    /// Takes the next thing that the agent has told.
    fn told(&mut self) -> Option<FromAgent>;

    /// Notes what the poller saw of this link's descriptors.
    fn ready(&mut self, event: Ready, now: Instant);

    /// Moves what can be moved now.
    fn pump(&mut self, poller: &Poller, now: Instant) -> Moved;

    /// Takes everything for ready, whatever was reported.
    fn stir(&mut self, now: Instant);

    /// When [`Link::pump`] must be called even if nothing happens.
    fn deadline(&self) -> Option<Instant>;
}
