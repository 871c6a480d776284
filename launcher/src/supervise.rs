//! The three processes of a job, and what they say to each other.
//!
//! ```text
//! pxrun          what the user sees: takes signals, ends with the job's status or signal
//!   px-guardian  kills and reaps whatever is left when one of the others has ended
//!     px-agent   does all the work and starts the copies
//! ```
//!
//! Each of them notices the end of the others by the end of a pipe, so it does not matter which
//! one is killed, nor how.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use px_runtime::engine::{EngineError, Order, PAUSED, Ties};
use px_runtime::failure::{Message, OWN};
use px_runtime::guardian::{self, Belief};
use px_runtime::root::{Totals, Verdict};
use px_runtime::sys::fd::pipe;
use px_runtime::sys::process::{Fork, die_by, exit_now, fork, pidfd};
use px_runtime::sys::signal::{Signals, ignore, is_ignored, set_default};
use px_runtime::sys::timespec;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::muster::Stopped;
use crate::{Refusal, say};

/// Ending all copies by force takes the agent no longer.
const STOPPING: Duration = Duration::from_millis(1500);
/// On the report pipe: the job's verdict follows.
const STATUS: u8 = b'E';
/// On the report pipe: the signal that the job ends by follows.
const SIGNAL: u8 = b'S';
/// On the report pipe: processor time of one process follows, user and system, in microseconds.
const CPU: u8 = b'U';
/// On the report pipe: chunks and bytes of input follow.
const DEALT: u8 = b'D';
/// On the report pipe: bytes of output follow.
const WRITTEN: u8 = b'W';

/// What the user's signals mean.
const SIGNALS: [(Signal, Order); 7] = [
    (Signal::INT, Order::Stop(Signal::INT)),
    (Signal::TERM, Order::Stop(Signal::TERM)),
    (Signal::HUP, Order::Stop(Signal::HUP)),
    (Signal::QUIT, Order::Kill),
    (Signal::TSTP, Order::Pause),
    (Signal::USR1, Order::Status),
    (Signal::USR2, Order::Forward(Signal::USR2)),
];

fn system(step: &'static str) -> impl Fn(Errno) -> Message {
    move |source| Message::new(format!("cannot {step}: {source}"))
}

/// How the process that the user sees ends after a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndBy {
    /// By the signal: a shell that is told so stops too.
    Signal,
    /// With 128 and the signal's number: a launcher that sees one of its processes end by a signal
    /// kills the others, and may lose the status over it.
    Status,
}

/// What the three processes are for.
pub struct Undertaking {
    /// How long the copies may take to end when they are asked to.
    pub grace: Duration,
    /// Whether to tell the processor time at the end.
    pub verbose: bool,
    /// What SIGUSR1 means.
    pub user_signal: Order,
    /// How to end after a signal.
    pub end_by: EndBy,
    /// Where the work is believed to be done only as long as it says so: for how long at first.
    pub lease: Option<Duration>,
    /// The work; no verdict comes of it where somebody else tells it.
    pub work: Box<dyn FnOnce(Post) -> Result<Option<Verdict>, Ended>>,
}

/// Where the process that does the work stands.
pub struct Post {
    /// What ties it to the others.
    pub ties: Ties,
    /// Its parent.
    pub guardian: Pid,
    /// The guardian hears here for how long it may be believed.
    pub pulse: OwnedFd,
}

/// Has the work done in processes of its own and ends as it ended.
///
/// # Errors
/// What kept it from beginning.
pub fn run(undertaking: Undertaking) -> Result<ExitCode, Refusal> {
    let verbose = undertaking.verbose;
    let mut front = start(undertaking, &mut None)?;
    let reported = front.wait(&[])?;
    front.end(&reported, verbose)
}

/// What work came to that was done for somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// What pxrun's exit status would be.
    pub status: u8,
    /// What went through it.
    pub totals: Totals,
}

