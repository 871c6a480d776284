//! How long to leave a transport alone, without I/O.
//!
//! Nothing tells when it has something: it must be asked. Asking all the time burns a core that
//! the callbacks need, so each time in vain the pause doubles.

use std::time::Duration;

/// Looks in vain before the first pause.
const AT_ONCE: u32 = 16;
/// The first pause.
const SHORTEST: Duration = Duration::from_micros(4);
/// The longest.
const LONGEST: Duration = Duration::from_millis(1);
/// The longest while something is on its way out: some transports move it only when they are asked.
const LONGEST_ON_ITS_WAY: Duration = Duration::from_micros(64);

/// Looks that found nothing since the last one that did.
#[derive(Debug, Default)]
pub struct Pace {
    in_vain: u32,
}

impl Pace {
    /// Notes a look; returns how long to wait before the next one.
    pub fn after(&mut self, moved: bool, on_its_way: bool) -> Duration {
        self.in_vain = if moved { 0 } else { self.in_vain.saturating_add(1) };
        let Some(pauses) = self.in_vain.checked_sub(AT_ONCE) else { return Duration::ZERO };
        let longest = if on_its_way { LONGEST_ON_ITS_WAY } else { LONGEST };
        (SHORTEST * (1 << pauses.min(16))).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_silence_takes_about_a_thousand_looks() {
        let (mut pace, mut silence, mut looks) = (Pace::default(), Duration::ZERO, 0);
        while silence < Duration::from_secs(1) {
            let pause = pace.after(false, false);
            assert!(pause <= LONGEST);
            silence += pause;
            looks += 1;
        }
        assert!(looks < 1_100, "{looks}");
    }

    #[test]
    fn who_has_just_heard_something_looks_at_once() {
        let mut pace = Pace::default();
        while pace.after(false, false) < LONGEST {}
        assert_eq!(pace.after(true, false), Duration::ZERO);
        assert_eq!(pace.after(false, false), Duration::ZERO);
    }

    #[test]
    fn what_is_on_its_way_is_looked_after_more_often() {
        let mut pace = Pace::default();
        for _ in 0..1_000 {
            assert!(pace.after(false, true) <= LONGEST_ON_ITS_WAY);
        }
        assert_eq!(pace.after(false, false), LONGEST);
    }
}
