//! What an agent is to run: its ranks, their command and what each copy is told of its place.

use std::ffi::CString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{Command, Run};
use crate::libpx::wire::{self, Welcome};
use crate::records::Records;
use crate::sys::spawn::SOCKET;

/// One agent's part of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// What the copies run.
    pub command: Command,
    /// Its ranks, in ascending order.
    pub ranks: Vec<u32>,
    /// Where they stand among the ranks of their host.
    pub local: Local,
    /// World size.
    pub world: u32,
    /// How often the command starts.
    pub run: Run,
    /// How copies come to their input.
    pub feeding: Feeding,
    /// What a record is.
    pub records: Records,
    /// Whether it tells how far copies have read.
    pub tells_reading: Reading,
    /// How long a copy's stdout may stay open after its exit.
    pub leak_timeout: Duration,
    /// What its host is called.
    pub host: String,
    /// The job's number in hexadecimal.
    pub job: String,
    /// How large the copies' pipes are.
    pub pipes: Pipes,
    /// Whether each copy is kept on a core of its own.
    pub binding: Binding,
    /// Where copies run; `None` for where their agent does.
    pub directory: Option<PathBuf>,
}

/// Where an agent's ranks stand among all of their host's: several agents may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Ranks of other agents before them.
    pub before: u32,
    /// All ranks of the host.
    pub all: u32,
    /// Cores that ranks of other agents before them have, of those that this one may use.
    pub cores_taken: u32,
}

impl Local {
    /// For an agent that runs all `ranks` of its host.
    pub fn alone(ranks: &[u32]) -> Self {
        let all = u32::try_from(ranks.len()).unwrap_or(u32::MAX);
        Local { before: 0, all, cores_taken: 0 }
    }
}

/// Whether an agent tells how far its copies have read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// As soon as it shows: chunks are dealt to whoever has read.
    Told,
    /// Not at all.
    Untold,
}

/// How copies come to their input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Feeding {
    /// They read it from stdin.
    Stdin,
    /// They use libpx.
    Px,
}

/// How large the pipes of copies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pipes {
    /// As the system makes them.
    Usual,
    /// As large as the user's share allows, for few wake-ups.
    Enlarged,
}

/// Which CPUs copies may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Binding {
    /// All that the agent may use.
    None,
    /// The i-th copy of a host has its i-th core.
    Core,
}

/// The names of the variables by which a copy learns its place.
pub const VARIABLES: [&str; 10] = [
    "PX_RANK",
    "PX_SIZE",
    "PX_LOCAL_RANK",
    "PX_LOCAL_SIZE",
    "PX_HOST",
    "PX_JOB_ID",
    "PX_CHUNK",
    "PX_ATTEMPT",
    "PX_CPUS",
    "PX_FD",
];

impl Assignment {
    /// The place of `rank` among this agent's, if it is one of them.
    pub fn slot(&self, rank: u32) -> Option<usize> {
        let first = *self.ranks.first()?;
        let guess = rank.checked_sub(first)? as usize;
        // Most agents' ranks follow each other.
        if self.ranks.get(guess) == Some(&rank) {
            return Some(guess);
        }
        self.ranks.binary_search(&rank).ok()
    }

    /// What the copy in `slot` is told of its place by libpx.
    pub(super) fn welcome(&self, slot: usize, talks: bool) -> Welcome {
        let local = self.local.before as usize + slot;
        Welcome {
            version: wire::VERSION,
            rank: self.ranks[slot],
            size: self.world,
            local_rank: u32::try_from(local).unwrap_or(u32::MAX),
            local_size: self.local.all,
            host: self.host.clone(),
            run: self.run,
            records: self.records,
            talks,
        }
    }

    /// What the copy in `slot` learns of the job through its environment.
    pub(super) fn variables(
        &self,
        slot: usize,
        chunk: Option<(u64, u32)>,
        cpus: Option<&str>,
    ) -> Vec<CString> {
        let chunk = chunk.filter(|_| self.run == Run::PerChunk);
        let values = [
            Some(self.ranks[slot].to_string()),
            Some(self.world.to_string()),
            Some((self.local.before as usize + slot).to_string()),
            Some(self.local.all.to_string()),
            Some(self.host.clone()),
            Some(self.job.clone()),
            chunk.map(|(index, _)| index.to_string()),
            chunk.map(|(_, attempt)| attempt.to_string()),
            cpus.map(str::to_owned),
            (self.feeding == Feeding::Px).then(|| SOCKET.to_string()),
        ];
        let pairs = VARIABLES.iter().zip(values);
        let texts = pairs.filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        texts.filter_map(|text| CString::new(text).ok()).collect()
    }
}
