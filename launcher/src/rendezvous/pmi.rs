//! Meeting in the key-value space of the launcher: `mpiexec.hydra`, or `srun --mpi=pmi2`.
//!
//! What one process puts there all can get after the next barrier. So there are two: before the
//! first the agents put their cards, before the second the root. The wire is spoken directly, over
//! the socket that the launcher names in `PMI_FD`; no library is needed.

pub mod wire;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use px_runtime::sys::fd::take_inherited_socket;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::roll::{Roll, must_be};
use super::wait::until_ready;
use super::{Card, MeetError, Rendezvous};
use wire::{Answer, LONGEST_ANSWER, LONGEST_QUESTION, Question, WireError};

/// How long the launcher may take to let this process go, when all is done.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the launcher's key-value space does not work.
#[derive(Debug, thiserror::Error)]
pub enum PmiError {
    /// The variable names no socket.
    #[error("PMI_FD must name a socket of the launcher, found `{value}`: {source}")]
    Descriptor {
        /// What the variable holds.
        value: String,
        /// What the system says of it.
        source: Errno,
    },
    /// The launcher knows this process by other numbers.
    #[error("the launcher must tell {name} {wanted}, found {found}")]
    Other {
        /// Which.
        name: &'static str,
        /// What it should be.
        wanted: u32,
        /// What it is.
        found: String,
    },
    /// The wire breaks.
    #[error("cannot {0} the launcher over PMI_FD: {1}")]
    Wire(&'static str, Errno),
    /// The launcher has hung up.
    #[error("the launcher has closed PMI_FD")]
    Closed,
    /// The launcher says nothing.
    #[error("the launcher did not answer `{0}` in time")]
    Silent(String),
    /// The launcher's answer has no end.
    #[error("an answer of the launcher must have at most {LONGEST_ANSWER} bytes, found more")]
    LongAnswer,
    /// The launcher takes only shorter names or values.
    #[error("the launcher takes at most {most} bytes for {what}, found {found}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The most bytes.
        most: usize,
        /// Its bytes.
        found: usize,
    },
    /// The launcher's answer is none.
    #[error(transparent)]
    Answer(#[from] WireError),
}

/// The launcher's key-value space, as one task of `size`.
pub struct Pmi {
    socket: OwnedFd,
    /// Bytes of an answer that has not ended.
    heard: Vec<u8>,
    space: String,
    longest_key: usize,
    longest_value: usize,
    size: u32,
    /// The launcher may be told that all is well.
    is_done: bool,
}

impl Pmi {
    /// Speaks to the launcher that has started this process.
    ///
    /// # Errors
    /// There is no such launcher, or it does not know this process as task `task` of `size`.
    pub fn of_launcher(
        environment: impl Fn(&str) -> Option<OsString>,
        task: u32,
        size: u32,
        deadline: Instant,
    ) -> Result<Self, MeetError> {
        let value = environment("PMI_FD").unwrap_or_default().to_string_lossy().into_owned();
        let number = value.parse().map_err(|_| Errno::BADF).and_then(take_inherited_socket);
        let socket = number.map_err(|source| PmiError::Descriptor { value, source })?;
        for (name, wanted) in [("PMI_RANK", task), ("PMI_SIZE", size)] {
            let found = environment(name).map(|found| found.to_string_lossy().into_owned());
            known_as(name, wanted, found.as_deref())?;
        }
        Ok(Pmi::over(socket, task, size, deadline)?)
    }

    /// Speaks to the launcher at the other end of `socket`.
    ///
    /// # Errors
    /// The launcher refuses, or is none.
    pub fn over(
        socket: OwnedFd,
        task: u32,
        size: u32,
        deadline: Instant,
    ) -> Result<Self, PmiError> {
        let (heard, space) = (Vec::new(), String::new());
        let (longest_key, longest_value, is_done) = (0, 0, false);
        let mut pmi = Pmi { socket, heard, space, longest_key, longest_value, size, is_done };
        let init = pmi.ask(&Question::Init, deadline)?;
        for (name, wanted) in [("rank", task), ("size", size)] {
            known_as(name, wanted, init.word(name))?;
        }
        let maxes = pmi.ask(&Question::Maxes, deadline)?;
        // A C string of its length and the 0 behind it.
        pmi.longest_key = maxes.number("keylen_max")?.saturating_sub(1);
        pmi.longest_value = maxes.number("vallen_max")?.saturating_sub(1);
        pmi.space = pmi.ask(&Question::SpaceName, deadline)?.need("kvsname")?.to_owned();
        Ok(pmi)
    }

    fn put(&mut self, card: &Card, deadline: Instant) -> Result<(), MeetError> {
        let value = card.encode().map_err(|source| MeetError::card(card.task, source))?;
        let (space, key) = (self.space.clone(), key(card.task));
        fits("a value", self.longest_value, value.len())?;
        fits("a name", self.longest_key, key.len())?;
        let (space, key, value) = (space.as_str(), key.as_str(), value.as_str());
        self.ask(&Question::Put { space, key, value }, deadline)?;
        Ok(())
    }

