//! Output that waits: in memory up to a bound, then in an unlinked file.
//!
//! A [`Lane`] is a queue of bytes; one [`Hold`] keeps the account of all lanes. Memory never
//! grows with the output, however long it waits.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::OutputError;
use crate::buffers::{BUFFER, Buffers};

/// Fewer bytes than this get no buffer of full size where they wait long.
const SMALL: usize = 16 << 10;
/// Read ranges from this length on give their blocks back to the file system.
const PUNCHED: u64 = 64 << 10;

enum Piece {
    Memory(Vec<u8>),
    /// A buffer whose first bytes are gone.
    Rest {
        bytes: Vec<u8>,
        at: usize,
    },
    Spilled {
        offset: u64,
        len: u64,
    },
}

/// A queue of bytes that wait.
#[derive(Default)]
pub struct Lane {
    pieces: VecDeque<Piece>,
    bytes: u64,
    memory: usize,
}

impl Lane {
    /// How many bytes wait here.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing waits here.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Moves all of `other` behind what is here.
    pub fn append(&mut self, mut other: Lane) {
        self.bytes += other.bytes;
        self.memory += other.memory;
        self.pieces.append(&mut other.pieces);
    }
}

/// Keeps the lanes' bytes.
pub struct Hold {
    buffers: Buffers,
    budget: usize,
    memory: usize,
    directory: PathBuf,
    spill: Option<Spill>,
    warning: Option<String>,
}

struct Spill {
    file: File,
    end: u64,
    live: u64,
}

impl Hold {
    /// Keeps up to `budget` bytes in memory, the rest in a file in `directory`.
    pub fn new(buffers: Buffers, budget: usize, directory: PathBuf) -> Self {
        Hold { buffers, budget, memory: 0, directory, spill: None, warning: None }
    }

    /// Takes the warning that there is to give, once.
    pub fn warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// Bytes in the spill file.
    pub fn spilled(&self) -> u64 {
        self.spill.as_ref().map_or(0, |spill| spill.live)
    }

    /// Puts `bytes` behind what `lane` has.
    ///
    /// # Errors
    /// [`OutputError::Spill`] when memory is full and the file cannot be made or written.
    pub fn push(&mut self, lane: &mut Lane, bytes: Vec<u8>) -> Result<(), OutputError> {
        if bytes.is_empty() {
            self.buffers.give(bytes);
            return Ok(());
        }
        lane.bytes += bytes.len() as u64;
        self.keep(lane, bytes);
        if self.memory > self.budget { self.spill(lane) } else { Ok(()) }
    }

    /// Joins what fits into the last buffer: buffers that are well filled and all of one size
    /// leave no holes in the heap.
    fn keep(&mut self, lane: &mut Lane, bytes: Vec<u8>) {
        let before = lane.memory;
        match lane.pieces.back_mut() {
            Some(Piece::Memory(last))
                if last.len() + bytes.len() <= last.capacity().max(SMALL)
                    && bytes.len() <= BUFFER / 2 =>
            {
                let had = last.capacity();
                last.extend_from_slice(&bytes);
                lane.memory += last.capacity() - had;
                self.buffers.give(bytes);
            }
            _ => {
                lane.memory += bytes.capacity();
                lane.pieces.push_back(Piece::Memory(bytes));
            }
        }
        self.memory += lane.memory - before;
    }

    /// Gives back what buffers have more than they need, where a lane has long to wait.
    pub fn compact(&mut self, lane: &mut Lane) {
        for piece in &mut lane.pieces {
            if let Piece::Memory(bytes) = piece
                && bytes.len() < SMALL.min(bytes.capacity() / 2)
            {
                let exact = bytes.as_slice().to_vec();
                let freed = bytes.capacity() - exact.capacity();
                lane.memory -= freed;
                self.memory -= freed;
                self.buffers.give(std::mem::replace(bytes, exact));
            }
        }
    }

