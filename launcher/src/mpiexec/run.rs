//! Runs a job below the launcher of an MPI: starts it, hands the job over to MPI rank 0, waits for
//! the verdict, and leaves nothing behind.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use px_runtime::engine::{Order, PAUSED, Ties};
use px_runtime::failure::Message;
use px_runtime::root::{Verbosity, Verdict};
use px_runtime::sys::fd::set_nonblocking;
use px_runtime::sys::timespec;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Signal, geteuid};

use super::child::{Child, how};
use super::desk::Desk;
use super::environment::joined;
use super::find::{Found, find};
use super::handover::{HandoverError, Heard, Line};
use super::parcel::Parcel;
use super::translate::{Wanted, here, translate};
use crate::hostfile::allocation::Host;
use crate::hosts::Listing;
use crate::muster::Stopped;
use crate::plan::Plan;
use crate::supervise::{EndBy, Post, Undertaking};
use crate::{Refusal, say, work};

/// How long an MPI may take to come up.
pub const START: Duration = Duration::from_secs(60);
/// For the launcher to end once the job has; where it has failed, some wait for what is lost.
const LEAVING: [Duration; 2] = [Duration::from_secs(5), Duration::from_millis(200)];
/// For the launcher to say what has become of rank 0.
const EXPLAINING: Duration = Duration::from_secs(2);
/// Kept of what the launcher says, in bytes.
const WORDS: usize = 4 << 10;

/// A job for MPI.
pub struct Call<'a> {
    /// The launcher and the agent.
    pub found: &'a Found,
    /// Where it is to run.
    pub listing: &'a Listing,
    /// The words of pxrun's command line.
    pub words: &'a [OsString],
    /// The pipes to the process that the user sees and to the guardian. Orders are read from them
    /// until rank 0 has them; the verdict is left to the caller to report.
    pub ties: &'a Ties,
    /// How much to say.
    pub verbosity: Verbosity,
    /// How long the MPI may take to come up, [`START`].
    pub patience: Duration,
}

/// Makes the undertaking of a plan that goes through the launcher of an MPI, `words` being those from
/// which it was made.
///
/// # Errors
/// There is no launcher, or no agent that it can start.
pub fn through(plan: Plan, words: Vec<OsString>) -> Result<Undertaking, Refusal> {
    let agent = plan.listing.as_ref().and_then(|listing| listing.reach.agent.clone());
    let found = find(agent.as_deref(), plan.mpiexec.as_deref())?;
    work::announce(&plan);
    let verbosity = plan.verbosity;
    let grace = plan.job.grace;
    let work = move |post: Post| {
        let listing = plan.listing.as_ref().ok_or_else(|| Message::new("there are no hosts"))?;
        let (found, words, ties) = (&found, &words[..], &post.ties);
        let call = Call { found, listing, words, ties, verbosity, patience: START };
        Ok(Some(run(&call)?))
    };
    Ok(Undertaking {
        grace,
        verbose: verbosity == Verbosity::Verbose,
        user_signal: Order::Status,
        end_by: EndBy::Signal,
        lease: None,
        work: Box::new(work),
    })
}

/// Runs a job to its verdict.
///
/// # Errors
/// That the MPI does not come up; the user's signal before it has; that rank 0, or who watches, is
/// gone.
pub fn run(call: &Call<'_>) -> Result<Verdict, Stopped> {
    let desk = Desk::open(&places()).map_err(told)?;
    let child = start(call, &desk)?;
    let mut job = Job { call, child, line_so_far: Vec::new() };
    let verdict = match job.hand_over(desk)? {
        Started::Up(line) => job.attend(line)?,
        Started::Over(verdict) => verdict,
    };
    job.leave(verdict);
    Ok(verdict)
}

/// Where the socket may be.
fn places() -> Vec<PathBuf> {
    let named = ["XDG_RUNTIME_DIR", "TMPDIR"].into_iter().filter_map(std::env::var_os);
    named.chain(["/tmp".into()]).map(PathBuf::from).collect()
}

fn told(error: HandoverError) -> Message {
    Message::new(format!("cannot hand the job over to MPI: {error}"))
}

