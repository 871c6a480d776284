//! What root and agent say to each other.
//!
//! On one host these are function calls; the bytes of a by-reference chunk never move. Between
//! hosts they are frames of a [`crate::link`].
//!
//! ```text
//! copy  = Start (Feed | Deal)* EndOfInput                    root to agent
//!         Started (Consumed | Read | Output | Diagnostic)* Exited
//!             (Output | Diagnostic)* Ended                   agent to root, or StartFailed
//! ```
//!
//! Where copies use libpx, the bytes of each chunk stand between `Begin` and `End`, and what the
//! program says of its chunks is told besides.

use std::ops::Range;

use rustix::io::Errno;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::failure::Message;
use crate::libpx::wire;

/// Bytes that lie elsewhere.
pub type Slice<'a> = &'a [u8];

/// Root to agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToAgent<'a> {
    /// Start a copy for `rank`; per chunk it runs for `chunk` alone.
    Start {
        /// Whose copy.
        rank: u32,
        /// The chunk that it is started for.
        chunk: Option<u64>,
        /// How often that chunk has been started, this time included.
        attempt: u32,
    },
    /// Write these bytes of the input to the copy's stdin.
    Deal {
        /// Whose copy.
        rank: u32,
        /// Logical offsets in the input.
        range: Range<u64>,
    },
    /// A chunk begins, for a copy that uses libpx; its bytes follow.
    Begin {
        /// Whose copy.
        rank: u32,
        /// The chunk and its place.
        chunk: wire::Chunk,
        /// Its length in bytes, where that is known already.
        length: Option<u64>,
    },
    /// All bytes of the chunk that has begun were given.
    End {
        /// Whose copy.
        rank: u32,
    },
    /// The root knows that ranks talk to each other, and deals nothing again: they may.
    MayTalk,
    /// A rank will never speak again to others that use libpx.
    PeerGone {
        /// Which.
        peer: u32,
    },
    /// A rank on another host has read so many bytes of what this one has sent to it.
    Drained {
        /// Who has sent them.
        rank: u32,
        /// Who has read them.
        by: u32,
        /// Bytes.
        bytes: u64,
    },
    /// Close the copy's stdin once all is written.
    EndOfInput {
        /// Whose copy.
        rank: u32,
    },
    /// The agent may send this many more bytes of output of this rank.
    OutputCredit {
        /// Whose.
        rank: u32,
        /// Bytes.
        bytes: usize,
    },
    /// The agent may send this many more bytes of diagnostics of this rank.
    DiagnosticCredit {
        /// Whose.
        rank: u32,
        /// Bytes.
        bytes: usize,
    },
    /// Send `signal` to one rank's process family.
    ///
    /// Once all have been told to end, nothing is started any more.
    Signal {
        /// Whose; `None` for all.
        rank: Option<u32>,
        /// The signal.
        #[serde(with = "signal_number")]
        signal: Signal,
    },
    /// Give up on copies that are gone but whose pipes are held by someone out of reach.
    Abandon,
    /// The job stands still; the root may be silent for long.
    Pause,
    /// The job goes on.
    Resume,
    /// The job is over: end whatever still runs.
    Leave,
    // What is skipped comes last: others are numbered by their place.
    /// Write these bytes to the copy's stdin: a small chunk, a part of a stream's, or a header.
    ///
    /// On a link they are a frame of their own kind.
    #[serde(skip)]
    Feed {
        /// Whose copy.
        rank: u32,
        /// The bytes.
        bytes: Slice<'a>,
    },
    /// Bytes for a copy that uses libpx, from one on another host.
    ///
    /// On a link they are a frame of their own kind.
    #[serde(skip)]
    Talk {
        /// To whom.
        rank: u32,
        /// From whom.
        from: u32,
        /// The bytes.
        bytes: Slice<'a>,
    },
}

