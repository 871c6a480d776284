//! What can be wrong with a hostfile or with a list of hosts, and how it is said.

use std::fmt;

use px_runtime::failure::Message;
use thiserror::Error;

use super::{MOST_BYTES, MOST_HOSTS, MOST_NAME, MOST_NODES, MOST_SLOTS, Place};

/// What was found instead; shown in back-quotes, without what cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found(String);

/// Most characters of a word that a message repeats.
const MOST_SHOWN: usize = 60;

impl Found {
    /// Keeps as much of the text as a message can show.
    pub fn new(text: &str) -> Self {
        let mut shown: String = text.chars().take(MOST_SHOWN).collect();
        if text.chars().nth(MOST_SHOWN).is_some() {
            shown.push_str("...");
        }
        Found(shown)
    }

    /// Keeps the text up to the first such character, and never looks far for it.
    pub(crate) fn until(text: &str, end: impl Fn(char) -> bool) -> Self {
        let word: String =
            text.chars().take(MOST_SHOWN + 1).take_while(|&next| !end(next)).collect();
        Found::new(&word)
    }

    /// Whether there was nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("nothing");
        }
        out.write_str("`")?;
        for character in self.0.chars() {
            // A space that only looks like one must not look like one here.
            if character.is_alphanumeric() || character.is_ascii_graphic() || character == ' ' {
                write!(out, "{character}")?;
            } else {
                write!(out, "{}", character.escape_default())?;
            }
        }
        out.write_str("`")
    }
}

/// One step of reading that failed: what is expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the message of each says what it is")]
pub enum Fault {
    #[error("a hostfile must have at most {MOST_BYTES} bytes (1 MiB), found more")]
    Size,
    #[error("a hostfile must be text in UTF-8, found the byte 0x{0:02x}")]
    Encoding(u8),
    #[error("control characters are not allowed, found {0}")]
    Control(Found),
    #[error("a hostfile must list at least one host, found none")]
    Empty,
    #[error("at most {MOST_HOSTS} hosts can be listed, found {0}")]
    TooManyHosts(u64),

    #[error("a host must come first, found {0}")]
    NoHost(Found),
    #[error("a host must not begin with `-`, found {0}")]
    HostIsOption(Found),
    #[error("a user must not begin with `-`, found {0}")]
    UserIsOption(Found),
    #[error("a user must have a name of letters, digits, `.`, `-` and `_`, found {0}")]
    User(Found),
    #[error("a host must have a name of letters, digits, `.`, `-` and `_`, found {0}")]
    HostCharacter(Found),
    #[error("a name must have at most {MOST_NAME} characters, found {0}")]
    NameLength(usize),

    #[error("an IPv6 address must be in brackets, as in `[fe80::1]:4`, found {0}")]
    Ipv6Bare(Found),
    #[error("brackets at the beginning must hold an IPv6 address, found {0}")]
    Ipv6Address(Found),
    #[error("an IPv6 address must end with `]`, found {0}")]
    Ipv6Open(Found),

    #[error("a range must have whole numbers of at most 15 digits, found {0}")]
    RangeNumber(Found),
    #[error("a range must not run backwards, found {0}")]
    RangeBackwards(Found),
    #[error("a range whose end has leading zeros must have as many digits at both ends, found {0}")]
    RangePadding(Found),
    #[error("ranges must be parted by `,` and end with `]`, found {0}")]
    RangeOpen(Found),

    #[error("a list must have at most {MOST_BYTES} bytes (1 MiB), found {0}")]
    ListSize(usize),
    #[error("a list must stand for at most {MOST_NODES} nodes, found {0}")]
    TooManyNodes(u64),
    #[error("a count must be a whole number from 1 to {MOST_SLOTS}, found {0}")]
    Count(Found),
    #[error("a repetition must be as in `2(x3)`, from 1 to {MOST_NODES}, found {0}")]
    Repetition(Found),
    #[error("counts must be parted by `,`, found {0}")]
    CountEnd(Found),

    #[error("`{field}` must be a whole number from 1 to {MOST_SLOTS}, found {found}")]
    Number { field: &'static str, found: Found },
    #[error("`{0}` must be given once on a line, found it again")]
    Twice(&'static str),
    #[error("after a host `slots=`, `max_slots=`, `user=` or `port=` is expected, found {0}")]
    Word(Found),
    #[error("hosts must be on a line each, found `,`")]
    Comma,
    #[error("comments are not allowed in `--host`, found `#`")]
    Comment,

    #[error(
        "leaving out a host is not supported because exactly what is listed is used, found {0}"
    )]
    Excluded(Found),
    #[error(
        "relative hosts are not supported because they count in a list that is not in this file, \
         found {0}"
    )]
    Relative(Found),
    #[error("`binding=` is not supported because `--bind-to` says it for all hosts, found {0}")]
    Binding(Found),
    #[error("`ifname=` is not supported because ssh chooses the network interface, found {0}")]
    Interface(Found),
}

impl Fault {
    /// The way out, where it is sure.
    fn help(&self) -> Option<&'static str> {
        match self {
            Fault::Excluded(_) => Some("remove the host's own lines"),
            Fault::Relative(_) => Some("list hosts by name"),
            Fault::Binding(_) => Some("remove `binding=`"),
            Fault::Interface(_) => Some("set `BindInterface` in ssh's own configuration"),
            _ => None,
        }
    }
}

/// A fault and its place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {fault}")]
pub struct Wrong {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

impl From<Wrong> for Message {
    fn from(wrong: Wrong) -> Self {
        let message = Message::new(wrong.to_string());
        match wrong.fault.help() {
            Some(help) => message.help(help),
            None => message,
        }
    }
}
