//! Large buffers that are used again, so that moving bytes costs no page faults.

use std::cell::RefCell;
use std::rc::Rc;

/// The capacity of each buffer, in bytes: as much as one read takes from a copy's stdout.
pub const BUFFER: usize = 256 << 10;
/// Buffers kept for reuse.
const KEPT: usize = 48;

/// A shared stock of empty buffers.
#[derive(Clone, Default)]
pub struct Buffers {
    free: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// Takes an empty buffer with room for [`BUFFER`] bytes.
    pub fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if buffer.capacity() == BUFFER && free.len() < KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }
}
