//! What the copies print: held, ordered, cut at line ends, and written.

pub mod chunks;
pub mod diagnostics;
pub mod emits;
pub mod gather;
pub mod hold;
pub mod line_order;
pub mod publish;
pub mod sink;
pub mod stage;
pub mod tag;

use rustix::io::Errno;

/// What can go wrong with output.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It cannot be opened or made.
    #[error("cannot open output `{name}`: {source}")]
    Open {
        /// The file.
        name: String,
        /// Why.
        source: Errno,
    },
    /// A write failed.
    #[error("cannot write to {name} after {written} bytes: {source}")]
    Write {
        /// Where to.
        name: String,
        /// Bytes that went well.
        written: u64,
        /// Why.
        source: Errno,
    },
    /// Something after the last write failed.
    #[error("cannot {step} {name} ({written} bytes): {source}")]
    Finish {
        /// What: `fsync`, `rename`, ...
        step: &'static str,
        /// Which file.
        name: String,
        /// Bytes that were written to it.
        written: u64,
        /// Why.
        source: Errno,
    },
    /// Output that must wait could not be stored.
    #[error("cannot {step} the spill file in `{directory}` ({held} bytes wait there): {source}")]
    Spill {
        /// What: `make`, `write`, `read`.
        step: &'static str,
        /// Where.
        directory: String,
        /// Bytes in it.
        held: u64,
        /// Why.
        source: Errno,
    },
    /// The reader of the output has left.
    #[error("the reader of {name} has left")]
    Closed {
        /// Whose.
        name: String,
    },
}
