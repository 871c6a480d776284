//! How long to leave pipes alone, so that one wake-up moves much.

use std::time::Duration;

/// The longest pause.
const LONGEST: Duration = Duration::from_millis(1);
/// The shortest one that is worth a system call.
const SHORTEST: Duration = Duration::from_micros(50);

/// The present pause: longer while pipes hardly fill or drain meanwhile, shorter when one was in
/// danger of running full or dry.
#[derive(Clone, Copy, Debug)]
pub struct Pace(Duration);

impl Pace {
    /// Begins with the shortest.
    pub fn new() -> Self {
        Pace(SHORTEST)
    }

    /// How long to pause after a turn that moved at most `fullest` percent of a pipe.
    pub fn pause(&mut self, fullest: usize) -> Option<Duration> {
        if fullest == 0 {
            return None;
        }
        if fullest < 25 {
            self.0 = (self.0 * 2).clamp(SHORTEST, LONGEST);
        } else if fullest > 60 {
            self.0 /= 2;
        }
        if self.0 < SHORTEST {
            self.0 = SHORTEST / 2;
            return None;
        }
        Some(self.0)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Pace::new()
    }
}
