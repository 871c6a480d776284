//! Messages that go straight into the buffer of a rank that waits for them, as
//! [`posting`](crate::libpx::commons::posting) says.

use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Message;
use super::member::{A_WHILE, Member};
use crate::libpx::commons::front::{ANY, Posting};
use crate::libpx::commons::posting::{Posted, Step, at, next, step};
use crate::sys::checker::filled_by_another;
use crate::sys::shared::write_into;

/// How often to look whether a message that is being written is there.
const LOOKS: u32 = 2_000;

/// A buffer that others may fill, as long as this lives.
pub struct Post<'a> {
    member: &'a Member,
    /// As it was posted.
    word: u64,
    buffer: &'a mut [MaybeUninit<u8>],
    up: bool,
}

impl<'a> Post<'a> {
    /// Posts `buffer` for a message from `source` with `tag`, each nothing for any.
    pub fn up(
        member: &'a Member,
        source: Option<u32>,
        tag: Option<u32>,
        buffer: &'a mut [MaybeUninit<u8>],
    ) -> Post<'a> {
        let posting = member.posting();
        let word = next(posting.word.load(Ordering::Relaxed));
        let posted = Posted {
            process: member.process(),
            namespace: member.namespace(),
            source: source.unwrap_or(ANY),
            tag: tag.unwrap_or(ANY),
            address: buffer.as_mut_ptr().expose_provenance() as u64,
            length: buffer.len() as u64,
        };
        posted.store(posting, word);
        posting.word.store(word, Ordering::Release);
        Post { member, word, buffer, up: true }
    }

    /// Whether something has become of it.
    pub fn is_done(&self) -> bool {
        self.settled().is_some_and(|word| word != self.word)
    }

    /// The word, unless somebody is writing.
    fn settled(&self) -> Option<u64> {
        let load = || self.member.posting().word.load(Ordering::SeqCst);
        let looks = if self.member.spin().is_zero() { 0 } else { LOOKS };
        let mut word = load();
        // Who writes does so on another core right now. Sleeping would cost more than the rest of
        // a usual message takes.
        for _ in 0..looks {
            if !is_claimed(word) {
                break;
            }
            std::hint::spin_loop();
            word = load();
        }
        (!is_claimed(word)).then_some(word)
    }

    /// Takes it down, and returns the message that has filled it, if one has.
    pub fn down(mut self) -> Option<Message> {
        self.take_down()
    }

    fn take_down(&mut self) -> Option<Message> {
        if !std::mem::take(&mut self.up) {
            return None;
        }
        let posting = self.member.posting();
        let order = Ordering::SeqCst;
        let [idle, filled] = [Step::Idle, Step::Filled].map(|step| at(self.word, step));
        let mut expected = self.word;
        let mut patient = true;
        loop {
            let found = posting.word.compare_exchange(expected, idle, order, order).err()?;
            if found == filled {
                let message = self.filled(posting);
                posting.word.store(idle, Ordering::Relaxed);
                return message;
            }
            if found == idle {
                return None;
            }
            expected = self.word;
            if self.is_noted() {
                // It is being written to, which takes as long as it takes. Who writes calls.
                let is_over = |word| word == self.word || word == filled;
                let over = || self.settled().is_some_and(is_over) || !self.is_noted();
                self.member.arrivals().sleep(Some(A_WHILE), over);
            } else if is_claimed(found) && at(found, Step::Posted) == self.word && patient {
                // Who has written is about to say so.
                self.member.arrivals().sleep(Some(A_WHILE), || self.settled().is_some());
                patient = false;
            } else {
                // It is spoilt. Whoever does write after all sends it another way.
                expected = found;
            }
        }
    }

    /// Whether anybody notes that the buffer is being written to.
    fn is_noted(&self) -> bool {
        let (front, local) = (self.member.front(), self.member.local());
        let here = (0..self.member.size()).filter(|&source| self.member.place(source).is_some());
        let mut notes = here.map(|source| &front.ring(local, source).read.claims);
        notes.any(|note| note.load(Ordering::SeqCst) == self.word)
    }

    fn filled(&mut self, posting: &Posting) -> Option<Message> {
        let source = posting.source.load(Ordering::Relaxed);
        let tag = posting.tag.load(Ordering::Relaxed);
        let length = posting.length.load(Ordering::Relaxed);
        let there = usize::try_from(length).ok().and_then(|length| self.buffer.get_mut(..length));
        let there = there.filter(|_| source < self.member.size() && tag != ANY)?;
        filled_by_another(there);
        Some(Message { source, tag, length })
    }
}

impl Drop for Post<'_> {
    fn drop(&mut self) {
        self.take_down();
    }
}

/// What became of a message that was to go straight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Straight {
    /// It is in the receiver's buffer.
    There,
    /// No buffer is posted.
    NotPosted,
    /// One is posted that it may not go to, or was taken down meanwhile, or this cannot be done at all.
    Not,
}

/// Tries to write a message into the buffer that the rank at the place `local` has posted. Nothing
/// of this rank's may be in its ring.
pub fn fill(member: &Member, local: u32, tag: u32, bytes: &[u8]) -> Straight {
    let posting = &member.mailbox(local).posting;
    let word = posting.word.load(Ordering::Acquire);
    if step(word) != Step::Posted {
        return Straight::NotPosted;
    }
    let wants = |word: u32, mine| word == ANY || word == mine;
    let (length, posted) = (bytes.len() as u64, Posted::load(posting));
    let fits = wants(posted.source, member.rank())
        && wants(posted.tag, tag)
        && posted.length >= length
        && posted.is_of(posting, word);
    // In another namespace the number could be anybody's.
    if !fits || posted.namespace == 0 || posted.namespace != member.namespace() {
        return Straight::Not;
    }
    let claims = &member.front().ring(local, member.rank()).read.claims;
    let (order, claimed) = (Ordering::SeqCst, at(word, Step::Claimed(member.rank())));
    claims.store(word, order);
    if posting.word.compare_exchange(word, claimed, order, order).is_err() {
        claims.store(0, order);
        return Straight::NotPosted;
    }
    let written = write_all(posted.process, posted.address, bytes);
    if written.is_ok() {
        posting.source.store(member.rank(), Ordering::Relaxed);
        posting.tag.store(tag, Ordering::Relaxed);
        posting.length.store(length, Ordering::Relaxed);
    }
    claims.store(0, order);
    // From here on the receiver may have taken it down.
    let next = at(word, if written.is_ok() { Step::Filled } else { Step::Idle });
    let told = posting.word.compare_exchange(claimed, next, order, order);
    member.mailbox(local).arrivals.ring();
    if matches!(written, Err(Errno::PERM | Errno::NOSYS)) {
        member.give_up_straight();
    }
    if written.is_ok() && told.is_ok() { Straight::There } else { Straight::Not }
}

fn is_claimed(word: u64) -> bool {
    matches!(step(word), Step::Claimed(_))
}

fn write_all(process: u32, mut address: u64, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write_into(process, address, bytes)? {
            0 => return Err(Errno::FAULT),
            written => {
                address += written as u64;
                bytes = &bytes[written..];
            }
        }
    }
    Ok(())
}
