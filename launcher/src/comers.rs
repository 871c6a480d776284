//! Agents that come to the root by themselves, because somebody else has started them.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use px_runtime::failure::Message;
use px_runtime::link::channel::Ends;
use px_runtime::link::door::Door;
use px_runtime::link::hello::Guest;
use px_runtime::link::joining::Approach;
use px_runtime::link::place::Place;
use px_runtime::poller::{Part, Poller, Token};
use px_runtime::sys::timespec;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::rendezvous::Rendezvous;

/// An agent's number and the way on which it has come.
pub type Comer = (u32, Approach);

/// How long agents may take to end once the job has; less where one of them may be lost.
const SEEING_OFF: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(2)];

/// Where agents come from.
pub trait Comers {
    /// What their control channels go over, for people.
    fn carrier(&self) -> &'static str;

    /// The hosts of all processes in the order of their numbers, as far as they are known; an
    /// agent without a name has that of its greeting.
    fn hosts(&self) -> Vec<String>;

    /// The number of the root's own process, where it takes part as an agent.
    fn here(&self) -> Option<usize>;

    /// Takes those who have come since the last time.
    ///
    /// # Errors
    /// Nobody else will come.
    fn turn(&mut self, poller: &Poller, now: Instant) -> Result<Vec<Comer>, Message>;

    /// Waits, not for long and less where the job has not gone `well`, until their processes have
    /// ended, so that this one is the last.
    fn see_off(self: Box<Self>, well: bool);
}

/// Agents that connect to doors of the root's, each at whichever it can.
pub struct Knocking {
    doors: Vec<Door>,
    hosts: Vec<String>,
    /// Where they read where to knock, until all are in.
    meeting: Option<Box<dyn Rendezvous>>,
    watched: bool,
    /// The connections once more, so that it is seen when the other end has ended.
    came: Vec<OwnedFd>,
}

impl Knocking {
    /// Opens a door at each of `places` that can have one, for all `guests` at each; `hosts` are
    /// those of all processes, the root's first.
    ///
    /// # Errors
    /// None of the places can.
    pub fn open(
        places: &[Place],
        hosts: Vec<String>,
        guests: impl Fn() -> Vec<Guest>,
    ) -> Result<Self, Message> {
        let mut doors = Vec::new();
        let mut refused = Vec::new();
        for place in places {
            match Door::for_several(place, guests()) {
                Ok(door) => doors.push(door),
                Err(error) => refused.push(error.to_string()),
            }
        }
        if doors.is_empty() {
            let mut message = Message::new("no address of this host can be listened on");
            message.notes = refused;
            return Err(message.help("`--listen ADDRESS` names another"));
        }
        Ok(Knocking { doors, hosts, meeting: None, watched: false, came: Vec::new() })
    }

    /// Keeps the place open where agents meet, for as long as some have not come.
    pub fn keep_open(&mut self, meeting: Box<dyn Rendezvous>) {
        self.meeting = Some(meeting);
    }

    /// Where agents are to knock.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().map(Door::local_addr).collect()
    }
}

impl Comers for Knocking {
    fn carrier(&self) -> &'static str {
        "a connection from it"
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.clone()
    }

    fn here(&self) -> Option<usize> {
        Some(0)
    }

    fn turn(&mut self, poller: &Poller, now: Instant) -> Result<Vec<Comer>, Message> {
        if !std::mem::replace(&mut self.watched, true) {
            for door in &self.doors {
                // One that is not watched is looked at now and then all the same.
                let _ = poller.add(door, Token::Link(u32::MAX, Part::Door));
            }
        }
        let mut comers = Vec::new();
        for door in &mut self.doors {
            let admitted = door.turn(now).map_err(|error| Message::new(error.to_string()))?;
            for peer in admitted {
                self.came.extend(rustix::io::fcntl_dupfd_cloexec(&peer.stream, 3));
                comers.push((
                    peer.agent,
                    Approach {
                        ends: Ends::Socket(peer.stream),
                        seal: Some((peer.sealer, peer.opener)),
                        came: Vec::new(),
                        words: None,
                        secret: None,
                    },
                ));
            }
        }
        // Who is in at one door is expected at none.
        for (agent, _) in &comers {
            self.doors.iter_mut().for_each(|door| door.forget(*agent));
        }
        if self.doors.iter().all(Door::is_closed) {
            self.meeting = None;
        }
        Ok(comers)
    }

    fn see_off(self: Box<Self>, well: bool) {
        for stream in &self.came {
            let _ = rustix::net::shutdown(stream, Shutdown::Write);
        }
        let [patient, hasty] = SEEING_OFF;
        let end = Instant::now() + if well { patient } else { hasty };
        for stream in &self.came {
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                let mut fds = [PollFd::new(stream, PollFlags::IN)];
                let _ = rustix::event::poll(&mut fds, Some(&timespec(left)));
                match rustix::io::read(stream, &mut [0; 4096]) {
                    Ok(1..) | Err(Errno::AGAIN | Errno::INTR) => {}
                    Ok(0) | Err(_) => break,
                }
            }
        }
    }
}
