//! Ending a job before its end: in order first, then by force, never without a bound.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Root;
use crate::failure::Failure;
use crate::message::ToAgent;
use crate::poller::Poller;

/// After SIGKILL, pipes that someone out of reach holds open are given up after this.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A job on its way to its end.
pub(super) struct Stopping {
    kill_at: Instant,
    /// How often SIGKILL was sent.
    kills: u32,
    /// The job ends by this signal, as if it had never been caught.
    pub(super) by: Option<Signal>,
    /// Copies that ran when the stop began.
    pub(super) stopped: usize,
}

impl Stopping {
    pub(super) fn deadline(&self) -> Instant {
        self.kill_at
    }

    /// Whether a reader of the output that takes nothing is waited for no longer.
    pub(super) fn is_impatient(&self) -> bool {
        self.kills > 0
    }

    /// Whether copies that the kernel does not end are waited for no longer.
    pub(super) fn gives_up(&self) -> bool {
        self.kills > 5
    }
}

impl Root {
    /// Ends the job in order: no more dealing, SIGTERM to every family, SIGKILL after the grace.
    pub fn stop(&mut self, by: Option<Signal>, poller: &Poller, now: Instant) {
        if let Some(stopping) = &mut self.stopping {
            stopping.by = stopping.by.or(by);
            return;
        }
        let kill_at = now + self.job.grace;
        let stopped = self.running();
        self.stopping = Some(Stopping { kill_at, kills: 0, by, stopped });
        let signal = Signal::TERM;
        self.hosts.order(ToAgent::Signal { rank: None, signal }, poller, now);
    }

    /// Ends the job at once.
    pub fn kill(&mut self, by: Option<Signal>, poller: &Poller, now: Instant) {
        self.stop(by, poller, now);
        if let Some(stopping) = &mut self.stopping {
            stopping.kill_at = now;
        }
        self.check_deadlines(poller, now);
    }

    /// Notes a failure; the first one stops the job unless the others are to go on.
    pub(super) fn fail(&mut self, failure: Failure, poller: &Poller, now: Instant) {
        use crate::job::OnFailure;
        match self.job.on_failure {
            OnFailure::KeepGoing if self.stopping.is_none() => {
                if let Some(message) = self.tally.note(failure) {
                    self.diagnostics.say(&message.render("error"));
                }
            }
            _ => self.fail_now(failure, poller, now),
        }
    }

    /// Notes a failure that no other copy can make up for, and stops the job.
    pub(super) fn fail_now(&mut self, failure: Failure, poller: &Poller, now: Instant) {
        // What goes wrong while a job stops, however it came, follows from the first failure.
        if self.stopping.is_none() {
            self.tally.set_fatal(failure);
            self.stop(None, poller, now);
        }
    }

    pub(super) fn check_deadlines(&mut self, poller: &Poller, now: Instant) {
        self.check_timeouts(poller, now);
        let Some(stopping) = &mut self.stopping else { return };
        if now < stopping.kill_at {
            return;
        }
        stopping.kills += 1;
        let again = stopping.kills > 1;
        stopping.kill_at = now + LAST_WAIT;
        let signal = Signal::KILL;
        self.hosts.order(ToAgent::Signal { rank: None, signal }, poller, now);
        if again {
            self.hosts.order(ToAgent::Abandon, poller, now);
        }
    }

    fn check_timeouts(&mut self, poller: &Poller, now: Instant) {
        if self.job.timeout.is_none() {
            return;
        }
        for rank in 0..self.job.ranks.get() {
            let state = &mut self.ranks[rank as usize];
            if state.running && state.dead_at.is_some_and(|at| now >= at) {
                state.dead_at = None;
                self.outlived(rank, poller, now);
                continue;
            }
            if !state.running || state.exited {
                continue;
            }
            let signal = if state.timeout.is_some_and(|at| now >= at) {
                state.timeout = None;
                state.timed_out = true;
                state.kill_at = Some(now + self.job.grace);
                Signal::TERM
            } else if state.kill_at.is_some_and(|at| now >= at) {
                state.kill_at = None;
                state.dead_at = Some(now + self.job.leak_timeout + LAST_WAIT * 5);
                Signal::KILL
            } else {
                continue;
            };
            self.hosts.order(ToAgent::Signal { rank: Some(rank), signal }, poller, now);
        }
    }
}
