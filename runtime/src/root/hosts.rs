//! The hosts of a job: which ranks run where, and the link to each host's agent.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::link::{Link, Moved, Windows};
use crate::message::{FromAgent, ToAgent};
use crate::poller::{Poller, Ready, Token};

/// A host, the ranks it runs and the link to its agent.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) ranks: Vec<u32>,
    /// What the events of its link bear.
    pub(super) number: Option<u32>,
    pub(super) link: Box<dyn Link>,
}

/// All hosts of a job.
pub(super) struct Hosts {
    hosts: Vec<Host>,
    /// The host of each rank.
    of_rank: Vec<usize>,
    /// The host whose link has a number.
    of_number: HashMap<u32, usize>,
    /// The one whose agent is in this very process.
    own: Option<usize>,
    /// Whose turn it is to tell.
    telling: usize,
}

impl Hosts {
    /// Takes hosts that together run every rank from 0 up.
    pub(super) fn new(hosts: Vec<Host>, own: Option<usize>) -> Self {
        let world = hosts.iter().map(|host| host.ranks.len()).sum();
        let mut of_rank = vec![0; world];
        for (number, host) in hosts.iter().enumerate() {
            for &rank in &host.ranks {
                of_rank[rank as usize] = number;
            }
        }
        let numbers = hosts.iter().enumerate().filter_map(|(at, host)| Some((host.number?, at)));
        let of_number = numbers.collect();
        Hosts { hosts, of_rank, of_number, own, telling: 0 }
    }

    /// What the host of `rank` is called.
    pub(super) fn name_of(&self, rank: u32) -> &str {
        &self.hosts[self.of_rank[rank as usize]].name
    }

    /// The ranks of a host.
    pub(super) fn ranks_of(&self, host: usize) -> &[u32] {
        &self.hosts[host].ranks
    }

    /// The link to the agent of `rank`.
    fn link_of(&mut self, rank: u32) -> &mut dyn Link {
        self.hosts[self.of_rank[rank as usize]].link.as_mut()
    }

    /// How much may be on its way to `rank`.
    pub(super) fn windows_of(&self, rank: u32) -> Windows {
        self.hosts[self.of_rank[rank as usize]].link.windows()
    }

    /// Whether more can be dealt to `rank` now.
    pub(super) fn has_room(&self, rank: u32) -> bool {
        self.hosts[self.of_rank[rank as usize]].link.has_room()
    }

    /// Whether `rank` runs where it can be lost.
    pub(super) fn can_lose(&self, rank: u32) -> bool {
        Some(self.of_rank[rank as usize]) != self.own
    }

    /// Whether nothing of the job runs on any host any more.
    pub(super) fn are_over(&self) -> bool {
        self.hosts.iter().all(|host| host.link.is_over())
    }

    /// Whether all that was said has been sent.
    pub(super) fn are_quiet(&self) -> bool {
        self.hosts.iter().all(|host| host.link.is_quiet())
    }

    /// Tells the agents that the silence to come means nothing, as far as that can be sent soon.
    pub(super) fn announce_silence(&mut self, poller: &Poller, now: Instant) {
        const FOR_SENDING: Duration = Duration::from_millis(500);
        let since = Instant::now();
        self.order(ToAgent::Pause, poller, now);
        while !self.are_quiet() && since.elapsed() < FOR_SENDING {
            self.pump(poller, now);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Says that the silence is over.
    pub(super) fn end_silence(&mut self, poller: &Poller, now: Instant) {
        self.forgive(now);
        self.order(ToAgent::Resume, poller, now);
    }

    /// Does something that may take longer than a lease lasts, such as a look at all of the input.
    pub(super) fn while_silent<T>(&mut self, poller: &Poller, work: impl FnOnce() -> T) -> T {
        if self.hosts.iter().all(|host| host.number.is_none()) {
            return work();
        }
        self.announce_silence(poller, Instant::now());
        let done = work();
        self.end_silence(poller, Instant::now());
        done
    }

    /// Counts the silence until now for nothing.
    fn forgive(&mut self, now: Instant) {
        self.hosts.iter_mut().for_each(|host| host.link.forgive(now));
    }

    /// Passes an order on to the agent that it concerns, or to all.
    pub(super) fn order(&mut self, order: ToAgent<'_>, poller: &Poller, now: Instant) {
        match order.rank() {
            Some(rank) => self.link_of(rank).order(order, poller, now),
            None => {
                for host in &mut self.hosts {
                    host.link.order(order.clone(), poller, now);
                }
            }
        }
    }

    /// Takes the next thing that any agent has to tell.
    /// Says also the host's number.
    pub(super) fn told(&mut self) -> Option<(usize, FromAgent)> {
        for _ in 0..self.hosts.len() {
            if let Some(told) = self.hosts[self.telling].link.told() {
                return Some((self.telling, told));
            }
            self.telling = (self.telling + 1) % self.hosts.len();
        }
        None
    }

    /// Passes an event on to the link that waits for it.
    pub(super) fn ready(&mut self, event: Ready, now: Instant) {
        let number = match event.token {
            Token::Link(number, _) => self.of_number.get(&number).copied(),
            _ => self.own,
        };
        if let Some(host) = number.and_then(|number| self.hosts.get_mut(number)) {
            host.link.ready(event, now);
        }
    }

    /// Has every link move what it can.
    pub(super) fn pump(&mut self, poller: &Poller, now: Instant) -> Moved {
        let mut all = Moved::default();
        for host in &mut self.hosts {
            let moved = host.link.pump(poller, now);
            all.any |= moved.any;
            all.more |= moved.more;
            all.fullest = all.fullest.max(moved.fullest);
        }
        all
    }

    pub(super) fn stir(&mut self, now: Instant) {
        self.hosts.iter_mut().for_each(|host| host.link.stir(now));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.hosts.iter().filter_map(|host| host.link.deadline()).min()
    }
}