fn start(call: &Call<'_>, desk: &Desk) -> Result<Child, Message> {
    let hosts = &call.listing.hosts;
    let nodename = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let hostfile = desk.directory().join("hosts");
    let wanted = Wanted {
        found: call.found,
        hosts,
        here: here(hosts, Host::is_here)?,
        own_name: &nodename,
        rsh: &call.listing.reach.rsh,
        hostfile: &hostfile,
        socket: desk.socket(),
        is_superuser: geteuid().is_root(),
    };
    let translation = translate(&wanted, std::env::vars_os().collect())?;
    std::fs::write(&hostfile, &translation.hostfile)
        .map_err(|error| Message::new(format!("cannot write `{}`: {error}", hostfile.display())))?;
    let launcher = &call.found.launcher;
    if call.verbosity == Verbosity::Verbose {
        let words: Vec<_> = translation.words.iter().map(|word| word.to_string_lossy()).collect();
        let (launcher, agent) = (&call.found.launcher_kind, &call.found.agent_kind);
        let text = format!("{launcher}, `pxrun-mpi` for {agent}: {}", words.join(" "));
        say(&Message::new(text).render("note"));
    }
    let environment = translation.environment.into_iter().map(joined).collect();
    Child::start(launcher, translation.words, environment, WORDS)
        .map_err(|errno| Message::new(format!("cannot start `{}`: {errno}", launcher.display())))
}

/// What the other end is, as long as MPI is not up.
enum Contact {
    Desk(Desk),
    Line(Line),
}

/// How the start came out.
enum Started {
    /// MPI is up.
    Up(Line),
    /// Rank 0 has said why it is not.
    Over(Verdict),
}

/// A job whose launcher runs.
struct Job<'a> {
    call: &'a Call<'a>,
    child: Child,
    /// What the launcher has said since the last end of a line, where it is shown at once.
    line_so_far: Vec<u8>,
}

