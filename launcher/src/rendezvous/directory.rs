//! Meeting in a directory that all hosts see: one file for each task, which holds its card.
//!
//! The directory belongs to one step of one try of one job, and to this user alone. Whoever waits
//! lists it again and again: over NFS nothing tells of a change. The root removes it in the end.

mod name;
mod private;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::card::MOST_BYTES;
use super::roll::{Roll, must_be};
use super::{Card, MeetError, Rendezvous};
use private::Private;

pub use name::{cache, job_name};

/// The first and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));

/// Why the directory does not do.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A step fails.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        /// Which.
        what: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// It or a file in it is another user's.
    #[error("`{}` must belong to user {wanted}, found user {found}", path.display())]
    OtherOwner {
        /// What.
        path: PathBuf,
        /// This process's user.
        wanted: u32,
        /// Whose it is.
        found: u32,
    },
    /// Others can read or change it.
    #[error("`{}` must have mode 0700, found {found:04o}", path.display())]
    Open {
        /// What.
        path: PathBuf,
        /// Its mode.
        found: u32,
    },
    /// A card is no plain file.
    #[error("`{}` must be a plain file", .0.display())]
    NoFile(PathBuf),
    /// A file that is to be made is there.
    #[error("`{}` is there already: another job meets there, or left it", path.join(name).display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Which file in it.
        name: String,
    },
    /// The directory went away while somebody waited there.
    #[error("`{}` was removed: task 0 has given up", .0.display())]
    Gone(PathBuf),
}

/// A directory for one step, as one task of `size`.
pub struct Directory {
    directory: Private,
    job: String,
    task: u32,
    size: u32,
}

impl Directory {
    /// Enters the directory of `job` in `base`; both are made where they are missing.
    ///
    /// # Errors
    /// It cannot be made or opened, is not this user's alone, or another root has it.
    pub fn open(base: &Path, job: &str, task: u32, size: u32) -> Result<Self, MeetError> {
        let directory = Private::open(base, job)?;
        if task == 0 {
            directory.put(name::CLAIM, b"")?;
        }
        Ok(Directory { directory, job: job.to_owned(), task, size })
    }

    /// Reads the card of a task; `None` where it is not all there yet.
    fn read(&self, task: u32) -> Result<Option<Card>, MeetError> {
        let Some(bytes) = self.directory.read(&name::of_task(task), MOST_BYTES + 1)? else {
            return Ok(None);
        };
        // Over NFS a file may be seen before what is in it.
        let line = match bytes.strip_suffix(b"\n") {
            Some(line) => line,
            None if bytes.len() <= MOST_BYTES => return Ok(None),
            None => &bytes,
        };
        let card = Card::decode(line).map_err(|source| MeetError::card(task, source))?;
        must_be(card, &self.job, task).map(Some)
    }

    /// Which tasks' cards are there.
    fn list(&self) -> Result<Vec<u32>, DirectoryError> {
        self.directory.stir(&name::of_look(self.task))?;
        let mut tasks = Vec::new();
        self.directory.list(|name| tasks.extend(name::task_of(name)))?;
        Ok(tasks)
    }

    fn put(&self, card: &Card) -> Result<(), MeetError> {
        let line = card.encode().map_err(|source| MeetError::card(card.task, source))?;
        Ok(self.directory.put(&name::of_task(card.task), format!("{line}\n").as_bytes())?)
    }
}

impl Rendezvous for Directory {
    fn job(&self) -> &str {
        &self.job
    }

    fn collect(&mut self, deadline: Instant) -> Result<Vec<Card>, MeetError> {
        let mut roll = Roll::new(&self.job, self.size);
        let mut pause = PAUSES.0;
        while !roll.is_complete() {
            for task in self.list()? {
                if task != 0
                    && !roll.has(task)
                    && let Some(card) = self.read(task)?
                {
                    roll.enter(card)?;
                }
            }
            if !roll.is_complete() && !rest(&mut pause, deadline) {
                break;
            }
        }
        roll.close()
    }

    fn announce(&mut self, card: &Card, _deadline: Instant) -> Result<(), MeetError> {
        self.put(card)
    }

    fn meet(&mut self, card: &Card, deadline: Instant) -> Result<Card, MeetError> {
        self.put(card)?;
        let mut pause = PAUSES.0;
        loop {
            if self.list()?.contains(&0)
                && let Some(root) = self.read(0)?
            {
                return Ok(root);
            }
            if !rest(&mut pause, deadline) {
                // No root will remove it.
                self.directory.remove(|name| name::task_of(name) == Some(card.task));
                return Err(MeetError::NoRoot);
            }
        }
    }
}

impl Drop for Directory {
    /// The root removes what its job has left.
    fn drop(&mut self) {
        if self.task == 0 {
            self.directory.remove(name::is_ours);
        }
    }
}

/// Waits a little, each time longer; `false` once the deadline has come.
fn rest(pause: &mut Duration, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    std::thread::sleep(left.min(*pause));
    *pause = PAUSES.1.min(2 * *pause);
    !left.is_zero()
}

#[cfg(test)]
mod tests;
