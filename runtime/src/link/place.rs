//! Where a door is: one address of this host, and one port.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

/// Connections that the system accepts before the door does.
const BACKLOG: i32 = 1024;

/// Where a door is.
#[derive(Clone, Debug)]
pub struct Place {
    /// One address of this host, never all of them.
    pub address: IpAddr,
    /// The first free one of these ports; `None`: one that the system chooses.
    pub ports: Option<RangeInclusive<u16>>,
    /// How long a peer may acknowledge nothing before its connection counts as broken.
    pub user_timeout: Duration,
}

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The address stands for all addresses.
    #[error("cannot listen on `{address}`: it stands for every address of this host")]
    Wildcard {
        /// The address.
        address: IpAddr,
    },
    /// No socket.
    #[error("cannot make a socket for `{address}`: {source}")]
    Socket {
        /// The address.
        address: IpAddr,
        /// Why.
        source: Errno,
    },
    /// The address and the port cannot be listened on.
    #[error("cannot listen on `{at}`: {source}")]
    Listen {
        /// Both.
        at: SocketAddr,
        /// Why.
        source: Errno,
    },
    /// Each port of the range is in use.
    #[error("cannot listen on `{address}`: ports {} to {} are all in use", ports.start(), ports.end())]
    NoFreePort {
        /// The address.
        address: IpAddr,
        /// The ports.
        ports: RangeInclusive<u16>,
    },
    /// The listener's descriptors cannot be waited for.
    #[error("cannot wait for connections to `{at}`: {source}")]
    Wait {
        /// The address and the port.
        at: SocketAddr,
        /// Why.
        source: Errno,
    },
}

impl Place {
    /// Listens there, without ever waiting, and says on which port.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn listen(&self) -> Result<(OwnedFd, SocketAddr), DoorError> {
        let address = self.address;
        if address.to_canonical().is_unspecified() {
            return Err(DoorError::Wildcard { address });
        }
        let Some(ports) = &self.ports else { return listen_on(address, 0) };
        for port in ports.clone() {
            match listen_on(address, port) {
                Err(DoorError::Listen { source: Errno::ADDRINUSE, .. }) => {}
                other => return other,
            }
        }
        Err(DoorError::NoFreePort { address, ports: ports.clone() })
    }
}

fn listen_on(address: IpAddr, port: u16) -> Result<(OwnedFd, SocketAddr), DoorError> {
    let at = SocketAddr::new(address, port);
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol = Some(ipproto::TCP);
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, protocol)
        .map_err(|source| DoorError::Socket { address, source })?;
    // A port that a job has just left can be used again; one that is listened on still cannot.
    let bound = sockopt::set_socket_reuseaddr(&socket, true)
        .and_then(|()| rustix::net::bind(&socket, &at))
        .and_then(|()| rustix::net::listen(&socket, BACKLOG))
        .and_then(|()| rustix::net::getsockname(&socket))
        .and_then(SocketAddr::try_from);
    match bound {
        Ok(at) => Ok((socket, at)),
        Err(source) => Err(DoorError::Listen { at, source }),
    }
}
