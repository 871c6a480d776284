//! The bare feeder: one thread that waits for pipes with room and splices into them until they
//! are full. Nothing is gathered, no output is ordered, no change of the input is looked for.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::thread::sleep;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use super::Orders;
use super::copies::{Copies, Printing};
use crate::input;
use crate::problem::Problem;

/// Feeds the copies and waits for them.
pub fn bare_feeder(orders: &Orders) -> Result<(), Problem> {
    let mut copies = Copies::start(orders, Printing::ToOwnFiles)?;
    let mut feed = Feed::new(orders, std::mem::take(&mut copies.stdins))?;
    while !feed.is_done() {
        feed.fill_what_has_room()?;
        if let Some(pace) = orders.pace {
            sleep(pace);
        }
    }
    copies.wait()
}

/// The input and the pipes that still get something of it.
pub struct Feed {
    file: File,
    pipe_bytes: usize,
    pipes: Vec<Fed>,
}

struct Fed {
    pipe: OwnedFd,
    left: Range<u64>,
}

impl Feed {
    /// Each pipe gets one contiguous share of the file, cut at a line end.
    pub fn new(orders: &Orders, pipes: Vec<OwnedFd>) -> Result<Feed, Problem> {
        let problem = || Problem::step(format!("read `{}`", orders.input.display()));
        let file = File::open(&orders.input).map_err(problem())?;
        let shares = input::shares(&file, orders.np).map_err(problem())?;
        let fed = pipes.into_iter().zip(shares).map(|(pipe, left)| Fed { pipe, left });
        let pipes = fed.filter(|fed| !fed.left.is_empty()).collect();
        Ok(Feed { file, pipe_bytes: orders.pipe_bytes, pipes })
    }

    /// Whether every pipe got its share and was closed.
    pub fn is_done(&self) -> bool {
        self.pipes.is_empty()
    }

    /// What to wait for, a pipe each, in the order of the places that `fill` takes.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.pipes.iter().map(|fed| PollFd::new(&fed.pipe, PollFlags::OUT))
    }

    /// Fills the pipes at these places, given in rising order, and closes those that are done.
    pub fn fill(&mut self, ready: &[usize]) -> Result<(), Problem> {
        for place in ready.iter().rev() {
            let fed = &mut self.pipes[*place];
            let filled = fill(&self.file, fed, self.pipe_bytes);
            if filled.map_err(Problem::step("splice into a pipe"))? == Filled::Done {
                self.pipes.swap_remove(*place);
            }
        }
        Ok(())
    }

    fn fill_what_has_room(&mut self) -> Result<(), Problem> {
        let mut fds: Vec<PollFd<'_>> = self.poll_fds().collect();
        let ready = wait(&mut fds)?;
        self.fill(&ready)
    }
}

/// Waits until one of the descriptors is ready; their places, in rising order.
pub fn wait(fds: &mut [PollFd<'_>]) -> Result<Vec<usize>, Problem> {
    poll(fds, None).map_err(|error| Problem::step("poll")(error.into()))?;
    let ready = fds.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
    Ok(ready.map(|(place, _)| place).collect())
}

#[derive(PartialEq)]
enum Filled {
    Done,
    Full,
}

fn fill(file: &File, fed: &mut Fed, pipe_bytes: usize) -> io::Result<Filled> {
    while !fed.left.is_empty() {
        let wanted = usize::try_from(fed.left.end - fed.left.start).unwrap_or(pipe_bytes);
        let wanted = wanted.min(pipe_bytes);
        let flags = SpliceFlags::NONBLOCK;
        match splice(file, Some(&mut fed.left.start), &fed.pipe, None, wanted, flags) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(Filled::Full),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Filled::Done)
}
