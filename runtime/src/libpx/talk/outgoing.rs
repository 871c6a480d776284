//! What a rank sends: into the receiver's buffer, into the ring between the two, or by the agent to
//! another host.

use std::time::{Duration, Instant};

use std::sync::atomic::Ordering;

use super::member::{Member, Patience, Wish};
use super::part::{HEADER, Part};
use super::straight::{Straight, fill};
use super::{TalkError, Uplink};
use crate::libpx::commons::layout::{RING, UNTOLD, WINDOW, spans};
use crate::sys::shared::Mapping;

/// A message of this many bytes and more goes straight where it can: the call costs as much as it
/// takes to copy some thousand bytes twice.
pub const STRAIGHT: usize = 8 << 10;
/// Bytes that a receiver may still have to take out of the ring before it is worth while to wait
/// until it has: else a sender that was once faster would go through the ring for ever.
const CLOSE_BEHIND: u64 = 256 << 10;
/// Bytes after which the receiver may begin with what is there, and most bytes of a frame.
const STEP: usize = 64 << 10;
/// Bytes of a message that go before anybody takes it: as many as a receiver on another host tells
/// of in any case.
const BEGINNING: usize = HEADER + UNTOLD as usize;

/// What a rank sends.
#[derive(Default)]
pub struct Outgoing {
    lanes: Vec<Option<Lane>>,
}

/// The way to another rank.
struct Lane {
    to: u32,
    way: Way,
    /// Bytes that were put in.
    written: u64,
    /// Bytes that the receiver had taken when that was looked at.
    read: u64,
}

enum Way {
    /// To a rank of this host: its place, and the ring.
    Here(u32, Mapping),
    /// To another host.
    Elsewhere,
}

impl Outgoing {
    /// Sends a message.
    ///
    /// # Errors
    /// [`TalkError::Gone`], [`TalkError::Timeout`], [`TalkError::System`], [`TalkError::Uplink`].
    pub fn send(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        to: u32,
        tag: u32,
        bytes: &[u8],
        patience: Patience,
    ) -> Result<(), TalkError> {
        if member.is_left_alone(Some(to)) {
            return Err(member.why_alone(Some(to)));
        }
        let lane = self.lane(member, to)?;
        if bytes.len() >= STRAIGHT && lane.goes_straight(member, tag, bytes) {
            return Ok(());
        }
        lane.send(member, uplink, tag, bytes, patience)
    }

    fn lane(&mut self, member: &Member, to: u32) -> Result<&mut Lane, TalkError> {
        let index = to as usize;
        if self.lanes.len() <= index {
            self.lanes.resize_with(index + 1, || None);
        }
        if self.lanes[index].is_none() {
            self.lanes[index] = Some(Lane::new(member, to)?);
        }
        self.lanes[index].as_mut().ok_or(TalkError::Gone(Some(to)))
    }
}

impl Lane {
    fn new(member: &Member, to: u32) -> Result<Lane, TalkError> {
        let way = match member.place(to) {
            Some(local) => Way::Here(local, member.ring(local, member.rank())?),
            None => Way::Elsewhere,
        };
        let mut lane = Lane { to, way, written: 0, read: 0 };
        lane.read = lane.seen(member);
        // All that was put in before this process was, if anything was.
        lane.written = match &lane.way {
            Way::Here(local, _) => {
                member.front().ring(*local, member.rank()).written.count.load(Ordering::Acquire)
            }
            Way::Elsewhere => lane.read,
        };
        Ok(lane)
    }

    /// Bytes that the receiver has taken.
    fn seen(&self, member: &Member) -> u64 {
        let counter = match self.way {
            Way::Here(local, _) => &member.front().ring(local, member.rank()).read.count,
            Way::Elsewhere => &member.front().ring(member.local(), self.to).written.drained,
        };
        counter.load(Ordering::SeqCst)
    }

    /// Bytes that may be put in. A header's room is kept, so that a message can be given up.
    fn room(&self) -> usize {
        let window = if matches!(self.way, Way::Here(..)) { WINDOW } else { RING };
        let used = self.written.wrapping_sub(self.read);
        window.saturating_sub(used).saturating_sub(HEADER as u64) as usize
    }

    /// The same, after a look where that is not `enough`.
    fn room_for(&mut self, member: &Member, enough: usize) -> usize {
        if self.room() < enough {
            self.read = self.seen(member);
        }
        self.room()
    }

