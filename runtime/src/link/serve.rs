//! The agent's end: a host's ranks, run for a root that is elsewhere.
//!
//! The agent's life is its link's life. When the root says nothing for the time of the lease, or
//! a channel ends, the agent ends, and its guardian ends whatever it has started. The guardian is
//! told now and then for how long the agent may be believed, so an agent that hangs is ended too.

mod linking;
mod telling;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

pub(super) use linking::pack;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::channel::{Channel, ChannelError, Ends};
use super::control::{
    self, AgentSays, Begin, ControlError, Errand, FROM_ROOT, Hello, Open, Packing, RootSays,
};
use super::dial::{Call, Dial};
use super::door::Door;
use super::frame::{self, Kind};
use super::hello;
use super::lease::{self, Lease};
use super::preamble;
use super::seal::{Opener, Sealer, Side};
use super::secret::Secret;
use super::{Link, Moved};
use crate::agent::Agent;
use crate::agent::assignment::Reading;
use crate::buffers::Buffers;
use crate::engine::Order;
use crate::job::Command;
use crate::message::{FromAgent, ToAgent};
use crate::pace::Pace;
use crate::poller::{Part, Poller, Ready, Token};

/// After this long without an event everything is tried once more.
const STIR: Duration = Duration::from_secs(1);
/// How often to look at what copies have read, where that decides the deal.
const TICK: Duration = Duration::from_millis(1);
/// How often doors are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Reads before copies' turn.
const READS: u32 = 4;
/// For the root's end of the connection to be closed after all was said.
const LINGER: Duration = Duration::from_secs(2);

/// The descriptors that tie an agent to others.
pub struct Wiring {
    /// What the root says, and what it is told.
    pub control: Ends,
    /// Where that is a connection of our own: what seals it.
    pub seal: Option<(Sealer, Opener)>,
    /// How data on such a connection is packed.
    pub packing: Packing,
    /// Where received bytes are kept.
    pub buffers: Buffers,
    /// Tells what signals were sent to this host's part of the job, as [`Order`]s.
    pub asks: Option<OwnedFd>,
    /// The parent of this process, as long as it lives.
    pub guardian: Pid,
    /// Its end means that the guardian is gone.
    pub lifeline: OwnedFd,
    /// The guardian hears here for how long this agent may be believed.
    pub pulse: OwnedFd,
    /// Silence after which the root is lost, as long as it has not said otherwise.
    pub lease: Duration,
}

/// Why the job cannot run here.
#[derive(Debug)]
pub struct Unfit {
    /// What the root is to end with.
    pub status: u8,
    /// Why.
    pub text: String,
}

/// Finds the command as this host has it.
pub type Prepare<'a> = &'a mut dyn FnMut(&Errand) -> Result<Command, Unfit>;

