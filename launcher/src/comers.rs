//! Agents that come to the root by themselves, because somebody else has started them.

use std::time::Instant;

use px_runtime::failure::Message;
use px_runtime::link::joining::Approach;
use px_runtime::poller::Poller;

/// An agent's number and the way on which it has come.
pub type Comer = (u32, Approach);

/// Where agents come from.
pub trait Comers {
    /// What their control channels go over, for people.
    fn carrier(&self) -> &'static str;

    /// Takes those who have come since the last time.
    ///
    /// # Errors
    /// Nobody else will come.
    fn turn(&mut self, poller: &Poller, now: Instant) -> Result<Vec<Comer>, Message>;
}
