//! How the root and an agent come together: greeting, a way for data, and the agreement on the job.
//!
//! ```text
//! root                      agent
//!                           preamble, Hello      its version is checked before anything is said
//! Secret, Open
//!                           Fit | Unfit          whether the job can run there
//!                           Listening            the root dials
//! Dial                                           after a second the agent dials too, if it may
//! Linked                                         whichever is in first; after three, neither
//! Begin
//!                           Ready
//! ```
//!
//! One of these is a single host's; nothing here waits for another host.

mod errors;
mod rules;

pub use errors::{JoinError, News};
pub use rules::{Allowed, Rules};

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::channel::{Channel, ChannelError, Ends};
use super::control::{
    self, AgentSays, Begin, FROM_AGENT, Hello, Listen, Open, Packing, RootSays, Way,
};
use super::dial::{Call, Dial};
use super::doors::Doors;
use super::frame::Kind;
use super::hello::{self, Admitted, Guest, Proof};
use super::lease::Lease;
use super::preamble::{self, Preamble};
use super::remote::{Bond, Remote, Supply};
use super::seal::{Opener, Sealer, Side, Terms};
use super::secret::Secret;
use super::serve::pack;
use super::sight::{Blind, View};
use crate::failure::{NOT_EXECUTABLE, NOT_FOUND, OWN};
use crate::poller::{Part, Poller, Ready, Token};

/// How long the root dials alone.
const ALONE: Duration = Duration::from_secs(1);
/// How long a connection is tried in all.
const TRIED: Duration = Duration::from_secs(3);
/// How long an agent may take for what is asked of it, also one that says all the while that it
/// lives: once until it is linked, once until it is ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most cores of a host, which is also what a hostfile may say of its slots.
const MOST_CORES: u32 = 65_535;
/// Most bytes of an agent's words that are passed on.
const MOST_WORDS: usize = 2000;

/// An agent's words, without what nobody would read.
fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MOST_WORDS));
    text
}

enum Phase {
    Preamble,
    Hello,
    Linking {
        since: Instant,
        why: Vec<String>,
        invited: bool,
    },
    /// Data has a way, but whether the job can run there was not said yet.
    Unsure(Way, Option<String>),
    Linked,
    Preparing,
    Ready,
}

/// The way on which an agent comes.
pub struct Approach {
    /// Its descriptors, or what carries it.
    pub ends: Ends,
    /// Where it is a connection of our own: what seals it. It is then all that there is, and
    /// compressed from its start where data is.
    pub seal: Option<(Sealer, Opener)>,
    /// What the agent has said already.
    pub came: Vec<u8>,
    /// What the way's carrier says besides.
    pub words: Option<OwnedFd>,
    /// The secret of a further connection for data; without it data goes this way too.
    pub secret: Option<Secret>,
}

/// A host on its way into a job.
pub struct Joining {
    number: u32,
    name: String,
    rules: Rules,
    /// Where it is to have a connection for data besides.
    secret: Option<Secret>,
    control: Channel,
    data: Option<Channel>,
    words: Option<OwnedFd>,
    lease: Lease,
    phase: Phase,
    dial: Option<Dial>,
    login: Option<(IpAddr, IpAddr)>,
    ranks: Vec<u32>,
    view: Option<View>,
    sees_input: bool,
    fit: bool,
    /// When what is asked of it must be done.
    ends_at: Option<Instant>,
}

impl Joining {
    /// Begins with the way on which an agent speaks.
    ///
    /// # Errors
    /// Watching it.
    pub fn new(
        number: u32,
        name: String,
        rules: Rules,
        way: Approach,
        poller: &Poller,
        now: Instant,
    ) -> Result<Self, JoinError> {
        let Approach { ends, seal, came, words, secret } = way;
        let buffers = rules.buffers.clone();
        let own = seal.is_some();
        let mut control = Channel::new(ends, seal, FROM_AGENT, came, buffers, now);
        if own && rules.packing == Packing::Compressed {
            pack(&mut control)?;
        }
        control
            .watch(poller, number)
            .map_err(|source| JoinError::System("watch the control channel", source))?;
        Ok(Joining {
            number,
            name,
            secret,
            control,
            data: None,
            words,
            // A greeting may take as long as a login.
            lease: Lease::new(rules.lease.max(Duration::from_secs(60)), now),
            rules,
            phase: Phase::Preamble,
            dial: None,
            login: None,
            ranks: Vec::new(),
            view: None,
            sees_input: false,
            fit: false,
            ends_at: None,
        })
    }

