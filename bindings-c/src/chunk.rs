//! Chunks: taking them, looking at them, giving output to them, releasing them.

use std::ffi::{c_int, c_void};
use std::num::NonZeroU64;
use std::sync::Arc;

use px_runtime::libpx::wire::{Chunk as Place, Kind, Released};
use px_runtime::records::Records;

use crate::alone::Alone;
use crate::boundary::{self, bytes, out};
use crate::held::Held;
use crate::link::{Arrived, Link, released_after};
use crate::status::{Fault, PX_END, PX_ERR_HELD, PX_ERR_POISONED, PX_OK};
use crate::tokens::Table;
use crate::world::{self, Seat};

/// Most chunks that a program may hold at once.
pub const PX_CHUNKS_MAX: c_int = 8;
/// Releases a chunk that was processed: its output becomes part of the job's.
pub const PX_COMMIT: c_int = 0;
/// Releases a chunk that could not be processed: its output is dropped.
pub const PX_FAIL: c_int = 1;

/// Output of a chunk is gathered up to this many bytes before it is sent.
const GATHERED: usize = 64 << 10;

/// Where chunks come from and their output goes.
#[derive(Clone)]
pub enum Home {
    /// An agent.
    Link(Arc<Link>),
    /// This program's own stdin and stdout.
    Alone(Arc<Alone>),
}

/// Who ends the use of a chunk.
pub enum Ends {
    /// The program, by releasing it; then its seat is free for another one.
    Release(Seat),
    /// The return of the callback that it was lent to.
    Return,
}

/// A chunk that is held.
pub struct Chunk {
    place: Place,
    held: Held,
    records: Records,
    /// Where the next record begins.
    walked: usize,
    /// Output that was not sent yet.
    output: Vec<u8>,
    /// Bytes of output that were sent.
    sent: u64,
    home: Home,
    ends: Ends,
}

/// All chunks that are held in this process, by the program or by callbacks.
static CHUNKS: Table<Chunk, 4096> = Table::new(1, "chunk");

impl Home {
    /// Waits for the next chunk; `None` after the last one.
    ///
    /// # Errors
    /// Those of [`Link::next`] and [`Alone::next`].
    pub fn next(&self) -> Result<Option<Arrived>, Fault> {
        match self {
            Home::Link(link) => link.next(),
            Home::Alone(alone) => alone.next(),
        }
    }
}

impl Chunk {
    /// Makes a chunk that is held of one that came.
    pub fn new(arrived: Arrived, records: Records, home: Home, ends: Ends) -> Chunk {
        let Arrived { chunk: place, held } = arrived;
        Chunk { place, held, records, walked: 0, output: Vec::new(), sent: 0, home, ends }
    }

    fn record_next(&mut self) -> Option<&[u8]> {
        let rest = self.held.bytes().get(self.walked..).filter(|rest| !rest.is_empty())?;
        let (length, taken) = first_record(rest, self.records);
        let from = self.walked;
        self.walked += taken;
        self.held.bytes().get(from..from + length)
    }

