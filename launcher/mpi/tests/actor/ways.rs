//! All ways of a process, asked in turn.

use std::path::PathBuf;
use std::time::Duration;

use px_runtime::link::carrier::{Carrier, CarrierError};
use pxrun_mpi::hub::{Hub, Way};

/// Bytes on their way to one process above which no more are sent.
const IN_FLIGHT: usize = 4 << 20;

pub struct Ways(Vec<Option<Way>>);

impl Ways {
    pub fn new(hub: &Hub, size: usize) -> Self {
        assert!(hub.carrier(size).is_none(), "a way to nobody");
        Ways((0..size).map(|peer| hub.carrier(peer)).collect())
    }

    pub fn to(&mut self, peer: usize) -> &mut Way {
        self.0[peer].as_mut().unwrap()
    }

    pub fn drop_way(&mut self, peer: usize) {
        self.0[peer] = None;
    }

    /// Sends all of `messages` to `peer`, as fast as they go.
    pub fn send_all(&mut self, peer: usize, messages: impl Iterator<Item = Vec<u8>>) {
        for message in messages {
            self.wait_until(peer, |way| way.in_flight() < IN_FLIGHT);
            self.to(peer).send(message).unwrap();
        }
        self.wait_until(peer, |way| way.in_flight() == 0);
    }

    /// Looks until `true`; nothing comes meanwhile.
    fn wait_until(&mut self, peer: usize, is_so: impl Fn(&Way) -> bool) {
        while !is_so(self.to(peer)) {
            assert_eq!(self.to(peer).receive().unwrap(), None);
            while self.to(peer).sent().is_some() {}
            rest(self.to(peer));
        }
    }

    /// Waits until `file` is there; what was sent before goes its way meanwhile.
    pub fn until_there(&mut self, file: PathBuf, peer: usize) {
        while !file.exists() {
            let _ = self.to(peer).receive();
            rest(self.to(peer));
        }
    }

    /// Waits for the next message of `peer`.
    pub fn next(&mut self, peer: usize) -> Result<Vec<u8>, CarrierError> {
        loop {
            if let Some(message) = self.to(peer).receive()? {
                return Ok(message);
            }
            rest(self.to(peer));
        }
    }
}

/// Leaves MPI alone as long as it wants to be.
pub fn rest(way: &Way) {
    let pause = way.pause();
    if !pause.is_zero() {
        std::thread::sleep(pause);
    }
}

/// Waits until all of `files` exist.
pub fn until_there(files: &[PathBuf]) {
    while !files.iter().all(|file| file.exists()) {
        std::thread::sleep(Duration::from_millis(1));
    }
}
