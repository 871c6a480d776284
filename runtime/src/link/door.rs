//! A door that strangers may knock at: it lets in exactly the peers that are expected, once each.
//!
//! Whoever connects can cost at most one of a fixed number of places, 5 seconds and 86 bytes, all
//! of it of fixed size; a place is taken from the oldest connection when a new one needs it, first
//! from those that have proven nothing at all. Sources are not told apart, since all ranks may come
//! through one gateway. When the last expected peer is in, the door closes.
//!
//! The door never waits: it owns a set of descriptors that the caller waits for as for one, and
//! [`Door::turn`] does what can be done now.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::hello::{self, Admitted, Arrival, CONFIRMATION_BYTES, Guest, Hello, Inbox};
use super::place::{DoorError, Place};
use super::seal::{self, HANDSHAKE_BYTES, Opener, Sealer};
use crate::sys::timespec;

/// How long a connection may take from being accepted to being let in.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How many connections are held that have not been let in, unless more peers are missing.
pub const PLACES: usize = 64;

/// Connections accepted in one turn, so that a flood of them leaves the caller its time.
const ACCEPTED_A_TURN: usize = 32;
const EVENTS_A_TURN: usize = 128;
/// How long nothing is accepted when the system has no room for one connection.
const REST: Duration = Duration::from_millis(100);
/// The listener's place among the numbers of connections.
const LISTENER: u64 = 0;

/// A listener and those who stand before it.
pub struct Door {
    listener: Option<OwnedFd>,
    address: SocketAddr,
    set: OwnedFd,
    events: Vec<epoll::Event>,
    hello: Hello,
    user_timeout: Duration,
    places: usize,
    missing: BTreeMap<u32, Guest>,
    /// By number of arrival, so the first is the oldest and the next to be out of time.
    callers: BTreeMap<u64, Caller>,
    arrived: u64,
    strangers: u64,
    /// Given up for a connection when there is no other descriptor.
    spare: Option<OwnedFd>,
    resting_until: Option<Instant>,
    /// When the last turn was, if it left something that it could have done.
    unfinished: Option<Instant>,
}

/// A connection that has not been let in.
struct Caller {
    stream: OwnedFd,
    peer: SocketAddr,
    leaves_at: Instant,
    inbox: Inbox,
    stage: Stage,
}

enum Stage {
    Hello,
    /// It knew the secret, or a hello of someone who did.
    Confirmation {
        agent: u32,
        hello: [u8; HANDSHAKE_BYTES],
        sealer: Sealer,
        opener: Opener,
    },
}

impl Caller {
    fn said(&self, message: &[u8; HANDSHAKE_BYTES]) -> bool {
        matches!(&self.stage, Stage::Confirmation { hello, .. } if hello == message)
    }
}

/// What became of a connection.
enum Fate {
    Waits(Caller),
    Leaves,
    Enters(Admitted),
}

impl Door {
    /// Opens a door for one agent, which says [`Hello::Bare`].
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn for_one(place: &Place, guest: Guest) -> Result<Self, DoorError> {
        Door::open(place, Hello::Bare, vec![guest])
    }

    /// Opens a door for several agents, which say [`Hello::Numbered`].
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn for_several(place: &Place, guests: Vec<Guest>) -> Result<Self, DoorError> {
        Door::open(place, Hello::Numbered, guests)
    }

    fn open(place: &Place, hello: Hello, guests: Vec<Guest>) -> Result<Self, DoorError> {
        let (listener, address) = place.listen()?;
        let wait = |source| DoorError::Wait { at: address, source };
        let set = epoll::create(CreateFlags::CLOEXEC).map_err(wait)?;
        epoll::add(&set, &listener, EventData::new_u64(LISTENER), EventFlags::IN).map_err(wait)?;
        let missing: BTreeMap<_, _> =
            guests.into_iter().map(|guest| (guest.terms.agent, guest)).collect();
        Ok(Door {
            listener: Some(listener),
            address,
            set,
            events: Vec::with_capacity(EVENTS_A_TURN),
            hello,
            user_timeout: place.user_timeout,
            places: PLACES.max(missing.len()),
            missing,
            callers: BTreeMap::new(),
            arrived: LISTENER,
            strangers: 0,
            spare: open_spare(),
            resting_until: None,
            unfinished: None,
        })
    }

    /// Whether nobody is let in any more.
    pub fn is_closed(&self) -> bool {
        self.listener.is_none()
    }

