//! What goes to our stderr: the copies' diagnostics line by line, our own messages, the bar.
//!
//! A line of a copy is passed on at LF or CR, at 64 KiB, or when nothing has come for 0.2 s; two
//! ranks' bytes never stand in one line.

use std::time::{Duration, Instant};

use super::OutputError;
use super::sink::Sink;

/// A line is passed on in pieces of at most this many bytes.
const LONGEST: usize = 64 << 10;
/// An unfinished line is passed on when nothing was added for this long.
const QUIET: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    touched: Option<Instant>,
    continues: bool,
}

/// Who wrote the last byte, when that byte did not end a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    No,
    Rank(u32),
    Bar,
}

/// Our stderr.
pub struct Diagnostics {
    sink: Sink,
    lines: Vec<Line>,
    tagged: bool,
    open: Open,
    bar: Vec<u8>,
}

impl Diagnostics {
    /// Writes the diagnostics of `ranks` ranks to `sink`, each line tagged or not.
    pub fn new(sink: Sink, ranks: u32, tagged: bool) -> Self {
        let lines = (0..ranks).map(|_| Line::default()).collect();
        Diagnostics { sink, lines, tagged, open: Open::No, bar: Vec::new() }
    }

    /// The sink itself.
    pub fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// Takes what a copy of `rank` wrote to its stderr.
    pub fn take(&mut self, rank: u32, bytes: &[u8], now: Instant) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let line = &mut self.lines[rank as usize];
            let room = LONGEST - line.bytes.len();
            let part = &rest[..rest.len().min(room)];
            let end = memchr::memchr2(b'\n', b'\r', part);
            let taken = end.map_or(part.len(), |at| at + 1);
            line.bytes.extend_from_slice(&rest[..taken]);
            line.touched = Some(now);
            rest = &rest[taken..];
            if end.is_some() || line.bytes.len() == LONGEST {
                self.pass_on(rank);
            }
        }
    }

    fn pass_on(&mut self, rank: u32) {
        let line = &mut self.lines[rank as usize];
        let bytes = std::mem::take(&mut line.bytes);
        line.touched = None;
        let Some(&last) = bytes.last() else { return };
        let goes_on = line.continues && self.open == Open::Rank(rank);
        line.continues = last != b'\n' && last != b'\r';
        let continues = line.continues;
        if !goes_on {
            self.end_line();
            if self.tagged && bytes != b"\n" && bytes != b"\r" {
                self.sink.push_copy(format!("[{rank}] ").as_bytes());
            }
        }
        self.sink.push_copy(&bytes);
        self.open = if continues { Open::Rank(rank) } else { Open::No };
        if !continues {
            self.show_bar();
        }
        let line = &mut self.lines[rank as usize];
        line.bytes = bytes;
        line.bytes.clear();
    }

    /// Ends whatever unfinished line stands there, or wipes the bar.
    fn end_line(&mut self) {
        match self.open {
            Open::No => {}
            Open::Rank(_) => self.sink.push_copy(b"\n"),
            Open::Bar => self.sink.push_copy(b"\r\x1b[K"),
        }
        self.open = Open::No;
    }

    /// Writes lines of our own.
    pub fn say(&mut self, text: &str) {
        self.end_line();
        self.sink.push_copy(text.as_bytes());
        self.show_bar();
    }

    /// Sets the bar; an empty one takes it away.
    pub fn set_bar(&mut self, bar: String) {
        if self.open == Open::Bar {
            self.end_line();
        }
        self.bar = bar.into_bytes();
        self.show_bar();
    }

    fn show_bar(&mut self) {
        if self.open == Open::No && !self.bar.is_empty() {
            self.sink.push_copy(&self.bar);
            self.open = Open::Bar;
        }
    }

    /// When an unfinished line is to be passed on.
    pub fn deadline(&self) -> Option<Instant> {
        self.lines.iter().filter_map(|line| line.touched).min().map(|at| at + QUIET)
    }

    /// Passes on unfinished lines that had nothing added for a while.
    pub fn tick(&mut self, now: Instant) {
        for rank in 0..self.lines.len() {
            if self.lines[rank].touched.is_some_and(|at| now >= at + QUIET) {
                self.pass_on(u32::try_from(rank).unwrap_or(0));
            }
        }
    }

    /// Passes on the unfinished line of a copy that has ended.
    pub fn ended(&mut self, rank: u32) {
        self.pass_on(rank);
        self.lines[rank as usize].continues = false;
    }

    /// Writes what can be written now; returns whether anything was.
    ///
    /// # Errors
    /// That of the sink.
    pub fn flush(&mut self) -> Result<bool, OutputError> {
        self.sink.flush()
    }
}
