//! One process of a world that somebody else has started: the root, or an agent that finds it.
//!
//! The processes know nothing of each other but a way to exchange what is no secret. Each agent
//! tells the root its public key; the root opens doors for exactly those keys, and tells where they
//! are and its own; then the agents connect.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use px_runtime::buffers::Buffers;
use px_runtime::engine::Order;
use px_runtime::failure::Message;
use px_runtime::guardian;
use px_runtime::link::channel::Ends;
use px_runtime::link::control::Packing;
use px_runtime::link::dial::{Call, Dial};
use px_runtime::link::hello::{Admitted, Guest, Hello, Proof};
use px_runtime::link::keys::KeyPair;
use px_runtime::link::lease;
use px_runtime::link::place::Place;
use px_runtime::link::seal::{Opener, Sealer, Side, Terms};
use px_runtime::link::serve::{Wiring, serve};
use px_runtime::root::Verdict;
use px_runtime::sys::memory::keep_secrets_out_of_core_files;
use px_runtime::sys::timespec;
use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use crate::comers::{Comers, Knocking};
use crate::fabric::Present;
use crate::hosts::ReachBy;
use crate::plan::Plan;
use crate::rendezvous::{Card, Rendezvous};
use crate::supervise::{EndBy, Ended, Post, Undertaking};
use crate::work::Gather;
use crate::world::World;
use crate::{Refusal, agent, fabric, rendezvous, supervise};

/// How long processes may take to find each other.
const MEETING: Duration = Duration::from_secs(60);
/// How long an MPI may take to be left.
const LEAVING: Duration = Duration::from_secs(20);
/// How long an address may take to answer.
const ADDRESS: Duration = Duration::from_secs(5);

/// What an agent must know before its root tells it more.
#[derive(Clone, Copy, Debug)]
pub struct Duty {
    /// Silence after which the root is lost.
    pub lease: Duration,
    /// How data is packed on connections of our own.
    pub packing: Packing,
    /// How long copies may take to end.
    pub grace: Duration,
}

/// What signals to an agent's processes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// What they would mean to the root's.
    PassedOn,
    /// Nothing: they are the launcher's, and the user's go elsewhere.
    Ignored,
}

fn terms(job: &str, agent: u32) -> Terms {
    Terms {
        version: agent::VERSION.to_owned(),
        job: job.to_owned(),
        agent,
        attempt: 1,
        dialer: Side::Agent,
    }
}

/// Makes a pair of keys for this process.
///
/// # Errors
/// No random numbers, or no way to keep it secret.
pub fn keys() -> Result<Rc<KeyPair>, Message> {
    keep_secrets_out_of_core_files()
        .map_err(|errno| Message::new(format!("cannot keep secrets: {errno}")))?;
    let pair = KeyPair::random().map_err(|error| Message::new(error.to_string()))?;
    Ok(Rc::new(pair))
}

/// Meets the agents and opens doors for them at `places`.
///
/// # Errors
/// Some do not come; no door can be opened.
pub fn meet_agents(rendezvous: &mut dyn Rendezvous, places: &[Place]) -> Result<Knocking, Message> {
    let own = keys()?;
    let deadline = Instant::now() + MEETING;
    let cards = rendezvous.collect(deadline)?;
    let card = own_card(rendezvous.job(), 0, &own);
    let mut hosts = vec![card.host.clone()];
    hosts.extend(cards.iter().map(|card| card.host.clone()));
    let knocking = Knocking::open(places, hosts, || guests(&cards, &own))?;
    rendezvous.announce(&Card { addresses: knocking.addresses(), ..card }, deadline)?;
    Ok(knocking)
}

/// Those who hold `cards`, as a root with the keys `own` expects them.
pub fn guests(cards: &[Card], own: &Rc<KeyPair>) -> Vec<Guest> {
    let guest = |card: &Card| Guest {
        terms: terms(&card.job, card.task),
        proof: Proof::Keys { own: Rc::clone(own), theirs: card.key },
    };
    cards.iter().map(guest).collect()
}

