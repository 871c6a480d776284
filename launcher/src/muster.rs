//! Gathering the hosts of a job: all are logged in to at once, each goes its own way until its
//! agent is ready, and nothing starts anywhere before all are.
//!
//! ```text
//! queued -> login -> joining -> linked -> placement -> preparing -> ready
//! ```
//!
//! What goes wrong with a host is kept with it and told for all of them together.

mod candidate;
mod report;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use px_runtime::agent::assignment::Local;
use px_runtime::buffers::Buffers;
use px_runtime::engine::{Order, PAUSED};
use px_runtime::failure::Message;
use px_runtime::input::files::FileInput;
use px_runtime::job::Job;
use px_runtime::link::control::{Begin, Errand, Hello};
use px_runtime::link::doors::Doors;
use px_runtime::link::joining::Rules;
use px_runtime::link::remote::Supply;
use px_runtime::link::secret::Secret;
use px_runtime::link::sight::View;
use px_runtime::poller::{Poller, Ready, Token};
use px_runtime::root::Verbosity;
use px_runtime::root::setup::{Place, Reach, assignment};
use rustix::process::Signal;

use crate::comers::Comers;
use crate::hostfile::allocation::Host;
use crate::hosts::Listing;
use crate::placement::{Room, place};
use crate::plan::{check_descriptors, check_directory};
use crate::ssh::jump::{self, Jumps};
use crate::ssh::own::Own;
use crate::{Refusal, agent, command, say};
use candidate::{Candidate, Logins, Stage};

/// How long to sleep at most between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What is to be gathered, and for what.
pub struct Call<'a> {
    /// The hosts.
    pub listing: &'a Listing,
    /// What is to run.
    pub errand: Errand,
    /// How much to say.
    pub verbosity: Verbosity,
    /// The input, where it is of known length.
    pub input: Option<Rc<FileInput>>,
    /// What links share.
    pub buffers: Buffers,
    /// Only ask who is there.
    pub only_ask: bool,
    /// How its agents come by their links.
    pub coming: Coming<'a>,
}

/// How the agents of a job come by their links.
pub enum Coming<'a> {
    /// The root logs in to every host but its own.
    Logins,
    /// They come by themselves.
    Themselves {
        /// The root's own place in the listing, if it has one.
        here: Option<usize>,
        /// Where they come from.
        comers: &'a mut dyn Comers,
    },
}

/// Why no job came about.
pub enum Stopped {
    /// Something is wrong.
    Refused(Box<Refusal>),
    /// The user wants it to end by this signal.
    By(Signal),
    /// Whoever watches is gone.
    Orphaned(&'static str),
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Stopped::Refused(Box::new(refusal))
    }
}

impl From<Message> for Stopped {
    fn from(message: Message) -> Self {
        Stopped::Refused(Box::new(message.into()))
    }
}

/// Orders that come while hosts are gathered.
#[derive(Clone, Copy)]
pub struct Orders<'a> {
    /// Where they come from.
    pub control: &'a OwnedFd,
    /// Where it is told that all stands still.
    pub report: &'a OwnedFd,
}

/// The hosts on their way.
pub struct Muster<'a> {
    call: Call<'a>,
    poller: &'a Poller,
    orders: Option<Orders<'a>>,
    doors: Doors,
    rules: Rules,
    /// Where somebody is to be logged in to.
    logins: Option<Rc<Logins>>,
    hosts: Vec<Candidate>,
    since: Instant,
}

impl<'a> Muster<'a> {
    /// Gets ready; nobody is asked yet.
    ///
    /// # Errors
    /// No random numbers, or no binary to bring.
    pub fn new(
        call: Call<'a>,
        job: &Job,
        poller: &'a Poller,
        orders: Option<Orders<'a>>,
    ) -> Result<Self, Message> {
        let since = Instant::now();
        let told = |error: &dyn std::fmt::Display| Message::new(error.to_string());
        px_runtime::sys::memory::keep_secrets_out_of_core_files()
            .map_err(|errno| Message::new(format!("cannot keep secrets: {errno}")))?;
        let reach = &call.listing.reach;
        let rules = Rules {
            version: agent::VERSION.to_owned(),
            job: job.id.clone(),
            lease: reach.lease,
            allowed: reach.allowed,
            packing: reach.packing,
            errand: call.errand.clone(),
            input: call.input.clone(),
            buffers: call.buffers.clone(),
        };
        let hosts = call.listing.hosts.iter().enumerate();
        let hosts = hosts.map(|(number, host)| {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            Candidate::new(number, host)
        });
        let logins = match call.coming {
            Coming::Themselves { .. } => None,
            Coming::Logins => Some(Rc::new(Logins {
                secret: Secret::random().map_err(|error| told(&error))?,
                jumps: Jumps::look(&reach.rsh),
                own: Own::open().map_err(|error| told(&error))?,
            })),
        };
        Ok(Muster {
            doors: Doors::new(reach.listen.clone()),
            hosts: hosts.collect(),
            logins,
            since,
            rules,
            poller,
            orders,
            call,
        })
    }

