//! Running a job to its end.

use std::ffi::c_int;
use std::os::fd::{AsFd, OwnedFd};

use px_runtime::libpx::helper::{self, MOST_GUESTS, Request};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::guest::Guest;
use super::helper::{Ended, Helper, Way, connection};
use super::words::Words;
use super::{JOBS, Job, Outcome, Output, Work, change, find, px_job, px_result, token};
use crate::boundary::{ChunkCallback, out, status};
use crate::status::{Fault, PX_ERR_HELPER, PX_ERR_JOB, PX_ERR_STATE, PX_ERR_UNSUPPORTED, PX_OK};

/// What names hosts, or a way to them.
const OF_HOSTS: [&str; 2] = ["host", "hostfile"];

/// Runs `job` and stores its result.
///
/// # Errors
/// `PX_ERR_JOB` where it failed; `PX_ERR_ARGUMENT`, `PX_ERR_UNSUPPORTED`, `PX_ERR_HELPER`,
/// `PX_ERR_SYSTEM` where it has no result.
fn run(job: &mut Job) -> Result<(), Fault> {
    job.result = None;
    // Whoever is dropped here waits for its threads, so the helper goes first.
    let (guests, mut helper) = match job.work {
        Work::None => {
            return Err(Fault::argument(
                "the job has nothing to run: px_job_command() or px_job_callback() sets it",
            ));
        }
        Work::Command => (Vec::new(), start(job, &job.words, Vec::new(), &[])?),
        Work::Callback(callback) => with_guests(job, callback)?,
    };
    loop {
        wait(&helper)?;
        if helper.serve(&mut |bytes| job.output.take(bytes))? {
            break;
        }
    }
    let path = helper.path().display().to_string();
    let ended = helper.end()?;
    // Nobody is at the other ends of their sockets any more.
    let served = guests.into_iter().map(Guest::join).fold(Ok(()), Result::and);
    job.conclude(judge(&ended, &path, served))
}

/// Starts the helper of `job` with these words and guests, of whom it gets these sockets.
///
/// # Errors
/// As those of [`Helper::start`]; there is none.
pub(super) fn start(
    job: &Job,
    words: &Words,
    guests: Vec<helper::Guest>,
    sockets: &[OwnedFd],
) -> Result<Helper, Fault> {
    let output = match &job.output {
        Output::None | Output::File => Way::Nowhere,
        Output::Descriptor(fd) => Way::Descriptor(fd.as_fd()),
        Output::Callback(_) => Way::Here,
    };
    let errors = job.errors.as_ref().map_or(Way::Here, |fd| Way::Descriptor(fd.as_fd()));
    let request = Request { words: words.told(), guests };
    Helper::start(find::helper()?, &request, &output, &errors, sockets)
}

/// Starts the helper of a job whose ranks are threads, and these.
fn with_guests(job: &Job, callback: ChunkCallback) -> Result<(Vec<Guest>, Helper), Fault> {
    let ranks = ranks_here(&job.words)?;
    let pairs = (0..ranks).map(|_| connection()).collect::<Result<Vec<_>, _>>();
    let pairs = pairs.map_err(|errno| Fault::system("connect ranks to a helper", errno))?;
    let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    // If a thread cannot be started the helper goes first.
    let mut guests = Vec::with_capacity(ranks);
    let words = job.words.of_guests(ranks)?;
    let helper = start(job, &words, vec![helper::Guest::Here; ranks], &theirs)?;
    drop(theirs);
    for (rank, socket) in ours.into_iter().enumerate() {
        guests.push(Guest::start(rank, socket, callback)?);
    }
    Ok((guests, helper))
}

/// The option that has ranks be elsewhere, if there is one.
pub fn names_others(words: &Words) -> Option<&'static str> {
    let elsewhere = |backend: &[u8]| ![&b"auto"[..], b"local"].contains(&backend);
    let named = OF_HOSTS.into_iter().find(|name| words.value(name).is_some());
    named.or(words.value("backend").filter(|name| elsewhere(name)).map(|_| "backend"))
}

/// How many ranks a job has that are threads here.
fn ranks_here(words: &Words) -> Result<usize, Fault> {
    if let Some(name) = names_others(words) {
        return Err(Fault::new(
            PX_ERR_UNSUPPORTED,
            format!(
                "a callback runs on this host alone, and `{name}` is set; px_mpi_job_run() has a \
                 callback run on the ranks of MPI, px_job_command() a command on any host"
            ),
        ));
    }
    let Some(text) = words.value("np") else {
        return Ok(
            std::thread::available_parallelism().map_or(1, |count| count.get().min(MOST_GUESTS))
        );
    };
    let text = String::from_utf8_lossy(text);
    let ranks = text.parse().ok().filter(|ranks| (1..=MOST_GUESTS).contains(ranks));
    ranks.ok_or_else(|| {
        Fault::argument(format!("a callback can have 1 to {MOST_GUESTS} ranks, found {text}"))
    })
}

fn wait(helper: &Helper) -> Result<(), Fault> {
    let fds = helper.descriptors().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let mut fds: Vec<_> = fds.collect();
    match rustix::event::poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Fault::system("wait for a job", errno)),
    }
}

/// What a job came to, and why it failed, if it did; `served` is how its threads ended.
pub fn judge(ended: &Ended, path: &str, served: Result<(), Fault>) -> Outcome {
    let Some(account) = ended.account else {
        let why = format!("the helper `{path}` ended without a word");
        return Outcome::failed(Fault::new(PX_ERR_HELPER, lines(&[&why, &ended.said])));
    };
    let result = Some(px_result {
        status: account.status.into(),
        chunks: account.chunks,
        input_bytes: account.input,
        output_bytes: account.output,
    });
    if ended.declined.is_none() && account.status == 0 {
        return Outcome { fault: served.err(), result };
    }
    let declined = ended
        .declined
        .map(|answer| format!("the output callback returned {answer}, which ended the job"));
    let served = served.err().map(|fault| fault.text);
    let mut why = lines(&[&declined.unwrap_or_default(), &served.unwrap_or_default(), &ended.said]);
    if why.is_empty() {
        why = format!("the job ended with status {}", account.status);
    }
    Outcome { fault: Some(Fault::new(PX_ERR_JOB, why)), result }
}

/// Joins what there is to say.
fn lines(texts: &[&str]) -> String {
    let texts = texts.iter().copied().filter(|text| !text.is_empty());
    texts.collect::<Vec<_>>().join("\n")
}

/// Runs a job to its end. `PX_ERR_JOB` when it failed: `px_job_result` has its status then, and
/// `px_last_error` what was said. It needs no `px_init`.
///
/// The job is run by a helper, the program `pxrun` that was installed with libpx or that the variable
/// `PX_HELPER` names, which is no child of this process: wait() sees it only in a process that has made
/// itself a subreaper. It has this process's environment, working directory, limits and umask as they are
/// now. When this process ends, in whatever way, the job does.
#[unsafe(no_mangle)]
pub extern "C" fn px_job_run(job: *mut px_job) -> c_int {
    change(job, run)
}

/// Tells what the last run of a job came to. `PX_ERR_STATE` where it was not run, or did not begin.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_result(job: *const px_job, result: *mut px_result) -> c_int {
    status(|| {
        // SAFETY: as the caller promises.
        let mut place = unsafe { out(result, "result") }?;
        let found = JOBS.look(token(job)?, |job| job.result)?;
        let found = found.ok_or_else(|| {
            Fault::new(PX_ERR_STATE, "this job has no result: it was not run, or did not begin")
        })?;
        place.set(found);
        Ok(PX_OK)
    })
}