    /// Gives output to the chunk.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`, `PX_ERR_MEMORY`.
    pub fn emit(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if let Home::Link(link) = &self.home
            && self.output.len() + bytes.len() > GATHERED
        {
            let index = self.place.index;
            link.send(Kind::Emit, index, &self.output)?;
            self.sent += self.output.len() as u64;
            self.output.clear();
            if bytes.len() > GATHERED / 2 {
                link.send(Kind::Emit, index, bytes)?;
                self.sent += bytes.len() as u64;
                return Ok(());
            }
        }
        let reserved = self.output.try_reserve(bytes.len());
        reserved.map_err(|_| Fault::memory("output", (self.output.len() + bytes.len()) as u64))?;
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the use of the chunk: by `how` if its input is what it was, else without its output.
    ///
    /// # Errors
    /// `PX_ERR_INPUT_CHANGED`, `PX_ERR_PROTOCOL`, `PX_ERR_SYSTEM`; the chunk is gone all the same.
    pub fn release(self, how: Released) -> Result<(), Fault> {
        let checked = match how {
            Released::Commit => self.held.check(),
            Released::Fail | Released::InputChanged => Ok(()),
        };
        let how = checked.as_ref().map_or_else(released_after, |()| how);
        let output = if how == Released::Commit { &self.output[..] } else { &[] };
        match &self.home {
            Home::Link(link) => {
                let emitted = self.sent + output.len() as u64;
                link.release(self.place.index, how, emitted, output)?;
            }
            Home::Alone(alone) => alone.commit(output)?,
        }
        checked
    }
}

/// The length of the first record of `bytes`, without its delimiter and with it.
fn first_record(bytes: &[u8], records: Records) -> (usize, usize) {
    match records {
        Records::Delimited(delimiter) => match memchr::memchr(delimiter, bytes) {
            Some(end) => (end, end + 1),
            None => (bytes.len(), bytes.len()),
        },
        Records::Fixed(width) => {
            let width = usize::try_from(NonZeroU64::get(width)).unwrap_or(usize::MAX);
            (width.min(bytes.len()), width.min(bytes.len()))
        }
    }
}

/// Gives a chunk to a callback: as long as it is lent, its token is one to every call but release.
///
/// # Errors
/// `PX_ERR_HELD` where this process holds more chunks than there is room for; the chunk has failed then.
pub fn lend(chunk: Chunk) -> Result<*mut px_chunk, Fault> {
    match CHUNKS.put(Box::new(chunk)) {
        Ok(token) => Ok(std::ptr::without_provenance_mut(token)),
        Err(chunk) => {
            chunk.release(Released::Fail)?;
            let text = "4096 chunks are held by callbacks of this process";
            Err(Fault::new(PX_ERR_HELD, text))
        }
    }
}

/// Takes a chunk back from a callback that has returned.
///
/// # Errors
/// `PX_ERR_BUSY` where another thread of the callback's uses it still; `PX_ERR_POISONED`, with the
/// chunk gone.
pub fn take_back(chunk: *mut px_chunk) -> Result<Chunk, Fault> {
    let taken = CHUNKS.take(chunk.addr())?;
    match taken.poisoned {
        false => Ok(*taken.value),
        true => Err(poisoned()),
    }
}

fn poisoned() -> Fault {
    Fault::new(PX_ERR_POISONED, "a bug of libpx showed while the chunk was in use: it has failed")
}

/// A chunk of the input that this program holds: whole records, as pxrun dealt them.
///
/// px_chunk_next gives it and px_chunk_release frees it; a program holds up to PX_CHUNKS_MAX
/// at once. What a pointer of this type points to is nothing that a program could look at: the
/// functions below tell, and a stale or wrong one is an error and no crash.
///
/// Threads: one uses a chunk at a time, and it may be passed on to another. Different chunks are
/// independent of each other. Functions that take a const px_chunk * may be called by several
/// threads at once; a call that finds another one at work on the chunk is PX_ERR_BUSY.
#[allow(non_camel_case_types)]
pub struct px_chunk {
    _never_looked_at: (),
}

fn token(chunk: *const px_chunk) -> Result<usize, Fault> {
    match chunk.addr() {
        0 => Err(Fault::argument("`chunk` is NULL")),
        token => Ok(token),
    }
}

fn look<R>(chunk: *const px_chunk, work: impl FnOnce(&Chunk) -> R) -> Result<R, Fault> {
    CHUNKS.look(token(chunk)?, work)
}

/// Takes the next chunk of the input, and waits for it.
///
/// *chunk is the chunk with PX_OK, else NULL. The answer is PX_END when this rank gets no
/// further chunk, PX_ERR_NOT_FED where pxrun was started without `--contract px`, PX_ERR_HELD
/// while PX_CHUNKS_MAX chunks are held, and PX_ERR_INPUT_CHANGED for a chunk that its file
/// does not have any more. Such a chunk, and one that cannot be mapped or copied (PX_ERR_MEMORY,
/// PX_ERR_SYSTEM), was released as failed already; the next call goes on with the next chunk.
///
/// Take the next chunk before the last one is released, and its way here is over while you compute.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_chunk_next(chunk: *mut *mut px_chunk) -> c_int {
    boundary::status(|| {
        // SAFETY: as the caller promises.
        let mut place = unsafe { out(chunk, "chunk") }?;
        place.set(std::ptr::null_mut());
        let world = world::current()?;
        let home = world.home()?;
        let seat = world.take_seat()?;
        let Some(arrived) = home.next()? else { return Ok(PX_END) };
        let chunk = Chunk::new(arrived, world.records(), home.clone(), Ends::Release(seat));
        place.set(lend(chunk)?);
        Ok(PX_OK)
    })
}

/// The first byte of a chunk; NULL for no chunk, and only then.
///
/// The bytes are the input itself where a chunk of more than 8 KiB lies in one file that this host
/// sees, and as a rule a copy where it does not. They must not be written to, are not NUL-terminated,
/// and can be read until the chunk is released; from then on the pointer must not be used. One byte
/// behind the last one can be read too, whatever it is. Where somebody cuts the file short meanwhile,
/// reading what it has no more is a SIGBUS; PX_INIT_PRIVATE gives copies instead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_chunk_data(chunk: *const px_chunk) -> *const c_void {
    boundary::value(std::ptr::null(), || look(chunk, |chunk| chunk.held.bytes().as_ptr().cast()))
}

/// How many bytes a chunk has; 0 for no chunk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_chunk_length(chunk: *const px_chunk) -> usize {
    boundary::value(0, || look(chunk, |chunk| chunk.held.bytes().len()))
}