/// Has the work done for whoever holds the other end of `line`: with that end all of it ends, at once.
///
/// Only this process keeps `line`, so its end tells the other that nobody is here any more.
///
/// # Errors
/// What kept it from beginning; that processes of it were killed.
pub fn run_for(undertaking: Undertaking, line: &mut Option<OwnedFd>) -> Result<Done, Refusal> {
    let verbose = undertaking.verbose;
    let holder = line.as_ref().and_then(|line| socket_peercred(line).ok()).map(|who| who.pid);
    let mut front = start(undertaking, line)?;
    // A copy of it that was forked may hold the line longer than the program lives.
    let holder = holder.map(pidfd).transpose().map_err(system("watch who wants the job"))?;
    let reported = front.wait(&line.iter().chain(&holder).collect::<Vec<_>>())?;
    if verbose {
        tell_own_cpu(&reported);
    }
    let status = match reported.verdict.ok_or_else(killed)? {
        Verdict::Status(status) => status,
        Verdict::Signal(signal) => u8::try_from(128 + signal.as_raw()).unwrap_or(OWN),
    };
    Ok(Done { status, totals: reported.totals })
}

/// Starts the other two processes, which get nothing of `line`.
fn start(undertaking: Undertaking, line: &mut Option<OwnedFd>) -> Result<Front, Refusal> {
    // A limit of file size is to be an error of the write.
    ignore(Signal::XFSZ);
    // Inherited as ignored, it would have the kernel reap copies before their status is read.
    set_default(Signal::CHILD);
    let caught: Vec<_> =
        SIGNALS.iter().map(|(signal, _)| *signal).filter(|&signal| !is_ignored(signal)).collect();
    let signals = Signals::block(&caught).map_err(system("take signals"))?;
    let make = || pipe().map_err(system("make a pipe"));
    let (control_end, control) = make()?;
    let (report, report_end) = make()?;
    let (alive_end, alive) = make()?;
    // Should the guardian itself be killed, its orphans come here.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(system("become subreaper"))?;
    match fork().map_err(system("start the guardian"))? {
        Fork::Child => {
            drop((control, report, alive, signals, line.take()));
            let ends = Ends { control: control_end, report: report_end, alive: alive_end };
            become_guardian(undertaking, ends)
        }
        Fork::Parent(guardian) => {
            drop((control_end, report_end, alive_end));
            let Undertaking { grace, user_signal, end_by, work, .. } = undertaking;
            drop(work);
            Ok(Front {
                signals,
                control,
                report,
                _alive: alive,
                guardian,
                presses: 0,
                grace,
                user_signal,
                end_by,
                patience: None,
            })
        }
    }
}