    /// Expects one more agent, unless the door is closed.
    pub fn expect(&mut self, guest: Guest) {
        self.missing.insert(guest.terms.agent, guest);
        self.places = self.places.max(self.missing.len());
    }

    /// Expects an agent no more; a door at which nobody is expected closes.
    pub fn forget(&mut self, agent: u32) {
        self.missing.remove(&agent);
        if self.missing.is_empty() {
            self.close();
        }
    }

    /// Where peers are to dial.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The agents that have not come yet, in order.
    pub fn missing(&self) -> impl Iterator<Item = u32> {
        self.missing.keys().copied()
    }

    /// How many connections ended without being let in.
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    /// When [`Door::turn`] is to be called even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let oldest = self.callers.first_key_value().map(|(_, caller)| caller.leaves_at);
        [self.unfinished, oldest, self.resting_until].into_iter().flatten().min()
    }

    /// Does what can be done now, and returns the peers that came in.
    ///
    /// # Errors
    /// [`DoorError::Wait`], never in practice.
    pub fn turn(&mut self, now: Instant) -> Result<Vec<Admitted>, DoorError> {
        self.unfinished = None;
        self.end_rest(now)?;
        self.send_away_the_late(now);
        let ready = self.ready()?;
        if ready.len() == EVENTS_A_TURN {
            self.unfinished = Some(now);
        }
        let mut admitted = Vec::new();
        for number in ready.iter().copied().filter(|number| *number != LISTENER) {
            if let Some(caller) = self.callers.remove(&number) {
                match self.hear(caller) {
                    Fate::Waits(caller) => {
                        self.callers.insert(number, caller);
                    }
                    Fate::Leaves => self.strangers += 1,
                    Fate::Enters(peer) => admitted.push(peer),
                }
            }
        }
        // After those who were here before, whom a newcomer may cost their place.
        if ready.contains(&LISTENER) {
            self.accept(now)?;
        }
        if self.missing.is_empty() {
            self.close();
        }
        self.spare = self.spare.take().or_else(open_spare);
        Ok(admitted)
    }

    /// Closes the door before all are in: nobody else is let in.
    pub fn close(&mut self) {
        self.listener = None;
        self.strangers += self.callers.len() as u64;
        self.callers.clear();
        (self.unfinished, self.resting_until) = (None, None);
    }

    fn wait_error(&self, source: Errno) -> DoorError {
        DoorError::Wait { at: self.address, source }
    }

    fn ready(&mut self) -> Result<Vec<u64>, DoorError> {
        self.events.clear();
        let at_once = timespec(Duration::ZERO);
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.set, room, Some(&at_once)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(source) => return Err(self.wait_error(source)),
        }
        Ok(self.events.iter().map(|event| event.data.u64()).collect())
    }

    fn send_away_the_late(&mut self, now: Instant) {
        while let Some(oldest) = self.callers.first_entry()
            && oldest.get().leaves_at <= now
        {
            oldest.remove();
            self.strangers += 1;
        }
    }

    fn accept(&mut self, now: Instant) -> Result<(), DoorError> {
        for _ in 0..ACCEPTED_A_TURN {
            let Some(listener) = &self.listener else { return Ok(()) };
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match rustix::net::acceptfrom_with(listener, flags) {
                Ok((stream, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    self.seat(stream, peer, now);
                }
                Err(Errno::AGAIN) => return Ok(()),
                // The connection broke before it was accepted.
                Err(Errno::INTR | Errno::CONNABORTED | Errno::CONNRESET | Errno::PROTO) => {}
                // Which accept says also when nobody is there to be accepted.
                Err(Errno::MFILE | Errno::NFILE) if !is_knocked_at(listener) => return Ok(()),
                Err(Errno::MFILE | Errno::NFILE) if self.give_up_a_descriptor() => {}
                Err(_) => return self.rest(now),
            }
        }
        self.unfinished = Some(now);
        Ok(())
    }

    fn seat(&mut self, stream: OwnedFd, peer: Option<SocketAddr>, now: Instant) {
        if self.callers.len() >= self.places {
            self.evict();
        }
        self.arrived += 1;
        let number = EventData::new_u64(self.arrived);
        let ready = hello::prepare(&stream, self.user_timeout)
            .and_then(|()| epoll::add(&self.set, &stream, number, EventFlags::IN));
        let (Some(peer), Ok(())) = (peer, ready) else {
            self.strangers += 1;
            return;
        };
        let inbox = Inbox::expecting(self.hello.bytes());
        let caller = Caller { stream, peer, leaves_at: now + PATIENCE, inbox, stage: Stage::Hello };
        self.callers.insert(self.arrived, caller);
    }

    /// Takes a place from the oldest that has proven nothing, or else from the oldest.
    fn evict(&mut self) -> bool {
        let unproven = self.callers.iter().find(|(_, caller)| matches!(caller.stage, Stage::Hello));
        let oldest = unproven.or_else(|| self.callers.first_key_value()).map(|(number, _)| *number);
        let evicted = oldest.and_then(|number| self.callers.remove(&number)).is_some();
        self.strangers += u64::from(evicted);
        evicted
    }

    fn give_up_a_descriptor(&mut self) -> bool {
        self.evict() || self.spare.take().is_some()
    }

    /// Leaves connections waiting in the system, without being woken by them over and over.
    fn rest(&mut self, now: Instant) -> Result<(), DoorError> {
        self.resting_until = Some(now + REST);
        self.listen_for(EventFlags::empty())
    }

    fn end_rest(&mut self, now: Instant) -> Result<(), DoorError> {
        if self.resting_until.is_none_or(|until| now < until) {
            return Ok(());
        }
        self.resting_until = None;
        self.listen_for(EventFlags::IN)
    }

    fn listen_for(&self, events: EventFlags) -> Result<(), DoorError> {
        let Some(listener) = &self.listener else { return Ok(()) };
        epoll::modify(&self.set, listener, EventData::new_u64(LISTENER), events)
            .map_err(|source| self.wait_error(source))
    }

    fn hear(&mut self, mut caller: Caller) -> Fate {
        loop {
            match caller.inbox.read(&caller.stream) {
                Ok(Arrival::Whole) => {}
                Ok(Arrival::Waiting) => return Fate::Waits(caller),
                Ok(Arrival::Ended) | Err(_) => return Fate::Leaves,
            }
            let Caller { stream, peer, leaves_at, inbox, stage } = caller;
            caller = match stage {
                Stage::Hello => match self.answer(&stream, &inbox) {
                    Some(stage) => {
                        let inbox = Inbox::expecting(CONFIRMATION_BYTES);
                        Caller { stream, peer, leaves_at, inbox, stage }
                    }
                    None => return Fate::Leaves,
                },
                Stage::Confirmation { agent, sealer, mut opener, .. } => {
                    if !hello::is_confirmation(&mut opener, inbox.received()) {
                        return Fate::Leaves;
                    }
                    let admitted = self.admit(agent, peer, stream, sealer, opener);
                    return admitted.map_or(Fate::Leaves, Fate::Enters);
                }
            };
        }
    }

    /// Answers a hello of someone who is expected and knows the secret.
    ///
    /// A hello is answered once at a time, or else whoever has recorded a single one could take
    /// every place with it, and keep them.
    fn answer(&self, stream: &OwnedFd, inbox: &Inbox) -> Option<Stage> {
        let (agent, message) = self.hello.read(inbox.received())?;
        if self.callers.values().any(|caller| caller.said(message)) {
            return None;
        }
        let guest = match agent {
            Some(agent) => self.missing.get(&agent)?,
            None => self.missing.first_key_value()?.1,
        };
        let (reply, sealer, opener) = seal::answer(&guest.terms, &guest.proof, message).ok()?;
        hello::say(stream, &reply).ok()?;
        let agent = guest.terms.agent;
        Some(Stage::Confirmation { agent, hello: *message, sealer, opener })
    }

    /// Lets a peer in, unless it is in already, and forgets its secret.
    fn admit(
        &mut self,
        agent: u32,
        peer: SocketAddr,
        stream: OwnedFd,
        mut sealer: Sealer,
        opener: Opener,
    ) -> Option<Admitted> {
        let attempt = self.missing.get(&agent)?.terms.attempt;
        epoll::delete(&self.set, &stream).ok()?;
        hello::say(&stream, &hello::seal_confirmation(&mut sealer).ok()?).ok()?;
        self.missing.remove(&agent);
        Some(Admitted { agent, attempt, peer, stream, sealer, opener })
    }
}

impl AsFd for Door {
    /// Readable when there is something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

fn is_knocked_at(listener: &OwnedFd) -> bool {
    let at_once = timespec(Duration::ZERO);
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    rustix::event::poll(&mut asked, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

fn open_spare() -> Option<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}
