//! How soon MPI is asked again whether something has come or was sent, without I/O.
//!
//! Each silence is cut in half: whoever has just heard something looks at once, and one that has
//! heard nothing for long looks seldom. So a message is found at most half as late again as it
//! came after the one before, and a process with nothing to do costs next to nothing.

use std::time::Duration;

/// For so long after something came, the next look is at once.
const AT_ONCE: Duration = Duration::from_micros(50);
/// The same while something is on its way: as long as a large message may take on a fast network.
const ON_ITS_WAY: Duration = Duration::from_micros(500);
/// So many looks that found nothing make a silence. Time alone does not: on a busy machine it may
/// have passed while this process did not run.
const IN_VAIN: u32 = 8;
/// The same while something is on its way.
const IN_VAIN_ON_ITS_WAY: u32 = 64;
/// The longest wait while a job is alive: a heartbeat a second begins it anew.
const LIVELY: Duration = Duration::from_millis(1);
/// A silence after which there is nothing to hurry for.
const QUIET: Duration = Duration::from_millis(250);
/// The longest wait of all.
const LONGEST: Duration = Duration::from_millis(3);

/// How long to leave MPI alone when nothing came or went for `silence`, in which it was asked
/// `in_vain` times.
pub fn pause(silence: Duration, in_vain: u32, on_its_way: bool) -> Duration {
    let (at_once, looks) = match on_its_way {
        true => (ON_ITS_WAY, IN_VAIN_ON_ITS_WAY),
        false => (AT_ONCE, IN_VAIN),
    };
    if silence < at_once || in_vain < looks {
        return Duration::ZERO;
    }
    let longest = if silence < QUIET { LIVELY } else { LONGEST };
    (silence / 2).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_half_as_late_again_as_it_came_at_most() {
        for micros in (0..1_000_000).step_by(7) {
            let silence = Duration::from_micros(micros);
            for on_its_way in [false, true] {
                assert!(pause(silence, u32::MAX, on_its_way) <= silence / 2, "{silence:?}");
            }
        }
    }

    #[test]
    fn a_second_of_silence_takes_fewer_than_a_thousand_looks() {
        let (mut silence, mut looks) = (AT_ONCE, 0);
        while silence < Duration::from_secs(1) {
            silence += pause(silence, looks, false);
            looks += 1;
        }
        assert!(looks < 600, "{looks}");
    }
}