    fn spill(&mut self, lane: &mut Lane) -> Result<(), OutputError> {
        let pieces = std::mem::take(&mut lane.pieces);
        for piece in pieces {
            let (bytes, at) = match piece {
                Piece::Memory(bytes) => (bytes, 0),
                Piece::Rest { bytes, at } => (bytes, at),
                Piece::Spilled { .. } => {
                    lane.pieces.push_back(piece);
                    continue;
                }
            };
            let offset = self.store(&bytes[at..])?;
            let len = (bytes.len() - at) as u64;
            match lane.pieces.back_mut() {
                Some(Piece::Spilled { offset: first, len: so_far })
                    if *first + *so_far == offset =>
                {
                    *so_far += len;
                }
                _ => lane.pieces.push_back(Piece::Spilled { offset, len }),
            }
            self.buffers.give(bytes);
        }
        self.memory -= lane.memory;
        lane.memory = 0;
        Ok(())
    }

    fn store(&mut self, bytes: &[u8]) -> Result<u64, OutputError> {
        if self.spill.is_none() {
            self.spill = Some(self.make_file()?);
        }
        let Some(spill) = &mut self.spill else { return Ok(0) };
        let offset = spill.end;
        if let Err(error) = spill.file.write_all_at(bytes, offset) {
            let held = spill.live;
            return Err(self.failed("write", held, &error));
        }
        spill.end += bytes.len() as u64;
        spill.live += bytes.len() as u64;
        Ok(offset)
    }

    fn make_file(&mut self) -> Result<Spill, OutputError> {
        let file =
            tempfile::tempfile_in(&self.directory).map_err(|e| self.failed("make", 0, &e))?;
        // Nobody else can reach a file without a name, except through /proc.
        rustix::fs::fchmod(&file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .map_err(|errno| self.failed("make", 0, &errno.into()))?;
        const TMPFS: i64 = 0x0102_1994;
        if rustix::fs::fstatfs(&file).is_ok_and(|fs| fs.f_type == TMPFS) {
            self.warning = Some(format!(
                "output waits for its turn in `{}`, which is memory (tmpfs); \
                 `--spill-dir DIR` names another place",
                self.directory.display()
            ));
        }
        Ok(Spill { file, end: 0, live: 0 })
    }

    fn failed(&self, step: &'static str, held: u64, error: &std::io::Error) -> OutputError {
        let source = Errno::from_io_error(error).unwrap_or(Errno::IO);
        OutputError::Spill { step, directory: self.directory.display().to_string(), held, source }
    }

    /// Takes some bytes from the front of `lane`; none when it is empty.
    ///
    /// # Errors
    /// [`OutputError::Spill`] when they cannot be read back.
    pub fn take(&mut self, lane: &mut Lane) -> Result<Option<Vec<u8>>, OutputError> {
        let Some(piece) = lane.pieces.pop_front() else { return Ok(None) };
        let bytes = match piece {
            Piece::Memory(bytes) => {
                lane.memory -= bytes.capacity();
                self.memory -= bytes.capacity();
                bytes
            }
            Piece::Rest { bytes, at } => {
                lane.memory -= bytes.capacity();
                self.memory -= bytes.capacity();
                let mut rest = self.buffers.take();
                rest.extend_from_slice(&bytes[at..]);
                self.buffers.give(bytes);
                rest
            }
            Piece::Spilled { offset, len } => {
                let now = len.min(BUFFER as u64);
                if now < len {
                    let rest = Piece::Spilled { offset: offset + now, len: len - now };
                    lane.pieces.push_front(rest);
                }
                self.read_back(offset, now)?
            }
        };
        lane.bytes -= bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Shows the bytes at the front of `lane`, some of those that wait there; none when it is
    /// empty.
    ///
    /// # Errors
    /// [`OutputError::Spill`] when they cannot be read back.
    pub fn front<'a>(&mut self, lane: &'a mut Lane) -> Result<&'a [u8], OutputError> {
        if matches!(lane.pieces.front(), Some(Piece::Spilled { .. }))
            && let Some(bytes) = self.take(lane)?
        {
            lane.bytes += bytes.len() as u64;
            lane.memory += bytes.capacity();
            self.memory += bytes.capacity();
            lane.pieces.push_front(Piece::Memory(bytes));
        }
        Ok(match lane.pieces.front() {
            Some(Piece::Memory(bytes)) => bytes,
            Some(Piece::Rest { bytes, at }) => &bytes[*at..],
            _ => &[],
        })
    }

