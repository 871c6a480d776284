//! The lease: how long a silence may last before the other side counts as lost.
//!
//! Both sides say something often enough that only a break can bring a silence that long, and both
//! give up somewhat before its end, so that what has to be ended by then has time to end.

use std::time::{Duration, Instant};

/// The usual lease.
pub const USUAL: Duration = Duration::from_secs(10);
/// The shortest one.
pub const SHORTEST: Duration = Duration::from_secs(2);
/// What an agent is granted while the job stands still.
pub const PAUSED: Duration = Duration::from_secs(3600);

/// One side's view of the other's life.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    length: Duration,
    since: Instant,
}

impl Lease {
    /// Begins now.
    pub fn new(length: Duration, now: Instant) -> Self {
        Lease { length, since: now }
    }

    /// How often to say something at least.
    pub fn beat(&self) -> Duration {
        (self.length / 8).min(Duration::from_secs(1))
    }

    /// The silence after which the other side is given up.
    pub fn patience(&self) -> Duration {
        self.length * 4 / 5
    }

    /// Whether it is to be given up at `now`, when it was last heard at `heard`.
    pub fn has_run_out(&self, heard: Instant, now: Instant) -> bool {
        now >= self.end(heard)
    }

    /// When it is to be given up.
    pub fn end(&self, heard: Instant) -> Instant {
        heard.max(self.since) + self.patience()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_beats_fit_into_any_patience() {
        for seconds in [2, 3, 10, 60] {
            let lease = Lease::new(Duration::from_secs(seconds), Instant::now());
            assert!(lease.beat() * 5 <= lease.patience());
            assert!(lease.patience() < Duration::from_secs(seconds));
        }
    }
}