    /// Notes what the poller saw.
    pub fn ready(&mut self, event: Ready) {
        match event.token {
            Token::Link(_, Part::Data) => self.data.as_mut().unwrap_or(&mut self.control).woken(),
            _ => self.control.woken(),
        }
    }

    /// Does what can be done now.
    ///
    /// # Errors
    /// See [`JoinError`]; the host is then out.
    pub fn turn(
        &mut self,
        poller: &Poller,
        doors: &mut Doors,
        now: Instant,
    ) -> Result<Vec<News>, JoinError> {
        let mut news = Vec::new();
        let closed = match self.control.receive(now) {
            Err(ChannelError::Closed) => true,
            // What comes before a preamble is no frame, and says who ended without one.
            Err(ChannelError::Frame(_)) if matches!(self.phase, Phase::Preamble) => true,
            other => other.map(|_| false)?,
        };
        while self.hear(poller, &mut news, now)? {}
        if closed {
            return Err(ChannelError::Closed.into());
        }
        self.link(poller, doors, &mut news, now)?;
        if !matches!(self.phase, Phase::Preamble | Phase::Hello | Phase::Linking { .. }) {
            doors.forget(self.number);
        }
        if let Some(data) = &mut self.data {
            data.receive(now)?;
            while let Some(frame) = data.next_frame()? {
                if frame.kind != Kind::Heartbeat {
                    return Err(JoinError::Protocol("data before the job"));
                }
            }
        }
        for channel in [Some(&mut self.control), self.data.as_mut()].into_iter().flatten() {
            if !matches!(self.phase, Phase::Preamble | Phase::Hello) {
                channel.beat(self.lease.beat(), now);
            }
            channel.flush(now)?;
        }
        if self.lease.has_run_out(self.control.heard(), now) {
            let silent = now.saturating_duration_since(self.control.heard());
            return Err(JoinError::Silent(silent.as_secs_f64()));
        }
        self.check_progress(now)?;
        Ok(news)
    }

    /// Bounds the time that its agent takes for what is asked of it.
    fn check_progress(&mut self, now: Instant) -> Result<(), JoinError> {
        let step = match self.phase {
            Phase::Preamble | Phase::Hello => "greet",
            Phase::Linking { .. } | Phase::Unsure(..) => "say whether the job can run there",
            Phase::Preparing => "get ready",
            // The next step is the root's.
            Phase::Linked | Phase::Ready => {
                self.ends_at = None;
                return Ok(());
            }
        };
        if now >= *self.ends_at.get_or_insert(now + PATIENCE) {
            return Err(JoinError::Idle { step });
        }
        Ok(())
    }

    /// When [`Joining::turn`] must be called even if nothing happens.
    pub fn deadline(&self) -> Instant {
        let beat = self.control.deadline(self.lease.beat());
        match &self.phase {
            Phase::Preamble | Phase::Hello => {
                let end = self.lease.end(self.control.heard());
                self.control.next_look().map_or(end, |look| end.min(look))
            }
            Phase::Linking { since, invited, .. } => {
                let next = *since + if *invited { TRIED } else { ALONE };
                beat.min(next)
            }
            _ => beat,
        }
    }

    fn hear(
        &mut self,
        poller: &Poller,
        news: &mut Vec<News>,
        now: Instant,
    ) -> Result<bool, JoinError> {
        if matches!(self.phase, Phase::Preamble) {
            return self.hear_preamble();
        }
        let Some(frame) = self.control.next_frame()? else { return Ok(false) };
        let said = match frame.kind {
            Kind::Heartbeat => return Ok(true),
            Kind::Control => control::decode(frame.payload)?,
            _ => return Err(JoinError::Protocol("data before the job")),
        };
        match (said, &mut self.phase) {
            (AgentSays::Hello(hello), Phase::Hello) => {
                if !(1..=MOST_CORES).contains(&hello.parallelism) {
                    return Err(JoinError::Protocol("no host has that many cores"));
                }
                self.greet(&hello, now)?;
                news.push(News::Hello(hello));
            }
            (AgentSays::Listening(Ok(address)), Phase::Linking { .. }) => {
                // The address is that of its login; only the port is news.
                let address = match self.login {
                    Some((_, there)) => SocketAddr::new(there, address.port()),
                    None => address,
                };
                if let Err(error) = self.dial(address, poller, now)
                    && let Phase::Linking { why, .. } = &mut self.phase
                {
                    why.push(error);
                }
            }
            (AgentSays::Listening(Err(error)), Phase::Linking { why, .. }) => {
                why.push(shortened(error));
            }
            (AgentSays::Listening(_), _) => {}
            (AgentSays::Strangers(count), _) => news.push(News::Strangers(count)),
            (AgentSays::Ready(seen), Phase::Preparing) => {
                self.phase = Phase::Ready;
                news.push(News::Ready(self.compare(seen)?));
            }
            (AgentSays::Fit, _) if !self.fit => {
                self.fit = true;
                if let Phase::Unsure(way, why) = &mut self.phase {
                    news.push(News::Linked(*way, why.take()));
                    self.phase = Phase::Linked;
                }
            }
            (AgentSays::Unfit { status, text }, _) if !self.fit => {
                // Whatever it says, a job that cannot run has not ended well.
                let known = [NOT_EXECUTABLE, NOT_FOUND].contains(&status);
                let status = if known { status } else { OWN };
                return Err(JoinError::Unfit { status, text: shortened(text) });
            }
            _ => return Err(JoinError::Protocol("a message out of its time")),
        }
        Ok(true)
    }

