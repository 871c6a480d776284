//! The copies that a bare limit feeds, each behind an enlarged pipe.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::Orders;
use crate::problem::Problem;

/// N running copies and the ends of their pipes that are ours.
pub struct Copies {
    children: Vec<Child>,
    pub stdins: Vec<OwnedFd>,
    /// Empty when the copies write files of their own.
    pub stdouts: Vec<OwnedFd>,
}

/// Where the copies write.
#[derive(Clone, Copy, PartialEq)]
pub enum Printing {
    /// The file `RANK` in the folder `orders.output`.
    ToOwnFiles,
    /// A pipe that the caller reads.
    ToPipes,
}

impl Copies {
    /// Starts `orders.np` copies of the command.
    pub fn start(orders: &Orders, printing: Printing) -> Result<Copies, Problem> {
        let mut copies = Copies { children: Vec::new(), stdins: Vec::new(), stdouts: Vec::new() };
        for rank in 0..orders.np {
            let (stdin, feed) = enlarged_pipe(orders.pipe_bytes)?;
            let stdout = match printing {
                Printing::ToOwnFiles => {
                    let path = orders.output.join(rank.to_string());
                    let file = File::create(&path);
                    file.map_err(Problem::step(format!("open `{}`", path.display())))?.into()
                }
                Printing::ToPipes => {
                    let (drain, stdout) = enlarged_pipe(orders.pipe_bytes)?;
                    copies.stdouts.push(drain);
                    stdout
                }
            };
            let mut command = Command::new(&orders.command[0]);
            command
                .args(&orders.command[1..])
                .stdin(Stdio::from(stdin))
                .stdout(Stdio::from(stdout));
            copies.children.push(command.spawn().map_err(Problem::step("start a copy"))?);
            copies.stdins.push(feed);
        }
        Ok(copies)
    }

    /// Waits for every copy; the caller bounds the time by killing the whole limit.
    pub fn wait(mut self) -> Result<(), Problem> {
        drop(self.stdins);
        drop(self.stdouts);
        for child in &mut self.children {
            let status = child.wait().map_err(Problem::step("wait for a copy"))?;
            if !status.success() {
                return Err(Problem::Status { status, said: "a copy failed".to_owned() });
            }
        }
        Ok(())
    }
}

/// A pipe (read end, write end) of the wanted size, or of the usual one where that is refused.
fn enlarged_pipe(bytes: usize) -> Result<(OwnedFd, OwnedFd), Problem> {
    let made = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from);
    let (read, write) = made.map_err(Problem::step("make a pipe"))?;
    if let Err(error) = fcntl_setpipe_size(&write, bytes) {
        eprintln!("side-by-side: note: a pipe keeps its usual size: {error}");
    }
    Ok((read, write))
}
