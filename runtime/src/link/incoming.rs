//! Bytes that came and wait to be understood: appended behind, taken in front, in place.

/// A large buffer grows by this many bytes; most never grow beyond it.
const STEP: usize = crate::buffers::BUFFER;
/// The smallest buffer. A root has three for each of its hosts, and most of them are idle.
const SMALLEST: usize = 4 << 10;

/// A run of bytes in a buffer that is used again and again without being cleared.
#[derive(Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// Begins with `bytes`.
    pub fn of(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Incoming { bytes, start: 0, end }
    }

    /// What waits.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room behind what waits, at least `least` bytes of it; what it holds means nothing.
    pub fn room(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < least {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() - self.end < least {
            let needed = self.end + least;
            let length = match needed {
                ..STEP => needed.next_power_of_two().max(SMALLEST),
                _ => needed.next_multiple_of(STEP),
            };
            self.bytes.resize(length, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Notes that the first `count` bytes of the room were filled.
    pub fn added(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Appends `bytes`, without a copy where nothing waits; returns a buffer that is free now.
    pub fn append(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if self.is_empty() {
            return std::mem::replace(self, Incoming::of(bytes)).bytes;
        }
        let count = bytes.len();
        self.room(count)[..count].copy_from_slice(&bytes);
        self.added(count);
        bytes
    }

    /// Takes the first `count` bytes away.
    pub fn take(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Wipes all that does not wait any more.
    pub fn wipe(&mut self) {
        use zeroize::Zeroize;
        self.bytes[..self.start].zeroize();
        self.bytes[self.end..].zeroize();
    }

    /// Gives the memory back where nothing waits.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Incoming::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_appended_is_taken_in_order(
            steps in proptest::collection::vec((0usize..5000, 0usize..5000), 1..60),
        ) {
            let (mut incoming, mut model, mut next) = (Incoming::default(), Vec::new(), 0u8);
            for (add, take) in steps {
                let room = incoming.room(add);
                prop_assert!(room.len() >= add);
                for byte in &mut room[..add] {
                    *byte = next;
                    model.push(next);
                    next = next.wrapping_add(1);
                }
                incoming.added(add);
                prop_assert_eq!(incoming.unread(), &model[..]);
                let take = take.min(model.len());
                incoming.take(take);
                model.drain(..take);
            }
        }
    }

    #[test]
    fn bytes_that_are_appended_follow_what_waits() {
        let mut incoming = Incoming::default();
        incoming.append(b"one".to_vec());
        incoming.take(1);
        incoming.append(b"two".to_vec());
        assert_eq!(incoming.unread(), b"netwo");
    }

    #[test]
    fn little_that_waits_takes_little_room() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.room(1).len(), SMALLEST);
        incoming.added(SMALLEST);
        assert_eq!(incoming.room(1).len(), SMALLEST);
        assert!(incoming.room(STEP / 2).len() < STEP);
    }

    #[test]
    fn little_that_comes_and_goes_needs_no_more_room_than_it_had() {
        let mut incoming = Incoming::default();
        let had = incoming.room(STEP / 2).len();
        for _ in 0..1000 {
            incoming.room(STEP / 2);
            incoming.added(STEP / 4);
            incoming.take(STEP / 4);
        }
        assert_eq!(incoming.bytes.len(), had);
    }
}