    fn hear_preamble(&mut self) -> Result<bool, JoinError> {
        match preamble::decode(self.control.unread()) {
            Preamble::Incomplete => Ok(false),
            Preamble::Other => Err(JoinError::NoAgent),
            Preamble::Version(theirs, _) if theirs != self.rules.version => {
                Err(JoinError::Version { theirs, ours: self.rules.version.clone() })
            }
            Preamble::Version(_, length) => {
                self.control.skip(length);
                self.phase = Phase::Hello;
                Ok(true)
            }
        }
    }

    fn greet(&mut self, hello: &Hello, now: Instant) -> Result<(), JoinError> {
        self.login = hello.login;
        self.lease = Lease::new(self.rules.lease, now);
        let listen = if self.is_all() { Listen::No } else { Listen::Yes };
        let open = Open {
            job: self.rules.job.clone(),
            agent: self.number,
            lease: self.rules.lease,
            listen,
            packing: self.rules.packing,
            errand: self.rules.errand.clone(),
        };
        if let Some(secret) = &self.secret {
            let secret = Zeroizing::new(*secret.expose());
            self.control.say_secret(&RootSays::Secret(secret));
        }
        if !self.control.say(&RootSays::Open(Box::new(open))) {
            return Err(JoinError::TooLong);
        }
        self.phase = Phase::Linking { since: now, why: Vec::new(), invited: false };
        Ok(())
    }

    /// Whether the control channel is the only way.
    fn is_all(&self) -> bool {
        self.rules.allowed == Allowed::Control || self.secret.is_none()
    }

    fn guest(&self, dialer: Side) -> Option<Guest> {
        let secret = self.secret.as_ref()?;
        Some(Guest {
            terms: Terms {
                version: self.rules.version.clone(),
                job: self.rules.job.clone(),
                agent: self.number,
                attempt: 1,
                dialer,
            },
            proof: Proof::Secret(secret.again()),
        })
    }

    fn dial(&mut self, address: SocketAddr, poller: &Poller, now: Instant) -> Result<(), String> {
        let call = Call {
            address,
            hello: hello::Hello::Bare,
            patience: TRIED,
            user_timeout: self.rules.lease,
        };
        let Some(guest) = self.guest(Side::Root) else { return Ok(()) };
        let dial = Dial::start(&call, &guest, now).map_err(|error| error.to_string())?;
        let _ = poller.add(&dial, Token::Link(self.number, Part::Door));
        self.dial = Some(dial);
        Ok(())
    }

    /// Looks for a way for data.
    fn link(
        &mut self,
        poller: &Poller,
        doors: &mut Doors,
        news: &mut Vec<News>,
        now: Instant,
    ) -> Result<(), JoinError> {
        if !matches!(self.phase, Phase::Linking { .. }) {
            return Ok(());
        }
        let linked = self.try_to_link(poller, doors, news, now);
        if linked.is_err() || !matches!(self.phase, Phase::Linking { .. }) {
            doors.forget(self.number);
        }
        linked
    }

