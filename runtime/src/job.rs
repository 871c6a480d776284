//! What to do: a validated plan. The engine sees this, never a flag or an environment variable.

use std::ffi::CString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::assignment::Binding;
use crate::input::open::InputName;
use crate::records::Records;

/// How large a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkSize {
    /// Fitting the input.
    Automatic,
    /// Whole records, together at least this many bytes.
    Bytes(u64),
    /// This many records.
    Records(u64),
}

/// Who gets a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deal {
    /// Chunk i goes to rank i mod N.
    RoundRobin,
    /// Each rank gets one contiguous run.
    Block,
    /// Whoever has credit.
    Dynamic,
}

/// How often the command starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Run {
    /// One long-lived copy a rank.
    PerRank,
    /// A fresh copy a chunk.
    PerChunk,
}

/// In what order output comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As it comes: whole lines, or (per chunk) whole chunks.
    None,
    /// As the input stands.
    Input,
    /// Rank 0's first.
    Rank,
}

/// What ties output to input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// Nothing.
    None,
    /// A copy prints exactly one line for each line it reads.
    Lines,
    /// Copies use libpx: what they emit belongs to a chunk.
    Px,
}

/// What an early exit means: a copy that ends well with input unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyExit {
    /// An error.
    Fails,
    /// The copy has declined the rest.
    Allowed,
}

/// What a failed copy does to the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The job ends.
    Stop,
    /// The others go on; the job fails at its end.
    KeepGoing,
}

/// What the loss of a host does, where each chunk has a copy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// Its chunks are dealt to the others.
    DealAgain,
    /// The job ends: what carries it does not outlive one of its processes.
    Stop,
}

/// Whether output lines start with their rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// No.
    Off,
    /// `[3] ` before each line.
    Rank,
}

/// The command that every copy runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Command {
    /// The file to execute.
    pub path: CString,
    /// Its arguments, the first being its name.
    pub argv: Vec<CString>,
    /// Its environment, without what pxrun adds for each copy.
    pub environment: Vec<CString>,
    /// As to be shown in messages.
    pub shown: String,
}

/// Where output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputName {
    /// Standard output.
    Stdout,
    /// A file, which a successful job replaces.
    Path(PathBuf),
}

/// A whole job.
#[derive(Clone, Debug)]
pub struct Job {
    /// What the copies run.
    pub command: Command,
    /// World size.
    pub ranks: NonZeroU32,
    /// What a record is.
    pub records: Records,
    /// Records at the start of each file that are no part of the deal.
    pub header: u64,
    /// The inputs, in order; none for no input at all.
    pub input: Vec<InputName>,
    /// Where output goes.
    pub output: OutputName,
    /// How large a chunk is.
    pub chunk: ChunkSize,
    /// Who gets a chunk.
    pub deal: Deal,
    /// How often the command starts.
    pub run: Run,
    /// In what order output comes.
    pub order: Order,
    /// What ties output to input.
    pub contract: Contract,
    /// Whether lines are tagged.
    pub tag: Tag,
    /// Exit statuses of a copy that count as success.
    pub ok: Vec<u8>,
    /// What an early exit means.
    pub early_exit: EarlyExit,
    /// What a failed copy does to the rest.
    pub on_failure: OnFailure,
    /// What the loss of a host does.
    pub on_loss: OnLoss,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How long a copy may run.
    pub timeout: Option<Duration>,
    /// How long a copy's stdout may stay open after its exit.
    pub leak_timeout: Duration,
    /// Where output waits for its turn.
    pub spill_dir: PathBuf,
    /// Where copies run; `None` for the present directory.
    pub directory: Option<PathBuf>,
    /// Which CPUs copies may use.
    pub binding: Binding,
    /// A random number in hexadecimal that no other job has.
    pub id: String,
}

impl Job {
    /// Whether output is committed chunk by chunk, so that a chunk can be run again.
    pub fn commits_chunks(&self) -> bool {
        self.run == Run::PerChunk || self.contract == Contract::Px
    }

    /// Whether `status` of an exited copy counts as success.
    pub fn accepts(&self, status: i32) -> bool {
        u8::try_from(status).is_ok_and(|status| self.ok.contains(&status))
    }
}
