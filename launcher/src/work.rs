//! What the root does: opens the input, gathers the agents, runs the job.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use px_runtime::agent::assignment::Local;
use px_runtime::buffers::Buffers;
use px_runtime::engine::{self, EngineError};
use px_runtime::failure::Message;
use px_runtime::input::files::FileInput;
use px_runtime::job::OutputName;
use px_runtime::poller::Poller;
use px_runtime::root::setup::{self, Opened, Parts, Place, Reach};
use px_runtime::root::{CopyRecord, Observer, Progress, Totals, Verbosity, Verdict};
use px_runtime::sys::fd::stdout_was_closed;

use crate::backend::Way;
use crate::comers::Comers;
use crate::hostfile::allocation::Host;
use crate::joblog::Joblog;
use crate::muster::{Call, Coming, Muster, Orders};
use crate::plan::Plan;
use crate::supervise::{EndBy, Ended, Post, Undertaking};
use crate::{foreign_stdio, progress, say, supervise};

/// How often the bar is drawn.
const BAR_EVERY: Duration = Duration::from_millis(250);
/// The width of a terminal that does not say its own.
const USUAL_COLUMNS: usize = 80;

struct Console {
    joblog: Option<Joblog>,
    verbosity: Verbosity,
    bar: bool,
    /// What went through the job is told here.
    report: OwnedFd,
}

impl Observer for Console {
    fn ended(&mut self, copy: &CopyRecord<'_>) -> Result<(), Message> {
        self.joblog.as_mut().map_or(Ok(()), |log| log.note(copy))
    }

    fn bar(&mut self, now: &Progress) -> String {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr());
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        progress::bar(now, if columns == 0 { USUAL_COLUMNS } else { columns })
    }

    fn bar_every(&self) -> Option<Duration> {
        self.bar.then_some(BAR_EVERY)
    }

    fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    fn over(&mut self, totals: &Totals) {
        supervise::tell_totals(&self.report, totals);
    }
}

/// Gathers agents for the job of a plan.
pub type Gathering = dyn FnOnce(&Plan, &Buffers) -> Result<Box<dyn Comers>, Message>;

/// How agents are gathered that come by themselves.
pub struct Gather {
    /// They run already and wait, also where the job cannot be.
    pub they_wait: bool,
    /// Does it.
    pub gather: Box<Gathering>,
}

/// Says what there is to say of `plan` before it begins.
pub fn announce(plan: &Plan) {
    if plan.verbosity > Verbosity::Quiet {
        for note in &plan.notes {
            say(&Message::new(note).render("note"));
        }
    }
    if plan.verbosity == Verbosity::Verbose && plan.listing.is_none() {
        let text = format!("{} ranks: {}", plan.job.ranks, plan.ranks_reason);
        say(&Message::new(text).render("note"));
    }
}

/// Makes the root's undertaking of `plan`.
pub fn of_root(plan: Plan, gather: Option<Gather>) -> Undertaking {
    announce(&plan);
    Undertaking {
        grace: plan.job.grace,
        verbose: plan.verbosity == Verbosity::Verbose,
        user_signal: plan.user_signal(),
        end_by: if let Way::Join(_) = plan.way { EndBy::Status } else { EndBy::Signal },
        lease: None,
        work: Box::new(move |post| work(plan, gather, post).map(Some)),
    }
}

/// What is to be had before anybody is asked for anything.
struct Ready {
    console: Console,
    opened: Opened,
}

fn ready(plan: &Plan, report: &OwnedFd) -> Result<Ready, Ended> {
    if stdout_was_closed() && plan.job.output == OutputName::Stdout {
        let message = Message::new("standard output is closed");
        return Err(message.help("`-o FILE` writes to a file").into());
    }
    if let Way::Join(_) = plan.way {
        let note = foreign_stdio::check(&plan.job.input, &plan.job.output)?;
        if let Some(note) = note.filter(|_| plan.verbosity > Verbosity::Quiet) {
            say(&Message::new(note).render("note"));
        }
    }
    let joblog = plan.joblog.as_deref().map(|path| Joblog::create(path, &plan.job)).transpose()?;
    let report = rustix::io::fcntl_dupfd_cloexec(report, 3)
        .map_err(|errno| Message::new(format!("cannot copy a descriptor: {errno}")))?;
    let console = Console { joblog, verbosity: plan.verbosity, bar: plan.bar, report };
    let opened = setup::open(&plan.job).map_err(EngineError::from)?;
    Ok(Ready { console, opened })
}