    fn try_to_link(
        &mut self,
        poller: &Poller,
        doors: &mut Doors,
        news: &mut Vec<News>,
        now: Instant,
    ) -> Result<(), JoinError> {
        let is_all = self.is_all();
        let Phase::Linking { since, why, invited } = &mut self.phase else { return Ok(()) };
        let (since, invited_before) = (*since, *invited);
        if is_all {
            return self.linked(Way::Control, None, None, poller, news, now);
        }
        match self.dial.as_mut().map(|dial| dial.turn(now)) {
            Some(Ok(Some(admitted))) => {
                self.dial = None;
                return self.linked(Way::Direct, Some(admitted), None, poller, news, now);
            }
            Some(Err(error)) => {
                why.push(error.to_string());
                self.dial = None;
            }
            Some(Ok(None)) | None => {}
        }
        if let Some(admitted) = doors.take(self.number) {
            return self.linked(Way::Reverse, Some(admitted), None, poller, news, now);
        }
        if !invited_before && now >= since + ALONE {
            *invited = true;
            let known = self.login.map(|(root, _)| root);
            let Some(guest) = self.guest(Side::Agent) else { return Ok(()) };
            let asked = doors.expect(guest, known, self.rules.lease, poller);
            match asked {
                Ok(at) => {
                    let _ = self.control.say(&RootSays::Dial(at));
                }
                Err(error) => {
                    if let Phase::Linking { why, .. } = &mut self.phase {
                        why.push(error);
                    }
                }
            }
        }
        let Phase::Linking { why, .. } = &mut self.phase else { return Ok(()) };
        // Without an address there is nothing to wait for.
        let hopeless = self.login.is_none() && doors.listen.is_none();
        if now >= since + TRIED || hopeless {
            if why.is_empty() {
                why.push(format!("nothing got through within {} s", TRIED.as_secs()));
            }
            let why = why.join("; ");
            if self.rules.allowed == Allowed::Connection {
                return Err(JoinError::NoConnection(why));
            }
            return self.linked(Way::Control, None, Some(why), poller, news, now);
        }
        Ok(())
    }

    fn linked(
        &mut self,
        way: Way,
        admitted: Option<Admitted>,
        why: Option<String>,
        poller: &Poller,
        news: &mut Vec<News>,
        now: Instant,
    ) -> Result<(), JoinError> {
        if let Some(Admitted { stream, sealer, opener, .. }) = admitted {
            let buffers = self.rules.buffers.clone();
            let seal = Some((sealer, opener));
            let mut data =
                Channel::new(Ends::Socket(stream), seal, FROM_AGENT, Vec::new(), buffers, now);
            data.watch(poller, self.number)
                .map_err(|source| JoinError::System("watch the link", source))?;
            if self.rules.packing == Packing::Compressed {
                pack(&mut data)?;
            }
            self.data = Some(data);
        }
        self.dial = None;
        let _ = self.control.say(&RootSays::Linked(way));
        if self.fit {
            self.phase = Phase::Linked;
            news.push(News::Linked(way, why));
        } else {
            self.phase = Phase::Unsure(way, why);
        }
        Ok(())
    }

    /// Says what to run there.
    ///
    /// # Errors
    /// When it is too long to be said.
    pub fn begin(&mut self, begin: Begin) -> Result<(), JoinError> {
        self.ranks.clone_from(&begin.assignment.ranks);
        let message = RootSays::Begin(Box::new(begin));
        if !self.control.say(&message) {
            return Err(JoinError::TooLong);
        }
        if let RootSays::Begin(begin) = message {
            self.view = begin.view;
        }
        self.phase = Phase::Preparing;
        Ok(())
    }

    fn compare(&mut self, seen: Option<super::sight::Seen>) -> Result<Option<Blind>, JoinError> {
        Ok(match (self.view.take(), seen, self.rules.input.clone()) {
            (Some(view), Some(seen), Some(input)) => match view.compare(&input, seen)? {
                Ok(()) => {
                    self.sees_input = true;
                    None
                }
                Err(blind) => Some(blind),
            },
            _ => None,
        })
    }

    /// What the carrier of its control channel has said lately.
    pub fn words(&self) -> String {
        let Some(words) = &self.words else { return String::new() };
        let mut bytes = [0; 4096];
        let count = rustix::io::read(words, &mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    /// Ends the host's part before it began.
    pub fn dismiss(&mut self, now: Instant) {
        let _ = self.control.say(&RootSays::Leave);
        let _ = self.control.flush(now);
    }

    /// Makes the link of it that a root works with.
    pub fn into_link(self, supply: Supply, now: Instant) -> Remote {
        let bond = Bond {
            number: self.number,
            name: self.name,
            ranks: self.ranks,
            control: self.control,
            data: self.data,
            words: self.words,
            sees_input: self.sees_input,
            lease: self.rules.lease,
        };
        Remote::new(bond, supply, now)
    }
}