    /// Asks every host that `wanted` picks, and waits until each has answered or failed.
    ///
    /// # Errors
    /// Hosts that cannot take part, all in one message; the user's signal.
    pub fn ask(&mut self, wanted: impl Fn(&Host) -> bool) -> Result<(), Stopped> {
        let now = Instant::now();
        let hosts = self.call.listing.hosts.iter().zip(&mut self.hosts).enumerate();
        for (at, (host, candidate)) in hosts {
            match self.call.coming {
                Coming::Logins if host.is_here() => candidate.is_here(),
                Coming::Logins if wanted(host) => candidate.queue(now),
                Coming::Themselves { here, .. } if here == Some(at) => candidate.is_here(),
                Coming::Themselves { .. } => candidate.expect(now),
                Coming::Logins => {}
            }
        }
        self.run_until(Candidate::has_answered)?;
        self.tell_failures()?;
        if let Coming::Logins = self.call.coming {
            report::same_host_twice(&self.call.listing.hosts, &self.hosts)?;
        }
        self.tell_answers();
        Ok(())
    }

    fn tell_answers(&self) {
        if self.call.verbosity < Verbosity::Verbose || self.call.only_ask {
            return;
        }
        let count = report::hosts(self.hosts.iter().filter(|host| !host.has_failed()));
        let hosts = if count == 1 { "host" } else { "hosts" };
        let took = self.since.elapsed().as_secs_f64();
        say(&Message::new(format!("{count} {hosts} answered within {took:.4} s")).render("note"));
    }

    /// The place in the listing of every host that is not out, and what it has said if it was
    /// asked.
    pub fn answers(&self) -> Vec<(usize, Option<Hello>)> {
        let hosts = self.hosts.iter().enumerate();
        let answered = hosts.filter(|(_, candidate)| !candidate.has_failed());
        answered.map(|(at, candidate)| (at, candidate.hello().cloned())).collect()
    }

    /// Lets all of them go.
    pub fn dismiss(&mut self) {
        self.hosts.iter_mut().for_each(Candidate::dismiss);
    }

    /// Places the ranks, has every agent make ready, and returns where the ranks run.
    ///
    /// # Errors
    /// Ranks that do not fit; hosts that fail now; the user's signal.
    pub fn assemble(mut self, job: &mut Job) -> Result<Vec<Place>, Stopped> {
        match self.prepare(job) {
            Ok(chosen) => Ok(self.into_places(job, chosen)),
            Err(stopped) => {
                // Whoever came by itself is not to take the end for a loss.
                self.dismiss();
                Err(stopped)
            }
        }
    }

    /// Has every agent that gets ranks make ready; returns which ranks each host gets.
    fn prepare(&mut self, job: &mut Job) -> Result<Vec<Vec<u32>>, Stopped> {
        let chosen = self.place(job)?;
        let locals = locals(&self.hosts, &chosen);
        let view = self.call.input.as_ref().map(|input| View::of(input, random));
        for (at, ranks) in chosen.iter().enumerate() {
            let candidate = &mut self.hosts[at];
            if ranks.is_empty() {
                candidate.dismiss();
                continue;
            }
            let name = candidate.name().to_owned();
            if matches!(candidate.stage, Stage::Here) {
                let here = u32::try_from(ranks.len()).ok().and_then(NonZeroU32::new);
                let here = here.unwrap_or(NonZeroU32::MIN);
                check_descriptors(job, here, Some(self.call.listing))?;
                job.command = command::resolve(
                    &self.call.listing_words(),
                    &self.call.errand.variables,
                    self.call.errand.launcher_env,
                    job.directory.as_deref(),
                )?;
                if let Some(directory) = &job.directory {
                    check_directory(directory)?;
                }
                continue;
            }
            let mut assignment = assignment(job, name, ranks.clone(), locals[at]);
            // Its own directory was found when it answered.
            assignment.directory = None;
            let view = match &view {
                Some(Ok(view)) => Some(view.clone()),
                Some(Err(blind)) => {
                    candidate.is_blind(blind);
                    None
                }
                None => {
                    let none = job.input.is_empty();
                    candidate.is_blind(if none { "there is none" } else { "it is a stream" });
                    None
                }
            };
            candidate.begin(Begin { assignment, view });
        }
        self.run_until(Candidate::is_ready)?;
        self.tell_failures()?;
        self.tell_links(&chosen);
        Ok(chosen)
    }