/// Has the work done though no process here is seen by a user: whoever started this one may end it,
/// and the work goes on as long as what ties it to others says so.
///
/// # Errors
/// What kept it from beginning.
pub fn run_apart(undertaking: Undertaking) -> Result<ExitCode, Refusal> {
    ignore(Signal::XFSZ);
    set_default(Signal::CHILD);
    SIGNALS.iter().for_each(|(signal, _)| ignore(*signal));
    let make = || pipe().map_err(system("make a pipe"));
    // Nobody speaks, and nobody's end is waited for: the other ends stay open in each process.
    let (control, _control) = make()?;
    let (_report, report) = make()?;
    let (alive, _alive) = make()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(system("become subreaper"))?;
    match fork().map_err(system("start the guardian"))? {
        Fork::Child => become_guardian(undertaking, Ends { control, report, alive }),
        Fork::Parent(guardian) => {
            drop(undertaking);
            let _ = rustix::io::retry_on_intr(|| {
                rustix::process::waitpid(Some(guardian), WaitOptions::empty())
            });
            sweep_orphans();
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The pipes' ends that the process the user sees does not keep.
struct Ends {
    control: OwnedFd,
    report: OwnedFd,
    alive: OwnedFd,
}

fn become_guardian(undertaking: Undertaking, ends: Ends) -> ! {
    let _ = rustix::thread::set_name(c"px-guardian");
    let failed = |step, errno| -> ! {
        say(&system(step)(errno).render("error"));
        exit_now(i32::from(OWN))
    };
    if let Err(errno) = rustix::process::setsid() {
        failed("start a session", errno);
    }
    if let Err(errno) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        failed("become subreaper", errno);
    }
    for signal in SIGNALS.iter().map(|(signal, _)| *signal) {
        ignore(signal);
    }
    ignore(Signal::TTOU);
    ignore(Signal::TTIN);
    let ((lifeline, held), (heard, pulse)) = match (pipe(), pipe()) {
        (Ok(lifeline), Ok(pulse)) => (lifeline, pulse),
        (Err(errno), _) | (_, Err(errno)) => failed("make a pipe", errno),
    };
    let guardian = rustix::process::getpid();
    let lease = undertaking.lease;
    match fork() {
        Err(errno) => failed("start the agent", errno),
        Ok(Fork::Child) => {
            drop((held, heard, ends.alive));
            let ties = Ties { control: ends.control, report: ends.report, lifeline };
            become_agent(undertaking, Post { ties, guardian, pulse })
        }
        Ok(Fork::Parent(agent)) => {
            drop((undertaking, ends.control, lifeline, pulse));
            let belief = lease.map_or(Belief::Always, |lease| Belief::Pulses(&heard, lease));
            let clean = guardian::guard(agent, &ends.alive, belief).unwrap_or(false);
            tell_cpu(&ends.report);
            drop(held);
            exit_now(i32::from(!clean))
        }
    }
}

fn become_agent(undertaking: Undertaking, post: Post) -> ! {
    let _ = rustix::thread::set_name(c"px-agent");
    let report = match rustix::io::fcntl_dupfd_cloexec(&post.ties.report, 3) {
        Ok(report) => report,
        Err(_) => exit_now(i32::from(OWN)),
    };
    px_runtime::sys::memory::return_large_buffers();
    let ended = (undertaking.work)(post);
    if matches!(ended, Err(Ended::Engine(EngineError::Orphaned(_)))) {
        // Who is left of the three says so.
        exit_now(i32::from(OWN));
    }
    let told = conclude(ended);
    tell_cpu(&report);
    match told {
        Some(Verdict::Status(status)) => tell(&report, STATUS, u64::from(status), 0),
        Some(Verdict::Signal(signal)) => {
            tell(&report, SIGNAL, u64::from(signal.as_raw().unsigned_abs()), 0);
        }
        None => {}
    }
    exit_now(0)
}

/// Why a job ended without a verdict.
pub enum Ended {
    /// Something is wrong.
    Refused(Box<Refusal>),
    /// By this signal, before it began.
    By(Signal),
    /// The engine could not go on.
    Engine(EngineError),
}

impl From<EngineError> for Ended {
    fn from(error: EngineError) -> Self {
        Ended::Engine(error)
    }
}

impl From<Message> for Ended {
    fn from(message: Message) -> Self {
        Ended::Refused(Box::new(message.into()))
    }
}

impl From<Stopped> for Ended {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Refused(refusal) => Ended::Refused(refusal),
            Stopped::By(signal) => Ended::By(signal),
            Stopped::Orphaned(who) => Ended::Engine(EngineError::Orphaned(who)),
        }
    }
}

/// Says what kept work from a verdict, and makes one of it.
pub fn conclude(ended: Result<Option<Verdict>, Ended>) -> Option<Verdict> {
    match ended {
        Err(Ended::Refused(refusal)) => {
            say(&refusal.message.render("error"));
            Some(Verdict::Status(refusal.status))
        }
        Err(Ended::By(signal)) => Some(Verdict::Signal(signal)),
        Err(Ended::Engine(error)) => Some(engine_ended(&error)),
        Ok(verdict) => verdict,
    }
}

