//! What root and agent say to each other.
//!
//! On one host these are function calls; the bytes of a by-reference chunk never move.
//!
//! ```text
//! copy  = Start (Feed | Deal)* EndOfInput        root to agent
//!         Started (Consumed | Output | Diagnostic)* Ended   agent to root, or StartFailed
//! ```

use std::ops::Range;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

/// Root to agent.
#[derive(Debug)]
pub enum ToAgent<'a> {
    /// Start a copy for `rank`; per chunk it runs for `chunk` alone.
    Start {
        /// Whose copy.
        rank: u32,
        /// The chunk that it is started for.
        chunk: Option<u64>,
    },
    /// Write these bytes to the copy's stdin: a small chunk, a part of a stream's, or a header.
    Feed {
        /// Whose copy.
        rank: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Write these bytes of the input to the copy's stdin.
    Deal {
        /// Whose copy.
        rank: u32,
        /// Logical offsets in the input.
        range: Range<u64>,
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
    Signal {
        /// Whose; `None` for all.
        rank: Option<u32>,
        /// The signal.
        signal: Signal,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// All that is known of a copy that has ended.
#[derive(Clone, Debug)]
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
}

/// Agent to root.
#[derive(Debug)]
pub enum FromAgent {
    /// A copy runs.
    Started {
        /// Whose.
        rank: u32,
        /// Its process.
        pid: Pid,
    },
    /// A copy could not be started.
    StartFailed {
        /// Whose.
        rank: u32,
        /// What could not be done.
        step: &'static str,
        /// Why.
        source: Errno,
    },
    /// So many bytes went into the copy's stdin: credit for as many more.
    Consumed {
        /// Whose.
        rank: u32,
        /// Bytes.
        bytes: u64,
    },
    /// The input could not be read while feeding; the copy gets no more.
    InputFailed {
        /// Whose.
        rank: u32,
        /// Logical offset.
        offset: u64,
        /// The error, or none where there were fewer bytes than at the start.
        source: Option<Errno>,
    },
    /// A copy's stdin could not be written; the copy gets no more.
    FeedFailed {
        /// Whose.
        rank: u32,
        /// Why.
        source: Errno,
    },
    /// A copy's stdout or stderr could not be read to its end.
    ReadFailed {
        /// Whose.
        rank: u32,
        /// Why.
        source: Errno,
    },
    /// Output of a copy.
    Output {
        /// Whose.
        rank: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// What a copy wrote to stderr.
    Diagnostic {
        /// Whose.
        rank: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A copy has ended and all its output was sent.
    Ended {
        /// Whose.
        rank: u32,
        /// How.
        end: Ended,
    },
}
