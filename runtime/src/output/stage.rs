//! The last step before the sink: output whose place is decided, in that order.

use super::OutputError;
use super::hold::{Hold, Lane};
use super::sink::Sink;

/// What is still to be written, and where.
pub struct Stage {
    /// Keeps what waits.
    pub hold: Hold,
    /// Where it goes.
    pub sink: Sink,
    ready: Lane,
    emitted: u64,
}

impl Stage {
    /// Makes an empty stage.
    pub fn new(hold: Hold, sink: Sink) -> Self {
        Stage { hold, sink, ready: Lane::default(), emitted: 0 }
    }

    /// Puts `bytes` behind everything emitted before.
    ///
    /// # Errors
    /// Those of holding.
    pub fn emit(&mut self, bytes: Vec<u8>) -> Result<(), OutputError> {
        self.emitted += bytes.len() as u64;
        if self.ready.is_empty() && !self.sink.is_full() {
            self.sink.push(bytes);
            return Ok(());
        }
        self.hold.push(&mut self.ready, bytes)
    }

    /// Puts the first `count` bytes of `lane`'s front behind everything emitted before.
    ///
    /// # Errors
    /// Those of holding.
    pub fn emit_front(&mut self, lane: &mut Lane, count: usize) -> Result<(), OutputError> {
        self.emitted += count as u64;
        let front = self.hold.front(lane)?;
        if self.ready.is_empty() && !self.sink.is_full() {
            self.sink.push_copy(&front[..count]);
        } else {
            let bytes = front[..count].to_vec();
            self.hold.push(&mut self.ready, bytes)?;
        }
        self.hold.consume(lane, count);
        Ok(())
    }

    /// Puts all of `lane` behind everything emitted before.
    ///
    /// # Errors
    /// Those of holding.
    pub fn emit_lane(&mut self, lane: Lane) -> Result<(), OutputError> {
        self.emitted += lane.len();
        self.ready.append(lane);
        self.refill()
    }

    /// Moves what is ready on to the sink as far as that wants it.
    fn refill(&mut self) -> Result<(), OutputError> {
        while !self.sink.is_full() {
            match self.hold.take(&mut self.ready)? {
                Some(bytes) => self.sink.push(bytes),
                None => break,
            }
        }
        Ok(())
    }

    /// Writes what can be written now; returns whether anything was.
    ///
    /// # Errors
    /// Those of holding and of writing.
    pub fn flush(&mut self) -> Result<bool, OutputError> {
        let mut any = false;
        loop {
            self.refill()?;
            let wrote = self.sink.flush()?;
            any |= wrote;
            if !wrote || self.ready.is_empty() {
                return Ok(any);
            }
        }
    }

    /// Bytes whose turn it is and that are not yet written.
    pub fn backlog(&self) -> u64 {
        self.ready.len() + self.sink.queued() as u64
    }

    /// Bytes that were given a place in the output so far.
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Forgets everything not yet written: nobody is there to read it.
    pub fn abandon(&mut self) {
        self.sink.clear();
        let ready = std::mem::take(&mut self.ready);
        self.hold.discard(ready);
    }
}
