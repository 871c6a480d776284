//! The calls of MPI whose errors or non-blocking forms the `mpi` crate lacks, behind safe
//! functions. No other file has `unsafe`.
//!
//! A buffer that MPI reads or writes belongs to the [`Flight`] until MPI is done with it, and is
//! never freed before.

use std::cell::Cell;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mpi::environment::Universe;
use mpi::ffi;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{AsRaw, Communicator};

/// The tag of all messages.
const TAG: c_int = 0;

/// Why a call failed, in the library's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// A communicator of its own, whose errors come back instead of ending the process.
pub struct Comm {
    /// Never freed: that is a call that waits for all, and may come after MPI was left.
    raw: ManuallyDrop<SimpleCommunicator>,
    /// Cleared before MPI is left: no call may follow.
    open: Cell<bool>,
    /// Requests that are not done.
    outstanding: Cell<usize>,
}

/// A message that has come and waits to be received.
pub struct Arriving {
    message: ffi::MPI_Message,
    /// Who sent it.
    pub source: usize,
    /// Its length in bytes.
    pub length: usize,
}

impl Comm {
    /// Makes one of all processes; all of them do so at the same time.
    ///
    /// # Errors
    /// In the library's words.
    pub fn of_all(universe: &Universe) -> Result<Self, Failed> {
        let raw = ManuallyDrop::new(universe.world().duplicate());
        // SAFETY: MPI is initialised, for there is a universe, and the handle is a live one.
        let code = unsafe { ffi::MPI_Comm_set_errhandler(raw.as_raw(), ffi::RSMPI_ERRORS_RETURN) };
        check(code)?;
        Ok(Comm { raw, open: Cell::new(true), outstanding: Cell::new(0) })
    }

    /// The number of this process.
    pub fn rank(&self) -> usize {
        usize::try_from(self.raw.rank()).unwrap_or(0)
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        usize::try_from(self.raw.size()).unwrap_or(0)
    }

    /// Requests that are not done.
    pub fn outstanding(&self) -> usize {
        self.outstanding.get()
    }

    /// Takes the next message of `source`, or of anybody, off MPI's list.
    ///
    /// # Errors
    /// In the library's words.
    pub fn probe(&self, source: Option<usize>) -> Result<Option<Arriving>, Failed> {
        let comm = self.handle()?;
        let (mut found, mut length) = (0, 0);
        // SAFETY: all pointers are to locals that live through the calls; the message and the
        // status are plain data that is read only where MPI says that it has filled it.
        unsafe {
            let source = match source {
                Some(rank) => c_int::try_from(rank).unwrap_or(ffi::RSMPI_PROC_NULL),
                None => ffi::RSMPI_ANY_SOURCE,
            };
            let mut message = ffi::RSMPI_MESSAGE_NULL;
            let mut status: ffi::MPI_Status = std::mem::zeroed();
            let code = ffi::MPI_Improbe(source, TAG, comm, &mut found, &mut message, &mut status);
            check(code)?;
            if found == 0 {
                return Ok(None);
            }
            check(ffi::MPI_Get_count(&status, ffi::RSMPI_UINT8_T, &mut length))?;
            Ok(Some(Arriving {
                message,
                source: usize::try_from(status.MPI_SOURCE).unwrap_or(usize::MAX),
                // What is too long to be counted is too long.
                length: usize::try_from(length).unwrap_or(usize::MAX),
            }))
        }
    }

    /// Begins to wait until all processes do.
    ///
    /// # Errors
    /// In the library's words.
    pub fn barrier(self: &Rc<Self>) -> Result<Flight<()>, Failed> {
        let comm = self.handle()?;
        let mut flight = Flight::new(self);
        // SAFETY: the pointer is to a local; the request is kept until it is done.
        let request = unsafe {
            let mut request = ffi::RSMPI_REQUEST_NULL;
            check(ffi::MPI_Ibarrier(comm, &mut request))?;
            request
        };
        flight.add(request, Load { bytes: Vec::new(), length: 0, what: () });
        Ok(flight)
    }

    /// Has every later call refused.
    pub fn close(&self) {
        self.open.set(false);
    }