    /// Drops the first `count` bytes of what [`Hold::front`] shows; fewer than all of them.
    pub fn consume(&mut self, lane: &mut Lane, count: usize) {
        lane.bytes -= count as u64;
        match lane.pieces.pop_front() {
            Some(Piece::Memory(bytes)) => lane.pieces.push_front(Piece::Rest { bytes, at: count }),
            Some(Piece::Rest { bytes, at }) => {
                lane.pieces.push_front(Piece::Rest { bytes, at: at + count });
            }
            Some(other) => lane.pieces.push_front(other),
            None => {}
        }
    }

    fn read_back(&mut self, offset: u64, len: u64) -> Result<Vec<u8>, OutputError> {
        let mut bytes = self.buffers.take();
        bytes.resize(usize::try_from(len).unwrap_or(BUFFER), 0);
        let Some(spill) = &mut self.spill else { return Ok(bytes) };
        if let Err(error) = spill.file.read_exact_at(&mut bytes, offset) {
            let held = spill.live;
            return Err(self.failed("read", held, &error));
        }
        spill.release(offset, len);
        Ok(bytes)
    }

    /// Forgets what `lane` holds.
    pub fn discard(&mut self, lane: Lane) {
        self.memory -= lane.memory;
        for piece in lane.pieces {
            match (piece, &mut self.spill) {
                (Piece::Memory(bytes) | Piece::Rest { bytes, .. }, _) => self.buffers.give(bytes),
                (Piece::Spilled { offset, len }, Some(spill)) => spill.release(offset, len),
                (Piece::Spilled { .. }, None) => {}
            }
        }
    }
}

impl Spill {
    fn release(&mut self, offset: u64, len: u64) {
        self.live -= len;
        if self.live == 0 {
            // Both only save space: a file system that cannot do it keeps the blocks.
            let _ = self.file.set_len(0);
            self.end = 0;
        } else if len >= PUNCHED {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = rustix::fs::fallocate(&self.file, flags, offset, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_give_back_what_was_put_in_whatever_fits_into_memory(
            pushes in proptest::collection::vec((0usize..3, 0usize..40_000), 0..60),
            budget in 0usize..200_000,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut hold = Hold::new(Buffers::default(), budget, directory.path().to_owned());
            let mut lanes: [Lane; 3] = Default::default();
            let mut expected: [Vec<u8>; 3] = Default::default();
            for (i, (lane, len)) in pushes.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + i) as u8).collect();
                expected[lane].extend_from_slice(&bytes);
                hold.push(&mut lanes[lane], bytes).unwrap();
                if i % 7 == 3 { hold.compact(&mut lanes[lane]); }
                if i % 11 == 5 {
                    let front = hold.front(&mut lanes[0]).unwrap().len();
                    let some = front / 2;
                    if some > 0 {
                        hold.consume(&mut lanes[0], some);
                        expected[0].drain(..some);
                    }
                }
                prop_assert!(hold.memory <= budget + 3 * (BUFFER + 40_000));
            }
            for (lane, expected) in lanes.iter_mut().zip(&expected) {
                prop_assert_eq!(lane.len(), expected.len() as u64);
                let mut found = Vec::new();
                while let Some(bytes) = hold.take(lane).unwrap() {
                    found.extend_from_slice(&bytes);
                }
                prop_assert_eq!(&found, expected);
            }
            prop_assert_eq!((hold.memory, hold.spilled()), (0, 0));
        }
    }
}
