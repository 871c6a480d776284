//! Agents on the nodes of an allocation: one `srun` starts them all. Over its stdin and stdout, or in
//! a directory where there is no munge, they and the root show each other their cards; then they
//! connect.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use px_runtime::failure::Message;
use px_runtime::link::keys::KeyPair;
use px_runtime::link::place::Place;
use px_runtime::poller::{Part, Poller, Token};
use px_runtime::sys::munge::Munge;

use super::allocation::Allocation;
use super::entrance::{Orders, Way};
use super::running::Srun;
use super::srun::{self, Launch};
use crate::comers::{Comer, Comers, Knocking};
use crate::joined;
use crate::plan::Plan;
use crate::rendezvous::directory::{self, Directory};
use crate::rendezvous::roll::Roll;
use crate::rendezvous::stdio::{Ear, Event};
use crate::rendezvous::{self, MeetError, Rendezvous};
use crate::ssh::mark::Mark;

/// How long agents may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The agents on the nodes of an allocation.
pub struct Step {
    /// Of all nodes with ranks.
    hosts: Vec<String>,
    here: Option<usize>,
    agents: Option<Agents>,
}

/// Those on other nodes.
struct Agents {
    srun: Srun,
    meeting: Meeting,
    deadline: Instant,
    places: Vec<Place>,
    keys: Rc<KeyPair>,
    job: String,
    knocking: Option<Knocking>,
    /// The place in the listing of each node, by its name; and of each agent, by its number.
    nodes: HashMap<String, u32>,
    numbers: HashMap<u32, u32>,
    watched: bool,
}

/// How agents and root meet.
enum Meeting {
    /// By credentials on the streams of `srun`.
    Munge(Munge, Ear, Roll),
    /// In a directory.
    Directory(Box<Directory>),
    /// They have met.
    Over,
}

/// Which nodes an agent is to be started on: all that have ranks, but the one where this process may
/// use all that the job has there.
pub fn elsewhere<'a>(
    allocation: &Allocation,
    hosts: &'a [String],
) -> (Vec<&'a str>, Option<usize>) {
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
    let here = allocation.here.as_ref().filter(|here| {
        let node = allocation.nodes.iter().find(|node| node.name == **here);
        node.is_some_and(|node| cores >= node.cpus as usize)
    });
    let here = here.and_then(|here| hosts.iter().position(|host| host == here));
    let others = hosts.iter().enumerate().filter(|(at, _)| Some(*at) != here);
    (others.map(|(_, host)| host.as_str()).collect(), here)
}

/// The words that start an agent on each of `nodes`.
///
/// # Errors
/// This program cannot be found.
pub fn words(
    allocation: &Allocation,
    nodes: &[&str],
    agent: Option<&Path>,
    orders: &Orders,
) -> Result<Vec<OsString>, Message> {
    let own = || {
        std::env::current_exe()
            .map_err(|error| Message::new(format!("cannot tell where this program is: {error}")))
    };
    let agent = agent.map_or_else(own, |agent| Ok(PathBuf::from(agent)))?;
    let arguments = orders.words();
    let launch = Launch { allocation, nodes, agent: agent.as_os_str(), arguments: &arguments };
    Ok(srun::words(&launch))
}

/// How the agents of a plan would be started, in words; `None` where this node's are all.
///
/// # Errors
/// This program cannot be found.
pub fn describe(plan: &Plan) -> Result<Option<String>, Message> {
    let (Some(listing), Some(allocation)) = (&plan.listing, &plan.allocation) else {
        return Ok(None);
    };
    let hosts: Vec<_> = listing.hosts.iter().map(|host| host.host.clone()).collect();
    let (nodes, _) = elsewhere(allocation, &hosts);
    if nodes.is_empty() {
        return Ok(None);
    }
    let (mark, job) = (Mark::from([0; 16]), allocation.job.to_string());
    let way = match &plan.rendezvous {
        None => Way::Munge,
        Some(base) => Way::Directory(base.clone(), u32::try_from(nodes.len() + 1).unwrap_or(0)),
    };
    let orders = Orders { mark, job, duty: joined::duty(plan), way };
    let words = words(allocation, &nodes, listing.reach.agent.as_deref(), &orders)?;
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    Ok(Some(words.join(" ")))
}

