//! What a host's way into a job can come to.

use rustix::io::Errno;

use crate::input::InputError;
use crate::link::channel::ChannelError;
use crate::link::control::{ControlError, Hello, Way};
use crate::link::sight::Blind;

/// Why a host cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The control channel failed.
    #[error("{0}")]
    Channel(#[from] ChannelError),
    /// What it said cannot be read.
    #[error("its agent sent {0}")]
    Control(#[from] ControlError),
    /// It was silent.
    #[error("nothing was heard from its agent for {0:.1} s")]
    Silent(f64),
    /// It lives, but does not do what is asked of it.
    #[error("its agent lives, but did not {step} within {} s", super::PATIENCE.as_secs())]
    Idle {
        /// What it did not do.
        step: &'static str,
    },
    /// It is of another version.
    #[error("its pxrun is version {theirs}, this one is {ours}")]
    Version {
        /// The agent's.
        theirs: String,
        /// The root's.
        ours: String,
    },
    /// No pxrun answered.
    #[error("what answered there is no pxrun agent")]
    NoAgent,
    /// What it is to be told does not fit a message.
    #[error("the command, its variables or the names of its inputs are too long to be sent")]
    TooLong,
    /// It spoke out of turn.
    #[error("its agent broke the protocol: {0}")]
    Protocol(&'static str),
    /// No connection came about and nothing else is allowed.
    #[error("no connection for data could be made: {0}")]
    NoConnection(String),
    /// The job cannot run there.
    #[error("{text}")]
    Unfit {
        /// What the root is to end with.
        status: u8,
        /// Why.
        text: String,
    },
    /// The root's own input could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A system call failed.
    #[error("cannot {0}: {1}")]
    System(&'static str, Errno),
}

/// Something that whoever gathers the hosts wants to know.
#[derive(Debug)]
pub enum News {
    /// The host has said who it is.
    Hello(Box<Hello>),
    /// Data goes this way; where it is not the usual one, why.
    Linked(Way, Option<String>),
    /// The job can begin there; and why the agent is sent the input where it does not see it.
    Ready(Option<Blind>),
    /// Strangers knocked at its door.
    Strangers(u64),
}