fn engine_ended(error: &EngineError) -> Verdict {
    // Nobody is there to be told.
    if matches!(error, EngineError::Orphaned("pxrun")) {
        exit_now(i32::from(OWN));
    }
    say(&error.message().render("error"));
    Verdict::Status(OWN)
}

/// Writes one fixed-size entry; a pipe takes it whole.
fn tell(report: &OwnedFd, kind: u8, first: u64, second: u64) {
    let mut entry = [0; ENTRY];
    entry[0] = kind;
    entry[1..9].copy_from_slice(&first.to_le_bytes());
    entry[9..].copy_from_slice(&second.to_le_bytes());
    let _ = rustix::io::write(report, &entry);
}

const ENTRY: usize = 17;

/// Tells what went through a job, to whoever reads `report`.
pub fn tell_totals(report: &OwnedFd, totals: &Totals) {
    tell(report, DEALT, totals.chunks, totals.input);
    tell(report, WRITTEN, totals.output, 0);
}

fn tell_cpu(report: &OwnedFd) {
    let (user, system) = px_runtime::sys::process::own_cpu();
    tell(report, CPU, user, system);
}

/// The process that the user sees.
struct Front {
    signals: Signals,
    control: OwnedFd,
    report: OwnedFd,
    /// The guardian sees its end when this process ends.
    _alive: OwnedFd,
    guardian: Pid,
    presses: u32,
    grace: Duration,
    user_signal: Order,
    end_by: EndBy,
    /// When to wait for the agent no longer, and the signal to end by.
    patience: Option<(Instant, Signal)>,
}

/// Has `fd` waited for too; returns its place.
fn add<'a>(fds: &mut Vec<PollFd<'a>>, fd: &'a OwnedFd) -> usize {
    fds.push(PollFd::new(fd, PollFlags::IN));
    fds.len() - 1
}

/// What has been reported so far.
#[derive(Default)]
struct Reported {
    verdict: Option<Verdict>,
    totals: Totals,
    cpu: (u64, u64),
    over: bool,
}

/// When the guardian was killed, what it had to do is done here.
fn sweep_orphans() {
    if let Ok(signals) = Signals::block(&[Signal::CHILD]) {
        guardian::sweep(&signals);
    }
}