    fn handle(&self) -> Result<ffi::MPI_Comm, Failed> {
        match self.open.get() {
            true => Ok(self.raw.as_raw()),
            false => Err(Failed("MPI was left".into())),
        }
    }
}

/// Messages on their way in or out, each with what the caller calls it.
pub struct Flight<T> {
    comm: Rc<Comm>,
    requests: Vec<ffi::MPI_Request>,
    /// One a request.
    loads: Vec<Load<T>>,
    /// Room for MPI's answers.
    indices: Vec<c_int>,
    statuses: Vec<ffi::MPI_Status>,
}

struct Load<T> {
    bytes: Vec<u8>,
    /// Bytes in it once it is done.
    length: usize,
    what: T,
}

/// A message that is on its way no more.
pub struct Done<T> {
    /// What the caller called it.
    pub what: T,
    /// The bytes that were sent or received.
    pub bytes: Vec<u8>,
    /// Whether it got there.
    pub outcome: Result<(), Failed>,
}

impl<T> Flight<T> {
    /// Makes an empty one.
    pub fn new(comm: &Rc<Comm>) -> Self {
        Flight {
            comm: Rc::clone(comm),
            requests: Vec::new(),
            loads: Vec::new(),
            indices: Vec::new(),
            statuses: Vec::new(),
        }
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Begins to send `bytes` to `target`.
    ///
    /// # Errors
    /// In the library's words.
    pub fn send(&mut self, target: usize, bytes: Vec<u8>, what: T) -> Result<(), Failed> {
        let comm = self.comm.handle()?;
        let number = |number| c_int::try_from(number).map_err(|_| too_large(number));
        let (count, target) = (number(bytes.len())?, number(target)?);
        // SAFETY: the bytes stay where they are, unchanged, until the request is done: the buffer
        // is kept with it, and its heap block does not move with the `Vec`.
        let request = unsafe {
            let mut request = ffi::RSMPI_REQUEST_NULL;
            let (start, kind) = (bytes.as_ptr().cast(), ffi::RSMPI_UINT8_T);
            check(ffi::MPI_Isend(start, count, kind, target, TAG, comm, &mut request))?;
            request
        };
        let length = bytes.len();
        self.add(request, Load { bytes, length, what });
        Ok(())
    }

    /// Begins to receive a message into `bytes`, which is made large enough.
    ///
    /// # Errors
    /// In the library's words.
    pub fn receive(&mut self, it: Arriving, mut bytes: Vec<u8>, what: T) -> Result<(), Failed> {
        self.comm.handle()?;
        let mut message = it.message;
        let count = c_int::try_from(it.length).map_err(|_| too_large(it.length))?;
        bytes.clear();
        bytes.reserve_exact(it.length);
        // SAFETY: there is room for `count` bytes, and nobody else touches it until the request
        // is done: the buffer is kept with it, and its heap block does not move with the `Vec`.
        let request = unsafe {
            let mut request = ffi::RSMPI_REQUEST_NULL;
            let (start, kind) = (bytes.as_mut_ptr().cast(), ffi::RSMPI_UINT8_T);
            check(ffi::MPI_Imrecv(start, count, kind, &mut message, &mut request))?;
            request
        };
        self.add(request, Load { bytes, length: it.length, what });
        Ok(())
    }

    fn add(&mut self, request: ffi::MPI_Request, load: Load<T>) {
        self.requests.push(request);
        self.loads.push(load);
        self.comm.outstanding.set(self.comm.outstanding.get() + 1);
    }

    /// Appends to `done` what is on its way no more.
    ///
    /// # Errors
    /// In the library's words; nothing can be said of what is on its way then.
    pub fn test(&mut self, done: &mut Vec<Done<T>>) -> Result<(), Failed> {
        self.comm.handle()?;
        if self.requests.is_empty() {
            return Ok(());
        }
        let count = c_int::try_from(self.requests.len());
        let count = count.map_err(|_| too_large(self.requests.len()))?;
        self.indices.resize(self.requests.len(), 0);
        // SAFETY: a status is plain data, for which zeroes are as good as anything.
        self.statuses.resize(self.requests.len(), unsafe { std::mem::zeroed() });
        let mut finished = 0;
        // SAFETY: each array has room for as many elements as there are requests.
        let code = unsafe {
            ffi::MPI_Testsome(
                count,
                self.requests.as_mut_ptr(),
                &mut finished,
                self.indices.as_mut_ptr(),
                self.statuses.as_mut_ptr(),
            )
        };
        let each = u32::try_from(code) == Ok(ffi::MPI_ERR_IN_STATUS);
        if !each {
            check(code)?;
        }
        // MPI_UNDEFINED, where no request was active, is negative.
        let finished = usize::try_from(finished).unwrap_or(0);
        let mut indices = std::mem::take(&mut self.indices);
        let found = indices.get_mut(..finished).unwrap_or_default();
        let mut ended: Vec<(usize, c_int)> = found
            .iter()
            .zip(&self.statuses)
            .filter_map(|(&index, status)| {
                Some((usize::try_from(index).ok()?, if each { status.MPI_ERROR } else { 0 }))
            })
            .collect();
        self.indices = indices;
        // From the end, so that what takes the place of one is none that is still to be taken.
        ended.sort_unstable_by(|one, other| other.cmp(one));
        for (index, code) in ended {
            self.requests.swap_remove(index);
            let Load { mut bytes, length, what } = self.loads.swap_remove(index);
            let outcome = check(code);
            let length = if outcome.is_ok() { length } else { 0 };
            // SAFETY: MPI has filled so many bytes, or they were there when they were sent.
            unsafe { bytes.set_len(length) };
            self.comm.outstanding.set(self.comm.outstanding.get() - 1);
            done.push(Done { what, bytes, outcome });
        }
        Ok(())
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        // MPI may go on to read or write them for as long as this process lives.
        for load in self.loads.drain(..) {
            std::mem::forget(load.bytes);
        }
    }
}

/// Lends a socket that belongs to the library: it is not closed here.
pub fn lent(number: RawFd) -> Option<ManuallyDrop<UnixStream>> {
    if number < 0 {
        return None;
    }
    // SAFETY: nobody else closes what the library talks through while MPI is open, and this does
    // not; a number that is no socket gives errors.
    Some(ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(number) }))
}

