//! A host that is lost: what ran there counts for nothing.

use std::time::Instant;

use super::Root;
use crate::failure::{Failure, Kind, Message};
use crate::poller::Poller;

impl Root {
    /// Takes note that the agent of a host is out of reach.
    pub(super) fn host_lost(
        &mut self,
        host: usize,
        message: Message,
        poller: &Poller,
        now: Instant,
    ) {
        for rank in self.hosts.ranks_of(host).to_vec() {
            let state = &mut self.ranks[rank as usize];
            state.running = false;
            state.over = true;
        }
        self.fail_now(Failure { kind: Kind::Own, place: 0, message }, poller, now);
    }
}
