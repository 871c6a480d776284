//! What the agent tells: what its copies gave, how they fare, and that it leaves.

use std::time::Instant;

use super::{LINGER, LOOK, ServeError, Server};
use crate::agent::family;
use crate::link::Link;
use crate::link::control::AgentSays;
use crate::link::frame::{self, Kind};
use crate::message::FromAgent;

impl Server<'_> {
    /// Passes on what the copies gave and how they fare.
    pub(super) fn tell(&mut self, _now: Instant) {
        let Some(mut agent) = self.agent.take() else { return };
        while let Some(told) = agent.told() {
            if let FromAgent::Consumed { rank, bytes } = told {
                // Joined: one frame a turn.
                if let Ok(at) = self.consumed.binary_search_by_key(&rank, |entry| entry.0) {
                    self.consumed[at].1 += bytes;
                }
                continue;
            }
            self.tell_consumed(told.rank());
            self.tell_one(told);
        }
        self.tell_consumed(None);
        self.agent = Some(agent);
    }

    fn tell_consumed(&mut self, only: Option<u32>) {
        let all = 0..self.consumed.len();
        let which = match only.map(|r| self.consumed.binary_search_by_key(&r, |entry| entry.0)) {
            Some(Ok(at)) => at..at + 1,
            Some(Err(_)) => return,
            None => all,
        };
        for at in which {
            let (rank, bytes) = self.consumed[at];
            if bytes > 0 {
                self.consumed[at].1 = 0;
                self.tell_one(FromAgent::Consumed { rank, bytes });
            }
        }
    }

    fn tell_one(&mut self, told: FromAgent) {
        let channel = self.data.as_mut().unwrap_or(&mut self.control);
        self.frames += 1;
        match told {
            FromAgent::Output { rank, bytes } => channel.send_whole(Kind::Output, rank, bytes),
            FromAgent::Diagnostic { rank, bytes } => {
                channel.send_whole(Kind::Diagnostic, rank, bytes);
            }
            FromAgent::Emitted { rank, chunk, mut bytes } => {
                number(&mut bytes, chunk);
                channel.send_whole(Kind::Emitted, rank, bytes);
            }
            FromAgent::Talked { rank, to, mut bytes } => {
                number(&mut bytes, u64::from(to));
                channel.send_whole(Kind::Talk, rank, bytes);
            }
            other => {
                let _ = channel.say(&AgentSays::Told(other));
            }
        }
    }

    /// Whether the last copy has ended, and whatever such copies have left behind.
    pub(super) fn has_left(&mut self, _now: Instant) -> bool {
        self.agent.as_ref().is_none_or(|agent| agent.running() == 0)
    }

    /// Says that all is over and waits for the root to close its end, so that nothing of what was
    /// said is lost with this end.
    pub(super) fn part(&mut self) -> Result<(), ServeError> {
        family::end_all_beside_this(self.guardian);
        let frames = self.frames;
        let data = self.data.as_mut().unwrap_or(&mut self.control);
        let _ = data.say(&AgentSays::Left { frames });
        let end = Instant::now() + LINGER;
        let mut events = Vec::new();
        let mut finished = false;
        loop {
            let now = Instant::now();
            let mut ended = false;
            for channel in [Some(&mut self.control), self.data.as_mut()].into_iter().flatten() {
                channel.woken();
                ended |= channel.flush(now).is_err();
                ended |= channel.receive(now).is_err() || channel.has_ended();
                while let Ok(Some(_)) = channel.next_frame() {}
            }
            let data = self.data.as_mut().unwrap_or(&mut self.control);
            // A connection that is all there is ends with this host's last process, which tells the
            // root that there is none any more.
            if data.queued() == 0
                && !std::mem::replace(&mut finished, true)
                && let Some(data) = &mut self.data
            {
                data.finish();
            }
            // What is carried has no end to be closed; whoever carries it sees to its arrival.
            let carried = self.control.next_look();
            if ended || now >= end || carried.is_some() && finished {
                return Ok(());
            }
            let look = carried.map_or(LOOK, |at| at.saturating_duration_since(now).min(LOOK));
            let _ = self.poller.wait(Some(look), &mut events);
            events.clear();
        }
    }
}

/// Writes the number before the bytes of a frame, into the room that was left for it.
fn number(framed: &mut [u8], number: u64) {
    framed[frame::HEADER..frame::HEADER + frame::NUMBER].copy_from_slice(&number.to_le_bytes());
}
