//! How many bytes of a stream may be on their way, without I/O.
//!
//! Each end of a stream starts with [`WINDOW`] bytes of credit. Who receives holds what its socket
//! does not take yet, and gives the credit back as bytes leave: so it never holds more than the
//! window, and a reader that is slow stops its own stream and no other.

use std::collections::VecDeque;

/// Bytes that may be on their way or held at the receiver.
pub(super) const WINDOW: usize = 1 << 20;
/// Most bytes in one message.
pub(super) const LARGEST: usize = 256 << 10;
/// Credit worth a message of its own.
const WORTHWHILE: usize = WINDOW / 4;

/// The other end did what it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// More bytes than there was credit for.
    #[error("{bytes} bytes where credit was left for {credit}")]
    Bytes {
        /// As they came.
        bytes: usize,
        /// What was left.
        credit: usize,
    },
    /// More credit than bytes were sent.
    #[error("credit for {credit} bytes where {sent} were on their way")]
    Credit {
        /// As it came.
        credit: usize,
        /// What may have been meant.
        sent: usize,
    },
}

/// The end that sends.
#[derive(Debug)]
pub struct Outward {
    credit: usize,
}

impl Default for Outward {
    fn default() -> Self {
        Outward { credit: WINDOW }
    }
}

impl Outward {
    /// Bytes that the next message may have.
    pub fn room(&self) -> usize {
        self.credit.min(LARGEST)
    }

    /// Notes a message of at most [`room`](Self::room) bytes.
    pub fn sent(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_sub(bytes);
    }

    /// Notes what the receiver gives back.
    ///
    /// # Errors
    /// [`Breach::Credit`].
    pub fn granted(&mut self, credit: usize) -> Result<(), Breach> {
        let sent = WINDOW - self.credit;
        if credit > sent {
            return Err(Breach::Credit { credit, sent });
        }
        self.credit += credit;
        Ok(())
    }
}

/// The end that receives.
#[derive(Debug, Default)]
pub struct Inward {
    held: VecDeque<u8>,
    owed: usize,
}

impl Inward {
    /// Checks that so many bytes may come now; `left` of them, the last ones, are to be held.
    ///
    /// # Errors
    /// [`Breach::Bytes`].
    pub fn came(&mut self, bytes: usize, left: &[u8]) -> Result<(), Breach> {
        let credit = WINDOW - self.held.len() - self.owed;
        if bytes > credit {
            return Err(Breach::Bytes { bytes, credit });
        }
        self.owed += bytes - left.len();
        self.held.extend(left);
        Ok(())
    }

    /// The first bytes of those held; empty where none are.
    pub fn next(&self) -> &[u8] {
        self.held.as_slices().0
    }

    /// Notes that the first bytes have left.
    pub fn left(&mut self, bytes: usize) {
        self.owed += self.held.drain(..bytes).len();
    }

    /// Credit that is worth to be given back now; it counts as given.
    pub fn owed(&mut self) -> Option<usize> {
        (self.owed >= WORTHWHILE).then(|| std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What one end does next, and with how many bytes.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Send(usize),
        Arrive(usize),
        Write(usize),
        Grant,
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = prop_oneof![1usize..100, 1..WINDOW];
        prop_oneof![
            size.clone().prop_map(Step::Send),
            size.clone().prop_map(Step::Arrive),
            size.prop_map(Step::Write),
            Just(Step::Grant),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_byte_arrives_in_order_and_never_more_are_held_than_the_window(
            steps in proptest::collection::vec(step(), 1..300),
        ) {
            let pattern: Vec<u8> = (0..251).cycle().take(WINDOW + 251).collect();
            let bytes_at = |at: usize, length: usize| &pattern[at % 251..][..length];
            let (mut out, mut inward) = (Outward::default(), Inward::default());
            let mut wire: VecDeque<&[u8]> = VecDeque::new();
            let (mut sent, mut seen) = (0, 0);
            // At the end everything there is is done, over and over: nothing may be stuck then.
            let rest = [Step::Arrive(0), Step::Write(WINDOW), Step::Grant, Step::Send(LARGEST)];
            let rest = rest.into_iter().cycle().take(4 * (steps.len() + 40));
            let (begun, mut sent_at_last) = (steps.len(), 0);
            for (number, step) in steps.into_iter().chain(rest).enumerate() {
                match step {
                    Step::Send(bytes) => {
                        let bytes = bytes.min(out.room());
                        wire.push_back(bytes_at(sent, bytes));
                        out.sent(bytes);
                        sent += bytes;
                        sent_at_last += if number >= begun { bytes } else { 0 };
                    }
                    Step::Arrive(at_once) => {
                        let Some(bytes) = wire.pop_front() else { continue };
                        let at_once = match inward.next() {
                            [] => at_once.min(bytes.len()),
                            _ => 0,
                        };
                        let (now, later) = bytes.split_at(at_once);
                        prop_assert!(now == bytes_at(seen, now.len()));
                        seen += now.len();
                        prop_assert_eq!(inward.came(bytes.len(), later), Ok(()));
                        prop_assert!(inward.held.len() <= WINDOW);
                    }
                    Step::Write(bytes) => {
                        let next = inward.next();
                        let now = &next[..bytes.min(next.len())];
                        prop_assert!(now == bytes_at(seen, now.len()));
                        let now = now.len();
                        seen += now;
                        inward.left(now);
                    }
                    Step::Grant => {
                        if let Some(credit) = inward.owed() {
                            prop_assert_eq!(out.granted(credit), Ok(()));
                        }
                    }
                }
            }
            prop_assert!(sent_at_last >= 2 * WINDOW, "{}", sent_at_last);
        }
    }

    #[test]
    fn more_than_the_credit_is_a_breach_at_either_end() {
        let (mut out, mut inward) = (Outward::default(), Inward::default());
        out.sent(5);
        assert_eq!(out.granted(6), Err(Breach::Credit { credit: 6, sent: 5 }));
        let bytes = vec![0; LARGEST];
        for _ in 0..WINDOW / LARGEST {
            inward.came(LARGEST, &bytes).unwrap();
        }
        assert_eq!(inward.came(1, &[0]), Err(Breach::Bytes { bytes: 1, credit: 0 }));
        inward.left(5);
        assert_eq!(inward.owed(), None);
        assert_eq!(inward.came(1, &[0]), Err(Breach::Bytes { bytes: 1, credit: 0 }));
    }
}
