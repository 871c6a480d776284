//! The bare pump: the bare feeder, and in the same loop what the copies print is read into one
//! buffer and written to one file, as it comes: lines of different copies may tear each other.

use std::fs::File;
use std::io::{Read, Write};

use rustix::event::{PollFd, PollFlags};

use super::Orders;
use super::copies::{Copies, Printing};
use super::feed::{Feed, wait};
use crate::problem::Problem;

const BUFFER_BYTES: usize = 256 << 10;

/// Feeds the copies, gathers what they print, and waits for them.
pub fn bare_pump(orders: &Orders) -> Result<(), Problem> {
    let mut copies = Copies::start(orders, Printing::ToPipes)?;
    let mut feed = Feed::new(orders, std::mem::take(&mut copies.stdins))?;
    let mut drains: Vec<File> = copies.stdouts.drain(..).map(File::from).collect();
    let problem = Problem::step(format!("open `{}`", orders.output.display()));
    let mut output = File::create(&orders.output).map_err(problem)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    while !feed.is_done() || !drains.is_empty() {
        let (to_fill, to_drain) = what_is_ready(&feed, &drains)?;
        feed.fill(&to_fill)?;
        for place in to_drain.into_iter().rev() {
            let got =
                drains[place].read(&mut buffer).map_err(Problem::step("read a copy's output"))?;
            output.write_all(&buffer[..got]).map_err(Problem::step("write the output"))?;
            if got == 0 {
                drains.swap_remove(place);
            }
        }
    }
    copies.wait()
}

/// The places of pipes with room and of pipes with bytes.
fn what_is_ready(feed: &Feed, drains: &[File]) -> Result<(Vec<usize>, Vec<usize>), Problem> {
    let mut fds: Vec<PollFd<'_>> = feed.poll_fds().collect();
    let feeds = fds.len();
    fds.extend(drains.iter().map(|drain| PollFd::new(drain, PollFlags::IN)));
    let (to_fill, to_drain): (Vec<usize>, Vec<usize>) =
        wait(&mut fds)?.into_iter().partition(|place| *place < feeds);
    Ok((to_fill, to_drain.into_iter().map(|place| place - feeds).collect()))
}
