//! The input: which files it is made of, how it is looked at and how it becomes chunks.

pub mod chunking;
pub mod files;
pub mod layout;
pub mod open;
pub mod reader;
pub mod stream;
pub mod window;

use rustix::io::Errno;

/// What can be wrong with the input.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be opened.
    #[error("cannot open input `{name}`: {source}")]
    Open {
        /// The file.
        name: String,
        /// Why.
        source: Errno,
    },
    /// It is a directory.
    #[error("input `{name}` is a directory")]
    Directory {
        /// Its name.
        name: String,
    },
    /// Reading failed.
    #[error("cannot read input `{name}` at byte {offset}: {source}")]
    Read {
        /// The file.
        name: String,
        /// Where in the file.
        offset: u64,
        /// Why.
        source: Errno,
    },
    /// It is shorter than at the start.
    #[error("input `{name}` changed while it was read: it had {was} bytes, now {now}")]
    Shrunk {
        /// The file.
        name: String,
        /// Bytes at the start.
        was: u64,
        /// Bytes found.
        now: u64,
    },
    /// It has its old size but other times.
    #[error("input `{name}` changed while it was read: same size ({size} bytes), other times")]
    Rewritten {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A later file's header is not the first one's.
    #[error("the first {records} records of `{name}` differ from those of `{first}`")]
    OtherHeader {
        /// The later file.
        name: String,
        /// The first file.
        first: String,
        /// How many records make the header.
        records: u64,
    },
    /// The header would have to be held in memory.
    #[error("the {records} header records of `{name}` are longer than 16 MiB")]
    HeaderTooLong {
        /// The file.
        name: String,
        /// How many records make the header.
        records: u64,
    },
}
