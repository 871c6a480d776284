//! Dials a door: connects, proves to know the secret, and sees that the other end does too.
//!
//! It never waits: it owns a set of descriptors that the caller waits for as for one, and
//! [`Dial::turn`] does what can be done now. Whatever happens, it ends within its patience.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::hello::{self, Admitted, Arrival, CONFIRMATION_BYTES, Guest, Hello, Inbox};
use super::seal::{Dialer, HANDSHAKE_BYTES, Opener, SealError, Sealer};
use crate::sys::timespec;

/// Whom to dial, and how.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The door.
    pub address: SocketAddr,
    /// What it expects.
    pub hello: Hello,
    /// How long all of it may take.
    pub patience: Duration,
    /// How long the peer may acknowledge nothing before the connection counts as broken.
    pub user_timeout: Duration,
}

/// Why there is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No socket, or none that can be waited for.
    #[error("cannot make a socket for `{address}`: {source}")]
    Socket {
        /// The door.
        address: SocketAddr,
        /// Why.
        source: Errno,
    },
    /// The address does not answer as it should.
    #[error("cannot connect to `{address}`: {source}")]
    Connect {
        /// The door.
        address: SocketAddr,
        /// Why.
        source: Errno,
    },
    /// The patience is over.
    #[error("timed out: `{address}` {step} within {} s", patience.as_secs_f64())]
    TimedOut {
        /// The door.
        address: SocketAddr,
        /// What did not happen.
        step: &'static str,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The other end left.
    #[error("`{address}` closed the connection before it let this host in")]
    Closed {
        /// The door.
        address: SocketAddr,
    },
    /// The connection broke.
    #[error("the connection to `{address}` broke before it let this host in: {source}")]
    Broken {
        /// The door.
        address: SocketAddr,
        /// Why.
        source: Errno,
    },
    /// The other end is somebody else.
    #[error("`{address}` is not the other end: {source}")]
    Unproven {
        /// The door.
        address: SocketAddr,
        /// Why.
        source: SealError,
    },
    /// The other end sealed something else than it should.
    #[error("`{address}` did not confirm the link")]
    Unconfirmed {
        /// The door.
        address: SocketAddr,
    },
}

/// A call that is being made.
pub struct Dial {
    call: Call,
    agent: u32,
    attempt: u32,
    gives_up_at: Instant,
    set: OwnedFd,
    inbox: Inbox,
    /// `None` once the call has ended.
    state: Option<(OwnedFd, Stage)>,
}

enum Stage {
    Connecting { dialer: Dialer, hello: [u8; HANDSHAKE_BYTES] },
    Answer { dialer: Dialer },
    Confirmation { sealer: Sealer, opener: Opener },
}

impl Stage {
    /// What the other end has not done.
    fn missing_step(&self) -> &'static str {
        match self {
            Stage::Connecting { .. } => "did not accept the connection",
            Stage::Answer { .. } => "did not answer",
            Stage::Confirmation { .. } => "did not confirm the link",
        }
    }
}

/// How a step ended: with a stage to wait in, or with the link.
enum Next {
    Wait(OwnedFd, Stage),
    Go(OwnedFd, Stage),
    In(Admitted),
}

