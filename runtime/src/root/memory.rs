//! What long-lived copies that use libpx keep in memory, which nobody can deal again.
//!
//! A copy that is started for one that was killed knows nothing of the chunks which that one had
//! released. This is nothing to a program that emits what comes of each chunk, and a wrong result in
//! one that adds up. The two show late: who adds up has to say its sum some time, on its stdout or in
//! a message, and then the job fails. What was printed cannot be taken back either, so a copy that
//! has printed something is not started again.

use std::time::Instant;

use super::Root;
use crate::failure::{Failure, Kind, Message};
use crate::job::{Contract, Run};
use crate::poller::Poller;

impl Root {
    fn remembers(&self) -> bool {
        self.job.contract == Contract::Px && self.job.run == Run::PerRank
    }

    /// Whether a copy has let out what cannot be taken back.
    pub(super) fn has_printed(&self, rank: u32) -> bool {
        self.remembers() && self.ranks[rank as usize].printed
    }

    /// Takes note that a copy prints something; says whether that may stand.
    pub(super) fn prints(&mut self, rank: u32, poller: &Poller, now: Instant) -> bool {
        self.ranks[rank as usize].printed = true;
        !self.remembers() || self.may_speak(rank, poller, now)
    }

    /// Takes note that a copy is gone, with what it knew.
    pub(super) fn forgets(&mut self, rank: u32) {
        let released = std::mem::take(&mut self.ranks[rank as usize].released);
        if self.remembers() && released > 0 && self.forgotten.is_none() {
            let chunks = if released == 1 { "chunk" } else { "chunks" };
            let text =
                format!("{} was lost after it had released {released} {chunks}", self.who(rank));
            self.forgotten = Some(text);
        }
    }

    /// Whether a copy may let out what it may have added up; else the job ends.
    pub(super) fn may_speak(&mut self, rank: u32, poller: &Poller, now: Instant) -> bool {
        let Some(forgotten) = self.forgotten.clone() else { return true };
        if self.stopping.is_none() {
            let text = format!(
                "{} has something to say besides what it emits, and nobody knows what a copy that is \
                 gone would have added to it",
                self.who(rank)
            );
            let help = "where results are kept in memory, have each rank send a message, to itself \
                        say, before its first chunk: then no copy is started for one that was killed";
            let message = Message::new(text).note(forgotten).help(help);
            self.fail_now(
                Failure { kind: Kind::Own, place: u64::from(rank), message },
                poller,
                now,
            );
        }
        false
    }
}