    /// Tries to put a message where the receiver waits for it; waits for that a little, if it may,
    /// but no longer than it takes to copy the message once.
    fn goes_straight(&mut self, member: &Member, tag: u32, bytes: &[u8]) -> bool {
        let Way::Here(local, _) = self.way else { return false };
        if self.to == member.rank() || !member.goes_straight() {
            return false;
        }
        let longest = member.spin().min(Duration::from_nanos(bytes.len() as u64 / 16));
        let mut since = None;
        loop {
            self.read = self.seen(member);
            match self.written.wrapping_sub(self.read) {
                0 => match fill(member, local, tag, bytes) {
                    Straight::There => return true,
                    Straight::Not => return false,
                    Straight::NotPosted => {}
                },
                1..=CLOSE_BEHIND => {}
                _ => return false,
            }
            if longest.is_zero() {
                return false;
            }
            if since.get_or_insert_with(Instant::now).elapsed() >= longest {
                return false;
            }
            std::hint::spin_loop();
        }
    }

    /// Puts a message into the ring, or gives it to the agent: at once where there is room for all
    /// of it, else in parts.
    fn send(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        tag: u32,
        bytes: &[u8],
        patience: Patience,
    ) -> Result<(), TalkError> {
        let whole = HEADER + bytes.len();
        if self.room_for(member, whole) >= whole {
            return self.put(member, uplink, tag, bytes, 0);
        }
        if patience == Patience::Once {
            return Err(TalkError::Timeout);
        }
        let start = self.written;
        let mut rest = bytes;
        loop {
            let Some(room) = self.wait_for_room(member, tag, start, rest.len(), patience)? else {
                if self.written != start {
                    self.append(member, uplink, &Part::Cancel.encode(), &[])?;
                }
                return Err(TalkError::Timeout);
            };
            let (now, later) = rest.split_at(rest.len().min(room - HEADER));
            self.put(member, uplink, tag, now, later.len() as u64)?;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }

    /// Waits until there is room for the `left` bytes of a message that began at `start`, or for as
    /// many of them as shall go now.
    ///
    /// Its beginning goes as soon as that fits, and more of it only when that is being taken: when
    /// the patience runs out before, the beginning is all that is in the way of what is sent next.
    fn wait_for_room(
        &mut self,
        member: &Member,
        tag: u32,
        start: u64,
        left: usize,
        patience: Patience,
    ) -> Result<Option<usize>, TalkError> {
        let to = Some(self.to);
        loop {
            let seen = self.seen(member);
            self.read = seen;
            if let Some(part) = self.part(start, HEADER + left) {
                return Ok(Some(part));
            }
            // Anything that is taken is news, since who waits for room says what it has seen.
            let wish = Wish { sending: true, on: to, tag: Some(tag), seen };
            let moved = member.wait(wish, patience, || {
                let moved = self.seen(member) != seen;
                (moved || member.is_left_alone(to)).then_some(moved)
            });
            match moved {
                Some(true) => {}
                Some(false) => return Err(member.why_alone(to)),
                None => return Ok(None),
            }
        }
    }

    /// How much of what is left of a message that began at `start`, `whole` with a header, is to go
    /// now; nothing where that has to wait.
    fn part(&self, start: u64, whole: usize) -> Option<usize> {
        let room = self.room();
        let taken = self.read.wrapping_sub(start) as i64 > 0;
        match self.written != start {
            _ if room >= whole => Some(whole),
            false => (room >= BEGINNING).then_some(BEGINNING),
            true => (taken && room >= STEP).then_some(room),
        }
    }

    /// Puts a part in, for which there is room.
    fn put(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        tag: u32,
        bytes: &[u8],
        left: u64,
    ) -> Result<(), TalkError> {
        let header = Part::Bytes { tag, length: bytes.len() as u32, left }.encode();
        let (first, rest) = bytes.split_at(bytes.len().min(STEP - HEADER));
        self.append(member, uplink, &header, first)?;
        rest.chunks(STEP).try_for_each(|step| self.append(member, uplink, &[], step))
    }

    /// Appends what the receiver may see at once.
    fn append(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        header: &[u8],
        bytes: &[u8],
    ) -> Result<(), TalkError> {
        let before = self.written;
        self.written = before.wrapping_add((header.len() + bytes.len()) as u64);
        match &self.way {
            Way::Here(local, ring) => {
                store(ring, before, header);
                store(ring, before.wrapping_add(header.len() as u64), bytes);
                member.front().publish(*local, member.rank(), self.written);
                Ok(())
            }
            Way::Elsewhere => uplink.talk(self.to, header, bytes).map_err(TalkError::Uplink),
        }
    }
}

fn store(ring: &Mapping, count: u64, bytes: &[u8]) {
    for (at, part) in spans(count, bytes.len()) {
        ring.write(at, &bytes[part]);
    }
}