    fn into_places(self, job: &Job, chosen: Vec<Vec<u32>>) -> Vec<Place> {
        let locals = locals(&self.hosts, &chosen);
        let hosts = self.hosts.len().max(1);
        let supply = Supply {
            input: self.call.input.clone(),
            records: job.records,
            buffers: self.call.buffers.clone(),
            room: ((64 << 20) / hosts).clamp(64 << 10, 1 << 20),
        };
        let now = Instant::now();
        let mut places = Vec::new();
        for ((candidate, ranks), local) in self.hosts.into_iter().zip(chosen).zip(locals) {
            if ranks.is_empty() {
                continue;
            }
            let name = candidate.name().to_owned();
            let number = candidate.number();
            let reach = match candidate.into_link(supply.clone(), now) {
                Some(link) => Reach::There(number, Box::new(link)),
                None => Reach::Here,
            };
            places.push(Place { name, ranks, local, reach });
        }
        places
    }

    /// Decides how many ranks there are and which of them run on each host.
    fn place(&self, job: &mut Job) -> Result<Vec<Vec<u32>>, Message> {
        let listing = self.call.listing;
        let mut rooms = Vec::new();
        let mut numbers = Vec::new();
        for (at, (host, candidate)) in listing.hosts.iter().zip(&self.hosts).enumerate() {
            if candidate.has_failed() {
                continue;
            }
            numbers.push(at);
            let room = host.room(candidate.hello());
            rooms.extend(room.map(|room| Room { host: candidate.name().to_owned(), ..room }));
        }
        let placed = place(&rooms, &listing.wish, &listing.from)?;
        let mut chosen = vec![Vec::new(); listing.hosts.len()];
        for (rank, room) in placed.iter().enumerate() {
            chosen[numbers[*room as usize]].push(u32::try_from(rank).unwrap_or(u32::MAX));
        }
        let world = u32::try_from(placed.len()).ok().and_then(NonZeroU32::new);
        job.ranks = world.unwrap_or(NonZeroU32::MIN);
        let locals = locals(&self.hosts, &chosen);
        report::check_cores(job, &self.hosts, &chosen, &locals)?;
        Ok(chosen)
    }

    /// Turns until `done` holds for every host that has not failed.
    fn run_until(&mut self, done: impl Fn(&Candidate) -> bool) -> Result<(), Stopped> {
        let mut events = Vec::new();
        loop {
            self.turn(Instant::now())?;
            if self.hosts.iter().all(|host| host.has_failed() || done(host)) {
                return Ok(());
            }
            let now = Instant::now();
            let deadline = self.hosts.iter().filter_map(Candidate::deadline).min();
            let wait = deadline.map_or(LOOK, |at| at.saturating_duration_since(now)).min(LOOK);
            let waited = self.poller.wait_once(wait, &mut events);
            waited.map_err(|errno| Message::new(format!("cannot wait for hosts: {errno}")))?;
            for event in events.drain(..) {
                self.take(event)?;
            }
        }
    }

    fn turn(&mut self, now: Instant) -> Result<(), Message> {
        self.doors.turn(now);
        let came = match &mut self.call.coming {
            Coming::Logins => Vec::new(),
            Coming::Themselves { comers, .. } => comers.turn(self.poller, now)?,
        };
        let context = candidate::Context {
            listing: self.call.listing,
            rules: &self.rules,
            poller: self.poller,
            verbosity: self.call.verbosity,
            only_ask: self.call.only_ask,
        };
        for (number, way) in came {
            if let Some(host) = self.hosts.get_mut(number as usize) {
                host.arrive(way, &context, now);
            }
        }
        let mut running = self.hosts.iter().filter(|host| host.is_logging_in()).count();
        let most = self.call.listing.reach.logins as usize;
        for at in 0..self.hosts.len() {
            if let Some(logins) = &self.logins
                && self.hosts[at].is_due(now)
                && running < most
            {
                let jump = self.hosts[at].find_jump(&logins.jumps, &context);
                let through =
                    |host: &&Candidate| host.is_logging_in() && host.jump() == jump.as_deref();
                let busy =
                    jump.is_some() && self.hosts.iter().filter(through).count() >= jump::LOGINS;
                if !busy {
                    running += 1;
                    self.hosts[at].log_in(logins, &context, now);
                }
            }
            self.hosts[at].turn(&context, &mut self.doors, now);
        }
        Ok(())
    }

