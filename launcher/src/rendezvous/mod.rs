//! Finding each other: processes of one job that somebody else has started.
//!
//! Each of them knows which task it is and how many there are, and has a [`Card`] to show: its
//! public key, and for task 0, the root, where it can be connected to. The order is the same in
//! every way:
//!
//! ```text
//! agents: publish their cards
//! root:   collects them all, opens doors for exactly these keys, publishes its card
//! agents: read it and dial
//! ```
//!
//! So nobody knocks before they are expected. Nothing that is exchanged is secret: what carries it
//! must only be such that nobody else can put a card into it.
//!
//! | way | carried by | proven by | I/O |
//! |---|---|---|---|
//! | [`pmi`] | the launcher's own key-value space | the launcher | yes |
//! | [`directory`] | files in a directory that all hosts see | their owner | yes |
//! | [`stdio`], [`srun`] | stdin and stdout of `srun` | munge | the second |
//!
//! | part | does | I/O |
//! |---|---|---|
//! | [`card`] | a card as text | no |
//! | [`roll`] | who has come, and who is missing | no |
//! | [`addresses`] | where the root can be connected to | yes |
//! | [`munge`] | finds munge as Slurm uses it | yes |

pub mod addresses;
pub mod card;
pub mod directory;
mod error;
pub mod munge;
pub mod pmi;
pub mod roll;
pub mod srun;
pub mod stdio;
mod wait;

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

pub use card::Card;
pub use error::MeetError;

use directory::Directory;
use pmi::Pmi;

/// How long all together may take to come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A place where the processes of a job find each other.
pub trait Rendezvous {
    /// What all of them call the job; it stands on every card.
    fn job(&self) -> &str;

    /// (root) Waits for the cards of all others, in the order of tasks.
    ///
    /// # Errors
    /// Who is missing at the deadline, or what is wrong with what came.
    fn collect(&mut self, deadline: Instant) -> Result<Vec<Card>, MeetError>;

    /// (root) Hands its own card to all others.
    ///
    /// # Errors
    /// That it cannot be handed over.
    fn announce(&mut self, card: &Card, deadline: Instant) -> Result<(), MeetError>;

    /// (agent) Hands its card to the root, and waits for the root's.
    ///
    /// # Errors
    /// That the root did not come until the deadline, or what is wrong with its card.
    fn meet(&mut self, card: &Card, deadline: Instant) -> Result<Card, MeetError>;
}

/// Goes where the processes of a launcher's step find each other: the directory that the user
/// names, else the launcher's own key-value space, else a directory in the user's cache.
///
/// # Errors
/// There is no such place, or it is not as it should be.
pub fn of_step(
    environment: impl Fn(&str) -> Option<OsString>,
    named: Option<&Path>,
    task: u32,
    size: u32,
) -> Result<Box<dyn Rendezvous>, MeetError> {
    if let Some(base) = named {
        let job = directory::job_name(&environment).unwrap_or_else(|| "job".to_owned());
        return Ok(Box::new(Directory::open(base, &job, task, size)?));
    }
    if environment("PMI_FD").is_some() {
        let deadline = Instant::now() + PATIENCE;
        return Ok(Box::new(Pmi::of_launcher(environment, task, size, deadline)?));
    }
    let place = directory::job_name(&environment).zip(directory::cache(&environment));
    let (job, base) = place.ok_or(MeetError::Nowhere)?;
    Ok(Box::new(Directory::open(&base, &job, task, size)?))
}