    /// Waits until all tasks have come as far; who has not cannot be known.
    fn barrier(&mut self, deadline: Instant) -> Result<bool, PmiError> {
        match self.ask(&Question::Barrier, deadline) {
            Ok(_) => Ok(true),
            Err(PmiError::Silent(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    fn get(&mut self, task: u32, deadline: Instant) -> Result<Card, MeetError> {
        let (space, key) = (self.space.clone(), key(task));
        let answer = self.ask(&Question::Get { space: &space, key: &key }, deadline)?;
        let value = answer.need("value").map_err(PmiError::Answer)?;
        let card = Card::decode(value.as_bytes());
        must_be(card.map_err(|source| MeetError::card(task, source))?, &self.space, task)
    }

    fn ask(&mut self, question: &Question<'_>, deadline: Instant) -> Result<Answer, PmiError> {
        let line = format!("{question}\n");
        fits("a question", LONGEST_QUESTION, line.len())?;
        self.say(line.as_bytes(), deadline)?;
        let answer = self.hear(deadline)?.ok_or_else(|| {
            PmiError::Silent(line.split_whitespace().next().unwrap_or_default().to_owned())
        })?;
        Ok(Answer::read(&answer, question)?)
    }

    fn say(&self, mut line: &[u8], deadline: Instant) -> Result<(), PmiError> {
        let broken = |error| PmiError::Wire("write to", error);
        while !line.is_empty() {
            if !until_ready(&self.socket, PollFlags::OUT, deadline).map_err(broken)? {
                return Err(broken(Errno::TIMEDOUT));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, line, flags) {
                Ok(sent) => line = &line[sent..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(PmiError::Closed),
                Err(other) => return Err(broken(other)),
            }
        }
        Ok(())
    }

    /// Waits for one line.
    fn hear(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>, PmiError> {
        let broken = |error| PmiError::Wire("read from", error);
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.heard) {
                let mut line: Vec<u8> = self.heard.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            if self.heard.len() >= LONGEST_ANSWER {
                return Err(PmiError::LongAnswer);
            }
            if !until_ready(&self.socket, PollFlags::IN, deadline).map_err(broken)? {
                return Ok(None);
            }
            let mut piece = [0; 1 << 10];
            match rustix::net::recv(&self.socket, &mut piece[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(PmiError::Closed),
                Ok((length, _)) => self.heard.extend_from_slice(&piece[..length]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(PmiError::Closed),
                Err(other) => return Err(broken(other)),
            }
        }
    }
}

impl Rendezvous for Pmi {
    fn job(&self) -> &str {
        &self.space
    }

    fn collect(&mut self, deadline: Instant) -> Result<Vec<Card>, MeetError> {
        let mut roll = Roll::new(&self.space, self.size);
        if !self.barrier(deadline)? {
            return Err(MeetError::Incomplete { size: self.size });
        }
        for task in 1..self.size {
            roll.enter(self.get(task, deadline)?)?;
        }
        roll.close()
    }

    fn announce(&mut self, card: &Card, deadline: Instant) -> Result<(), MeetError> {
        self.put(card, deadline)?;
        if !self.barrier(deadline)? {
            return Err(MeetError::Incomplete { size: self.size });
        }
        self.is_done = true;
        Ok(())
    }

    fn meet(&mut self, card: &Card, deadline: Instant) -> Result<Card, MeetError> {
        self.put(card, deadline)?;
        for _ in ["agents", "root"] {
            if !self.barrier(deadline)? {
                return Err(MeetError::NoRoot);
            }
        }
        let root = self.get(0, deadline)?;
        self.is_done = true;
        Ok(root)
    }
}

impl Drop for Pmi {
    /// Says farewell if all went well. Else the launcher hears the wire break, and ends the others.
    fn drop(&mut self) {
        if self.is_done {
            let _ = self.ask(&Question::Finalize, Instant::now() + FAREWELL);
        }
    }
}

/// How the card of a task is called in the key-value space.
fn key(task: u32) -> String {
    format!("px-{task}")
}

/// What the launcher tells of this process, if anything, must be what it goes by.
fn known_as(name: &'static str, wanted: u32, found: Option<&str>) -> Result<(), PmiError> {
    match found {
        Some(found) if *found != *wanted.to_string() => {
            Err(PmiError::Other { name, wanted, found: found.to_owned() })
        }
        _ => Ok(()),
    }
}

fn fits(what: &'static str, most: usize, found: usize) -> Result<(), PmiError> {
    if found <= most { Ok(()) } else { Err(PmiError::TooLong { what, most, found }) }
}

#[cfg(test)]
mod tests;
