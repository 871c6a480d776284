//! A card: what one process of a job tells the others of itself, as one line of text.
//!
//! ```text
//! px1/VERSION/JOB/TASK/HOST/KEY/ADDRESS,ADDRESS
//! ```
//!
//! Nothing on it is secret. It goes through launchers that know lines, words and `=` only, so none of
//! these stands in it. The version of this form and that of the program come first: two programs
//! that differ find that out before anything else. What is read must be, byte for byte, what would
//! be written.

use std::fmt::Write as _;
use std::net::SocketAddr;

use px_runtime::link::keys::{KEY_BYTES, PublicKey};

/// The most bytes of a card.
pub const MOST_BYTES: usize = 700;
/// The most addresses on a card.
pub const MOST_ADDRESSES: usize = 8;

/// The form of this text.
const FORM: &str = "px1";
/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const FIELDS: usize = 7;
const LONGEST_JOB: usize = 128;
/// Linux has no longer names of hosts.
const LONGEST_HOST: usize = 64;
const LONGEST_VERSION: usize = 32;

/// One process of a job, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What all processes of the job call it.
    pub job: String,
    /// Which one it is; 0 is the root.
    pub task: u32,
    /// Its host, as that host or Slurm calls it.
    pub host: String,
    /// What it will prove to be the owner of.
    pub key: PublicKey,
    /// Where it can be connected to; agents list nothing.
    pub addresses: Vec<SocketAddr>,
}

/// Why some text is no card, or a card no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// It is too long.
    #[error("a card must have at most {MOST_BYTES} bytes, found {0}")]
    Long(usize),
    /// It is something else, or from a program with another form of it.
    #[error("a card must begin with `{FORM}/`, found `{0}`")]
    Form(String),
    /// The other program is of another version.
    #[error("all processes of a job must be of one version of pxrun: this is {VERSION}, that {0}")]
    Version(String),
    /// Some field is missing, or there are more.
    #[error("a card must have {FIELDS} fields, found {0}")]
    Fields(usize),
    /// The job's name cannot stand on a card.
    #[error("a job's name must have 1 to {LONGEST_JOB} letters, digits and `._:@+-`, found `{0}`")]
    Job(String),
    /// The host's name cannot stand on a card.
    #[error(
        "a host's name must have 1 to {LONGEST_HOST} letters, digits and `._:@+-`, found `{0}`"
    )]
    Host(String),
    /// The number is none.
    #[error("a task must be a whole number below 4294967296, found `{0}`")]
    Task(String),
    /// The key is none.
    #[error("a key must have 64 hexadecimal digits, found `{0}`")]
    Key(String),
    /// An address is none.
    #[error("an address must be like `10.0.0.1:4711` or `[fd00::1]:4711`, found `{0}`")]
    Address(String),
    /// There are too many addresses.
    #[error("a card must have at most {MOST_ADDRESSES} addresses, found {0}")]
    Addresses(usize),
    /// It says something in another way than it would be written.
    #[error("a card must be written as `{0}`")]
    Writing(String),
}

impl Card {
    /// Writes it as one line, without its end.
    ///
    /// # Errors
    /// A name or a number of addresses that cannot stand on a card.
    pub fn encode(&self) -> Result<String, CardError> {
        if !is_name(&self.job, LONGEST_JOB) {
            return Err(CardError::Job(shown(&self.job)));
        }
        if !is_name(&self.host, LONGEST_HOST) {
            return Err(CardError::Host(shown(&self.host)));
        }
        if self.addresses.len() > MOST_ADDRESSES {
            return Err(CardError::Addresses(self.addresses.len()));
        }
        let mut line = format!("{FORM}/{VERSION}/{}/{}/{}/", self.job, self.task, self.host);
        for byte in self.key.as_bytes() {
            let _ = write!(line, "{byte:02x}");
        }
        for (at, address) in self.addresses.iter().enumerate() {
            line.push(if at == 0 { '/' } else { ',' });
            // Without the scope that an address may have on its own host.
            let _ = write!(line, "{}", SocketAddr::new(address.ip(), address.port()));
        }
        if self.addresses.is_empty() {
            line.push('/');
        }
        Ok(line)
    }

    /// Reads what [`Card::encode`] wrote.
    ///
    /// # Errors
    /// [`CardError`]: whatever differs from that.
    pub fn decode(line: &[u8]) -> Result<Self, CardError> {
        if line.len() > MOST_BYTES {
            return Err(CardError::Long(line.len()));
        }
        let text = String::from_utf8_lossy(line);
        let fields: Vec<&str> = text.split('/').collect();
        if fields[0] != FORM {
            return Err(CardError::Form(shown(&text)));
        }
        match fields.get(1) {
            Some(&version) if version == VERSION => {}
            Some(version) if is_name(version, LONGEST_VERSION) => {
                return Err(CardError::Version((*version).to_owned()));
            }
            _ => return Err(CardError::Form(shown(&text))),
        }
        let [_, _, job, task, host, key, addresses] = fields[..] else {
            return Err(CardError::Fields(fields.len()));
        };
        let card = Card {
            job: job.to_owned(),
            task: task.parse().map_err(|_| CardError::Task(shown(task)))?,
            host: host.to_owned(),
            key: read_key(key).ok_or_else(|| CardError::Key(shown(key)))?,
            addresses: read_addresses(addresses)?,
        };
        let written = card.encode()?;
        if written.as_bytes() == line { Ok(card) } else { Err(CardError::Writing(written)) }
    }
}

/// Whether a name holds nothing that a launcher, or this form, takes for something else.
fn is_name(name: &str, longest: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@+-".contains(&byte);
    (1..=longest).contains(&name.len()) && name.bytes().all(fits)
}

fn read_key(digits: &str) -> Option<PublicKey> {
    let digits: &[u8; 2 * KEY_BYTES] = digits.as_bytes().try_into().ok()?;
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(16 * high? + low?).ok()?;
    }
    Some(PublicKey::from_bytes(key))
}

fn read_addresses(field: &str) -> Result<Vec<SocketAddr>, CardError> {
    if field.is_empty() {
        return Ok(Vec::new());
    }
    let count = field.split(',').count();
    if count > MOST_ADDRESSES {
        return Err(CardError::Addresses(count));
    }
    let read = |one: &str| one.parse().map_err(|_| CardError::Address(shown(one)));
    field.split(',').map(read).collect()
}

/// So much of a text that a message stays readable.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