impl Dial {
    /// Begins a call.
    ///
    /// # Errors
    /// [`DialError::Socket`], [`DialError::Connect`], [`DialError::Unproven`] where the encryption
    /// cannot be set up.
    pub fn start(call: &Call, guest: &Guest, now: Instant) -> Result<Self, DialError> {
        let address = call.address;
        let socket_error = |source| DialError::Socket { address, source };
        let (dialer, hello) = Dialer::new(&guest.terms, &guest.proof)
            .map_err(|source| DialError::Unproven { address, source })?;
        let stream = socket(call).map_err(socket_error)?;
        match rustix::net::connect(&stream, &address) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(source) => return Err(DialError::Connect { address, source }),
        }
        let set = epoll::create(CreateFlags::CLOEXEC).map_err(socket_error)?;
        epoll::add(&set, &stream, EventData::new_u64(0), EventFlags::OUT).map_err(socket_error)?;
        Ok(Dial {
            call: *call,
            agent: guest.terms.agent,
            attempt: guest.terms.attempt,
            gives_up_at: now + call.patience,
            set,
            inbox: Inbox::expecting(HANDSHAKE_BYTES),
            state: Some((stream, Stage::Connecting { dialer, hello })),
        })
    }

    /// When [`Dial::turn`] is to be called even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.is_some().then_some(self.gives_up_at)
    }

    /// Does what can be done now; the link, once there is one.
    ///
    /// # Errors
    /// [`DialError`]: the call has ended.
    pub fn turn(&mut self, now: Instant) -> Result<Option<Admitted>, DialError> {
        let Some((mut stream, mut stage)) = self.state.take() else { return Ok(None) };
        loop {
            let step = stage.missing_step();
            match self.step(stream, stage)? {
                Next::Go(next_stream, next_stage) => (stream, stage) = (next_stream, next_stage),
                Next::In(admitted) => return Ok(Some(admitted)),
                Next::Wait(..) if now >= self.gives_up_at => {
                    let Call { address, patience, .. } = self.call;
                    return Err(DialError::TimedOut { address, step, patience });
                }
                Next::Wait(stream, stage) => {
                    self.state = Some((stream, stage));
                    return Ok(None);
                }
            }
        }
    }

    fn step(&mut self, stream: OwnedFd, stage: Stage) -> Result<Next, DialError> {
        if let Stage::Connecting { dialer, hello } = stage {
            return self.connected(stream, dialer, &hello);
        }
        match self.inbox.read(&stream) {
            Ok(Arrival::Whole) => {}
            Ok(Arrival::Waiting) => return Ok(Next::Wait(stream, stage)),
            Ok(Arrival::Ended) => return Err(DialError::Closed { address: self.call.address }),
            Err(source) => return Err(self.broken(source)),
        }
        match stage {
            Stage::Connecting { .. } => Ok(Next::Wait(stream, stage)),
            Stage::Answer { dialer } => self.answered(stream, dialer),
            Stage::Confirmation { sealer, opener } => self.confirmed(stream, sealer, opener),
        }
    }

    /// Says hello once there is a connection.
    fn connected(
        &mut self,
        stream: OwnedFd,
        dialer: Dialer,
        hello: &[u8; HANDSHAKE_BYTES],
    ) -> Result<Next, DialError> {
        let address = self.call.address;
        if !self.is_ready().map_err(|source| DialError::Socket { address, source })? {
            return Ok(Next::Wait(stream, Stage::Connecting { dialer, hello: *hello }));
        }
        if let Ok(Err(source)) | Err(source) = sockopt::socket_error(&stream) {
            return Err(DialError::Connect { address, source });
        }
        let opening = self.call.hello.write(self.agent, hello);
        hello::say(&stream, &opening).map_err(|source| self.broken(source))?;
        epoll::modify(&self.set, &stream, EventData::new_u64(0), EventFlags::IN)
            .map_err(|source| DialError::Socket { address, source })?;
        Ok(Next::Go(stream, Stage::Answer { dialer }))
    }

    fn answered(&mut self, stream: OwnedFd, dialer: Dialer) -> Result<Next, DialError> {
        let address = self.call.address;
        let unproven = |source| DialError::Unproven { address, source };
        let message = self.inbox.received().try_into();
        let message = message.map_err(|_| DialError::Closed { address })?;
        let (mut sealer, opener) = dialer.finish(message).map_err(unproven)?;
        let record = hello::seal_confirmation(&mut sealer).map_err(unproven)?;
        hello::say(&stream, &record).map_err(|source| self.broken(source))?;
        self.inbox = Inbox::expecting(CONFIRMATION_BYTES);
        Ok(Next::Go(stream, Stage::Confirmation { sealer, opener }))
    }

    fn confirmed(
        &self,
        stream: OwnedFd,
        sealer: Sealer,
        mut opener: Opener,
    ) -> Result<Next, DialError> {
        let peer = self.call.address;
        if !hello::is_confirmation(&mut opener, self.inbox.received()) {
            return Err(DialError::Unconfirmed { address: peer });
        }
        epoll::delete(&self.set, &stream)
            .map_err(|source| DialError::Socket { address: peer, source })?;
        let (agent, attempt) = (self.agent, self.attempt);
        Ok(Next::In(Admitted { agent, attempt, peer, stream, sealer, opener }))
    }

    fn broken(&self, source: Errno) -> DialError {
        DialError::Broken { address: self.call.address, source }
    }

    fn is_ready(&self) -> Result<bool, Errno> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(1);
        let at_once = timespec(Duration::ZERO);
        match epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut events), Some(&at_once)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

impl AsFd for Dial {
    /// Readable when there is something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

fn socket(call: &Call) -> Result<OwnedFd, Errno> {
    let family = if call.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let stream = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    hello::prepare(&stream, call.user_timeout)?;
    Ok(stream)
}
