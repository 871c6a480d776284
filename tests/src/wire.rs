//! One direction of a wire that loses, delays and slows frames, without I/O and clock.
//!
//! Frames leave in the order in which they came. What the wire holds is bounded: behind a rate it
//! queues a tenth of a second and drops the rest, as a switch does; a delay alone holds at most
//! [`HELD`] bytes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::rounds::Random;

/// The most that a direction holds, in bytes.
pub const HELD: usize = 64 << 20;

/// What a rate's queue takes beside a tenth of a second, so that a short burst passes.
const BURST: usize = 64 << 10;

/// What a wire does to each frame, in each direction alike. The default is a perfect wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// How long a frame is under way.
    pub delay: Duration,
    /// How many of a million frames are lost.
    pub loss_ppm: u64,
    /// Kilobits in a second; 0 for no limit.
    pub rate_kbit: u64,
}

impl Quality {
    /// The line that tells a `px-wire`.
    pub fn line(&self) -> String {
        format!("{} {} {}\n", self.delay.as_micros(), self.loss_ppm, self.rate_kbit)
    }

    /// Understands that line.
    pub fn parse(line: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> =
            line.split_whitespace().map(|word| word.parse().ok()).collect();
        let &[delay, loss_ppm, rate_kbit] = numbers?.as_slice() else { return None };
        Some(Quality { delay: Duration::from_micros(delay), loss_ppm, rate_kbit })
    }
}

/// The frames under way in one direction. All times are since one common moment.
#[derive(Debug)]
pub struct Direction {
    frames: VecDeque<(Duration, Vec<u8>)>,
    held: usize,
    free_at: Duration,
    last_due: Duration,
    random: Random,
}

impl Direction {
    /// An empty one, whose losses follow from a seed.
    pub fn seeded(seed: u64) -> Self {
        Direction {
            frames: VecDeque::new(),
            held: 0,
            free_at: Duration::ZERO,
            last_due: Duration::ZERO,
            random: Random::seeded(seed),
        }
    }

    /// Takes a frame that comes in now; it may be lost.
    pub fn take(&mut self, now: Duration, frame: &[u8], quality: &Quality) {
        if self.random.below(1_000_000) < quality.loss_ppm || self.is_full(frame.len(), quality) {
            return;
        }
        let mut sent = now;
        let nanoseconds = (frame.len() as u64 * 8_000_000).checked_div(quality.rate_kbit);
        if let Some(nanoseconds) = nanoseconds {
            self.free_at = self.free_at.max(now) + Duration::from_nanos(nanoseconds);
            sent = self.free_at;
        }
        self.last_due = self.last_due.max(sent + quality.delay);
        self.held += frame.len();
        self.frames.push_back((self.last_due, frame.to_vec()));
    }

    fn is_full(&self, more: usize, quality: &Quality) -> bool {
        let tenth = usize::try_from(quality.rate_kbit * 100 / 8).unwrap_or(HELD);
        let limit = if quality.rate_kbit > 0 && quality.delay.is_zero() {
            (tenth + BURST).min(HELD)
        } else {
            HELD
        };
        self.held + more > limit
    }

    /// Gives the next frame that has come through by now.
    pub fn give(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (_, frame) = self.frames.pop_front_if(|(due, _)| *due <= now)?;
        self.held -= frame.len();
        Some(frame)
    }

    /// When the next frame comes through.
    pub fn next_due(&self) -> Option<Duration> {
        self.frames.front().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 1250] = [7; 1250];

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_perfect_wire_gives_at_once_and_in_order() {
        let mut wire = Direction::seeded(1);
        wire.take(at(1), &[1], &Quality::default());
        wire.take(at(1), &[2], &Quality::default());
        assert_eq!([wire.give(at(1)), wire.give(at(1))], [Some(vec![1]), Some(vec![2])]);
        assert_eq!(wire.give(at(9)), None);
    }

    #[test]
    fn a_delayed_frame_comes_when_it_is_due_and_not_before() {
        let mut wire = Direction::seeded(1);
        wire.take(at(5), &FRAME, &Quality { delay: at(100), ..Quality::default() });
        assert_eq!(wire.next_due(), Some(at(105)));
        assert!(wire.give(at(104)).is_none());
        assert!(wire.give(at(105)).is_some());
    }

    #[test]
    fn a_shorter_delay_overtakes_nothing() {
        let mut wire = Direction::seeded(1);
        wire.take(at(0), &[1], &Quality { delay: at(100), ..Quality::default() });
        wire.take(at(1), &[2], &Quality::default());
        assert_eq!(wire.give(at(50)), None);
        assert_eq!(wire.give(at(100)), Some(vec![1]));
    }

    #[test]
    fn a_rate_spaces_frames_and_bounds_their_queue() {
        let mut wire = Direction::seeded(1);
        // 1250 bytes at 1 Mbit/s take 10 ms.
        let slow = Quality { rate_kbit: 1000, ..Quality::default() };
        (0..1000).for_each(|_| wire.take(at(0), &FRAME, &slow));
        assert!(wire.give(at(9)).is_none());
        assert!(wire.give(at(20)).is_some() && wire.give(at(20)).is_some());
        assert!(wire.give(at(20)).is_none());
        assert!(wire.frames.len() * FRAME.len() <= 12_500 + BURST);
    }

    #[test]
    fn loss_drops_about_the_share_asked_for() {
        let mut wire = Direction::seeded(1);
        let lossy = Quality { loss_ppm: 300_000, ..Quality::default() };
        (0..10_000).for_each(|_| wire.take(at(0), &[1], &lossy));
        assert!((6_700..7_300).contains(&wire.frames.len()), "{}", wire.frames.len());
    }

    #[test]
    fn a_quality_reads_back_from_its_line() {
        let quality = Quality { delay: at(3), loss_ppm: 20, rate_kbit: 1 };
        assert_eq!(Quality::parse(&quality.line()), Some(quality));
        assert_eq!(Quality::parse("1 2"), None);
        assert_eq!(Quality::parse("1 2 -3"), None);
    }
}