    fn take(&mut self, event: Ready) -> Result<(), Stopped> {
        match event.token {
            Token::Lifeline => Err(Stopped::Orphaned("the guardian")),
            Token::Control => self.take_orders(),
            Token::Link(number, _) => {
                if let Some(host) = self.hosts.get_mut(number as usize) {
                    host.ready(event);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_orders(&mut self) -> Result<(), Stopped> {
        let Some(Orders { control, report }) = &self.orders else { return Ok(()) };
        let mut bytes = [0; 64];
        loop {
            match rustix::io::read(control, &mut bytes) {
                Ok(0) => return Err(Stopped::Orphaned("pxrun")),
                Ok(count) => {
                    for order in bytes[..count].iter().filter_map(|&byte| Order::decode(byte)) {
                        match order {
                            Order::Stop(signal) => return Err(Stopped::By(signal)),
                            Order::Kill => return Err(Stopped::By(Signal::QUIT)),
                            // No copy runs yet that would have to stand still.
                            Order::Pause => drop(rustix::io::write(report, &[PAUSED])),
                            Order::Status => self.tell_status(),
                            Order::Resume | Order::Forward(_) => {}
                        }
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Ok(()),
            }
        }
    }

    fn tell_status(&self) {
        let ready = self.hosts.iter().filter(|host| host.has_answered()).count();
        let text = format!("{ready} of {} hosts have answered", self.hosts.len());
        say(&Message::new(text).render("note"));
    }

    /// Refuses to go on with hosts that failed, unless enough others are there.
    fn tell_failures(&mut self) -> Result<(), Stopped> {
        let Some(refusal) = report::failures(&self.hosts) else {
            return Ok(());
        };
        let alive = self.hosts.iter().filter(|host| !host.has_failed()).count();
        match self.call.listing.reach.least {
            Some(least) if alive >= least as usize => {
                if self.call.verbosity > Verbosity::Quiet && report::mark_told(&mut self.hosts) {
                    let mut message = refusal.message;
                    message.help = None;
                    say(&message.render("warning"));
                }
                Ok(())
            }
            _ => {
                self.hosts.iter_mut().for_each(Candidate::dismiss);
                Err(refusal.into())
            }
        }
    }

    fn tell_links(&self, chosen: &[Vec<u32>]) {
        let carrier = match &self.call.coming {
            Coming::Logins => "ssh",
            Coming::Themselves { comers, .. } => comers.carrier(),
        };
        for (host, ranks) in self.hosts.iter().zip(chosen).filter(|(_, ranks)| !ranks.is_empty()) {
            for (level, text) in host.remarks(ranks.len(), carrier) {
                if self.call.verbosity >= level {
                    say(&Message::new(text).render("note"));
                }
            }
        }
        let strangers = self.doors.strangers();
        if strangers > 0 && self.call.verbosity > Verbosity::Quiet {
            let text = format!("{strangers} strangers knocked at the root's door and were let go");
            say(&Message::new(text).render("note"));
        }
    }
}

/// Where the ranks of each candidate stand among those of its host, which several may share, be it
/// with the same cores or each with its own.
fn locals(hosts: &[Candidate], chosen: &[Vec<u32>]) -> Vec<Local> {
    let mut counts: HashMap<_, u32> = HashMap::new();
    let mut taken: HashMap<_, u32> = HashMap::new();
    let mut locals = Vec::new();
    for (at, (host, ranks)) in hosts.iter().zip(chosen).enumerate() {
        let identity = host.identity().ok_or(at);
        let cores = host.hello().map(|hello| &hello.cores);
        let ranks = Local::alone(ranks).all;
        let count = |of: &mut u32| std::mem::replace(of, *of + ranks);
        let before = count(counts.entry(identity).or_default());
        locals.push((identity, before, count(taken.entry((identity, cores)).or_default())));
    }
    let local = |(identity, before, cores_taken)| {
        let all = counts.get(&identity).copied().unwrap_or_default();
        Local { before, all, cores_taken }
    };
    locals.into_iter().map(local).collect()
}

impl Call<'_> {
    fn listing_words(&self) -> Vec<std::ffi::OsString> {
        use std::os::unix::ffi::OsStringExt;
        let words = self.errand.words.iter().cloned();
        words.map(std::ffi::OsString::from_vec).collect()
    }
}

/// A number that nobody can foresee.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_le_bytes(bytes),
        // Never for so few bytes.
        _ => 0,
    }
}
