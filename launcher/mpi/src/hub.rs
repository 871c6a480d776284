//! Messages to and from all other processes.
//!
//! All ways share one look at MPI: a way that is asked a second time since the last look takes the
//! next one, so a round of asking a thousand ways that have nothing costs one look. What has come
//! is delivered in the order in which MPI matched it, which is the order in which its sender sent
//! it; that a short message is done before the long one in front of it changes nothing.
//!
//! Bytes that came and were not claimed are bounded, for each sender and for all: at its bound a
//! sender's next messages stay where they are. Short messages that the library takes in by itself
//! are bounded by what their senders may have on its way.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use px_runtime::buffers::{BUFFER, Buffers};
use px_runtime::link::carrier::{Carrier, CarrierError};

use crate::ffi::{Arriving, Comm, Done, Failed, Flight};
use crate::looking;
use crate::world::World;

/// With so many unclaimed bytes of one sender none of its messages is taken.
const HELD_OF_ONE: usize = 4 << 20;
/// With so many unclaimed bytes of all senders no message is taken.
const HELD_OF_ALL: usize = 64 << 20;
/// Messages taken in one look.
const TAKEN: usize = 64;
/// Senders asked in one look where each must be asked by itself.
const ASKED: usize = 64;
/// A message of so many bytes is worth a buffer of the stock.
const WORTHWHILE: usize = 32 << 10;
/// What a message takes besides its bytes.
const BESIDE: usize = 64;

/// What is on its way.
enum Course {
    /// To `peer`.
    Out { peer: usize, length: usize },
    /// From `peer`, the message of this number.
    In { peer: usize, number: u64 },
}

/// A message in the order of its sender.
struct Arrival {
    weight: usize,
    /// Once all of it is there.
    bytes: Option<Vec<u8>>,
}

/// All about one other process.
#[derive(Default)]
struct Peer {
    arrivals: VecDeque<Arrival>,
    /// The number of the first of them.
    first: u64,
    /// What they weigh.
    held: usize,
    in_flight: usize,
    sent: Vec<Vec<u8>>,
    /// The look after which its way was last asked.
    asked: u64,
    /// Nobody claims what comes from it.
    closed: bool,
    failed: Option<Failed>,
}

impl Peer {
    fn is_full(&self) -> bool {
        self.held >= HELD_OF_ONE
    }

    fn has_next(&self) -> bool {
        self.arrivals.front().is_some_and(|first| first.bytes.is_some())
    }
}

struct Switch {
    comm: Rc<Comm>,
    buffers: Buffers,
    longest: usize,
    flight: Flight<Course>,
    done: Vec<Done<Course>>,
    peers: Vec<Peer>,
    /// What the arrivals of all peers weigh.
    held: usize,
    /// Peers that are full.
    full: usize,
    /// Who was asked last, where each is asked by itself.
    last: usize,
    looks: u64,
    /// When something last came or was sent.
    active: Instant,
    /// How long to leave MPI alone from then on.
    pause: Duration,
    /// Looks since then.
    in_vain: u32,
    failed: Option<Failed>,
}

/// The one place through which all messages of this process go.
pub struct Hub(Rc<RefCell<Switch>>);

impl Hub {
    /// Makes it; a message may have up to `longest` bytes.
    pub fn new(world: &World, buffers: Buffers, longest: usize) -> Self {
        let now = Instant::now();
        Hub(Rc::new(RefCell::new(Switch {
            comm: Rc::clone(world.comm()),
            buffers,
            longest,
            flight: Flight::new(world.comm()),
            done: Vec::new(),
            peers: (0..world.size()).map(|_| Peer::default()).collect(),
            held: 0,
            full: 0,
            last: 0,
            looks: 0,
            active: now,
            pause: Duration::ZERO,
            in_vain: 0,
            failed: None,
        })))
    }

    /// Takes what has come for nobody any more, and sees to what is on its way.
    pub fn look(&self) {
        self.0.borrow_mut().look();
    }

    /// Makes the way to and from `peer`, of which there should be one; `None` where there is no
    /// such process.
    ///
    /// What comes once the way is dropped is received and thrown away.
    pub fn carrier(&self, peer: usize) -> Option<Way> {
        let exists = peer < self.0.borrow().peers.len();
        exists.then(|| Way { switch: Rc::clone(&self.0), peer })
    }
}

/// The way to and from one process.
pub struct Way {
    switch: Rc<RefCell<Switch>>,
    peer: usize,
}

impl Carrier for Way {
    fn send(&mut self, message: Vec<u8>) -> Result<(), CarrierError> {
        let mut switch = self.switch.borrow_mut();
        switch.check(self.peer)?;
        let length = message.len();
        let course = Course::Out { peer: self.peer, length };
        if let Err(failed) = switch.flight.send(self.peer, message, course) {
            switch.peers[self.peer].failed = Some(failed);
            return switch.check(self.peer);
        }
        switch.peers[self.peer].in_flight += length;
        switch.active = Instant::now();
        (switch.pause, switch.in_vain) = (Duration::ZERO, 0);
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.switch.borrow().peers[self.peer].in_flight
    }

    fn sent(&mut self) -> Option<Vec<u8>> {
        self.switch.borrow_mut().peers[self.peer].sent.pop()
    }

