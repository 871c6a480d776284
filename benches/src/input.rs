//! Inputs: log-like lines made from a fixed seed, or the beginning of a file that the user gave,
//! each with the parts that an oracle's copies read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// An input that is ready to be read, all in the page cache and with nothing left to write back.
pub struct Input {
    pub whole: PathBuf,
    /// The same lines in as many contiguous files as there are ranks.
    pub parts: Vec<PathBuf>,
    pub bytes: u64,
}

const BLOCK_BYTES: usize = 1 << 20;

/// Writes at most `bytes` bytes of whole lines to `path`, and pre-splits them in `ranks` parts.
pub fn make(
    source: Option<&Path>,
    bytes: u64,
    path: &Path,
    ranks: usize,
) -> Result<Input, Problem> {
    let problem = |path: &Path| Problem::step(format!("write `{}`", path.display()));
    match source {
        Some(source) => {
            let from =
                Problem::step(format!("copy `{}` to `{}`", source.display(), path.display()));
            copy_lines(source, bytes, path).map_err(from)?;
        }
        None => generate(bytes, path).map_err(problem(path))?,
    }
    let file = File::open(path).map_err(Problem::step(format!("open `{}`", path.display())))?;
    let mut parts = Vec::new();
    let shares = shares(&file, ranks).map_err(Problem::step("find the borders of the parts"))?;
    let bytes = shares.last().map_or(0, |share| share.end);
    for (rank, share) in shares.into_iter().enumerate() {
        let part = path.with_extension(format!("part{rank}"));
        copy_range(&file, share, &part).map_err(problem(&part))?;
        parts.push(part);
    }
    Ok(Input { whole: path.to_owned(), parts, bytes })
}

/// Writes `count` short numbered lines to `path`.
pub fn numbered(count: u64, path: &Path) -> Result<(), Problem> {
    let write = || -> io::Result<()> {
        let mut out = Blocks::new(File::create(path)?);
        for number in 0..count {
            writeln!(out, "line {number:07}")?;
        }
        out.finish()
    };
    write().map_err(Problem::step(format!("write `{}`", path.display())))
}

/// Cuts a file at line ends into `ranks` contiguous ranges of about the same length.
pub fn shares(file: &File, ranks: usize) -> io::Result<Vec<Range<u64>>> {
    let length = file.metadata()?.len();
    let count = ranks as u64;
    let mut start = 0;
    let mut shares = Vec::new();
    for rank in 1..=count {
        let aim = (u128::from(length) * u128::from(rank) / u128::from(count)) as u64;
        let end = line_end(file, aim.max(start), length)?;
        shares.push(start..end);
        start = end;
    }
    Ok(shares)
}

/// The first position at or after `from` at which a line has just ended, or the file's end.
fn line_end(file: &File, from: u64, length: u64) -> io::Result<u64> {
    if from == 0 || from >= length {
        return Ok(from.min(length));
    }
    let mut block = [0; 4096];
    let mut at = from - 1;
    loop {
        let got = file.read_at(&mut block, at)?;
        if got == 0 {
            return Ok(length);
        }
        if let Some(found) = memchr::memchr(b'\n', &block[..got]) {
            return Ok(at + found as u64 + 1);
        }
        at += got as u64;
    }
}

/// Copies through memory: a reflink, which the kernel's own copying may choose, would leave the
/// copy out of the page cache.
fn copy_range(file: &File, range: Range<u64>, to: &Path) -> io::Result<()> {
    let mut out = File::create(to)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = range.start;
    while at < range.end {
        let wanted =
            usize::try_from(range.end - at).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        file.read_exact_at(&mut block[..wanted], at)?;
        out.write_all(&block[..wanted])?;
        at += wanted as u64;
    }
    out.sync_all()
}

fn copy_lines(source: &Path, bytes: u64, to: &Path) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(BLOCK_BYTES, File::open(source)?);
    let mut out = Blocks::new(File::create(to)?);
    let mut written = 0;
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        written += line.len() as u64;
        if written > bytes {
            break;
        }
        out.write_all(&line)?;
        line.clear();
    }
    out.finish()
}

/// Writes whole blocks and nothing less, as the parts are: the page cache holds a file in pieces of
/// the length in which it was written, and memory is faster where they are large.
struct Blocks {
    file: File,
    block: Vec<u8>,
}

impl Blocks {
    fn new(file: File) -> Blocks {
        Blocks { file, block: Vec::with_capacity(BLOCK_BYTES) }
    }

    /// Written back now, so that the disk is quiet while contestants are timed.
    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_all()
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

fn generate(bytes: u64, path: &Path) -> io::Result<()> {
    let mut out = Blocks::new(File::create(path)?);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut written = 0;
    let mut line = Vec::new();
    for number in 0u64.. {
        line.clear();
        log_line(number, &mut dice, &mut line)?;
        written += line.len() as u64;
        if written > bytes {
            break;
        }
        out.write_all(&line)?;
    }
    out.finish()
}

/// Xorshift: the same sequence on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len() as u64) as usize]
    }
}

/// A line of some 60 to 150 bytes, as a web server would log it.
fn log_line(number: u64, dice: &mut Dice, line: &mut Vec<u8>) -> io::Result<()> {
    let (seconds, millis) = (number / 1000 % 60, number % 1000);
    let (hours, minutes) = (number / 3_600_000 % 24, number / 60_000 % 60);
    let level =
        if dice.roll(50) == 0 { "ERROR" } else { dice.pick(&["DEBUG", "INFO", "INFO", "WARN"]) };
    let verb = dice.pick(&["GET", "GET", "GET", "POST", "PUT", "DELETE"]);
    let place =
        dice.pick(&["users", "orders", "search", "static/images", "api/v2/sessions", "health"]);
    let (host, id) = (dice.roll(32), dice.roll(10_000_000));
    let status = dice.pick(&["200", "200", "200", "204", "301", "404", "500"]);
    let (bytes, micros) = (dice.roll(200_000), dice.roll(2_000_000));
    write!(
        line,
        "2026-03-01T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z host{host:02} {level} \
         {verb} /{place}/{id} {status} bytes={bytes} micros={micros}"
    )?;
    for _ in 0..dice.roll(5) {
        write!(
            line,
            " {}={}",
            dice.pick(&["trace", "shard", "cache", "retry"]),
            dice.roll(1 << 20)
        )?;
    }
    line.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_file_and_end_at_line_ends() {
        let path = std::env::temp_dir().join(format!("px-benches-shares.{}", std::process::id()));
        for text in ["", "one line\n", "a\nbb\nccc\ndddd\neeeee\n", "no end", "x\ny"] {
            std::fs::write(&path, text).unwrap();
            let shares = shares(&File::open(&path).unwrap(), 3).unwrap();
            assert_eq!(shares.len(), 3);
            let joined: String =
                shares.iter().map(|s| &text[s.start as usize..s.end as usize]).collect();
            assert_eq!(joined, text);
            for share in &shares[..2] {
                let cut = &text[..share.end as usize];
                assert!(cut.is_empty() || cut.ends_with('\n') || cut == text);
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
}
