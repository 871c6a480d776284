//! Links: how root and agent reach each other.
//!
//! A link carries what [`crate::message`] says, reliably and in order. On one host it is a function
//! call: the [`crate::agent::Agent`] is its own link. The root sees only this trait, so another way
//! to reach an agent is another file here.
//!
//! Between hosts a link has two channels: one for control, which somebody else has carried there
//! (ssh), and one for data, a connection of our own that is sealed. One end opens a [`door`], the
//! other [`dial`]s it; both prove in a [`hello`] of fixed size that they hold the secret and mean
//! the same job. Nothing is negotiated: a peer that differs in anything is a stranger, and a
//! stranger costs little.
//!
//! | part | does | I/O |
//! |---|---|---|
//! | [`frame`], [`control`], [`preamble`] | what stands on a channel | no |
//! | [`packing`], [`secret`], [`keys`], [`seal`] | compressing and sealing it | no |
//! | [`incoming`] | bytes that wait to be understood | no |
//! | [`channel`] | frames over descriptors that never make anyone wait, or over a carrier | yes |
//! | [`carrier`] | what carries whole messages and has no descriptor | no |
//! | [`hello`], [`place`], [`door`], [`dial`] | how a connection comes about | yes |
//! | [`joining`] | how the root takes an agent into a job | yes |
//! | [`sight`] | whether an agent sees the same input | yes |
//! | [`doors`] | where agents connect that the root cannot reach | yes |
//! | [`ledger`] | what an agent was told and may therefore tell | no |
//! | [`remote`] | the root's end of a link | yes |
//! | [`serve`] | the agent's end | yes |
//! | [`lease`] | how long a silence may last | no |

pub mod carrier;
pub mod channel;
pub mod control;
pub mod dial;
pub mod door;
pub mod doors;
pub mod frame;
pub mod hello;
pub mod incoming;
pub mod joining;
pub mod keys;
pub mod lease;
pub mod ledger;
pub mod packing;
pub mod place;
pub mod preamble;
mod primitives;
pub mod remote;
pub mod seal;
pub mod secret;
pub mod serve;
pub mod sight;

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

/// Bytes that may be on their way to one rank.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Dealt to it and not yet in its pipe.
    pub dealt: u64,
    /// Dealt to it and not yet read, where chunks go to who has read.
    pub allowance: u64,
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

    /// How much may be on its way to each rank.
    fn windows(&self) -> Windows;

    /// Whether more can be dealt now.
    fn has_room(&self) -> bool {
        true
    }

    /// Whether all that was said has been sent.
    fn is_quiet(&self) -> bool {
        true
    }

    /// Whether nothing of the job runs at its other end any more.
    fn is_over(&self) -> bool;

    /// Counts the silence until now for nothing.
    fn forgive(&mut self, _now: Instant) {}
}