/// The number of a chunk, from 0 in the order of the input; UINT64_MAX for no chunk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_chunk_index(chunk: *const px_chunk) -> u64 {
    boundary::value(u64::MAX, || look(chunk, |chunk| chunk.place.index))
}

/// Where a chunk begins in the input, all files one behind the other; UINT64_MAX for no chunk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_chunk_offset(chunk: *const px_chunk) -> u64 {
    boundary::value(u64::MAX, || look(chunk, |chunk| chunk.place.offset))
}

/// How often a chunk was dealt to some rank, this time included, so from 1; or a status below 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_chunk_attempt(chunk: *const px_chunk) -> c_int {
    boundary::status(|| {
        let attempt = look(chunk, |chunk| chunk.place.attempt)?;
        Ok(c_int::try_from(attempt).unwrap_or(c_int::MAX))
    })
}

/// Shows the next record of a chunk, without its delimiter; PX_END after the last one.
///
/// The bytes are those of px_chunk_data, with all that is said there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_record_next(
    chunk: *mut px_chunk,
    record: *mut *const c_void,
    length: *mut usize,
) -> c_int {
    boundary::status(|| {
        // SAFETY: as the caller promises.
        let (mut record, mut length) = unsafe { (out(record, "record")?, out(length, "length")?) };
        record.set(std::ptr::null());
        length.set(0);
        CHUNKS.change(token(chunk)?, |chunk| {
            let Some(bytes) = chunk.record_next() else { return Ok(PX_END) };
            record.set(bytes.as_ptr().cast());
            length.set(bytes.len());
            Ok(PX_OK)
        })
    })
}

/// Gives output to a chunk: it is copied before this returns, and becomes part of the job's output
/// when the chunk is released with PX_COMMIT, all of it once, and none of it otherwise.
///
/// Where pxrun keeps an order, output stands where its chunk stands. bytes may be NULL where
/// length is 0. PX_ERR_NOT_FED where pxrun was started without `--contract px`. On an error the
/// chunk's output lacks these bytes: release it with PX_FAIL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_emit(
    chunk: *mut px_chunk,
    bytes: *const c_void,
    length: usize,
) -> c_int {
    boundary::status(|| {
        // SAFETY: as the caller promises.
        let output = unsafe { self::bytes(bytes, length, "bytes") }?;
        let emitted =
            token(chunk).and_then(|token| CHUNKS.change(token, |chunk| chunk.emit(output)));
        // Who is not fed has no chunk, and learns why.
        emitted.map_err(|fault| world::unfed().unwrap_or(fault)).map(|()| PX_OK)
    })
}

/// Ends the use of a chunk and frees it, whatever the answer but PX_ERR_BUSY. Pointers to its bytes
/// must not be used from then on.
///
/// how is PX_COMMIT or PX_FAIL. With PX_FAIL its output is dropped and the chunk has failed:
/// pxrun ends the job, or with `--keep-going` lets it fail at its end; alone, nothing more happens.
/// A second release is PX_ERR_HANDLE, and so is that of a chunk that a callback was called with.
///
/// PX_ERR_INPUT_CHANGED: the file is not what it was when the job began, so nothing was committed.
/// That is told of chunks that are the input itself, or copies of it by PX_INIT_PRIVATE. Other chunks
/// are what was there when they were dealt; there pxrun itself sees a change, commits nothing and ends
/// the job. A file that has grown is not looked at any closer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_chunk_release(chunk: *mut px_chunk, how: c_int) -> c_int {
    boundary::status(|| {
        let may = |chunk: &Chunk| matches!(chunk.ends, Ends::Release(_));
        let taken = CHUNKS.take_if(token(chunk)?, may)?;
        let released = match how {
            PX_COMMIT if !taken.poisoned => Released::Commit,
            _ => Released::Fail,
        };
        taken.value.release(released)?;
        match how {
            _ if taken.poisoned => Err(poisoned()),
            PX_COMMIT | PX_FAIL => Ok(PX_OK),
            _ => Err(Fault::argument(format!(
                "`how` must be PX_COMMIT ({PX_COMMIT}) or PX_FAIL ({PX_FAIL}), found {how}; \
                 the chunk was released with PX_FAIL"
            ))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_shown_without_what_ends_them() {
        let lines = Records::LINES;
        assert_eq!(first_record(b"one\ntwo\n", lines), (3, 4));
        assert_eq!(first_record(b"\ntwo\n", lines), (0, 1));
        assert_eq!(first_record(b"two", lines), (3, 3));
        let width = Records::Fixed(NonZeroU64::new(4).unwrap());
        assert_eq!(first_record(b"aaaabbbb", width), (4, 4));
        assert_eq!(first_record(b"bb", width), (2, 2));
    }
}
