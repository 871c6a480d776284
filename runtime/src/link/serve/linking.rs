//! The agent's part in coming together with the root: its door, its call, and the way for data.

use std::time::Instant;

use super::{NO_CONNECTION, ServeError, Server, Unfit};
use crate::link::channel::{Channel, ChannelError, Ends};
use crate::link::control::{AgentSays, FROM_AGENT, FROM_ROOT, Listen, Open, Packing, Way};
use crate::link::door::Door;
use crate::link::hello::{Admitted, Guest, Proof};
use crate::link::packing::{Packer, Unpacker};
use crate::link::place::Place;
use crate::link::seal::{Side, Terms};
use crate::poller::{Part, Token};

impl Server<'_> {
    pub(super) fn guest(&self, open: &Open, dialer: Side) -> Result<Guest, ServeError> {
        let secret = self.secret.as_ref();
        let secret = secret.ok_or(ServeError::Protocol("a link without a secret"))?;
        Ok(Guest {
            terms: Terms {
                version: self.version.to_owned(),
                job: open.job.clone(),
                agent: open.agent,
                attempt: 1,
                dialer,
            },
            proof: Proof::Secret(secret.again()),
        })
    }

    pub(super) fn open(&mut self, open: Open, now: Instant) -> Result<(), ServeError> {
        self.set_lease(open.lease, now);
        match (self.prepare)(&open.errand) {
            Ok(command) => self.command = Some(command),
            Err(Unfit { status, mut text }) => {
                text.truncate(text.floor_char_boundary(FROM_AGENT / 2));
                self.say(&AgentSays::Unfit { status, text });
                self.open = Some(open);
                return Ok(());
            }
        }
        self.say(&AgentSays::Fit);
        if open.listen == Listen::Yes {
            let opened = match self.hello.login {
                None => Err("its login has no address".to_owned()),
                Some((_, address)) => {
                    let place = Place { address, ports: None, user_timeout: open.lease };
                    Door::for_one(&place, self.guest(&open, Side::Root)?)
                        .map_err(|error| error.to_string())
                }
            };
            let answer = opened.as_ref().map(Door::local_addr).map_err(String::clone);
            if let Ok(door) = opened {
                let _ = self.poller.add(&door, Token::Link(0, Part::Door));
                self.door = Some(door);
            }
            self.say(&AgentSays::Listening(answer));
        }
        self.open = Some(open);
        Ok(())
    }

    /// Lets in who knocks, and goes on knocking elsewhere.
    pub(super) fn open_doors(&mut self, now: Instant) -> Result<(), ServeError> {
        if let Some(door) = &mut self.door {
            let came = door.turn(now).unwrap_or_default();
            if let Some(admitted) = came.into_iter().next() {
                self.direct = Some(self.connection(admitted, now)?);
                self.close_door();
            }
        }
        if let Some(dial) = &mut self.dial {
            match dial.turn(now) {
                Ok(None) => {}
                Ok(Some(admitted)) => {
                    let connection = Some(self.connection(admitted, now)?);
                    self.dial = None;
                    match std::mem::take(&mut self.enters) {
                        true => self.data = connection,
                        false => self.reverse = connection,
                    }
                }
                Err(_) if self.enters => return Err(NO_CONNECTION),
                // The root falls back by itself.
                Err(_) => self.dial = None,
            }
        }
        Ok(())
    }

    fn close_door(&mut self) {
        if let Some(door) = self.door.take()
            && door.strangers() > 0
        {
            self.say(&AgentSays::Strangers(door.strangers()));
        }
    }

    fn connection(&self, admitted: Admitted, now: Instant) -> Result<Channel, ServeError> {
        let seal = Some((admitted.sealer, admitted.opener));
        let ends = Ends::Socket(admitted.stream);
        let buffers = self.buffers.clone();
        let mut channel = Channel::new(ends, seal, FROM_ROOT, Vec::new(), buffers, now);
        channel
            .watch(&self.poller, 0)
            .map_err(|source| ServeError::System("watch the link", source))?;
        if self.open.as_ref().is_some_and(|open| open.packing == Packing::Compressed) {
            pack(&mut channel)?;
        }
        Ok(channel)
    }

    pub(super) fn link(&mut self, way: Way) -> Result<(), ServeError> {
        self.close_door();
        self.secret = None;
        self.linked = true;
        let (direct, reverse) = (self.direct.take(), self.reverse.take());
        // That the call came through is said twice: over this channel, and at the end of the call,
        // which may come later.
        self.enters = way == Way::Reverse && reverse.is_none() && self.dial.is_some();
        if self.enters {
            return Ok(());
        }
        self.dial = None;
        self.data = match way {
            Way::Direct => direct,
            Way::Reverse => reverse,
            Way::Control => return Ok(()),
        };
        if self.data.is_none() {
            return Err(NO_CONNECTION);
        }
        Ok(())
    }
}

/// Has a fresh connection compressed in both directions.
pub(in crate::link) fn pack(channel: &mut Channel) -> Result<(), ChannelError> {
    let packer = Packer::new().map_err(ChannelError::Pack)?;
    let unpacker = Unpacker::new().map_err(ChannelError::Pack)?;
    channel.pack(packer, unpacker);
    Ok(())
}
