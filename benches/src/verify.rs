//! Proof that a timed run did the whole job: a wrong result never counts as a time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::contestant::Output;
use crate::hosts::copies;
use crate::problem::Problem;

/// What a contestant's output must be.
#[derive(Clone)]
pub enum Expect {
    /// Numbers, one a line, with this sum.
    Total(u64),
    /// The same lines in any order, none of them torn.
    Lines(Digest),
    /// The same bytes in any order: for a limit that does not keep lines whole.
    Bytes(Digest),
    /// This file, byte for byte.
    Same(PathBuf),
    /// Text with this end: for a limit that verifies its work itself.
    Ends(&'static str),
    /// A line of each copy that says for how long it had work; the sum of what it did.
    Spans { copies: usize, total: u64 },
    /// No output, and at least so many processes started on this machine meanwhile.
    Starts(u64),
}

/// What can be said of a text whatever the order of its lines (`line_sum`) or of its bytes.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Digest {
    pub bytes: u64,
    pub lines: u64,
    byte_sum: u64,
    line_sum: u64,
}

impl Digest {
    /// Reads the file and adds its lines.
    pub fn add_file(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        let mut kept = 0;
        loop {
            if kept == buffer.len() {
                buffer.resize(2 * kept, 0);
            }
            let got = file.read(&mut buffer[kept..])?;
            let filled = kept + got;
            let whole = match got {
                0 => filled,
                _ => memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |at| at + 1),
            };
            self.add(&buffer[..whole]);
            if got == 0 {
                return Ok(());
            }
            buffer.copy_within(whole..filled, 0);
            kept = filled - whole;
        }
    }

    /// Adds whole lines; a last piece without an end counts as a line unlike any whole one.
    fn add(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        self.byte_sum += text.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text).map(|at| at + 1).chain([text.len()]) {
            if end > start {
                self.lines += 1;
                self.line_sum = self.line_sum.wrapping_add(hash(&text[start..end]));
                start = end;
            }
        }
    }

    fn same_bytes(&self, other: &Digest) -> bool {
        (self.bytes, self.byte_sum) == (other.bytes, other.byte_sum)
    }
}

/// Eight bytes a step; good enough to tell lines apart, and cheap beside what is measured.
fn hash(line: &[u8]) -> u64 {
    let mix =
        |state: u64, word: u64| (state.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let (words, rest) = line.as_chunks::<8>();
    let state =
        words.iter().fold(line.len() as u64, |state, word| mix(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let state = mix(state, u64::from_le_bytes(last));
    state ^ (state >> 29)
}

/// Compares a contestant's output with what it must be.
pub fn check(output: &Output, expect: &Expect, starts: u64) -> Result<(), Problem> {
    let files = output.files()?;
    let digest = |files: &[PathBuf]| -> Result<Digest, Problem> {
        let mut digest = Digest::default();
        for file in files {
            digest.add_file(file).map_err(Problem::step(format!("read `{}`", file.display())))?;
        }
        Ok(digest)
    };
    match expect {
        Expect::Total(total) => agree("total", sum(&files)?, *total),
        Expect::Lines(lines) => told_apart(&digest(&files)?, lines, Digest::eq, "lines"),
        Expect::Bytes(bytes) => told_apart(&digest(&files)?, bytes, Digest::same_bytes, "bytes"),
        Expect::Same(path) => match &files[..] {
            [file] => same(file, path),
            _ => Err(Problem::Wrong(format!("{} files instead of one", files.len()))),
        },
        Expect::Ends(end) => {
            let text = fs::read_to_string(&files[0]).map_err(Problem::step("read an output"))?;
            if text.ends_with(end) {
                return Ok(());
            }
            Err(Problem::Wrong(format!("`{text}` does not end in `{end}`")))
        }
        Expect::Spans { copies, total } => {
            let text = fs::read_to_string(&files[0]).map_err(Problem::step("read an output"))?;
            let Some((_, found, amount)) = copies::span(&text) else {
                return Err(Problem::Wrong(format!("`{text}` tells no times")));
            };
            agree("copies", found as u64, *copies as u64)?;
            agree("amount", amount, *total)
        }
        Expect::Starts(wanted) => {
            agree("bytes of output", digest(&files)?.bytes, 0)?;
            if starts >= *wanted {
                return Ok(());
            }
            Err(Problem::Wrong(format!("{starts} processes started instead of {wanted}")))
        }
    }
}

/// For how long the copies had work, in seconds.
pub fn span(output: &Output) -> Result<Option<f64>, Problem> {
    let mut text = String::new();
    for file in output.files()? {
        text += &fs::read_to_string(&file).map_err(Problem::step("read an output"))?;
    }
    Ok(copies::span(&text).map(|(seconds, ..)| seconds))
}

fn agree(what: &str, found: u64, wanted: u64) -> Result<(), Problem> {
    if found == wanted {
        return Ok(());
    }
    Err(Problem::Wrong(format!("{what} {found} instead of {wanted}")))
}

fn told_apart(
    found: &Digest,
    wanted: &Digest,
    same: fn(&Digest, &Digest) -> bool,
    what: &str,
) -> Result<(), Problem> {
    if same(found, wanted) {
        return Ok(());
    }
    agree("bytes", found.bytes, wanted.bytes)?;
    agree("lines", found.lines, wanted.lines)?;
    Err(Problem::Wrong(format!("as many, but other {what}")))
}

/// The number that begins a file, or the sum of those that begin its lines.
pub fn total(path: &Path) -> Result<u64, Problem> {
    sum(&[path.to_owned()])
}

/// The sum of the numbers that begin the files' lines.
fn sum(files: &[PathBuf]) -> Result<u64, Problem> {
    let mut total = 0;
    for file in files {
        let text = fs::read_to_string(file)
            .map_err(Problem::step(format!("read `{}`", file.display())))?;
        for line in text.lines() {
            let number = line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            total += number.ok_or_else(|| Problem::Wrong(format!("`{line}` is no number")))?;
        }
    }
    Ok(total)
}

fn same(found: &Path, wanted: &Path) -> Result<(), Problem> {
    let open =
        |path: &Path| File::open(path).map_err(Problem::step(format!("open `{}`", path.display())));
    let (mut found, mut wanted) = (open(found)?, open(wanted)?);
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    loop {
        let got = read_full(&mut found, &mut ours)?;
        let expected = read_full(&mut wanted, &mut theirs)?;
        if ours[..got] != theirs[..expected] {
            return Err(Problem::Wrong(format!("other bytes in the MiB from byte {at}")));
        }
        if got == 0 {
            return Ok(());
        }
        at += got;
    }
}

fn read_full(file: &mut File, block: &mut [u8]) -> Result<usize, Problem> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]).map_err(Problem::step("read an output"))? {
            0 => break,
            got => filled += got,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        let mut digest = Digest::default();
        digest.add(text.as_bytes());
        digest
    }

    #[test]
    fn the_order_of_lines_does_not_matter() {
        assert_eq!(
            digest("alpha\nbeta\ngamma gamma gamma\n"),
            digest("gamma gamma gamma\nalpha\nbeta\n")
        );
    }

    #[test]
    fn torn_lines_are_seen_and_are_the_same_bytes() {
        let (whole, torn) = (digest("alpha\nbeta\n"), digest("albeta\npha\n"));
        assert_ne!(whole, torn);
        assert!(whole.same_bytes(&torn));
    }
}
