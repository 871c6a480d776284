//! Rank 0: has the job, relays the guests of all others, and tells them how it ended.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::follow::heard;
use super::pace::Pace;
use super::post::Post;
use super::stream::{self, Stream};
use super::words::{Said, VERSION, Word};
use super::{AT_ONCE, breach};
use crate::job::Outcome;
use crate::status::{Fault, PX_ERR_PROTOCOL};

/// A job that runs.
pub trait Running {
    /// What tells that there is something to serve.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// Serves what is there, without waiting; says how the job ended once it has.
    ///
    /// # Errors
    /// The job has failed.
    fn serve(&mut self) -> Result<Option<Outcome>, Fault>;
}

struct Lead<'p, 't> {
    post: &'p mut Post<'t>,
    /// Of rank 1 and on; empty where the job cannot begin.
    streams: Vec<Stream>,
    /// What each of them has said that it found, once it is there.
    greeted: Vec<Option<Option<Fault>>>,
    pace: Pace,
    pause: Duration,
}

/// Leads a job until all ranks know how it ended. `ready` are the streams of all ranks but this one,
/// and what starts the job, called when all are there and nothing is wrong; or what is wrong here.
///
/// # Errors
/// Those of the transport.
pub fn lead<R: Running>(
    post: &mut Post<'_>,
    ranks: usize,
    ready: Result<(Vec<Stream>, impl FnOnce() -> Result<R, Fault>), Fault>,
) -> Result<Outcome, Fault> {
    let (streams, start) = match ready {
        Ok((streams, start)) => (streams, Ok(start)),
        Err(fault) => (Vec::new(), Err(fault)),
    };
    let greeted = vec![None; ranks.saturating_sub(1)];
    let mut lead = Lead { post, streams, greeted, pace: Pace::default(), pause: Duration::ZERO };
    let found = lead.gather()?;
    let started = start.and_then(|start| found.map_or_else(start, Err));
    let outcome = match started {
        Ok(mut running) => lead.run(&mut running)?,
        Err(fault) => Outcome::failed(fault),
    };
    lead.part(&outcome)?;
    Ok(outcome)
}

impl Lead<'_, '_> {
    /// Waits until all ranks are there; returns what the first of those found that found something.
    fn gather(&mut self) -> Result<Option<Fault>, Fault> {
        loop {
            if self.greeted.iter().all(Option::is_some) {
                break Ok(self.greeted.iter().flatten().flatten().next().cloned());
            }
            if let Some(fault) = self.look(&[])? {
                break Ok(Some(fault));
            }
        }
    }

    fn run(&mut self, running: &mut impl Running) -> Result<Outcome, Fault> {
        loop {
            match running.serve() {
                Ok(None) => {}
                Ok(Some(outcome)) => break Ok(outcome),
                Err(fault) => break Ok(Outcome::failed(fault)),
            }
            if let Some(fault) = self.look(&running.fds())? {
                break Ok(Outcome::failed(fault));
            }
        }
    }

    /// Passes on what is there, or waits a little; returns what a rank has told or done wrong.
    fn look(&mut self, fds: &[BorrowedFd<'_>]) -> Result<Option<Fault>, Fault> {
        let mut moved = stream::turn(&mut self.streams, self.post, fds, self.pause)?;
        for _ in 0..AT_ONCE {
            let Some((from, word)) = self.post.receive()? else { break };
            moved = true;
            let place = from.wrapping_sub(1);
            let Some(greeted) = self.greeted.get_mut(place) else {
                return Ok(Some(breach(from, "there is no such rank")));
            };
            match word {
                Word::Said(Said::Hello { version, found }) if greeted.is_none() => {
                    *greeted = Some(wrong(from, version, found));
                }
                Word::Said(Said::Failed(fault)) => return Ok(Some(of_rank(from, fault))),
                word => {
                    if let Err(what) = heard(self.streams.get_mut(place), word) {
                        return Ok(Some(breach(from, what)));
                    }
                }
            }
        }
        let on_its_way = !self.post.is_flushed()?;
        self.pause = self.pace.after(moved, on_its_way);
        Ok(None)
    }

    /// Tells all ranks the outcome, and waits until they have heard it.
    fn part(mut self, outcome: &Outcome) -> Result<(), Fault> {
        self.streams.clear();
        let ranks = 1..=self.greeted.len();
        for rank in ranks.clone() {
            self.post.say(rank, Said::Outcome(outcome.clone()))?;
        }
        let mut left = vec![false; self.greeted.len()];
        loop {
            let mut moved = self.post.push()?;
            while let Some((from, word)) = self.post.receive()? {
                moved = true;
                if let (Word::Said(Said::Left), true) = (word, ranks.contains(&from)) {
                    left[from - 1] = true;
                }
            }
            let on_its_way = !self.post.is_flushed()?;
            if !on_its_way && left.iter().all(|left| *left) {
                break Ok(());
            }
            std::thread::sleep(self.pace.after(moved, on_its_way));
        }
    }
}

/// What a rank has found, in words for all.
fn wrong(rank: usize, version: u32, found: Option<Fault>) -> Option<Fault> {
    if version != VERSION {
        let what = format!("rank {rank} has another libpx (protocol {version}) than rank 0");
        return Some(Fault::new(PX_ERR_PROTOCOL, format!("{what} (protocol {VERSION})")));
    }
    found.map(|found| of_rank(rank, found))
}

fn of_rank(rank: usize, fault: Fault) -> Fault {
    Fault::new(fault.status, format!("rank {rank}: {}", fault.text))
}
