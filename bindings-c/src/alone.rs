//! A world of one: no pxrun, the input is this program's stdin and the output its stdout.
//!
//! So a program can be developed and debugged alone. The input is cut into lines as pxrun would cut
//! it; a file is shown where it lies, everything else is read as it comes.

mod file;
mod stream;

use std::sync::{Mutex, PoisonError};

use px_runtime::input::InputError;
use px_runtime::input::open::{Input, InputName, open_all};
use px_runtime::records::Records;
use px_runtime::sys::sigpipe::without_sigpipe;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::link::{Arrived, Copies};
use crate::status::{Fault, PX_ERR_INPUT_CHANGED, PX_ERR_SYSTEM};
use file::Lying;
use stream::Flowing;

/// What a record is where nobody says it.
pub(crate) const RECORDS: Records = Records::LINES;

/// Standard input and output as the world of one program.
pub struct Alone {
    copies: Copies,
    reading: Mutex<Reading>,
    writing: Mutex<()>,
}

enum Reading {
    Unopened,
    File(Box<Lying>),
    Stream(Box<Flowing>),
    Ended,
}

impl Alone {
    /// Makes the world; standard input is touched only when the first chunk is asked for.
    pub fn new(copies: Copies) -> Alone {
        Alone { copies, reading: Mutex::new(Reading::Unopened), writing: Mutex::new(()) }
    }

    /// Waits for the next chunk; `None` after the last one.
    ///
    /// # Errors
    /// `PX_ERR_SYSTEM`, `PX_ERR_MEMORY`, `PX_ERR_INPUT_CHANGED`.
    pub fn next(&self) -> Result<Option<Arrived>, Fault> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Reading::Unopened = &*reading {
            *reading = open()?;
        }
        let next = match &mut *reading {
            Reading::File(lying) => lying.next(self.copies)?,
            Reading::Stream(flowing) => flowing.next()?,
            Reading::Unopened | Reading::Ended => None,
        };
        if next.is_none() {
            *reading = Reading::Ended;
        }
        Ok(next)
    }

    /// Writes the output of a chunk to standard output, all of it.
    ///
    /// # Errors
    /// `PX_ERR_SYSTEM`.
    pub fn commit(&self, output: &[u8]) -> Result<(), Fault> {
        if output.is_empty() {
            return Ok(());
        }
        let _one_chunk_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = without_sigpipe(|| write_all(output));
        written.map_err(|e| Fault::system("write to standard output", e))
    }
}

fn open() -> Result<Reading, Fault> {
    let (input, _) = open_all(&[InputName::Stdin], RECORDS, 0).map_err(fault)?;
    Ok(match input {
        Input::Files(input) => Reading::File(Box::new(Lying::new(input))),
        Input::Stream(reader) => Reading::Stream(Box::new(Flowing::new(reader))),
    })
}

fn fault(error: InputError) -> Fault {
    let status = match error {
        InputError::Shrunk { .. } | InputError::Rewritten { .. } => PX_ERR_INPUT_CHANGED,
        _ => PX_ERR_SYSTEM,
    };
    Fault::new(status, error.to_string())
}

/// Writes all of it, also where standard output is one that does not wait.
fn write_all(mut output: &[u8]) -> Result<(), Errno> {
    let stdout = rustix::stdio::stdout();
    while !output.is_empty() {
        match rustix::io::write(stdout, output) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => output = &output[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(PollFd::new(&stdout, PollFlags::OUT))?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Waits for as long as it takes.
fn wait(event: PollFd<'_>) -> Result<(), Errno> {
    match rustix::event::poll(&mut [event], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(e) => Err(e),
    }
}
