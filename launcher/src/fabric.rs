//! What an MPI is to this program: processes that a launcher started together, and a way from the
//! root to each of the others. This crate knows none; `pxrun-mpi` brings one along.

use std::time::{Duration, Instant};

use px_runtime::buffers::Buffers;
use px_runtime::failure::Message;
use px_runtime::link::carrier::Carrier;
use px_runtime::link::channel::Ends;
use px_runtime::link::joining::Approach;
use px_runtime::poller::Poller;

use crate::comers::{Comer, Comers};

/// How long others may take to come to leave; less where one of them may be lost.
pub const LEAVING: [Duration; 2] = [Duration::from_secs(5), Duration::from_millis(200)];

/// Processes that know each other by number, process 0 being the root.
pub trait Fabric {
    /// The number of this one.
    fn rank(&self) -> u32;

    /// How many there are.
    fn size(&self) -> u32;

    /// The way to another one, if there is one of that number. One thread uses all of them.
    fn carrier(&self, peer: u32) -> Option<Box<dyn Carrier>>;

    /// Leaves the others, once all want to or `patience` is over; says whether it was in order.
    fn leave(self: Box<Self>, patience: Duration) -> bool;
}

/// Joins the others; called in the process that does all the work, once.
///
/// # Errors
/// There are none, or not as many as the launcher says.
pub type Start = fn(&Buffers) -> Result<Box<dyn Fabric>, Message>;

/// All processes of a fabric but the root's, which is this one.
pub struct Present {
    fabric: Box<dyn Fabric>,
    /// The hosts of all processes that take part.
    hosts: Vec<String>,
    here: Option<usize>,
    came: bool,
}

impl Present {
    /// Takes each process for an agent, this one too.
    pub fn all(fabric: Box<dyn Fabric>) -> Self {
        let hosts = vec![String::new(); fabric.size() as usize];
        Present { fabric, hosts, here: Some(0), came: false }
    }

    /// Takes the processes but this one for the agents of `hosts` in their order, of which `here`
    /// is the place of this one, if it is among them.
    ///
    /// # Errors
    /// There are not as many.
    pub fn on(
        fabric: Box<dyn Fabric>,
        hosts: Vec<String>,
        here: Option<usize>,
    ) -> Result<Self, Message> {
        let wanted = hosts.len() + usize::from(here.is_none());
        let found = fabric.size() as usize;
        if found != wanted {
            let text = format!("the launcher started {found} processes instead of {wanted}");
            return Err(Message::new(text).help("`--backend ssh` needs no launcher"));
        }
        Ok(Present { fabric, hosts, here, came: false })
    }
}

impl Comers for Present {
    fn carrier(&self) -> &'static str {
        "MPI"
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.clone()
    }

    fn here(&self) -> Option<usize> {
        self.here
    }

    fn turn(&mut self, _poller: &Poller, _now: Instant) -> Result<Vec<Comer>, Message> {
        if std::mem::replace(&mut self.came, true) {
            return Ok(Vec::new());
        }
        let others = (0..self.hosts.len()).filter(|&at| Some(at) != self.here);
        let comers = others.zip(1..).filter_map(|(at, peer)| {
            let way = Approach {
                ends: Ends::Carried(self.fabric.carrier(peer)?),
                seal: None,
                came: Vec::new(),
                words: None,
                secret: None,
            };
            Some((u32::try_from(at).unwrap_or(u32::MAX), way))
        });
        Ok(comers.collect())
    }

    fn see_off(self: Box<Self>, well: bool) {
        let [patient, hasty] = LEAVING;
        let _ = self.fabric.leave(if well { patient } else { hasty });
    }
}
