//! What can go wrong when the processes of a job look for each other.

use px_runtime::failure::Message;
use px_runtime::sys::munge::MungeError;
use rustix::io::Errno;

use super::card::CardError;
use super::directory::DirectoryError;
use super::pmi::PmiError;

/// Why the processes of a job did not find each other.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// There is no place to meet at.
    #[error("the processes of this step have no way to find each other")]
    Nowhere,
    /// Some did not come in time.
    #[error("{} of {others} other tasks did not come to the rendezvous: {}", missing.len(), some(missing))]
    Missing {
        /// Who.
        missing: Vec<u32>,
        /// How many should have come.
        others: u32,
    },
    /// Others did not come in time, and nobody can tell who.
    #[error("not all {size} tasks came to the rendezvous in time")]
    Incomplete {
        /// How many tasks there are.
        size: u32,
    },
    /// The root did not come in time.
    #[error("task 0 did not come to the rendezvous in time")]
    NoRoot,
    /// A card cannot be read, or this process's own cannot be written.
    #[error("the card of {whose}: {source}")]
    Card {
        /// Whose.
        whose: String,
        /// Why.
        source: CardError,
    },
    /// A card is that of another job.
    #[error("the card of task {task} must be of job `{wanted}`, found `{found}`")]
    OtherJob {
        /// Whose card.
        task: u32,
        /// The job of this process.
        wanted: String,
        /// The job on the card.
        found: String,
    },
    /// A card is not that of who should have shown it.
    #[error("the card of task {wanted} must be its own, found that of task {found}")]
    OtherTask {
        /// Who should have shown it.
        wanted: u32,
        /// Whose it is.
        found: u32,
    },
    /// A card is of a task that does not exist.
    #[error("a card must be of one of tasks 1 to {}, found task {task}", size - 1)]
    NoSuchTask {
        /// Whose it is.
        task: u32,
        /// How many tasks there are.
        size: u32,
    },
    /// Two cards of one task came.
    #[error("the card of task {0} came twice")]
    Twice(u32),
    /// The launcher's key-value space does not work.
    #[error(transparent)]
    Pmi(#[from] PmiError),
    /// The directory does not do.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Munge does not work.
    #[error(transparent)]
    Munge(#[from] MungeError),
    /// A credential does not fit where it is to go.
    #[error("a credential must have at most {most} bytes to pass srun's stdout, found {found}")]
    LongCredential {
        /// Most bytes.
        most: usize,
        /// Its bytes.
        found: usize,
    },
    /// Standard input or output of this process cannot be used.
    #[error("cannot {0} srun: {1}")]
    Stdio(&'static str, Errno),
    /// Standard input ended before the root's card came.
    #[error("standard input ended before the card of task 0 came")]
    StdinEnded,
    /// What came on standard input is none of the root's lines.
    #[error("a line of the root must have at most {0} bytes, found more")]
    LongLine(usize),
}

impl MeetError {
    /// Notes whose card it is that cannot be read or written.
    pub(super) fn card(task: u32, source: CardError) -> Self {
        MeetError::Card { whose: format!("task {task}"), source }
    }
}

impl From<MeetError> for Message {
    fn from(error: MeetError) -> Self {
        let message = Message::new(error.to_string());
        match error {
            MeetError::Nowhere => message
                .note("neither PMI_FD, nor SLURM_JOB_ID and SLURM_STEP_ID with a HOME, is set")
                .help(
                    "`srun --mpi=pmi2`, `--rendezvous DIR` with a directory that all hosts see, \
                     or `--backend ssh`",
                ),
            MeetError::Missing { .. } | MeetError::Incomplete { .. } | MeetError::NoRoot => message
                .help("start all tasks with one command and one version of pxrun; `--backend ssh` needs no rendezvous"),
            MeetError::Directory(DirectoryError::InUse { path, .. }) => message.help(format!(
                "if no such job runs, `rm -r {}`; else give each job a `--rendezvous DIR` of its own",
                path.display()
            )),
            _ => message,
        }
    }
}

/// Names some of the numbers, and says how many more there are.
fn some(tasks: &[u32]) -> String {
    const NAMED: usize = 8;
    let named: Vec<_> = tasks.iter().take(NAMED).map(u32::to_string).collect();
    let named = named.join(", ");
    match tasks.len().saturating_sub(NAMED) {
        0 => format!("task {named}"),
        more => format!("task {named} and {more} more"),
    }
}
