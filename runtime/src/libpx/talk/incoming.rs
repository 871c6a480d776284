//! What a rank receives: the message that is wanted, from whom it may come, and waiting for it.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

use super::member::{Member, Patience, Wish};
use super::outgoing::STRAIGHT;
use super::source::{Found, Source, Taken};
use super::straight::Post;
use super::{Message, TalkError, Uplink};

/// What a rank receives.
#[derive(Default)]
pub struct Incoming {
    sources: Vec<Option<Box<Source>>>,
    /// Ranks whose rings have, or had, something that nobody says again.
    known: BTreeSet<u32>,
    /// Who was last served when anybody could be.
    last: u32,
}

/// Which message is wanted; nothing: any.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// From whom.
    pub from: Option<u32>,
    /// With which tag.
    pub tag: Option<u32>,
}

impl Incoming {
    /// Receives a message into `buffer`.
    ///
    /// # Errors
    /// [`TalkError`], all but those of sending. What `buffer` holds then is not said.
    pub fn receive(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        wanted: Wanted,
        buffer: &mut [MaybeUninit<u8>],
        patience: Patience,
    ) -> Result<Message, TalkError> {
        loop {
            // Alone first: what was sent before that is found then.
            let alone = member.is_left_alone(wanted.from);
            if let Some((source, found)) = self.find(member, uplink, wanted)? {
                let message = Message { source, tag: found.tag, length: found.length };
                if found.length > buffer.len() as u64 {
                    return Err(TalkError::Truncated(message));
                }
                let buffer = &mut buffer[..found.length as usize];
                if self.take(member, uplink, source, found, buffer, patience)? {
                    return Ok(message);
                }
            } else if alone {
                return Err(member.why_alone(wanted.from));
            } else if let Some(message) = self.wait(member, wanted, Some(buffer), patience)? {
                return Ok(message);
            }
        }
    }

    /// Waits for a message and leaves it where it is.
    ///
    /// # Errors
    /// [`TalkError`], all but those of sending and [`TalkError::Truncated`].
    pub fn probe(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        wanted: Wanted,
        patience: Patience,
    ) -> Result<Message, TalkError> {
        loop {
            let alone = member.is_left_alone(wanted.from);
            if let Some((source, found)) = self.find(member, uplink, wanted)? {
                return Ok(Message { source, tag: found.tag, length: found.length });
            }
            if alone {
                return Err(member.why_alone(wanted.from));
            }
            self.wait(member, wanted, None, patience)?;
        }
    }

    /// Looks for a message, from whoever was not served for the longest time.
    fn find(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        wanted: Wanted,
    ) -> Result<Option<(u32, Found)>, TalkError> {
        if let Some(rank) = wanted.from {
            let found = self.source(member, rank)?.find(member, uplink, wanted.tag)?;
            return Ok(found.map(|found| (rank, found)));
        }
        self.hear_news(member);
        let later = self.known.range(self.last.saturating_add(1)..);
        let order: Vec<u32> = later.chain(self.known.range(..=self.last)).copied().collect();
        for rank in order {
            let source = self.source(member, rank)?;
            if let Some(found) = source.find(member, uplink, wanted.tag)? {
                self.last = rank;
                return Ok(Some((rank, found)));
            }
            if !source.has_something() {
                self.known.remove(&rank);
            }
        }
        Ok(None)
    }

    /// Takes over who has put something into a ring.
    fn hear_news(&mut self, member: &Member) {
        for (index, word) in (0..).zip(member.front().news(member.local())) {
            if word.load(Ordering::Relaxed) != 0 {
                let bits = word.swap(0, Ordering::SeqCst);
                let ranks = (0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| index * 64 + bit);
                self.known.extend(ranks.filter(|&rank| rank < member.size()));
            }
        }
    }

    /// Waits until it is worth while to look again; or until a message is in `buffer`.
    fn wait(
        &mut self,
        member: &Member,
        wanted: Wanted,
        buffer: Option<&mut [MaybeUninit<u8>]>,
        patience: Patience,
    ) -> Result<Option<Message>, TalkError> {
        let Wanted { from, tag } = wanted;
        let seen = from.map_or(Ok(0), |rank| self.source(member, rank).map(|s| s.written()))?;
        let worth = |buffer: &&mut [MaybeUninit<u8>]| {
            patience != Patience::Once && member.goes_straight() && buffer.len() >= STRAIGHT
        };
        let post = buffer.filter(worth).map(|buffer| Post::up(member, from, tag, buffer));
        let news = member.front().news(member.local());
        let counts = from.map(|rank| &member.front().ring(member.local(), rank).written.count);
        let wish = Wish { sending: false, on: from, tag, seen };
        let found = member.wait(wish, patience, || {
            let moved = match counts {
                Some(count) => count.load(Ordering::SeqCst) != seen,
                None => news.iter().any(|word| word.load(Ordering::SeqCst) != 0),
            };
            let touched = || post.as_ref().is_some_and(Post::is_done);
            (moved || touched() || member.is_left_alone(from)).then_some(())
        });
        match post.and_then(Post::down) {
            Some(message) => Ok(Some(message)),
            None => found.map(|()| None).ok_or(TalkError::Timeout),
        }
    }

    /// Takes a message that was found, and returns whether it is whole: the rest of it may never
    /// come.
    fn take(
        &mut self,
        member: &Member,
        uplink: &impl Uplink,
        from: u32,
        found: Found,
        buffer: &mut [MaybeUninit<u8>],
        mut patience: Patience,
    ) -> Result<bool, TalkError> {
        let source = self.source(member, from)?;
        if let Some(place) = found.aside {
            source.take_aside(place, buffer);
            return Ok(true);
        }
        loop {
            match source.take(member, uplink, buffer)? {
                Taken::Whole => return Ok(true),
                Taken::Lost => return Ok(false),
                Taken::Partly => {}
            }
            let seen = source.written();
            let count = &member.front().ring(member.local(), from).written.count;
            let wish = Wish { sending: false, on: Some(from), tag: Some(found.tag), seen };
            let moved = member.wait(wish, patience, || {
                let gone = member.is_left_alone(Some(from));
                let moved = count.load(Ordering::SeqCst) != seen;
                (moved || gone).then_some(moved)
            });
            match moved {
                Some(true) => {}
                Some(false) => {
                    source.drop_front();
                    return Ok(false);
                }
                // Without memory for what was taken, it can only be waited for.
                None => match source.keep(buffer) {
                    Ok(()) => return Err(TalkError::Timeout),
                    Err(_) => patience = Patience::Endless,
                },
            }
        }
    }

    fn source(&mut self, member: &Member, rank: u32) -> Result<&mut Source, TalkError> {
        let index = rank as usize;
        if self.sources.len() <= index {
            self.sources.resize_with(index + 1, || None);
        }
        let place = &mut self.sources[index];
        match place {
            Some(source) => Ok(source),
            None => Ok(place.insert(Box::new(Source::new(member, rank)?))),
        }
    }
}