/// The card of process `task` of `job`, with no address yet.
pub fn own_card(job: &str, task: u32, own: &KeyPair) -> Card {
    let (job, host) = (job.to_owned(), agent::host());
    Card { job, task, host, key: own.public(), addresses: Vec::new() }
}

/// Where a root may open doors: at the address that the user names, else at all of its own.
///
/// # Errors
/// That its addresses cannot be found out.
pub fn places(reach: &ReachBy) -> Result<Vec<Place>, Message> {
    let user_timeout = reach.lease;
    let place = |(address, ports)| Place { address, ports, user_timeout };
    if let Some(named) = reach.listen.clone() {
        return Ok(vec![place(named)]);
    }
    let own = rendezvous::addresses::own().map_err(|errno| {
        Message::new(format!("cannot find out this host's addresses: {errno}"))
            .help("`--listen ADDRESS` names one")
    })?;
    Ok(own.into_iter().map(|address| place((address, None))).collect())
}

/// Meets the root and connects to it as process `task`.
///
/// # Errors
/// It does not come, or cannot be reached.
pub fn meet_root(
    rendezvous: &mut dyn Rendezvous,
    task: u32,
    lease: Duration,
) -> Result<Admitted, Message> {
    let own = keys()?;
    let card = own_card(rendezvous.job(), task, &own);
    let root = rendezvous.meet(&card, Instant::now() + MEETING)?;
    connect(&root, own, task, lease)
}

/// Connects to the root that has shown its card, as process `task` with the keys `own`.
///
/// # Errors
/// It cannot be reached.
pub fn connect(
    root: &Card,
    own: Rc<KeyPair>,
    task: u32,
    lease: Duration,
) -> Result<Admitted, Message> {
    let proof = Proof::Keys { own, theirs: root.key };
    let guest = Guest { terms: terms(&root.job, task), proof };
    let mut failed = Message::new(format!("cannot reach the root on `{}`", root.host));
    for address in &root.addresses {
        match dial(*address, &guest, lease) {
            Ok(admitted) => return Ok(admitted),
            Err(why) => failed.notes.push(why),
        }
    }
    Err(failed
        .help("`--listen ADDRESS` names the root's address in a network that all hosts share"))
}

