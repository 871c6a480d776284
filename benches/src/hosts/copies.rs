//! Commands that pxrun runs and that say themselves how long they had work: a line `FIRST LAST
//! AMOUNT`, both times in nanoseconds of the clock that all processes of this machine share.

use std::ffi::OsString;
use std::hint::black_box;
use std::io::{self, Read};
use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};

use crate::problem::Problem;

/// Reads stdin to its end, from the first byte on.
pub fn swallow() -> Result<ExitCode, Problem> {
    let mut piece = vec![0; 256 << 10];
    let mut stdin = io::stdin().lock();
    let (mut first, mut bytes) = (0, 0);
    loop {
        match stdin.read(&mut piece).map_err(Problem::step("read stdin"))? {
            0 => break,
            count => bytes += count as u64,
        }
        if first == 0 {
            first = now();
        }
    }
    println!("{first} {} {bytes}", now());
    Ok(ExitCode::SUCCESS)
}

/// Does so many million steps that need a core and nothing else.
pub fn burn(words: &[OsString]) -> Result<ExitCode, Problem> {
    let millions = words.first().and_then(|word| word.to_str()?.parse::<u64>().ok());
    let millions = millions.ok_or_else(|| Problem::Usage("`burn` needs a number".to_owned()))?;
    let first = now();
    let mut state = 1_u64;
    for step in 0..millions * 1_000_000 {
        state = black_box(state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(step));
    }
    println!("{first} {} {millions}", now());
    Ok(ExitCode::SUCCESS)
}

fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Seconds from the earliest beginning to the latest end, how many copies there were, and the sum
/// of their amounts.
pub fn span(text: &str) -> Option<(f64, usize, u64)> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let numbers: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
        let [first, last, amount] = numbers.ok()?[..] else { return None };
        lines.push((first, last, amount));
    }
    let first = lines.iter().map(|line| line.0).min()?;
    let last = lines.iter().map(|line| line.1).max()?;
    let seconds = last.checked_sub(first)? as f64 / 1e9;
    Some((seconds, lines.len(), lines.iter().map(|line| line.2).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_from_the_first_beginning_to_the_last_end() {
        assert_eq!(span("2000000000 3000000000 5\n1000000000 2500000000 7\n"), Some((2.0, 2, 12)));
        assert_eq!(span("1 2\n"), None);
        assert_eq!(span(""), None);
    }
}