impl Job<'_> {
    /// Waits for rank 0, gives it the job, and waits until all of MPI is up.
    fn hand_over(&mut self, desk: Desk) -> Result<Started, Stopped> {
        let ties = self.call.ties;
        set_nonblocking(&ties.control)
            .map_err(|errno| Message::new(format!("cannot read orders: {errno}")))?;
        let deadline = Instant::now() + self.call.patience;
        let mut contact = Contact::Desk(desk);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.is_not_up().into());
            }
            let fd = match &contact {
                Contact::Desk(desk) => desk.as_fd(),
                Contact::Line(line) => line.as_fd(),
            };
            self.turn(&[ties.control.as_fd(), fd], Some(left))?;
            self.take_orders()?;
            match &mut contact {
                Contact::Desk(desk) => match desk.accept(geteuid()) {
                    // With the desk goes its directory: nobody else is to come.
                    Ok(Some(line)) => contact = Contact::Line(self.give(line)?),
                    Ok(None) | Err(HandoverError::Stranger { .. }) => {}
                    Err(error) => return Err(told(error).into()),
                },
                Contact::Line(line) => match line.hear() {
                    Heard::Nothing => {}
                    Heard::Verdict(verdict) => return Ok(Started::Over(verdict)),
                    Heard::End => return Err(self.has_failed().into()),
                    Heard::Up => {
                        line.go().map_err(told)?;
                        let Contact::Line(line) = contact else { continue };
                        return Ok(Started::Up(line));
                    }
                },
            }
            if self.child.status().is_some() {
                return Err(self.has_failed().into());
            }
        }
    }

    fn give(&self, mut line: Line) -> Result<Line, Message> {
        let ties = self.call.ties;
        let directory = std::env::current_dir()
            .map_err(|error| Message::new(format!("the working directory is gone: {error}")))?;
        let environment = std::env::vars_os().map(joined).collect();
        let parcel = Parcel { directory, words: self.call.words.to_vec(), environment };
        let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        let stderr = rustix::stdio::stderr();
        let descriptors = [stdin, stdout, stderr, ties.control.as_fd(), ties.report.as_fd()];
        line.hand_over(&parcel, descriptors).map_err(told)?;
        Ok(line)
    }

    /// Waits for the verdict.
    fn attend(&mut self, mut line: Line) -> Result<Verdict, Stopped> {
        let mut deadline = None;
        loop {
            let left = deadline.map(|end: Instant| end.saturating_duration_since(Instant::now()));
            self.turn(&[line.as_fd()], left)?;
            match line.hear() {
                Heard::Verdict(verdict) => return Ok(verdict),
                Heard::End => return Err(self.is_lost().into()),
                Heard::Nothing | Heard::Up => {}
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Err(self.is_lost().into());
            }
            if deadline.is_none() && self.child.status().is_some() {
                // Rank 0 takes the silence of the others for a loss once their lease is over.
                deadline = Some(Instant::now() + self.call.listing.reach.lease + EXPLAINING);
            }
        }
    }

    /// Waits until one of `fds` is ready or the launcher has something to tell, and hears it.
    fn turn(&mut self, fds: &[BorrowedFd<'_>], time: Option<Duration>) -> Result<(), Stopped> {
        let watched = fds.iter().map(|&fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let lifeline = PollFd::new(&self.call.ties.lifeline, PollFlags::IN);
        let mut fds: Vec<_> = std::iter::once(lifeline).chain(watched).collect();
        self.child.watch(&mut fds);
        match rustix::event::poll(&mut fds, time.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => {
                return Err(Message::new(format!("cannot wait for MPI: {errno}")).into());
            }
        }
        if !fds[0].revents().is_empty() {
            return Err(Stopped::Orphaned("the guardian"));
        }
        let shown = self.call.verbosity == Verbosity::Verbose;
        let line_so_far = &mut self.line_so_far;
        self.child.hear(|piece| {
            if shown {
                show(line_so_far, piece);
            }
        });
        Ok(())
    }

    /// Obeys what is asked for while there is no job yet.
    fn take_orders(&self) -> Result<(), Stopped> {
        let ties = self.call.ties;
        let mut bytes = [0; 64];
        loop {
            let count = match rustix::io::read(&ties.control, &mut bytes) {
                Ok(0) => return Err(Stopped::Orphaned("pxrun")),
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(_) => return Ok(()),
            };
            for order in bytes[..count].iter().filter_map(|&byte| Order::decode(byte)) {
                match order {
                    Order::Stop(signal) => return Err(Stopped::By(signal)),
                    Order::Kill => return Err(Stopped::By(Signal::QUIT)),
                    // No copy runs yet that would have to stand still.
                    Order::Pause => drop(rustix::io::write(&ties.report, &[PAUSED])),
                    Order::Status => {
                        let text = "MPI is not up yet, no copy has started";
                        say(&Message::new(text).render("note"));
                    }
                    Order::Resume | Order::Forward(_) => {}
                }
            }
        }
    }

    /// Lets the launcher end, and sees to it that it does.
    fn leave(mut self, verdict: Verdict) {
        let [well, failed] = LEAVING;
        self.child.wait(if verdict == Verdict::Status(0) { well } else { failed });
        self.child.stop();
    }

    fn has_failed(&mut self) -> Message {
        self.child.wait(EXPLAINING);
        let what = match self.child.status() {
            Some(status) => format!("`{}` {}", self.name(), how(status)),
            None => "MPI rank 0, on this host, ended".to_owned(),
        };
        self.child.stop();
        let message = Message::new(format!("{what} before MPI was up"));
        self.with_words(message).help("`--backend ssh` needs no MPI")
    }

    fn is_not_up(&mut self) -> Message {
        self.child.stop();
        let (time, hosts) = (self.call.patience.as_secs_f64(), self.call.listing.hosts.len());
        let hosts = if hosts == 1 { "1 host".to_owned() } else { format!("{hosts} hosts") };
        let text = format!("`{}` has not brought MPI up within {time} s, on {hosts}", self.name());
        self.with_words(Message::new(text)).help(
            "all hosts and this one must reach each other over MPI's network; `--backend ssh` \
             needs only logins from here",
        )
    }

    fn is_lost(&mut self) -> Message {
        self.child.wait(EXPLAINING);
        self.child.stop();
        let mut message = Message::new("MPI rank 0, on this host, ended before the job did");
        if let Some(status) = self.child.status() {
            message = message.note(format!("`{}` {}", self.name(), how(status)));
        }
        self.with_words(message)
    }

    fn name(&self) -> String {
        self.call.found.called.to_string_lossy().into_owned()
    }

    /// Adds the last words of the launcher, without the frames that some draw around them.
    fn with_words(&self, mut message: Message) -> Message {
        let said = self.child.said();
        let told = said.lines().filter(|line| !is_frame(line));
        message.notes.extend(told.map(|line| line.trim_end().to_owned()));
        message
    }
}

/// Whether a line says nothing.
fn is_frame(line: &str) -> bool {
    line.trim_matches(['-', '=', ' ', '\t', '\r', '\n']).is_empty()
}

/// Shows whole lines of what the launcher says.
fn show(line_so_far: &mut Vec<u8>, piece: &[u8]) {
    for part in piece.split_inclusive(|&byte| byte == b'\n') {
        line_so_far.extend_from_slice(part);
        if part.ends_with(b"\n") || line_so_far.len() >= WORDS {
            let line = String::from_utf8_lossy(line_so_far).into_owned();
            if !is_frame(&line) {
                say(&Message::new(format!("mpi: {}", line.trim_end())).render("note"));
            }
            line_so_far.clear();
        }
    }
}

#[cfg(test)]
mod tests;
