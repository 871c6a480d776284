//! Messages between root and agent, and the only use of `bincode`.
//!
//! ```text
//! root   Secret Open [Dial] Linked Begin  then  (Order | Pause | Resume)*  Leave
//! agent  Hello (Fit [Listening] | Unfit) Ready  then  Told*  Left
//! ```
//!
//! They are decoded only after the peer is known (by ssh, or by the key that came over it), only
//! from a frame whose length was checked, and must fill it exactly.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::sight::{Seen, View};
use crate::agent::assignment::Assignment;
use crate::message::{FromAgent, ToAgent};

/// Most bytes of one message from an agent.
pub const FROM_AGENT: usize = 64 << 10;
/// Most bytes of one message from the root: it may hold a long command and many input files.
pub const FROM_ROOT: usize = 8 << 20;

/// Root to agent.
#[derive(Serialize, Deserialize)]
pub enum RootSays<'a> {
    /// The secret of the link.
    Secret(Zeroizing<[u8; 32]>),
    /// This is the job; make ready to be reached.
    Open(Box<Open>),
    /// Connect to the root there.
    Dial(SocketAddr),
    /// Data goes this way from now on.
    Linked(Way),
    /// This is what to run.
    Begin(Box<Begin>),
    /// For the agent's copies.
    Order(ToAgent<'a>),
    /// The job stands still: the root may be silent for an hour.
    Pause,
    /// It goes on.
    Resume,
    /// The job is over.
    Leave,
}

/// What an agent must know to be linked to, and what its host must have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Open {
    /// The job's number.
    pub job: String,
    /// The agent's number in the job.
    pub agent: u32,
    /// Silence after which the other side counts as lost.
    pub lease: Duration,
    /// Whether to listen for the root.
    pub listen: Listen,
    /// How data is packed on the link.
    pub packing: Packing,
    /// What is to run.
    pub errand: Errand,
}

/// The command as the user gave it, and where it is to run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Errand {
    /// The command and its arguments.
    pub words: Vec<Vec<u8>>,
    /// The working directory.
    pub directory: Vec<u8>,
    /// `NAME=VALUE` for the copies' environment.
    pub variables: Vec<Vec<u8>>,
    /// Whether copies see what a launcher said to their agent.
    pub launcher_env: LauncherEnv,
}

/// The variables by which a launcher, of MPI or of Slurm, told an agent its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LauncherEnv {
    /// They are the agent's alone.
    #[default]
    Dropped,
    /// Copies see them too.
    Kept,
}

/// Whether an agent listens for the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listen {
    /// On the address at which ssh reached it.
    Yes,
    /// Data goes over the control channel.
    No,
}

/// How data is packed on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packing {
    /// As it is.
    Plain,
    /// Compressed by zstd.
    Compressed,
}

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// Over the connection that the root made.
    Direct,
    /// Over the connection that the agent made.
    Reverse,
    /// Over the control channel.
    Control,
}

/// What an agent is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begin {
    /// Its ranks and their command; the command's path and environment are the agent's to find.
    pub assignment: Assignment,
    /// The input files, if the agent may see them too.
    pub view: Option<View>,
}

/// Agent to root.
#[derive(Debug, Serialize, Deserialize)]
pub enum AgentSays {
    /// This is where the agent is.
    Hello(Box<Hello>),
    /// The root may connect there; or why it cannot.
    Listening(Result<SocketAddr, String>),
    /// The host has what the job needs.
    Fit,
    /// Copies can be started; and what is seen here of the input.
    Ready(Option<Seen>),
    /// The job cannot run here, and the exit status that says so.
    Unfit {
        /// What the exit status is.
        status: u8,
        /// Why.
        text: String,
    },
    /// So many strangers knocked before the root did.
    Strangers(u64),
    /// Of a copy.
    Told(FromAgent),
    /// Nothing of the job runs here any more; so many frames of data were sent in all.
    Left {
        /// Frames.
        frames: u64,
    },
}

/// What an agent says of its host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The host's own name.
    pub host: String,
    /// Random number of the kernel's start.
    pub boot: String,
    /// The network namespace, as the kernel counts them.
    pub network: u64,
    /// How many copies can run at once, as far as cores and limits go.
    pub parallelism: u32,
    /// The CPUs of each core that may be used.
    pub cores: Vec<Vec<u32>>,
    /// Addresses of both ends of the login, the root's first.
    pub login: Option<(IpAddr, IpAddr)>,
}

/// Why a payload is no message.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be decoded.
    #[error("a message that cannot be read: {0}")]
    Unreadable(bincode::error::DecodeError),
    /// Bytes follow it.
    #[error("a message with {0} bytes too many")]
    Trailing(usize),
}

type Encoding = Configuration<LittleEndian, Fixint, Limit<FROM_ROOT>>;

fn encoding() -> Encoding {
    bincode::config::standard().with_fixed_int_encoding().with_limit::<FROM_ROOT>()
}

/// Appends a message to `out`; `false` when it is too long to be sent.
#[must_use]
pub fn encode(out: &mut Vec<u8>, message: &impl Serialize) -> bool {
    bincode::serde::encode_into_std_write(message, out, encoding()).is_ok()
}

/// Decodes a frame's payload.
///
/// # Errors
/// See [`ControlError`].
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ControlError> {
    let decoded = bincode::serde::decode_from_slice(payload, encoding());
    let (message, length) = decoded.map_err(ControlError::Unreadable)?;
    match payload.len() - length {
        0 => Ok(message),
        more => Err(ControlError::Trailing(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(message: &RootSays<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(encode(&mut bytes, message));
        bytes
    }

    #[test]
    fn every_order_arrives_as_what_it_was() {
        use rustix::process::Signal;
        let orders = [
            ToAgent::Start { rank: 1, chunk: Some(2), attempt: 3 },
            ToAgent::Deal { rank: 1, range: 4..5 },
            ToAgent::EndOfInput { rank: 1 },
            ToAgent::OutputCredit { rank: 1, bytes: 6 },
            ToAgent::DiagnosticCredit { rank: 1, bytes: 7 },
            ToAgent::Signal { rank: None, signal: Signal::TERM },
            ToAgent::Abandon,
            ToAgent::Pause,
            ToAgent::Resume,
            ToAgent::Leave,
        ];
        for order in orders {
            let shown = format!("{order:?}");
            let decoded = decode::<RootSays<'_>>(&encoded(&RootSays::Order(order)));
            let Ok(RootSays::Order(order)) = decoded else { panic!("{shown} is lost") };
            assert_eq!(format!("{order:?}"), shown);
        }
    }

    #[test]
    fn a_message_must_fill_its_frame() {
        let mut bytes = encoded(&RootSays::Order(ToAgent::EndOfInput { rank: 3 }));
        assert!(matches!(decode(&bytes), Ok(RootSays::Order(ToAgent::EndOfInput { rank: 3 }))));
        bytes.push(0);
        assert!(matches!(decode::<RootSays<'_>>(&bytes), Err(ControlError::Trailing(1))));
        bytes.truncate(5);
        assert!(decode::<RootSays<'_>>(&bytes).is_err());
    }

    #[test]
    fn a_huge_length_inside_a_message_reserves_nothing() {
        let mut bytes = encoded(&RootSays::Dial(([127, 0, 0, 1], 1).into()));
        bytes.truncate(0);
        assert!(encode(&mut bytes, &AgentSays::Unfit { status: 1, text: "x".into() }));
        let at = bytes.len() - 9;
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<AgentSays>(&bytes).is_err());
    }
}
