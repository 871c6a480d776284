//! What all links of a job have in common.

use std::rc::Rc;
use std::time::Duration;

use crate::buffers::Buffers;
use crate::input::files::FileInput;
use crate::link::control::{Errand, Packing};

/// Which links are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A connection of our own, else the control channel.
    Any,
    /// A connection of our own.
    Connection,
    /// The control channel.
    Control,
}

/// What all links of a job have in common.
#[derive(Clone)]
pub struct Rules {
    /// The program's version, which must be the agent's too.
    pub version: String,
    /// The job's number.
    pub job: String,
    /// Silence after which the other side is lost.
    pub lease: Duration,
    /// Which links are allowed.
    pub allowed: Allowed,
    /// How data is packed.
    pub packing: Packing,
    /// What is to run.
    pub errand: Errand,
    /// The input, where it is of known length.
    pub input: Option<Rc<FileInput>>,
    /// Where received bytes are kept.
    pub buffers: Buffers,
}