impl Front {
    /// Waits until all is over; each of `holders` becomes readable when nobody wants the work any more.
    fn wait(&mut self, holders: &[&OwnedFd]) -> Result<Reported, Refusal> {
        let guardian_end = pidfd(self.guardian).map_err(system("watch the guardian"))?;
        let mut reported = Reported::default();
        let grace = self.grace;
        let mut guardian_lives = true;
        while guardian_lives || !reported.over {
            // A pipe that has ended stays ready for ever, so it is asked after no more.
            let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
            let report = (!reported.over).then(|| add(&mut fds, &self.report));
            let guardian = guardian_lives.then(|| add(&mut fds, &guardian_end));
            let holders: Vec<_> = holders.iter().map(|end| add(&mut fds, end)).collect();
            let left = self.patience.map(|(end, _)| end.saturating_duration_since(Instant::now()));
            match rustix::event::poll(&mut fds, left.map(timespec).as_ref()) {
                Ok(0) => self.lose_patience(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(system("wait for the job")(errno).into()),
            }
            let ready = |at: usize| !fds[at].revents().is_empty();
            let (report, ended) = (report.is_some_and(ready), guardian.is_some_and(ready));
            if holders.into_iter().any(ready) {
                // The guardian ends all.
                exit_now(i32::from(OWN));
            }
            while let Some(signal) = self.signals.next() {
                self.pass_on(signal, grace);
            }
            if report {
                self.read_report(&mut reported);
            }
            if ended {
                guardian_lives = false;
                let _ = rustix::process::waitpid(Some(self.guardian), WaitOptions::empty());
                sweep_orphans();
            }
        }
        Ok(reported)
    }

    /// Ends by the signal that the agent has not answered; the guardian does the rest.
    fn lose_patience(&self) {
        if let Some((end, signal)) = self.patience
            && Instant::now() >= end
        {
            self.end_by(signal);
        }
    }

    fn end_by(&self, signal: Signal) -> ! {
        match self.end_by {
            EndBy::Signal => die_by(signal),
            EndBy::Status => exit_now(128 + signal.as_raw()),
        }
    }

    fn pass_on(&mut self, signal: Signal, grace: Duration) {
        let known = SIGNALS.iter().find(|(known, _)| *known == signal);
        let Some(mut order) = known.map(|(_, order)| *order) else { return };
        if signal == Signal::USR1 {
            order = self.user_signal;
        }
        if let Order::Stop(signal) = order {
            self.presses += 1;
            // The agent may be where it reads no orders: opening a FIFO, planning, writing its last
            // words. It has the time in which it would have ended everything by itself.
            let patience = match self.presses {
                1 => grace + STOPPING,
                2 => STOPPING,
                _ => Duration::ZERO,
            };
            self.patience = Instant::now().checked_add(patience).map(|end| (end, signal));
            self.lose_patience();
        }
        self.order(order);
    }

    fn order(&self, order: Order) {
        let _ = rustix::io::write(&self.control, &[order.encode()]);
    }

    fn read_report(&mut self, reported: &mut Reported) {
        let mut kind = [0];
        match rustix::io::read(&self.report, &mut kind) {
            Ok(1) => {}
            Err(Errno::INTR) => return,
            _ => {
                reported.over = true;
                return;
            }
        }
        if kind[0] == PAUSED {
            self.pause();
            return;
        }
        let mut rest = [0; ENTRY - 1];
        let whole = matches!(rustix::io::read(&self.report, &mut rest), Ok(n) if n == rest.len());
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&rest[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        match kind[0] {
            _ if !whole => reported.over = true,
            STATUS => {
                let status = u8::try_from(number(0)).unwrap_or(OWN);
                reported.verdict = Some(Verdict::Status(status));
            }
            SIGNAL => {
                let signal = i32::try_from(number(0)).ok().and_then(Signal::from_named_raw);
                reported.verdict = signal.map(Verdict::Signal);
            }
            CPU => {
                reported.cpu.0 += number(0);
                reported.cpu.1 += number(8);
            }
            DEALT => (reported.totals.chunks, reported.totals.input) = (number(0), number(8)),
            WRITTEN => reported.totals.output = number(0),
            _ => {}
        }
    }

    /// Stops as the shell expects it, and goes on when told to.
    fn pause(&mut self) {
        let since = Instant::now();
        let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
        self.order(Order::Resume);
        if let Some((end, _)) = &mut self.patience {
            *end += since.elapsed();
        }
    }

    fn end(self, reported: &Reported, verbose: bool) -> Result<ExitCode, Refusal> {
        if verbose {
            tell_own_cpu(reported);
        }
        match reported.verdict {
            Some(Verdict::Status(status)) => Ok(ExitCode::from(status)),
            Some(Verdict::Signal(signal)) => self.end_by(signal),
            None => Err(killed()),
        }
    }
}

fn killed() -> Refusal {
    let text = "a process of the job was killed: `px-agent` or `px-guardian`";
    Message::new(text).note("all copies were ended").into()
}

fn tell_own_cpu(reported: &Reported) {
    let own = px_runtime::sys::process::own_cpu();
    let seconds = |micros: u64| micros as f64 / 1e6;
    let (user, system) = (reported.cpu.0 + own.0, reported.cpu.1 + own.1);
    let text = format!("own cpu: {:.4} s user, {:.4} s system", seconds(user), seconds(system));
    say(&Message::new(text).render("note"));
}
