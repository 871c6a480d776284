//! Looking at the input through one reused buffer.

use std::ops::Range;

use super::InputError;
use super::files::FileInput;
use crate::cut::{Cutter, Step};
use crate::records::Records;

/// Shows bytes of the input to a cutter.
pub trait Look {
    /// Returns bytes from logical offset `offset` on: at least one, some `want` at best.
    ///
    /// # Errors
    /// Whatever reading can give.
    fn look(&mut self, offset: u64, want: usize) -> Result<&[u8], InputError>;
}

/// The last bytes read, kept for the next look and for chunks small enough to copy.
pub struct Window {
    bytes: Vec<u8>,
    start: u64,
    records: Records,
}

/// A window together with the files it looks at.
pub struct Looking<'a> {
    /// The buffer.
    pub window: &'a mut Window,
    /// The files.
    pub input: &'a FileInput,
}

impl Window {
    /// Makes an empty window.
    pub fn new(records: Records) -> Self {
        Window { bytes: Vec::new(), start: 0, records }
    }

    /// Returns the bytes of `range` if all of them are here.
    pub fn cached(&self, range: Range<u64>) -> Option<&[u8]> {
        let from = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..to)
    }
}

impl Look for Looking<'_> {
    fn look(&mut self, offset: u64, want: usize) -> Result<&[u8], InputError> {
        let window = &mut *self.window;
        let end = window.start + window.bytes.len() as u64;
        if !(window.start..end).contains(&offset) {
            window.start = offset;
            self.input.read(&mut window.bytes, offset, want, window.records)?;
        }
        let from = usize::try_from(offset - window.start).unwrap_or(usize::MAX);
        Ok(&window.bytes[from..])
    }
}

/// Counts the records of the whole input.
///
/// # Errors
/// Whatever reading can give.
pub fn count_records(input: &FileInput, records: Records) -> Result<u64, InputError> {
    let layout = input.layout();
    let length = layout.length();
    let delimiter = match records {
        Records::Fixed(width) => {
            return Ok(layout.fixed_advance(0, length, width.get(), u64::MAX).1);
        }
        Records::Delimited(delimiter) => delimiter,
    };
    let mut bytes = Vec::new();
    let (mut at, mut count, mut open) = (0, 0, false);
    while at < length {
        input.read(&mut bytes, at, 256 << 10, records)?;
        count += crate::records::count_delimiters(&bytes, delimiter);
        open = bytes.last() != Some(&delimiter);
        at += bytes.len() as u64;
    }
    Ok(count + u64::from(open))
}

/// Cuts on until `enough` chunks are made or the end is reached, and says how many they were.
///
/// # Errors
/// Whatever reading can give.
pub fn count_chunks(
    mut cutter: Cutter,
    enough: u64,
    input: &FileInput,
    look: &mut dyn Look,
) -> Result<u64, InputError> {
    let mut chunks = 0;
    while chunks < enough {
        match cutter.step(input.layout()) {
            Step::Look { offset, want } => {
                cutter.saw(look.look(offset, want)?);
            }
            Step::Cut(_) => chunks += 1,
            Step::End => break,
        }
    }
    Ok(chunks)
}
