//! Inputs: numbered records with a checksum each, and the odd shapes.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use crate::rounds::Random;

/// Returns `count` lines, each with its number, a payload of 0 to 120 letters and a checksum, as
/// the [`checker`](crate::checker) reads them.
pub fn numbered(count: u64, seed: u64) -> Vec<u8> {
    numbered_with(count, seed, 120)
}

/// Returns `count` numbered lines with payloads of up to `longest` letters.
pub fn numbered_with(count: u64, seed: u64, longest: u64) -> Vec<u8> {
    let mut random = Random::seeded(seed);
    let mut lines = Vec::new();
    for number in 0..count {
        push_line(&mut lines, number, random.below(longest + 1), &mut random);
    }
    lines
}

/// Returns `count` numbered lines whose payloads have exactly `length` letters.
pub fn numbered_long(count: u64, length: u64) -> Vec<u8> {
    let mut random = Random::seeded(count);
    let mut lines = Vec::new();
    for number in 0..count {
        push_line(&mut lines, number, length, &mut random);
    }
    lines
}

fn push_line(lines: &mut Vec<u8>, number: u64, length: u64, random: &mut Random) {
    let start = lines.len();
    write!(lines, "{number} ").expect("memory");
    let mut bits = 0;
    for letter in 0..length {
        if letter % 12 == 0 {
            bits = random.bits();
        }
        lines.push(b'a' + (bits % 26) as u8);
        bits /= 26;
    }
    let sum = checksum(&lines[start..]);
    writeln!(lines, " {sum:016x}").expect("memory");
}

/// Returns the FNV-1a checksum of a line's number and payload.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Writes log-like lines, `size` bytes of them cut at a line's end, without holding them.
///
/// One block of lines repeats: quick to make, and no page of it is a hole.
pub fn log_lines(file: &File, size: u64) -> io::Result<u64> {
    let mut block = Vec::new();
    for line in 0..8000 {
        let level = ["INFO", "WARN", "ERROR", "DEBUG"][line % 4];
        writeln!(block, "2024-05-{:02}T12:00:00 {level} request {line} took a ms", line % 28 + 1)?;
    }
    let mut writer = BufWriter::new(file);
    let mut written = 0;
    while written + (block.len() as u64) < size {
        writer.write_all(&block)?;
        written += block.len() as u64;
    }
    let left = usize::try_from(size - written).expect("less than a block");
    let lines = block[..left].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    writer.write_all(&block[..lines])?;
    writer.flush()?;
    Ok(written + lines as u64)
}

/// Returns the inputs that break assumptions: a name, and the bytes.
pub fn zoo() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random::seeded(7);
    let noise: Vec<u8> = (0..70_000).map(|_| random.bits() as u8).collect();
    let mut long_first = vec![b'x'; 300_000];
    long_first.extend_from_slice(b"\na\nb\nc\nd\ne\nf\ng\nh\n");
    vec![
        ("empty", Vec::new()),
        ("one byte", b"x".to_vec()),
        ("one newline", b"\n".to_vec()),
        ("only newlines", vec![b'\n'; 1000]),
        ("no final newline", b"one\ntwo\nthree".to_vec()),
        ("CRLF", b"one\r\ntwo\r\n\r\nthree\r\n".to_vec()),
        ("lone CR", b"one\rtwo\rthree\n".to_vec()),
        ("NUL", b"a\0b\n\0\0\n\0".to_vec()),
        ("invalid UTF-8", b"\xff\xfe\n\xc3\x28\n\xed\xa0\x80\n\xf0\x90".to_vec()),
        ("noise", noise),
        ("fewer records than ranks", b"one\ntwo\n".to_vec()),
        ("a long line first", long_first),
        ("numbered", numbered(5000, 3)),
        ("empty lines between", b"a\n\n\nb\n\n".to_vec()),
    ]
}
