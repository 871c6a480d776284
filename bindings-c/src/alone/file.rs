//! A file on standard input, shown where it lies.

use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use px_runtime::cut::{self, Cutter, Step};
use px_runtime::input::chunking::even_bytes;
use px_runtime::input::files::FileInput;
use px_runtime::input::window::{Look, Looking, Window};
use px_runtime::job::Run;
use px_runtime::libpx::wire::{Chunk, Seen};

use super::{RECORDS, fault};
use crate::held::{File, seen};
use crate::link::{Arrived, Copies};
use crate::status::Fault;

/// A file that is cut into chunks one by one.
pub struct Lying {
    input: FileInput,
    window: Window,
    cutter: Cutter,
    file: Option<Arc<File>>,
}

impl Lying {
    /// Takes the open input.
    pub fn new(input: FileInput) -> Lying {
        let length = input.layout().length();
        let rule = even_bytes(length, NonZeroU32::MIN, Run::PerRank);
        let cutter = Cutter::new(rule, RECORDS, 0..length, 0);
        Lying { input, window: Window::new(RECORDS), cutter, file: None }
    }

    /// Shows the next chunk; `None` after the last one.
    pub fn next(&mut self, copies: Copies) -> Result<Option<Arrived>, Fault> {
        loop {
            match self.cutter.step(self.input.layout()) {
                Step::Look { offset, want } => {
                    let mut looking = Looking { window: &mut self.window, input: &self.input };
                    self.cutter.saw(looking.look(offset, want).map_err(fault)?);
                }
                Step::Cut(cut) => return self.show(&cut, copies),
                Step::End => {
                    self.input.leave_stdin_at_its_end();
                    return Ok(None);
                }
            }
        }
    }

    fn show(&mut self, cut: &cut::Chunk, copies: Copies) -> Result<Option<Arrived>, Fault> {
        // There is one file, and nothing is added to the last one.
        let Some((Some((fd, at)), length)) = self.input.locate(cut.start, cut.end) else {
            return Ok(None);
        };
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => {
                let end = at - cut.start + self.input.layout().length();
                Arc::clone(self.file.insert(Arc::new(own(fd, end)?)))
            }
        };
        let held = match copies {
            Copies::Shared => file.map(at, length)?,
            Copies::Private => file.copy(at, length)?,
        };
        let chunk = Chunk { index: cut.index, offset: cut.start, attempt: 1 };
        Ok(Some(Arrived { chunk, held }))
    }
}

/// A descriptor of our own of a file that ends at `end`; a device says no size.
fn own(fd: &OwnedFd, end: u64) -> Result<File, Fault> {
    let opened = |e: &dyn std::fmt::Display| Fault::system("open standard input again", e);
    let fd = fd.try_clone().map_err(|e| opened(&e))?;
    let seen = seen(&rustix::fs::fstat(&fd).map_err(|e| opened(&e))?);
    Ok(File::new(fd, Seen { size: end, ..seen }))
}
