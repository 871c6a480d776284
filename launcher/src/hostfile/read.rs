//! Reading a hostfile: never more of it than a hostfile may have.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use px_runtime::failure::Message;

use super::{Entry, MOST_BYTES, parse};

/// Reads and parses a hostfile; messages call it by its path.
///
/// A pipe, as in `<(...)`, is read to its end.
///
/// # Errors
/// It cannot be opened or read, or what [`parse`] finds.
pub fn read(path: &Path) -> Result<Vec<Entry>, Message> {
    let name = path.to_string_lossy();
    let cannot = |step, error| Message::new(format!("cannot {step} hostfile `{name}`: {error}"));
    let file = File::open(path).map_err(|error| cannot("open", error))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot("read", error))?;
    Ok(parse(&name, &bytes)?)
}
