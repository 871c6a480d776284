//! What the examples must print, computed one after the other by programs that are not ours, and
//! the inputs that they are given.

use std::path::Path;

use px_tests::{Job, Scratch};

/// What a case of the sweep comes to, each in turn.
const MONTE_CARLO: &str = "
import sys
for line in sys.stdin.buffer.read().splitlines():
    dimension, points = map(int, line.split())
    a = b = 1
    for byte in line:
        a = 1 + (a * 257 + byte) % 2147483562
        b = 1 + (b * 263 + byte) % 2147483398
    inside = 0
    for _ in range(points):
        square = 0
        for _ in range(dimension):
            a, b = a * 40014 % 2147483563, b * 40692 % 2147483399
            square += ((a - b if a - b > 0 else a - b + 2147483562) >> 7) ** 2
        inside += square < 1 << 48
    print(dimension, points, inside)
";

/// What is in a picture: its header by a regular expression, its pixels all at once.
const HISTOGRAM: &str = r"
import re, sys
for name in sys.stdin.read().splitlines():
    text = open(name, 'rb').read()
    gap = rb'(?:\s|#[^\n]*\n)+'
    head = re.match(rb'P([56])' + gap + rb'(\d+)' + gap + rb'(\d+)' + gap + rb'255\s', text)
    pixels = text[head.end():]
    if head[1] == b'6':
        pixels = [(299 * r + 587 * g + 114 * b) // 1000
                  for r, g, b in zip(pixels[::3], pixels[1::3], pixels[2::3])]
    bins = [0] * 8
    for pixel in pixels:
        bins[pixel // 32] += 1
    print(name, *bins)
";

const RING: &str = "
import sys
numbers = [int(line) for line in sys.stdin]
print(sum(numbers), 'in', len(numbers), 'lines')
";

const STEPS: &str = "
import sys
for line in sys.stdin:
    number, steps = int(line), 0
    while number != 1:
        number, steps = number // 2 if number % 2 == 0 else 3 * number + 1, steps + 1
    print(int(line), steps)
";

/// What wc counts: lines, words, bytes.
pub fn word_count(text: &[u8]) -> [u64; 3] {
    let counted = Job::new("-lwc").program("wc").env("LC_ALL", "C").input(text).run();
    sum(&counted.ok().text())
}

/// Adds up lines of three numbers.
pub fn sum(lines: &str) -> [u64; 3] {
    let mut sum = [0; 3];
    for line in lines.lines() {
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 3, "a line of three numbers, found `{line}`");
        sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
    }
    sum
}

pub fn monte_carlo(cases: &[u8]) -> Vec<u8> {
    python(MONTE_CARLO, cases)
}

pub fn histogram(names: &[u8]) -> Vec<u8> {
    python(HISTOGRAM, names)
}

pub fn ring(numbers: &[u8]) -> Vec<u8> {
    python(RING, numbers)
}

pub fn steps(numbers: &[u8]) -> Vec<u8> {
    python(STEPS, numbers)
}

fn python(program: &str, input: &[u8]) -> Vec<u8> {
    let job = Job::new("-c").program("python3").arg(program).input(input);
    job.run().ok().quiet().stdout.clone()
}

/// Texts from nothing to some MiB, the last without the end of its last line.
pub fn texts() -> [Vec<u8>; 4] {
    let line =
        |n: u64| format!("{n}  the\tquick\r {}\x0b brown fox\x0c\n", "x".repeat(n as usize % 97));
    let lines = |count: u64| (0..count).map(line).collect::<String>().into_bytes();
    let mut open = lines(3000);
    open.extend_from_slice(b" the end");
    [Vec::new(), lines(1), lines(40_000), open]
}

/// Cases of the sweep, of which one is like another.
pub fn cases() -> Vec<u8> {
    let case = |n: u64| format!("{} {}\n", n % 12 + 1, n * 37 % 1500);
    (0..60).map(case).collect::<String>().into_bytes()
}

/// Pictures of all sizes in a directory, and the list of their names.
pub fn pictures(scratch: &Scratch) -> Vec<u8> {
    let mut names = Vec::new();
    for number in 0..40_u32 {
        let (width, height) = (1 + number * 7 % 50, 1 + number * number % 41);
        let colours = number % 3 == 0;
        let mut bytes = match number % 4 {
            0 => format!("P6\n# taken by nobody\n{width} {height}\n255\n"),
            1 => format!("P6 {width} {height}\t255 "),
            _ => format!("P6\n{width}\n#\n#  two\n{height}\n255\n"),
        };
        if !colours {
            bytes.replace_range(1..2, "5");
        }
        let length = width * height * if colours { 3 } else { 1 };
        let mut bytes = bytes.into_bytes();
        bytes.extend((0..length).map(|at| (at * at / 7 + at * (number + 3)) as u8));
        let path = scratch.file(&format!("picture {number}.pnm"), bytes);
        names.extend_from_slice(path.to_str().unwrap().as_bytes());
        names.push(b'\n');
    }
    names
}

/// Numbers in any order, one a line.
pub fn numbers(count: u64) -> Vec<u8> {
    let number = |n: u64| format!("{}\n", 1 + n * 7919 % 1_000_003);
    (0..count).map(number).collect::<String>().into_bytes()
}

/// The bytes of a file that a program wrote.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