impl ToAgent<'_> {
    /// The rank that it concerns; `None` for all.
    pub fn rank(&self) -> Option<u32> {
        match *self {
            ToAgent::Start { rank, .. }
            | ToAgent::Feed { rank, .. }
            | ToAgent::Deal { rank, .. }
            | ToAgent::Begin { rank, .. }
            | ToAgent::End { rank }
            | ToAgent::Drained { rank, .. }
            | ToAgent::Talk { rank, .. }
            | ToAgent::EndOfInput { rank }
            | ToAgent::OutputCredit { rank, .. }
            | ToAgent::DiagnosticCredit { rank, .. } => Some(rank),
            ToAgent::Signal { rank, .. } => rank,
            ToAgent::MayTalk
            | ToAgent::PeerGone { .. }
            | ToAgent::Abandon
            | ToAgent::Pause
            | ToAgent::Resume
            | ToAgent::Leave => None,
        }
    }

    /// The same order for later; `None` for one that borrows its bytes.
    pub fn into_owned(self) -> Option<ToAgent<'static>> {
        Some(match self {
            ToAgent::Feed { .. } | ToAgent::Talk { .. } => return None,
            ToAgent::Begin { rank, chunk, length } => ToAgent::Begin { rank, chunk, length },
            ToAgent::End { rank } => ToAgent::End { rank },
            ToAgent::MayTalk => ToAgent::MayTalk,
            ToAgent::PeerGone { peer } => ToAgent::PeerGone { peer },
            ToAgent::Drained { rank, by, bytes } => ToAgent::Drained { rank, by, bytes },
            ToAgent::Start { rank, chunk, attempt } => ToAgent::Start { rank, chunk, attempt },
            ToAgent::Deal { rank, range } => ToAgent::Deal { rank, range },
            ToAgent::EndOfInput { rank } => ToAgent::EndOfInput { rank },
            ToAgent::OutputCredit { rank, bytes } => ToAgent::OutputCredit { rank, bytes },
            ToAgent::DiagnosticCredit { rank, bytes } => ToAgent::DiagnosticCredit { rank, bytes },
            ToAgent::Signal { rank, signal } => ToAgent::Signal { rank, signal },
            ToAgent::Abandon => ToAgent::Abandon,
            ToAgent::Pause => ToAgent::Pause,
            ToAgent::Resume => ToAgent::Resume,
            ToAgent::Leave => ToAgent::Leave,
        })
    }
}

impl FromAgent {
    /// The rank that it is about; `None` for the whole host.
    pub fn rank(&self) -> Option<u32> {
        match *self {
            FromAgent::Started { rank }
            | FromAgent::StartFailed { rank, .. }
            | FromAgent::Consumed { rank, .. }
            | FromAgent::Read { rank, .. }
            | FromAgent::Exited { rank }
            | FromAgent::InputFailed { rank, .. }
            | FromAgent::FeedFailed { rank, .. }
            | FromAgent::ReadFailed { rank, .. }
            | FromAgent::Output { rank, .. }
            | FromAgent::Diagnostic { rank, .. }
            | FromAgent::Took { rank, .. }
            | FromAgent::Emitted { rank, .. }
            | FromAgent::Released { rank, .. }
            | FromAgent::Talks { rank }
            | FromAgent::Listens { rank }
            | FromAgent::Talked { rank, .. }
            | FromAgent::Drained { rank, .. }
            | FromAgent::Aborted { rank, .. }
            | FromAgent::Broke { rank, .. }
            | FromAgent::Finalized { rank }
            | FromAgent::Ended { rank, .. } => Some(rank),
            FromAgent::Blocked { .. } | FromAgent::Asked { .. } | FromAgent::Lost { .. } => None,
        }
    }
}

/// A step of starting a copy that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartStep {
    /// Making its pipes.
    MakePipe,
    /// Making them fit for waiting.
    SetUpPipe,
    /// Going to its working directory.
    Enter,
    /// Keeping it on its core.
    Bind,
    /// `posix_spawn`.
    Start,
    /// Watching its process and pipes.
    Watch,
}

impl StartStep {
    /// What could not be done, to be followed by the command.
    pub fn verb(self) -> &'static str {
        match self {
            StartStep::MakePipe => "make a pipe for",
            StartStep::SetUpPipe => "set up a pipe of",
            StartStep::Enter => "enter the working directory of",
            StartStep::Bind => "keep on its core",
            StartStep::Start => "start",
            StartStep::Watch => "watch",
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// All that is known of a copy that has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Bytes that were to be written to it.
    pub given: u64,
    /// Of these, bytes that it did not read: never written, or left in the pipe.
    pub unread: u64,
    /// A descendant still held its stdout when the leak timeout was over.
    pub leaked: bool,
    /// Seconds since the epoch at its start.
    pub started: f64,
    /// How long it ran, in seconds.
    pub ran: f64,
    /// Bytes that it printed on stdout.
    pub printed: u64,
    /// Bytes that it printed on stderr.
    pub complained: u64,
    /// The root asked for it to be ended before it ended by itself.
    pub stopped: bool,
    /// How far it came with libpx.
    pub conduct: Conduct,
}

/// How far a program came with libpx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conduct {
    /// It has not begun with it.
    Stranger,
    /// It has called `px_init`.
    Begun,
    /// It has called `px_finalize`, too.
    Finalized,
}

/// A rank that waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Who waits.
    pub rank: u32,
    /// For whom; `None` for anyone.
    pub on: Option<u32>,
    /// With which tag; `None` for any.
    pub tag: Option<u32>,
    /// To send rather than to receive.
    pub sends: bool,
}

