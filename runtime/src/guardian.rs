//! The guardian: a small process that sees to it that nothing is left behind.
//!
//! It is the parent of the process that does the work and, as subreaper, of every orphan of the
//! copies. When the job's process has ended in whatever way, or the process that the user sees
//! has (its end of a pipe closes), it kills every descendant, waits for each, and leaves.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::agent::family::descendants;
use crate::sys::signal::Signals;
use crate::sys::timespec;

/// Tells the guardian at the other end of `pipe` that its agent may be believed for `time` more.
pub fn pulse(pipe: &OwnedFd, time: Duration) {
    let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    // A guardian that is gone or that hangs is seen by the lifeline.
    let _ = rustix::io::write(pipe, &millis.to_le_bytes());
}

/// A process that the kernel does not end for this long (a dead network file system) is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// For an agent that has closed its pipes to have ended.
const ENDING: Duration = Duration::from_millis(20);

/// How often to look for an end that was not reported.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For how long an agent that still runs is believed to do its work.
#[derive(Clone, Copy, Debug)]
pub enum Belief<'a> {
    /// As long as it runs.
    Always,
    /// For this long, and then as long as its last [`pulse`] on this pipe said: one that hangs is
    /// ended with all that it started.
    Pulses(&'a OwnedFd, Duration),
}

/// Waits for the end of `agent` or of whoever holds the other end of `lifeline`, then kills and
/// reaps every descendant of this process.
///
/// Returns whether all of them are gone.
///
/// # Errors
/// Those of waiting.
pub fn guard(agent: Pid, lifeline: &OwnedFd, belief: Belief<'_>) -> Result<bool, Errno> {
    let signals = Signals::block(&[Signal::CHILD])?;
    let mut agent_lives = reap(agent);
    let (pulses, mut believed_until) = match belief {
        Belief::Always => (None, None),
        Belief::Pulses(pipe, first) => (Some(pipe), Instant::now().checked_add(first)),
    };
    while agent_lives {
        let mut fds =
            vec![PollFd::new(&signals, PollFlags::IN), PollFd::new(lifeline, PollFlags::IN)];
        fds.extend(pulses.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let left = believed_until.map(|end| end.saturating_duration_since(Instant::now()));
        let wait = left.map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY));
        match rustix::event::poll(&mut fds, Some(&timespec(wait))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(other) => return Err(other),
        }
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        if is_ready(1) {
            break;
        }
        if let Some(pipe) = pulses.filter(|_| is_ready(2)) {
            match hear_pulse(pipe) {
                Some(time) => believed_until = Instant::now().checked_add(time),
                None => {
                    wait_for_the_end(&signals, agent);
                    break;
                }
            }
        }
        if believed_until.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        while signals.next().is_some() {}
        agent_lives = reap(agent);
    }
    Ok(sweep(&signals))
}

/// An agent that ends has closed its pipes before it is seen to have ended. Where it was alone,
/// nothing is left to look for then.
fn wait_for_the_end(signals: &Signals, agent: Pid) {
    if reap(agent) {
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&timespec(ENDING)));
    }
}

/// Takes what the agent has said last; `None` when it says nothing any more.
fn hear_pulse(pipe: &OwnedFd) -> Option<Duration> {
    let mut bytes = [0; 4096];
    let count = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut bytes)).ok()?;
    let last: [u8; 4] = bytes[..count].rchunks_exact(4).next()?.try_into().ok()?;
    Some(Duration::from_millis(u64::from(u32::from_le_bytes(last))))
}

/// Waits for every child that has ended; says whether `agent` is not among them.
fn reap(agent: Pid) -> bool {
    let mut lives = true;
    while let Ok(Some((pid, _))) = rustix::process::wait(WaitOptions::NOHANG) {
        lives &= pid != agent;
    }
    lives
}

/// Kills and reaps every descendant of this process, which must be a subreaper.
///
/// What a killed process leaves behind becomes this one's child and is found in the next round.
pub fn sweep(signals: &Signals) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                // Nor is anything below: it would have become a child. Mostly there is nothing, and
                // the table of a busy machine is long.
                Err(Errno::CHILD) => return true,
                Ok(Some(_)) | Err(Errno::INTR) => {}
                _ => break,
            }
        }
        for pid in descendants() {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        if Instant::now() >= end {
            return false;
        }
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&timespec(Duration::from_millis(20))));
        while signals.next().is_some() {}
    }
}