/// Why an agent ended before the job did.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The root is out of reach.
    #[error("the root is lost: {0}")]
    Channel(#[from] ChannelError),
    /// The root was silent for the time of the lease.
    #[error("nothing was heard from the root for {0:.1} s")]
    Silent(f64),
    /// What the root says cannot be read.
    #[error("the root sent {0}")]
    Control(#[from] ControlError),
    /// What the root says has no place here.
    #[error("the root broke the protocol: {0}")]
    Protocol(&'static str),
    /// The guardian is gone.
    #[error("the guardian is gone")]
    Orphaned,
    /// A system call failed.
    #[error("cannot {0}: {1}")]
    System(&'static str, Errno),
}

const NO_CONNECTION: ServeError = ServeError::Protocol("data over a connection that there is not");

struct Server<'a> {
    poller: Poller,
    buffers: Buffers,
    control: Channel,
    data: Option<Channel>,
    guardian: Pid,
    pulse: OwnedFd,
    prepare: Prepare<'a>,
    hello: Hello,
    version: &'a str,
    secret: Option<Secret>,
    open: Option<Open>,
    door: Option<Door>,
    dial: Option<Dial>,
    direct: Option<Channel>,
    reverse: Option<Channel>,
    linked: bool,
    /// The root has let in who is still waiting here to hear so.
    enters: bool,
    lease: Lease,
    first_lease: Duration,
    paused: bool,
    pulsed: Instant,
    command: Option<Command>,
    agent: Option<Agent>,
    reading: Reading,
    consumed: Vec<(u32, u64)>,
    frames: u64,
    leaving: bool,
    asks: Option<OwnedFd>,
}

/// Serves one job and returns when it is over.
///
/// # Errors
/// See [`ServeError`]; whatever still runs is then to be ended by the guardian.
pub fn serve(
    wiring: Wiring,
    hello: Hello,
    version: &str,
    prepare: Prepare<'_>,
) -> Result<(), ServeError> {
    let system = |step| move |source| ServeError::System(step, source);
    let poller = Poller::new().map_err(system("wait for events"))?;
    let now = Instant::now();
    let Wiring { control, seal, packing, buffers, asks, .. } = wiring;
    let own = seal.is_some();
    let mut control = Channel::new(control, seal, FROM_ROOT, Vec::new(), buffers.clone(), now);
    if own && packing == Packing::Compressed {
        pack(&mut control)?;
    }
    if let Some(asks) = &asks {
        poller.add(asks, Token::Control).map_err(system("watch for signals"))?;
    }
    control.watch(&poller, 0).map_err(system("watch the control channel"))?;
    poller.add(&wiring.lifeline, Token::Lifeline).map_err(system("watch the guardian"))?;
    control.send_raw(&preamble::encode(version));
    if !control.say(&AgentSays::Hello(Box::new(hello.clone()))) {
        return Err(ServeError::Protocol("this host's greeting is too long"));
    }
    let server = Server {
        poller,
        buffers,
        control,
        data: None,
        guardian: wiring.guardian,
        pulse: wiring.pulse,
        prepare,
        hello,
        version,
        secret: None,
        open: None,
        door: None,
        dial: None,
        direct: None,
        reverse: None,
        linked: false,
        enters: false,
        lease: Lease::new(wiring.lease, now),
        first_lease: wiring.lease,
        paused: false,
        pulsed: now,
        command: None,
        agent: None,
        reading: Reading::Untold,
        consumed: Vec::new(),
        frames: 0,
        leaving: false,
        asks,
    };
    server.run()
}

impl Server<'_> {
    fn run(mut self) -> Result<(), ServeError> {
        let mut events = Vec::new();
        let mut pace = Pace::new();
        let mut moved = Moved { any: true, ..Moved::default() };
        let mut last_event = Instant::now();
        loop {
            let timeout = self.timeout(moved);
            let failed = |source| ServeError::System("wait for events", source);
            self.poller.wait(timeout, &mut events).map_err(failed)?;
            let now = Instant::now();
            if !events.is_empty() {
                last_event = now;
            } else if now >= last_event + STIR {
                last_event = now;
                self.stir(now);
            }
            for event in events.drain(..) {
                self.ready(event, now)?;
            }
            moved = self.turn(now)?;
            if self.leaving && self.has_left(now) {
                return self.part();
            }
            if moved.any
                && !moved.more
                && let Some(pause) = pace.pause(moved.fullest)
            {
                // What is carried by messages moves only while it is looked at.
                let due = self.timeout(Moved::default()).unwrap_or(pause);
                self.poller.pace(pause.min(due)).map_err(failed)?;
            }
        }
    }

    fn timeout(&self, moved: Moved) -> Option<Duration> {
        if moved.any || moved.more {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let agent = self.agent.as_ref().and_then(Link::deadline).map(until);
        let every = self.lease.beat();
        let beat = until(self.control.deadline(every));
        let data = self.data.as_ref().map(|data| until(data.deadline(every)));
        let reads = self.reading == Reading::Told
            && self.agent.as_ref().is_some_and(|agent| agent.running() > 0);
        let doors = self.door.is_some() || self.dial.is_some();
        [
            agent,
            Some(beat),
            data,
            reads.then_some(TICK),
            doors.then_some(LOOK),
            Some(until(self.lease.end(self.heard()))),
            Some(STIR),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn heard(&self) -> Instant {
        let control = self.control.heard();
        self.data.as_ref().map_or(control, |data| control.max(data.heard()))
    }

    fn stir(&mut self, now: Instant) {
        self.control.woken();
        if let Some(data) = &mut self.data {
            data.woken();
        }
        if let Some(agent) = &mut self.agent {
            agent.stir(now);
        }
    }

    fn ready(&mut self, event: Ready, now: Instant) -> Result<(), ServeError> {
        match event.token {
            Token::Lifeline => {
                self.end_copies(now);
                return Err(ServeError::Orphaned);
            }
            Token::Link(_, Part::ControlIn | Part::ControlOut) => self.control.woken(),
            Token::Control => self.pass_on_asks(),
            Token::Link(_, Part::Data) => {
                self.control.woken();
                let channels = [&mut self.data, &mut self.direct, &mut self.reverse];
                channels.into_iter().flatten().for_each(Channel::woken);
            }
            _ => {
                if let Some(agent) = &mut self.agent {
                    agent.ready(event, now);
                }
            }
        }
        Ok(())
    }

    /// Asks the root for what signals have asked of this process.
    fn pass_on_asks(&mut self) {
        let mut bytes = [0; 64];
        let Some(count) = self.asks.as_ref().map(|asks| rustix::io::read(asks, &mut bytes)) else {
            return;
        };
        match count {
            // Nobody is there to ask any more.
            Ok(0) => self.asks = None,
            Ok(count) => {
                for order in bytes[..count].iter().filter_map(|&byte| Order::decode(byte)) {
                    if let Order::Stop(signal) = order {
                        self.say(&AgentSays::Told(FromAgent::Asked { signal }));
                    }
                }
            }
            Err(_) => {}
        }
    }

    /// What the guardian would do, when there is none any more.
    fn end_copies(&mut self, now: Instant) {
        if let Some(agent) = &mut self.agent {
            agent.order(ToAgent::Signal { rank: None, signal: Signal::KILL }, &self.poller, now);
        }
    }

    fn turn(&mut self, now: Instant) -> Result<Moved, ServeError> {
        let mut moved = Moved::default();
        for is_data in [false, true] {
            self.receive(is_data, now, &mut moved)?;
        }
        self.open_doors(now)?;
        if let Some(agent) = &mut self.agent {
            let pumped = agent.pump(&self.poller, now);
            moved.any |= pumped.any;
            moved.more |= pumped.more;
            moved.fullest = moved.fullest.max(pumped.fullest);
        }
        self.tell(now);
        let every = self.lease.beat();
        for channel in [Some(&mut self.control), self.data.as_mut()].into_iter().flatten() {
            channel.beat(every, now);
            moved.any |= channel.flush(now)?;
        }
        self.pulse(now);
        if self.lease.has_run_out(self.heard(), now) {
            let silent = now.saturating_duration_since(self.heard());
            return Err(ServeError::Silent(silent.as_secs_f64()));
        }
        Ok(moved)
    }

    /// Tells the guardian that the root lives, and for how long that may be believed.
    fn pulse(&mut self, now: Instant) {
        let heard = self.heard();
        if heard >= self.pulsed + self.lease.beat() / 2 || self.pulsed > now {
            self.pulsed = heard;
            crate::guardian::pulse(&self.pulse, self.lease.patience());
        }
    }

    fn set_lease(&mut self, length: Duration, now: Instant) {
        self.lease = Lease::new(length, now);
        self.control.forgive(now);
        self.pulsed = now;
        crate::guardian::pulse(&self.pulse, self.lease.patience());
    }

    fn channel(&mut self, is_data: bool) -> Option<&mut Channel> {
        if is_data { self.data.as_mut() } else { Some(&mut self.control) }
    }

    fn receive(
        &mut self,
        is_data: bool,
        now: Instant,
        moved: &mut Moved,
    ) -> Result<(), ServeError> {
        for _ in 0..READS {
            let leaving = self.leaving;
            let Some(channel) = self.channel(is_data) else { return Ok(()) };
            match channel.receive(now) {
                // All was said: a root that has nothing to hear may close it at once.
                Err(ChannelError::Closed) if leaving => return Ok(()),
                received => moved.any |= received?,
            }
            while self.hear(is_data, now)? {
                moved.any = true;
            }
            if !self.channel(is_data).is_some_and(|channel| channel.is_readable()) {
                return Ok(());
            }
        }
        moved.more = true;
        Ok(())
    }

    fn hear(&mut self, is_data: bool, now: Instant) -> Result<bool, ServeError> {
        let channel = if is_data { self.data.as_mut() } else { Some(&mut self.control) };
        let Some(channel) = channel else { return Ok(false) };
        let Some(frame) = channel.next_frame()? else { return Ok(false) };
        match frame.kind {
            Kind::Heartbeat => {}
            Kind::Feed => {
                let agent = self.agent.as_mut();
                let agent = agent.ok_or(ServeError::Protocol("bytes before their copy"))?;
                let order = ToAgent::Feed { rank: frame.rank, bytes: frame.payload };
                agent.order(order, &self.poller, now);
            }
            Kind::Control => {
                let said: RootSays<'_> = control::decode(frame.payload)?;
                self.obey(said, now)?;
            }
            Kind::Talk => {
                let agent = self.agent.as_mut();
                let agent = agent.ok_or(ServeError::Protocol("bytes before their copy"))?;
                let numbered = frame::numbered(frame.payload);
                let (from, bytes) = numbered.ok_or(ServeError::Protocol("talk of nobody"))?;
                let from = u32::try_from(from).unwrap_or(u32::MAX);
                let order = ToAgent::Talk { rank: frame.rank, from, bytes };
                agent.order(order, &self.poller, now);
            }
            _ => return Err(ServeError::Protocol("output from the root")),
        }
        Ok(true)
    }

    fn obey(&mut self, said: RootSays<'static>, now: Instant) -> Result<(), ServeError> {
        match said {
            RootSays::Secret(mut secret) if self.secret.is_none() => {
                self.secret = Some(Secret::take(&mut secret));
                self.control.wipe_taken();
                Ok(())
            }
            RootSays::Open(open) if self.open.is_none() => self.open(*open, now),
            RootSays::Dial(address) => {
                if let Some(open) = &self.open {
                    let call = Call {
                        address,
                        hello: hello::Hello::Numbered,
                        patience: open.lease.max(lease::USUAL),
                        user_timeout: open.lease,
                    };
                    self.dial = Dial::start(&call, &self.guest(open, Side::Agent)?, now).ok();
                }
                Ok(())
            }
            RootSays::Linked(way) if !self.linked => self.link(way),
            RootSays::Begin(begin) if self.linked && self.agent.is_none() => self.begin(*begin),
            RootSays::Order(order) => {
                let agent = self.agent.as_mut();
                let agent = agent.ok_or(ServeError::Protocol("an order before the job"))?;
                agent.order(order, &self.poller, now);
                Ok(())
            }
            RootSays::Pause => {
                self.paused = true;
                self.set_lease(lease::PAUSED, now);
                Ok(())
            }
            RootSays::Resume => {
                self.paused = false;
                let length = self.open.as_ref().map_or(self.first_lease, |open| open.lease);
                self.set_lease(length, now);
                Ok(())
            }
            RootSays::Leave => {
                self.leaving = true;
                self.end_copies(now);
                Ok(())
            }
            _ => Err(ServeError::Protocol("a message out of its time")),
        }
    }

    fn say(&mut self, message: &AgentSays) {
        // The longest are cut before they come here.
        let _ = self.control.say(message);
    }

    fn begin(&mut self, begin: Begin) -> Result<(), ServeError> {
        let command = self.command.take();
        let command = command.ok_or(ServeError::Protocol("a job that cannot run here"))?;
        let (seen, input) = match begin.view.map(|view| view.look()) {
            Some((seen, input)) => (Some(seen), input.map(std::rc::Rc::new)),
            None => (None, None),
        };
        let mut assignment = begin.assignment;
        assignment.command = command;
        self.reading = assignment.tells_reading;
        self.consumed = assignment.ranks.iter().map(|&rank| (rank, 0)).collect();
        let agent = Agent::new(assignment, input, self.buffers.clone())
            .map_err(|source| ServeError::System("prepare to start copies", source))?;
        self.agent = Some(agent.for_a_link(frame::HEADER));
        self.say(&AgentSays::Ready(seen));
        Ok(())
    }
}