    /// Looks at MPI first where nothing waits and no other way has done so since the last call.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, CarrierError> {
        let mut switch = self.switch.borrow_mut();
        let peer = &switch.peers[self.peer];
        if !peer.has_next() && peer.asked == switch.looks {
            switch.look();
        }
        switch.peers[self.peer].asked = switch.looks;
        match switch.claim(self.peer) {
            Some(bytes) => Ok(Some(bytes)),
            None => switch.check(self.peer).map(|()| None),
        }
    }

    fn pause(&self) -> Duration {
        self.switch.borrow().pause
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let mut switch = self.switch.borrow_mut();
        switch.peers[self.peer].closed = true;
        while switch.claim(self.peer).is_some() {}
    }
}

impl Switch {
    fn check(&self, peer: usize) -> Result<(), CarrierError> {
        match self.failed.as_ref().or(self.peers[peer].failed.as_ref()) {
            Some(failed) => Err(CarrierError(failed.to_string())),
            None => Ok(()),
        }
    }

    /// Asks MPI once what has come and what was sent.
    fn look(&mut self) {
        self.looks += 1;
        if self.failed.is_some() {
            return;
        }
        match self.take_and_test() {
            Ok(any) => {
                let now = Instant::now();
                self.in_vain = self.in_vain.saturating_add(1);
                if any {
                    (self.active, self.in_vain) = (now, 0);
                }
                let silence = now.saturating_duration_since(self.active);
                let on_its_way = !self.flight.is_empty();
                self.pause = looking::pause(silence, self.in_vain, on_its_way);
            }
            Err(failed) => self.failed = Some(failed),
        }
    }

    fn take_and_test(&mut self) -> Result<bool, Failed> {
        let mut any = false;
        for _ in 0..TAKEN {
            if self.held >= HELD_OF_ALL {
                break;
            }
            let Some(arriving) = self.probe()? else { break };
            any = true;
            self.take(arriving)?;
        }
        let mut done = std::mem::take(&mut self.done);
        let tested = self.flight.test(&mut done);
        any |= !done.is_empty();
        for done in done.drain(..) {
            self.settle(done);
        }
        self.done = done;
        tested.map(|()| any)
    }

    /// Finds a message of anybody who is not full.
    fn probe(&mut self) -> Result<Option<Arriving>, Failed> {
        if self.full == 0 {
            return self.comm.probe(None);
        }
        for _ in 0..self.peers.len().min(ASKED) {
            self.last = (self.last + 1) % self.peers.len();
            if !self.peers[self.last].is_full()
                && let Some(arriving) = self.comm.probe(Some(self.last))?
            {
                return Ok(Some(arriving));
            }
        }
        Ok(None)
    }

    /// Begins to receive a message.
    fn take(&mut self, arriving: Arriving) -> Result<(), Failed> {
        let (source, length) = (arriving.source, arriving.length);
        let Some(peer) = self.peers.get_mut(source) else {
            return Err(Failed(format!("a message of process {source}, which there is not")));
        };
        if length > self.longest {
            let limit = self.longest;
            peer.failed = Some(Failed(format!(
                "a message of {length} bytes where at most {limit} are allowed"
            )));
            return Ok(());
        }
        let (weight, bytes) = match length {
            WORTHWHILE..=BUFFER => (BUFFER, self.buffers.take()),
            _ => (length, Vec::new()),
        };
        let number = peer.first + peer.arrivals.len() as u64;
        peer.arrivals.push_back(Arrival { weight: weight + BESIDE, bytes: None });
        self.hold(source, weight + BESIDE);
        self.flight.receive(arriving, bytes, Course::In { peer: source, number })
    }

    /// Notes what became of a message.
    fn settle(&mut self, Done { what, bytes, outcome }: Done<Course>) {
        let (Course::Out { peer: number, .. } | Course::In { peer: number, .. }) = what;
        let peer = &mut self.peers[number];
        if let Err(failed) = outcome {
            peer.failed.get_or_insert(failed);
        }
        match what {
            Course::Out { length, .. } => {
                peer.in_flight -= length;
                peer.sent.push(bytes);
            }
            Course::In { number, .. } if peer.failed.is_none() => {
                let at = usize::try_from(number - peer.first).unwrap_or(usize::MAX);
                if let Some(arrival) = peer.arrivals.get_mut(at) {
                    arrival.bytes = Some(bytes);
                }
            }
            // What comes after a message that was lost is worth nothing.
            Course::In { .. } => {}
        }
        if peer.closed {
            peer.sent.clear();
            while self.claim(number).is_some() {}
        }
    }

    /// Takes the first arrival, if all of it is there.
    fn claim(&mut self, number: usize) -> Option<Vec<u8>> {
        let peer = &mut self.peers[number];
        if !peer.has_next() {
            return None;
        }
        let Arrival { weight, bytes } = peer.arrivals.pop_front()?;
        peer.first += 1;
        let was_full = peer.is_full();
        peer.held -= weight;
        self.held -= weight;
        self.full -= usize::from(was_full && !self.peers[number].is_full());
        bytes
    }

    fn hold(&mut self, number: usize, weight: usize) {
        let peer = &mut self.peers[number];
        let was_full = peer.is_full();
        peer.held += weight;
        self.held += weight;
        self.full += usize::from(!was_full && peer.is_full());
    }
}
