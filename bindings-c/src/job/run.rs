//! Running a job to its end.

use std::os::fd::AsFd;

use px_runtime::libpx::helper::Request;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::helper::{Ended, Helper, Way};
use super::{Job, Output, find, px_result};
use crate::status::{Fault, PX_ERR_HELPER, PX_ERR_JOB};

/// Runs `job` and stores its result.
///
/// # Errors
/// `PX_ERR_JOB` where it failed; `PX_ERR_ARGUMENT`, `PX_ERR_HELPER`, `PX_ERR_SYSTEM` where it has no
/// result.
pub fn run(job: &mut Job) -> Result<(), Fault> {
    job.result = None;
    if !job.words.have_command() {
        return Err(Fault::argument("the job has nothing to run: px_job_command() sets it"));
    }
    let mut helper = start(job)?;
    let output = &job.output;
    let mut taker = |bytes: &[u8]| match output {
        Output::Callback(callback) => callback.take(bytes),
        _ => 0,
    };
    loop {
        wait(&helper)?;
        if helper.serve(&mut taker)? {
            break;
        }
    }
    let path = helper.path().display().to_string();
    let ended = helper.end()?;
    judge(job, &ended, &path)
}

/// Starts the helper of `job`.
///
/// # Errors
/// As those of [`Helper::start`]; there is none.
pub fn start(job: &Job) -> Result<Helper, Fault> {
    let output = match &job.output {
        Output::None | Output::File => Way::Nowhere,
        Output::Descriptor(fd) => Way::Descriptor(fd.as_fd()),
        Output::Callback(_) => Way::Here,
    };
    let words = job.errors.as_ref().map_or(Way::Here, |fd| Way::Descriptor(fd.as_fd()));
    let request = Request { words: job.words.told() };
    Helper::start(find::helper()?, &request, &output, &words)
}

fn wait(helper: &Helper) -> Result<(), Fault> {
    let fds = helper.descriptors().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let mut fds: Vec<_> = fds.collect();
    match rustix::event::poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Fault::system("wait for a job", errno)),
    }
}

/// Stores what the job came to, and says why where it failed.
fn judge(job: &mut Job, ended: &Ended, path: &str) -> Result<(), Fault> {
    let Some(account) = ended.account else {
        let why = format!("the helper `{path}` ended without a word");
        return Err(Fault::new(PX_ERR_HELPER, with_words(why, &ended.said)));
    };
    job.result = Some(px_result {
        status: account.status.into(),
        chunks: account.chunks,
        input_bytes: account.input,
        output_bytes: account.output,
    });
    match (ended.declined, account.status) {
        (Some(answer), _) => {
            let why = format!("the output callback returned {answer}, which ended the job");
            Err(Fault::new(PX_ERR_JOB, with_words(why, &ended.said)))
        }
        (None, 0) => Ok(()),
        (None, _) if !ended.said.is_empty() => Err(Fault::new(PX_ERR_JOB, ended.said.clone())),
        (None, status) => {
            Err(Fault::new(PX_ERR_JOB, format!("the job ended with status {status}")))
        }
    }
}

fn with_words(why: String, said: &str) -> String {
    if said.is_empty() { why } else { format!("{why}\n{said}") }
}