fn too_large(number: usize) -> Failed {
    Failed(format!("{number} is more than MPI can count"))
}

/// Turns a code into the library's words for it.
fn check(code: c_int) -> Result<(), Failed> {
    if u32::try_from(code) == Ok(ffi::MPI_SUCCESS) {
        return Ok(());
    }
    let mut text = [0u8; ffi::MPI_MAX_ERROR_STRING as usize + 1];
    let mut length = 0;
    // SAFETY: the library writes at most MPI_MAX_ERROR_STRING bytes.
    unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast(), &mut length) };
    let text = usize::try_from(length).ok().and_then(|length| text.get(..length));
    let text = String::from_utf8_lossy(text.unwrap_or_default());
    let gist = gist(&text);
    Err(Failed(if gist.is_empty() { format!("MPI error {code}") } else { gist.into() }))
}

/// What an error comes down to: MPICH tells every call on the way there, with its arguments, a line
/// each.
fn gist(text: &str) -> &str {
    let last = text.trim_end_matches('\0').trim_end().lines().next_back().unwrap_or_default();
    last.rsplit_once(".: ").map_or(last, |(_, end)| end).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stack_of_calls_the_last_one_is_told() {
        let stack = "Other MPI error, error stack:\n\
            internal_Isend(120)..: MPI_Isend(buf=0x55, count=100, dtype=0x4c00013b, 1, 0) failed\n\
            MPIDI_UCX_send(83)...:  returned failed request in UCX netmod(Endpoint timeout)\n";
        assert_eq!(gist(stack), "returned failed request in UCX netmod(Endpoint timeout)");
        assert_eq!(gist("MPI_ERR_RANK: invalid rank"), "MPI_ERR_RANK: invalid rank");
        assert_eq!(gist(""), "");
    }
}
