//! The root's doors: for agents that the root cannot reach, at addresses of its own that they can.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::door::Door;
use super::hello::{Admitted, Guest};
use super::place::Place;
use crate::poller::{Part, Poller, Token};

/// The doors at which agents knock that the root cannot reach; opened only when one is needed.
pub struct Doors {
    pub(super) listen: Option<(IpAddr, Option<RangeInclusive<u16>>)>,
    open: Vec<(IpAddr, Door)>,
    came: Vec<Admitted>,
    /// Of doors that are closed.
    strangers: u64,
}

impl Doors {
    /// Doors at `listen`, or at whatever address of the root's own an agent knows.
    pub fn new(listen: Option<(IpAddr, Option<RangeInclusive<u16>>)>) -> Self {
        Doors { listen, open: Vec::new(), came: Vec::new(), strangers: 0 }
    }

    /// Expects `guest`, who knows the root by `known`; says where to knock.
    pub(super) fn expect(
        &mut self,
        guest: Guest,
        known: Option<IpAddr>,
        lease: Duration,
        poller: &Poller,
    ) -> Result<SocketAddr, String> {
        let (address, ports) = match (&self.listen, known) {
            (Some((address, ports)), _) => (*address, ports.clone()),
            (None, Some(known)) => (known, None),
            (None, None) => return Err("its login has no address".to_owned()),
        };
        let place = Place { address, ports, user_timeout: lease };
        if let Some(number) = self.open.iter().position(|(at, _)| *at == address) {
            let door = &mut self.open[number].1;
            if !door.is_closed() {
                door.expect(guest);
                return Ok(door.local_addr());
            }
            self.strangers += door.strangers();
            self.open.remove(number);
        }
        let door = Door::for_several(&place, vec![guest]).map_err(|error| error.to_string())?;
        let _ = poller.add(&door, Token::Link(u32::MAX, Part::Door));
        let at = door.local_addr();
        self.open.push((address, door));
        Ok(at)
    }

    /// Lets in who has come.
    pub fn turn(&mut self, now: Instant) {
        for (_, door) in &mut self.open {
            self.came.extend(door.turn(now).unwrap_or_default());
        }
    }

    /// Expects an agent no longer; a door that expects nobody else closes.
    pub fn forget(&mut self, agent: u32) {
        self.came.retain(|admitted| admitted.agent != agent);
        self.open.iter_mut().for_each(|(_, door)| door.forget(agent));
    }

    pub(super) fn take(&mut self, agent: u32) -> Option<Admitted> {
        let at = self.came.iter().position(|admitted| admitted.agent == agent)?;
        Some(self.came.swap_remove(at))
    }

    /// How many strangers came in all.
    pub fn strangers(&self) -> u64 {
        self.strangers + self.open.iter().map(|(_, door)| door.strangers()).sum::<u64>()
    }
}
