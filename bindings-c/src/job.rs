//! Jobs from inside a program: `px_job_*`.
//!
//! | file | what |
//! |---|---|
//! | `job/setters.rs` | what can be set of a job |
//! | `job/words.rs` | that as words of a command line, without I/O |
//! | `job/find.rs`, `job/start.rs` | the helper, which runs the job: where it is, how it is started |
//! | `job/helper.rs` | one that runs: told its job, listened to |
//! | `job/guest.rs` | a rank that is a thread here and calls a function |
//! | `job/said.rs` | what a job says, in bounded memory |
//! | `job/run.rs` | all of it together |
//! | `job/over.rs` | the same with other processes |

mod find;
mod guest;
mod helper;
mod said;
mod start;
mod words;

// What C sees, in the order of the header.
mod setters;

mod run;

mod over;

use std::ffi::c_int;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::boundary::{ChunkCallback, OutputCallback, out, status};
use crate::status::{Fault, PX_ERR_MEMORY, PX_OK};
use crate::tokens::Table;
pub use over::px_job_run_over;
pub use run::{px_job_result, px_job_run};
pub use setters::*;
use words::Words;

/// A job that this program runs: what to read, what to run on it, where to put the output.
///
/// Made by `px_job_new`, freed by `px_job_free`; what was never set is as pxrun has it, but for input
/// and output, which are none. Where setters exclude each other the last one counts: command and
/// callback, size and records of a chunk, the three outputs. It can be run again and again, and changed
/// in between. Any thread may use it, one at a time: a second one gets `PX_ERR_BUSY`.
#[allow(non_camel_case_types, reason = "its name in C")]
pub struct px_job {
    _handle: u8,
}

/// What a job came to.
#[allow(non_camel_case_types, reason = "its name in C")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct px_result {
    /// As pxrun's exit status: 0, or that of a copy that failed, or 125 and above.
    pub status: c_int,
    /// Chunks that were dealt.
    pub chunks: u64,
    /// Their length, in bytes.
    pub input_bytes: u64,
    /// Bytes of output that were written.
    pub output_bytes: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it failed, if it did.
    pub fault: Option<Fault>,
    /// What it came to, if it began.
    pub result: Option<px_result>,
}

impl Outcome {
    /// Of a job that did not come to its own end.
    pub fn failed(fault: Fault) -> Outcome {
        Outcome { fault: Some(fault), result: None }
    }
}

/// Where output goes.
#[derive(Default)]
enum Output {
    #[default]
    None,
    /// Into a file that the words name.
    File,
    Descriptor(OwnedFd),
    Callback(OutputCallback),
}

impl Output {
    /// Takes output that comes here; an answer that is not zero wants no more.
    fn take(&self, bytes: &[u8]) -> c_int {
        match self {
            Output::Callback(callback) => callback.take(bytes),
            _ => 0,
        }
    }
}

/// What the ranks do.
#[derive(Default)]
enum Work {
    #[default]
    None,
    /// They run the command that the words name.
    Command,
    /// They are threads that call this.
    Callback(ChunkCallback),
}

/// A job as it was described, and what it came to.
#[derive(Default)]
struct Job {
    words: Words,
    work: Work,
    output: Output,
    errors: Option<OwnedFd>,
    result: Option<px_result>,
}

impl Job {
    /// Stores what a run came to.
    ///
    /// # Errors
    /// Why it failed.
    fn conclude(&mut self, outcome: Outcome) -> Result<(), Fault> {
        self.result = outcome.result;
        outcome.fault.map_or(Ok(()), Err)
    }
}

/// Jobs at once; there is no reason for more than some.
static JOBS: Table<Job, 1024> = Table::new(2, "job");

fn token(job: *const px_job) -> Result<usize, Fault> {
    match job.addr() {
        0 => Err(Fault::argument("`job` is NULL")),
        token => Ok(token),
    }
}

fn change(job: *mut px_job, work: impl FnOnce(&mut Job) -> Result<(), Fault>) -> c_int {
    status(|| JOBS.change(token(job)?, |job| work(job).map(|()| PX_OK)))
}

/// Makes a job of which nothing is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_new(job: *mut *mut px_job) -> c_int {
    status(|| {
        // SAFETY: as the caller promises.
        let mut place = unsafe { out(job, "job") }?;
        let token = JOBS.put(Box::default());
        let token = token.map_err(|_| Fault::new(PX_ERR_MEMORY, "there are 1024 jobs already"))?;
        place.set(std::ptr::without_provenance_mut(token));
        Ok(PX_OK)
    })
}

/// Frees a job; its handle is none from then on. `PX_ERR_BUSY` while it runs.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_free(job: *mut px_job) -> c_int {
    status(|| JOBS.take(token(job)?).map(|_| PX_OK))
}