/// Starts the agents of a plan inside an allocation.
///
/// # Errors
/// No way to meet them, or no `srun`.
pub fn gather(plan: &Plan) -> Result<Box<dyn Comers>, Message> {
    let (Some(listing), Some(allocation)) = (&plan.listing, &plan.allocation) else {
        return Err(Message::new("there is no allocation"));
    };
    let hosts: Vec<_> = listing.hosts.iter().map(|host| host.host.clone()).collect();
    let (nodes, here) = elsewhere(allocation, &hosts);
    if nodes.is_empty() {
        return Ok(Box::new(Step { here, hosts, agents: None }));
    }
    let environment = |name: &str| std::env::var_os(name);
    let size = u32::try_from(nodes.len()).unwrap_or(u32::MAX).saturating_add(1);
    let mark = Mark::random().map_err(|error| Message::new(error.to_string()))?;
    let job = format!("{}-{}", allocation.job, plan.job.id);
    let munge = match plan.rendezvous {
        Some(_) => None,
        None => rendezvous::munge::find(environment).map_err(MeetError::from)?,
    };
    let (meeting, way) = match munge {
        Some(munge) => {
            let meeting = Meeting::Munge(munge, Ear::new(mark, size - 1), Roll::new(&job, size));
            (meeting, Way::Munge)
        }
        None => {
            let base = plan.rendezvous.clone().or_else(|| directory::cache(environment));
            let base = base.ok_or(MeetError::Nowhere)?;
            let meeting = Directory::open(&base, &job, 0, size)?;
            (Meeting::Directory(Box::new(meeting)), Way::Directory(base, size))
        }
    };
    let duty = joined::duty(plan);
    let orders = Orders { mark, job: job.clone(), duty, way };
    let words = words(allocation, &nodes, listing.reach.agent.as_deref(), &orders)?;
    let srun = Srun::start(words, srun::environment(std::env::vars_os()))?;
    let numbers = hosts.iter().cloned().zip(0..).collect();
    let agents = Agents {
        srun,
        meeting,
        deadline: Instant::now() + PATIENCE,
        places: joined::places(&listing.reach)?,
        keys: joined::keys()?,
        job,
        knocking: None,
        nodes: numbers,
        numbers: HashMap::new(),
        watched: false,
    };
    Ok(Box::new(Step { hosts, here, agents: Some(agents) }))
}

impl Agents {
    /// Goes on meeting them, as long as they have not all come.
    fn meet(&mut self, now: Instant) -> Result<(), Message> {
        match std::mem::replace(&mut self.meeting, Meeting::Over) {
            Meeting::Over => {}
            Meeting::Munge(munge, mut ear, mut roll) => {
                while let Some(bytes) = self.srun.read() {
                    for event in ear.hear(&bytes) {
                        match event {
                            Event::Credential(words) => {
                                roll.enter(rendezvous::srun::open(&munge, &words)?)?;
                            }
                            Event::Noise(_) => {}
                            Event::TooNoisy => {
                                let text =
                                    "what `srun` prints is too much noise to find an agent in";
                                return Err(Message::new(text));
                            }
                        }
                    }
                }
                if !roll.is_complete() && now < self.deadline {
                    self.check()?;
                    self.meeting = Meeting::Munge(munge, ear, roll);
                    return Ok(());
                }
                let cards = roll.close()?;
                let card = self.expect(&cards)?;
                for agent in &cards {
                    let line = rendezvous::srun::line_to(&munge, &card, agent.task)?;
                    self.srun.say(line.as_bytes());
                }
            }
            Meeting::Directory(mut directory) => {
                let cards = directory.collect(self.deadline)?;
                let card = self.expect(&cards)?;
                directory.announce(&card, self.deadline)?;
                if let Some(knocking) = &mut self.knocking {
                    knocking.keep_open(directory);
                }
            }
        }
        self.srun.write();
        Ok(())
    }

    /// Expects those who hold `cards`; returns the root's own.
    fn expect(&mut self, cards: &[rendezvous::Card]) -> Result<rendezvous::Card, Message> {
        for card in cards {
            let number = self.nodes.get(&card.host).ok_or_else(|| {
                Message::new(format!("an agent came from `{}`, which none was sent to", card.host))
            })?;
            self.numbers.insert(card.task, *number);
        }
        let knocking =
            Knocking::open(&self.places, Vec::new(), || joined::guests(cards, &self.keys))?;
        let mut card = joined::own_card(&self.job, 0, &self.keys);
        card.addresses = knocking.addresses();
        self.knocking = Some(knocking);
        Ok(card)
    }

    /// Sees to it that there is somebody to wait for.
    fn check(&mut self) -> Result<(), Message> {
        let Some(how) = self.srun.ended() else { return Ok(()) };
        Err(Message::new(format!("`srun` {how} before its agents came"))
            .note("what it said is above")
            .help("`--agent-path FILE` where this program is elsewhere on the nodes"))
    }

    fn turn(&mut self, poller: &Poller, now: Instant) -> Result<Vec<Comer>, Message> {
        if !std::mem::replace(&mut self.watched, true) {
            // What is not watched is looked at now and then all the same.
            let _ = poller.add(&self.srun.stdout, Token::Link(u32::MAX, Part::Words));
        }
        self.meet(now)?;
        self.srun.write();
        let Some(knocking) = &mut self.knocking else { return Ok(Vec::new()) };
        let mut comers = knocking.turn(poller, now)?;
        for (number, _) in &mut comers {
            *number = self.numbers.get(number).copied().unwrap_or(u32::MAX);
        }
        if comers.is_empty() {
            self.check()?;
        }
        Ok(comers)
    }
}

impl Comers for Step {
    fn carrier(&self) -> &'static str {
        "a connection from it"
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.clone()
    }

    fn here(&self) -> Option<usize> {
        self.here
    }

    fn turn(&mut self, poller: &Poller, now: Instant) -> Result<Vec<Comer>, Message> {
        self.agents.as_mut().map_or(Ok(Vec::new()), |agents| agents.turn(poller, now))
    }

    fn see_off(self: Box<Self>, well: bool) {
        if let Some(Agents { srun, knocking, .. }) = self.agents {
            knocking.map(Box::new).into_iter().for_each(|knocking| knocking.see_off(well));
            srun.finish();
        }
    }
}