/// Does the root's work.
///
/// # Errors
/// What kept the job from a verdict.
pub fn work(mut plan: Plan, gather: Option<Gather>, post: Post) -> Result<Verdict, Ended> {
    let ties = post.ties;
    let poller = Poller::new().map_err(EngineError::Wait)?;
    engine::watch(&ties, &poller)?;
    let buffers = Buffers::default();
    let ready = ready(&plan, &ties.report);
    let gather = gather.filter(|gather| gather.they_wait || ready.is_ok());
    let mut comers = gather.map(|gather| (gather.gather)(&plan, &buffers)).transpose()?;
    if let (Way::Join(_), Some(listing), Some(comers)) = (plan.way, &mut plan.listing, &comers) {
        listing.hosts = comers.hosts().into_iter().map(Host::of_a_process).collect();
    }
    let orders = Orders { control: &ties.control, report: &ties.report };
    let context = Context { buffers: &buffers, poller: &poller, orders };
    let gathered = match ready {
        Ok(Ready { console, opened }) => {
            let places = gather_all(&mut plan, &mut comers, opened.files(), &context);
            places.map(|places| (places, console, opened))
        }
        Err(ended) => {
            send_home(&plan, &mut comers, &context);
            Err(ended)
        }
    };
    let ended = gathered.and_then(|(places, console, opened)| {
        let observer = Box::new(console);
        let parts = Parts { job: plan.job, opened, places, observer, poller, buffers };
        Ok(engine::run(parts, ties)?)
    });
    let well = matches!(ended, Ok(Verdict::Status(0)));
    comers.into_iter().for_each(|comers| comers.see_off(well));
    ended
}

/// Places the ranks and has every agent that gets some make ready.
fn gather_all(
    plan: &mut Plan,
    comers: &mut Option<Box<dyn Comers>>,
    input: Option<Rc<FileInput>>,
    context: &Context<'_>,
) -> Result<Vec<Place>, Ended> {
    let Some(listing) = &plan.listing else {
        let ranks: Vec<_> = (0..plan.job.ranks.get()).collect();
        let local = Local::alone(&ranks);
        let reach = match std::mem::take(&mut plan.guests) {
            guests if guests.is_empty() => Reach::Here,
            guests => Reach::Guests(guests),
        };
        return Ok(vec![Place { name: plan.host.clone(), ranks, local, reach }]);
    };
    let call = Call {
        listing,
        errand: plan.errand(),
        verbosity: plan.verbosity,
        input,
        buffers: context.buffers.clone(),
        only_ask: false,
        coming: coming(comers),
    };
    let mut muster = Muster::new(call, &plan.job, context.poller, Some(context.orders))?;
    muster.ask(|_| true)?;
    Ok(muster.assemble(&mut plan.job)?)
}

/// What gathering needs besides.
struct Context<'a> {
    buffers: &'a Buffers,
    poller: &'a Poller,
    orders: Orders<'a>,
}

fn coming(comers: &mut Option<Box<dyn Comers>>) -> Coming<'_> {
    match comers {
        None => Coming::Logins,
        Some(comers) => Coming::Themselves { here: comers.here(), comers: comers.as_mut() },
    }
}

/// Tells agents that wait for a job that there is none.
fn send_home(plan: &Plan, comers: &mut Option<Box<dyn Comers>>, context: &Context<'_>) {
    let Some(listing) = plan.listing.as_ref().filter(|_| comers.is_some()) else { return };
    let call = Call {
        listing,
        errand: plan.errand(),
        verbosity: Verbosity::Quiet,
        input: None,
        buffers: context.buffers.clone(),
        only_ask: true,
        coming: coming(comers),
    };
    if let Ok(mut muster) = Muster::new(call, &plan.job, context.poller, Some(context.orders)) {
        // Whoever does not come needs no telling.
        let _ = muster.ask(|_| true);
        muster.dismiss();
    }
}
