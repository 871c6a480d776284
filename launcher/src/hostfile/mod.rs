//! Which hosts may be used: hostfiles and `--host`, from text to entries to an allocation.
//!
//! Without I/O but for [`read`]. What Open MPI, MPICH and PBS write is understood; what is not
//! understood is an error with its line and column. Nothing is guessed: a word that two launchers
//! read in two ways has one meaning here (`host:4` is 4 slots, never a port).
//!
//! | form | example |
//! |---|---|
//! | Open MPI | `node01 slots=4 max_slots=8  # comment` |
//! | MPICH | `node01:4 user=ann` |
//! | PBS, Slurm | `node01`, once for each slot |
//! | ranges | `node[01-10,12]-ib slots=2` |
//! | users, ports | `ann@node01:4 port=2222` |
//! | IPv6 | `[fe80::1%eth0]:4` |
//!
//! ```
//! use pxrun::hostfile::{allocation::{Slots, allocate}, parse};
//!
//! let entries = parse("hosts", b"node[01-02] slots=4\nnode03\n").unwrap();
//! let hosts = allocate(&entries).unwrap();
//! assert_eq!(hosts[1].host, "node02");
//! assert_eq!(hosts[1].reason, "`slots=4` at hosts:1");
//! assert_eq!(hosts[2].slots, Slots::Cores);
//! let wrong = parse("hosts", b"node01 slots=four").unwrap_err();
//! assert_eq!(
//!     wrong.to_string(),
//!     "hosts:1:14: `slots` must be a whole number from 1 to 65535, found `four`",
//! );
//! ```

pub mod allocation;
pub(crate) mod brackets;
mod entry;
pub mod fault;
mod lines;
mod name;
pub mod place;
mod read;
pub(crate) mod stop;

#[cfg(test)]
mod tests;

pub use fault::Wrong;
pub use lines::{parse, parse_list, parse_words};
pub use place::{Place, Source};
pub use read::read;

/// Most bytes of a hostfile: 1 MiB.
pub const MOST_BYTES: usize = 1 << 20;
/// Most hosts that one hostfile or one `--host` may name, each as often as it is named.
pub const MOST_HOSTS: usize = 65_536;
/// Most nodes that a list of Slurm's may stand for.
pub const MOST_NODES: usize = 1 << 20;
/// Most slots of a host.
pub const MOST_SLOTS: u32 = 65_535;
/// Most characters of a host's or a user's name (as in DNS).
pub const MOST_NAME: usize = 253;

/// One host of one line, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// Whom to log in as.
    pub user: Option<String>,
    /// The port of the SSH server.
    pub port: Option<u16>,
    /// How many ranks this line permits.
    pub slots: Option<u32>,
    /// How many ranks the host can have at all.
    pub max_slots: Option<u32>,
    /// Where it is written.
    pub place: Place,
}