fn dial(address: SocketAddr, guest: &Guest, lease: Duration) -> Result<Admitted, String> {
    let call = Call { address, hello: Hello::Numbered, patience: ADDRESS, user_timeout: lease };
    let mut dial = Dial::start(&call, guest, Instant::now()).map_err(|error| error.to_string())?;
    loop {
        if let Some(admitted) = dial.turn(Instant::now()).map_err(|error| error.to_string())? {
            return Ok(admitted);
        }
        let left = dial.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let mut fds = [PollFd::new(&dial, PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, left.map(timespec).as_ref());
    }
}

/// An agent that is connected to its root.
pub struct Connected {
    stream: OwnedFd,
    seal: (Sealer, Opener),
    /// The connection once more: it is to end with this process and not before.
    pub held: Option<OwnedFd>,
}

impl From<Admitted> for Connected {
    fn from(admitted: Admitted) -> Self {
        let held = rustix::io::fcntl_dupfd_cloexec(&admitted.stream, 3).ok();
        let Admitted { stream, sealer, opener, .. } = admitted;
        Connected { stream, seal: (sealer, opener), held }
    }
}

/// How a root gathers the others of its world.
pub fn gather(world: World, start: Option<fabric::Start>) -> Gather {
    let gather = move |plan: &Plan, buffers: &Buffers| -> Result<Box<dyn Comers>, Message> {
        let Some(start) = start else {
            let listing = plan.listing.as_ref();
            let places = listing.map(|listing| places(&listing.reach)).transpose()?;
            let mut rendezvous = meeting_place(plan, world)?;
            let mut comers = meet_agents(rendezvous.as_mut(), &places.unwrap_or_default())?;
            comers.keep_open(rendezvous);
            return Ok(Box::new(comers));
        };
        Ok(Box::new(Present::all(start(buffers)?)))
    };
    Gather { they_wait: true, gather: Box::new(gather) }
}

fn meeting_place(plan: &Plan, world: World) -> Result<Box<dyn Rendezvous>, Message> {
    let environment = |name: &str| std::env::var_os(name);
    let named = plan.rendezvous.as_deref();
    Ok(rendezvous::of_step(environment, named, world.rank, world.size)?)
}

/// What agents must know of a plan before its root tells them more.
pub fn duty(plan: &Plan) -> Duty {
    let reach = plan.listing.as_ref().map(|listing| &listing.reach);
    Duty {
        lease: reach.map_or(lease::USUAL, |reach| reach.lease),
        packing: reach.map_or(Packing::Plain, |reach| reach.packing),
        grace: plan.job.grace,
    }
}

/// Does the part of a process that is not the first of its world.
///
/// # Errors
/// It finds no root.
pub fn take_part(
    plan: &Plan,
    world: World,
    start: Option<fabric::Start>,
) -> Result<ExitCode, Refusal> {
    let duty = duty(plan);
    if let Some(start) = start {
        return supervise::run(of_peer(start, duty, Asks::PassedOn));
    }
    let mut rendezvous = meeting_place(plan, world)?;
    let admitted = meet_root(rendezvous.as_mut(), world.rank, duty.lease)?;
    drop(rendezvous);
    let mut connected = Connected::from(admitted);
    // To its end: it tells the root that this process has ended.
    let _held = connected.held.take();
    supervise::run(of_agent(connected, duty))
}

/// Makes an undertaking of what an agent has to do whose work is `work`.
fn undertaking(
    duty: Duty,
    believed: Duration,
    work: impl FnOnce(Post) -> Result<(), Ended> + 'static,
) -> Undertaking {
    Undertaking {
        grace: duty.grace,
        verbose: false,
        // What it asks for is the root's to do.
        user_signal: Order::Stop(Signal::USR1),
        end_by: EndBy::Status,
        lease: Some(believed),
        work: Box::new(move |post| work(post).map(|()| Some(Verdict::Status(0)))),
    }
}

/// What an agent does that is connected to its root.
pub fn of_agent(connected: Connected, duty: Duty) -> Undertaking {
    undertaking(duty, duty.lease + MEETING, move |post| {
        let Connected { stream, seal, .. } = connected;
        run(Ends::Socket(stream), Some(seal), Buffers::default(), duty, Asks::PassedOn, post)
    })
}

/// What a process does that has others of its kind around, its number being none of the root's.
pub fn of_peer(start: fabric::Start, duty: Duty, asks: Asks) -> Undertaking {
    undertaking(duty, duty.lease + 2 * MEETING, move |post| {
        let buffers = Buffers::default();
        let fabric = start(&buffers)?;
        let carrier = fabric.carrier(0).ok_or_else(|| Message::new("there is no root"))?;
        // The guardian takes the end of this pipe for the end of all work.
        let pulse = rustix::io::fcntl_dupfd_cloexec(&post.pulse, 3)
            .map_err(|errno| Message::new(format!("cannot copy a descriptor: {errno}")))?;
        run(Ends::Carried(carrier), None, buffers, duty, asks, post)?;
        guardian::pulse(&pulse, LEAVING);
        if !fabric.leave(fabric::LEAVING[0]) {
            return Err(Message::new("the other processes did not leave in time").into());
        }
        Ok(())
    })
}

fn run(
    control: Ends,
    seal: Option<(Sealer, Opener)>,
    buffers: Buffers,
    duty: Duty,
    asks: Asks,
    post: Post,
) -> Result<(), Ended> {
    let Post { ties, guardian, pulse } = post;
    let wiring = Wiring {
        control,
        seal,
        packing: duty.packing,
        buffers,
        asks: (asks == Asks::PassedOn).then_some(ties.control),
        guardian,
        lifeline: ties.lifeline,
        pulse,
        // The root may be waiting for others yet.
        lease: duty.lease.max(MEETING),
    };
    let served = serve(wiring, agent::hello(), agent::VERSION, &mut agent::prepare);
    served.map_err(|error| {
        let host = agent::host();
        Message::new(format!("agent on `{host}`: {error}")).into()
    })
}
