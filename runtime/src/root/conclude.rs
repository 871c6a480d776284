//! The end of a job: the last bytes written, the file put in its place, the verdict.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::stopping::Stopping;
use super::{Ending, Root, Source, Totals};
use crate::failure::{Failure, Kind, Message, signal_name};
use crate::message::ToAgent;
use crate::output::OutputError;
use crate::poller::Poller;

/// How long a reader of stderr may take for the last words of a job that was stopped.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a job came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// End with this status.
    Status(u8),
    /// End by this signal.
    Signal(Signal),
}

impl Root {
    /// Ends the job if nothing is left to do; then all is written, synced and said.
    pub fn conclude(&mut self, poller: &Poller, now: Instant) -> Option<Verdict> {
        if !self.copies_are_over() {
            return None;
        }
        if !self.finished {
            self.finished = true;
            self.hosts.order(ToAgent::Leave, poller, now);
            if !self.output_dead {
                let result = self.gather.finish();
                self.gathered(result, poller, now);
            }
        }
        let impatient = self.stopping.as_ref().is_some_and(|stopping| stopping.is_impatient());
        let written = self.output_dead || self.gather.stage().backlog() == 0;
        if !written && !impatient {
            return None;
        }
        // A host that does not answer any more is over when its lease is.
        let given_up = self.stopping.as_ref().is_some_and(Stopping::gives_up);
        if !self.hosts.are_over() && !given_up {
            return None;
        }
        self.close_output();
        let by = self.stopping.as_ref().and_then(|stopping| stopping.by);
        self.diagnostics.set_bar(String::new());
        self.last_words();
        if let Some(by) = by {
            let left = self.output_as_before().unwrap_or_else(|| {
                let written = self.gather.stage().sink.written();
                format!("{written} bytes of output were written")
            });
            self.note(&Message::new(format!("stopped by {}, {left}", signal_name(by.as_raw()))));
        }
        let patience = if self.stopping.is_some() { LAST_WORDS } else { Duration::MAX };
        let told = self.diagnostics.sink().drain(patience);
        if let (Source::Files(files), None) = (&self.source, by) {
            files.input.leave_stdin_at_its_end();
        }
        let output = self.gather.stage().sink.written();
        let totals = Totals { chunks: self.dealt_chunks, input: self.dealt, output };
        self.observer.over(&totals);
        Some(match (by, told) {
            (Some(by), _) => Verdict::Signal(by),
            (_, Err(_)) if self.tally.is_clean() => Verdict::Status(crate::failure::OWN),
            _ => Verdict::Status(self.tally.status()),
        })
    }

    fn copies_are_over(&self) -> bool {
        match &self.stopping {
            Some(stopping) => self.running() == 0 || stopping.gives_up(),
            None => self.running() == 0 && self.ranks.iter().all(|rank| rank.over),
        }
    }

    /// Syncs, renames and closes the output, or leaves the old file as it was.
    fn close_output(&mut self) {
        let Some(ending) = self.ending.take() else { return };
        let complete = self.stopping.is_none() && !self.output_dead;
        let written = self.gather.stage().sink.written();
        let published = match ending {
            Ending::Replace(replacement) if complete => {
                replacement.publish(self.gather.stage().sink.fd(), written)
            }
            Ending::Replace(replacement) => {
                self.ending = Some(Ending::Replace(replacement));
                return;
            }
            Ending::Close => Ok(()),
        };
        let name = self.output_name.clone();
        let failed = |source| OutputError::Finish { step: "close", name, written, source };
        let closed = self.gather.stage().sink.close().map_err(failed);
        if let (Err(error), false) = (published.and(closed), self.output_dead) {
            let message = Message::new(error.to_string());
            self.tally.set_fatal(Failure { kind: Kind::Own, place: 0, message });
        }
    }
}
