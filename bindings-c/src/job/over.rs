//! Running a job together with others: its ranks are those of a transport.
//!
//! Rank 0 has a helper run it, whose guests are a thread here and, through the relay, one in each of
//! the other processes. Every process starts its thread before it says that it is there, so whatever
//! is wrong with one of them is known before the job begins.

use std::ffi::c_int;
use std::os::fd::{BorrowedFd, OwnedFd};

use px_runtime::libpx::helper::{self, MOST_GUESTS};

use super::guest::Guest;
use super::helper::{Helper, connection};
use super::run::{judge, names_others, start};
use super::{JOBS, Job, Outcome, Work, px_job, token};
use crate::boundary::{ChunkCallback, status};
use crate::relay::follow::follow;
use crate::relay::lead::{Running, lead};
use crate::relay::post::Post;
use crate::relay::stream::Stream;
use crate::status::{Fault, PX_ERR_UNSUPPORTED, PX_OK};
use crate::transport::{Foreign, px_transport};

/// Runs a job together with other processes, which exchange messages by `transport`.
///
/// Collective: each process calls it, with a job of its own and as a rank of its own. What the setters
/// said counts on rank 0, but for `px_job_callback`, which every process calls for itself: that
/// function is what runs there, in one thread. Input and output are rank 0's. The status, the result
/// and the text of `px_last_error` are the same in all processes; each returns once its own function
/// has.
///
/// The functions of `transport` are called by the calling thread, which sleeps while there is nothing
/// to do. `px_mpi_job_run` of px_mpi.h does all of it over MPI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_job_run_over(
    job: *mut px_job,
    transport: *const px_transport,
) -> c_int {
    status(|| {
        // SAFETY: as the caller promises.
        let mut transport = unsafe { Foreign::new(transport) }?;
        let ran = token(job)
            .and_then(|token| JOBS.change(token, |job| Ok(take_part(Ok(job), &mut transport))));
        // The others wait for one that has no job, too.
        ran.unwrap_or_else(|fault| take_part(Err(fault), &mut transport)).map(|()| PX_OK)
    })
}

fn take_part(job: Result<&mut Job, Fault>, transport: &mut Foreign) -> Result<(), Fault> {
    let (rank, ranks) = (transport.rank(), transport.ranks());
    let mut post = Post::new(transport);
    let (job, found) = match job {
        Ok(job) => (Some(job), Ok(())),
        Err(fault) => (None, Err(fault)),
    };
    let mut none = Job::default();
    let job = job.unwrap_or(&mut none);
    job.result = None;
    let outcome = match rank {
        0 => as_first(found.and_then(|()| Ready::new(job, ranks)), &mut post, ranks),
        _ => as_other(found.and_then(|()| begin(job, rank)), &mut post),
    }?;
    job.conclude(outcome)
}

/// Starts the thread of this process's rank; returns the other end of its socket.
fn begin(job: &Job, rank: usize) -> Result<(Guest, OwnedFd), Fault> {
    let callback = callback(job)?;
    let (ours, theirs) = connected()?;
    Ok((Guest::start(rank, ours, callback)?, theirs))
}

fn callback(job: &Job) -> Result<ChunkCallback, Fault> {
    match job.work {
        Work::Callback(callback) => Ok(callback),
        Work::Command => Err(Fault::new(
            PX_ERR_UNSUPPORTED,
            "the ranks of this job are processes that are there already, and cannot run a command: \
             px_job_run() can, with px_job_hosts() on other hosts, too",
        )),
        Work::None => Err(Fault::argument(
            "the job has nothing to run here: every process calls px_job_callback()",
        )),
    }
}

fn connected() -> Result<(OwnedFd, OwnedFd), Fault> {
    connection().map_err(|errno| Fault::system("connect ranks to a helper", errno))
}

fn as_other(begun: Result<(Guest, OwnedFd), Fault>, post: &mut Post<'_>) -> Result<Outcome, Fault> {
    let (guest, stream, found) = match begun {
        Ok((guest, socket)) => (Some(guest), Some(Stream::new(0, socket)), None),
        Err(fault) => (None, None, Some(fault)),
    };
    let outcome = follow(post, found, stream);
    // What has gone wrong there rank 0 has seen: its word counts.
    let _ = guest.map(Guest::join);
    outcome
}

fn as_first(
    ready: Result<Ready<'_>, Fault>,
    post: &mut Post<'_>,
    ranks: usize,
) -> Result<Outcome, Fault> {
    let (guest, ready) = match ready {
        Ok(Ready { job, guest, streams, sockets }) => {
            (Some(guest), Ok((streams, move || Led::start(job, ranks, sockets))))
        }
        Err(fault) => (None, Err(fault)),
    };
    let outcome = lead(post, ranks, ready);
    let _ = guest.map(Guest::join);
    outcome
}

/// All that rank 0 has before the job begins.
struct Ready<'j> {
    job: &'j Job,
    guest: Guest,
    streams: Vec<Stream>,
    /// The helper's ends, in the order of the ranks.
    sockets: Vec<OwnedFd>,
}

impl<'j> Ready<'j> {
    fn new(job: &'j Job, ranks: usize) -> Result<Self, Fault> {
        check(job, ranks)?;
        let (guest, socket) = begin(job, 0)?;
        let (mut streams, mut sockets) = (Vec::new(), vec![socket]);
        for rank in 1..ranks {
            let (ours, theirs) = connected()?;
            streams.push(Stream::new(rank, ours));
            sockets.push(theirs);
        }
        Ok(Ready { job, guest, streams, sockets })
    }
}

/// Checks what of a job cannot be with ranks of a transport.
fn check(job: &Job, ranks: usize) -> Result<(), Fault> {
    if ranks > MOST_GUESTS {
        let text = format!("a callback can have 1 to {MOST_GUESTS} ranks, found {ranks}");
        return Err(Fault::argument(text));
    }
    if let Some(name) = names_others(&job.words) {
        return Err(Fault::new(
            PX_ERR_UNSUPPORTED,
            format!(
                "`{name}` is set, and the ranks of this job are processes that are there already: \
                 leave it out, or have a command run on hosts by px_job_run()"
            ),
        ));
    }
    match job.words.value("np").map(String::from_utf8_lossy) {
        Some(asked) if asked != ranks.to_string() => Err(Fault::argument(format!(
            "px_job_ranks() wants {asked} ranks, and {ranks} processes run the job"
        ))),
        _ => Ok(()),
    }
}

/// A job that rank 0 leads.
struct Led<'j> {
    job: &'j Job,
    /// Until it has ended.
    helper: Option<Helper>,
}

impl<'j> Led<'j> {
    fn start(job: &'j Job, ranks: usize, sockets: Vec<OwnedFd>) -> Result<Self, Fault> {
        let place = |rank| if rank == 0 { helper::Guest::Here } else { helper::Guest::Elsewhere };
        let words = job.words.of_guests(ranks)?;
        let helper = start(job, &words, (0..ranks).map(place).collect(), &sockets)?;
        Ok(Led { job, helper: Some(helper) })
    }
}

impl Running for Led<'_> {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.helper.iter().flat_map(Helper::descriptors).collect()
    }

    fn serve(&mut self) -> Result<Option<Outcome>, Fault> {
        let Some(helper) = &mut self.helper else { return Ok(None) };
        if !helper.serve(&mut |bytes| self.job.output.take(bytes))? {
            return Ok(None);
        }
        let path = helper.path().display().to_string();
        let ended = self.helper.take().map(Helper::end).transpose()?;
        Ok(ended.map(|ended| judge(&ended, &path, Ok(()))))
    }
}