/// Agent to root.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromAgent {
    /// A copy runs.
    Started {
        /// Whose.
        rank: u32,
    },
    /// A copy could not be started.
    StartFailed {
        /// Whose.
        rank: u32,
        /// What could not be done.
        step: StartStep,
        /// Why.
        #[serde(with = "errno_number")]
        source: Errno,
    },
    /// So many bytes went into the copy's stdin: credit for as many more.
    Consumed {
        /// Whose.
        rank: u32,
        /// Bytes.
        bytes: u64,
    },
    /// The copy has read so many of the bytes it was given; told where that decides the deal.
    Read {
        /// Whose.
        rank: u32,
        /// Bytes, since its start.
        bytes: u64,
    },
    /// The copy's process has ended; its pipes may not have.
    Exited {
        /// Whose.
        rank: u32,
    },
    /// The input could not be read, or is not what it was; the copy gets no more.
    InputFailed {
        /// Whose.
        rank: u32,
        /// What is wrong with it.
        message: String,
    },
    /// A copy's stdin could not be written; the copy gets no more.
    FeedFailed {
        /// Whose.
        rank: u32,
        /// Why.
        #[serde(with = "errno_number")]
        source: Errno,
    },
    /// A copy's stdout or stderr could not be read to its end.
    ReadFailed {
        /// Whose.
        rank: u32,
        /// Why.
        #[serde(with = "errno_number")]
        source: Errno,
    },
    /// A copy has ended and all its output was sent.
    Ended {
        /// Whose.
        rank: u32,
        /// How.
        end: Ended,
    },
    /// A copy has taken so many further chunks.
    Took {
        /// Whose.
        rank: u32,
        /// Chunks.
        chunks: u32,
    },
    /// A copy is done with a chunk.
    Released {
        /// Whose.
        rank: u32,
        /// The chunk.
        chunk: u64,
        /// How.
        how: wire::Released,
        /// Bytes of output that it emitted for it.
        emitted: u64,
    },
    /// A copy wants to send its first message to another rank, and waits for [`ToAgent::MayTalk`].
    Talks {
        /// Whose.
        rank: u32,
    },
    /// A copy is about to look for its first message from another rank.
    Listens {
        /// Whose.
        rank: u32,
    },
    /// A copy has read so many bytes of what a rank on another host has sent to it.
    Drained {
        /// Who has read them.
        rank: u32,
        /// Who has sent them.
        from: u32,
        /// Bytes.
        bytes: u64,
    },
    /// All copies of this host have been waiting for each other for long; none, no more.
    Blocked {
        /// Who waits for whom.
        waits: Vec<Blocked>,
    },
    /// A copy uses libpx no more.
    Finalized {
        /// Whose.
        rank: u32,
    },
    /// A copy wants the job to end.
    Aborted {
        /// Whose.
        rank: u32,
        /// With this exit status.
        status: u8,
        /// Why.
        why: String,
    },
    /// What a copy says is not what libpx says.
    Broke {
        /// Whose.
        rank: u32,
        /// In what way.
        what: String,
    },
    /// A signal to this host's part of the job asks for all of it to stop.
    Asked {
        /// Which.
        #[serde(with = "signal_number")]
        signal: Signal,
    },
    // What is skipped comes last: others are numbered by their place.
    /// Output of a copy. On a link it is a frame of its own kind.
    #[serde(skip)]
    Output {
        /// Whose.
        rank: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// What a copy wrote to stderr. On a link it is a frame of its own kind.
    #[serde(skip)]
    Diagnostic {
        /// Whose.
        rank: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Output of a copy that belongs to a chunk. On a link it is a frame of its own kind.
    #[serde(skip)]
    Emitted {
        /// Whose.
        rank: u32,
        /// The chunk.
        chunk: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Bytes of a copy for one on another host. On a link they are a frame of their own kind.
    #[serde(skip)]
    Talked {
        /// From whom.
        rank: u32,
        /// To whom.
        to: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The agent is out of reach, and whatever it ran counts for nothing; told by the link.
    #[serde(skip)]
    Lost {
        /// What happened.
        message: Message,
    },
}

/// An error's number, as Linux counts on every architecture that is supported.
mod errno_number {
    use rustix::io::Errno;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(errno: &Errno, to: S) -> Result<S::Ok, S::Error> {
        errno.raw_os_error().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Errno, D::Error> {
        let number = i32::deserialize(from)?;
        // What lies outside is no error number and may not become one.
        if (1..4096).contains(&number) {
            return Ok(Errno::from_raw_os_error(number));
        }
        Err(de::Error::custom("not an error number"))
    }
}

/// A signal's number.
mod signal_number {
    use rustix::process::Signal;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(signal: &Signal, to: S) -> Result<S::Ok, S::Error> {
        signal.as_raw().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Signal, D::Error> {
        let number = i32::deserialize(from)?;
        Signal::from_named_raw(number).ok_or_else(|| de::Error::custom("not a signal"))
    }
}
