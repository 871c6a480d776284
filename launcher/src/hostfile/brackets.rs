//! Ranges in host names: `node[01-03]-ib` is three hosts.
//!
//! Numbers are padded as the first of their range is. Several brackets in one name multiply, in the
//! order of Slurm: of three and more the last counts fastest, then the first, then the second. Nothing
//! is sorted and nothing is dropped: `n[2,1,1]` is three names.

use std::iter::once;

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{map, opt};
use nom::multi::{many1, separated_list1};
use nom::sequence::{delimited, preceded};

use super::fault::{Fault, Found};
use super::name::name;
use super::stop::{Parsed, character, is_end, must, stop};

/// A name that may stand for many.
#[derive(Debug)]
pub(crate) struct Pattern<'a>(Vec<Piece<'a>>);

#[derive(Debug)]
enum Piece<'a> {
    Text(&'a str),
    Ranges(Vec<Range>),
}

/// The numbers from first to last, padded with zeros to a width.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u64,
    last: u64,
    width: usize,
}

impl<'a> Pattern<'a> {
    /// Makes a name that stands for itself.
    pub fn plain(name: &'a str) -> Self {
        Pattern(vec![Piece::Text(name)])
    }

    /// How many names it stands for; `u64::MAX` for more than can be counted.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(1u64, |product, piece| product.saturating_mul(piece.count()))
    }

    /// How many characters the longest of its names has.
    pub fn longest(&self) -> usize {
        self.0.iter().map(Piece::longest).sum()
    }

    /// The names. How many they are is to be looked at before.
    pub fn names(&self) -> Vec<String> {
        let pieces: Vec<Vec<String>> = self.0.iter().map(Piece::texts).collect();
        // Slurm pulls the last range out of a name and pushes it for each of the rest, of which again
        // the last is pulled out: so the one before the last turns slowest.
        let ranges = |piece: &Piece<'_>| matches!(piece, Piece::Ranges(_));
        let last = self.0.iter().rposition(ranges).unwrap_or(0);
        let fastest_first: Vec<usize> =
            once(last).chain((0..pieces.len()).filter(|&at| at != last)).collect();
        let mut chosen = vec![0; pieces.len()];
        let name = |mut number: usize| {
            for &at in &fastest_first {
                chosen[at] = number % pieces[at].len();
                number /= pieces[at].len();
            }
            pieces.iter().zip(&chosen).map(|(texts, &at)| texts[at].as_str()).collect::<String>()
        };
        (0..self.count() as usize).map(name).collect()
    }
}

impl Piece<'_> {
    fn count(&self) -> u64 {
        match self {
            Piece::Text(_) => 1,
            Piece::Ranges(ranges) => ranges
                .iter()
                .fold(0u64, |sum, range| sum.saturating_add(range.last - range.first + 1)),
        }
    }

    /// What it may stand for: never empty.
    fn texts(&self) -> Vec<String> {
        match self {
            Piece::Text(text) => vec![(*text).to_owned()],
            Piece::Ranges(ranges) => ranges.iter().flat_map(Range::numbers).collect(),
        }
    }

    fn longest(&self) -> usize {
        match self {
            Piece::Text(text) => text.len(),
            Piece::Ranges(ranges) => {
                ranges.iter().map(|range| range.text(range.last).len()).max().unwrap_or(0)
            }
        }
    }
}

impl Range {
    fn text(&self, number: u64) -> String {
        format!("{number:0width$}", width = self.width)
    }

    fn numbers(&self) -> impl Iterator<Item = String> {
        let range = *self;
        (range.first..=range.last).map(move |number| range.text(number))
    }
}

/// Parses a name with ranges in it.
pub(crate) fn pattern(input: &str) -> Parsed<'_, Pattern<'_>> {
    map(many1(alt((map(name, Piece::Text), map(ranges, Piece::Ranges)))), Pattern).parse(input)
}

fn ranges(input: &str) -> Parsed<'_, Vec<Range>> {
    let close = must(char(']'), |rest| Fault::RangeOpen(character(rest)));
    delimited(char('['), separated_list1(char(','), range), close).parse(input)
}

fn range(input: &str) -> Parsed<'_, Range> {
    let (rest, start) = digits(input)?;
    let (rest, end) = opt(preceded(char('-'), digits)).parse(rest)?;
    let whole = || Found::new(&input[..input.len() - rest.len()]);
    let (Ok(first), Ok(last)) = (start.parse(), end.unwrap_or(start).parse()) else {
        return stop(input, Fault::RangeNumber(whole()));
    };
    if first > last {
        return stop(input, Fault::RangeBackwards(whole()));
    }
    if end.is_some_and(|end| end.starts_with('0') && end.len() != start.len()) {
        return stop(input, Fault::RangePadding(whole()));
    }
    Ok((rest, Range { first, last, width: start.len() }))
}

fn digits(input: &str) -> Parsed<'_, &str> {
    let wrong = |rest: &str| {
        let end = |next: char| is_end(next) || matches!(next, '-' | ']');
        let found = Found::until(rest, end);
        Fault::RangeNumber(if found.is_empty() { character(rest) } else { found })
    };
    let found = must(take_while1(|next: char| next.is_ascii_digit()), wrong).parse(input)?;
    if found.1.len() > 15 {
        return stop(input, Fault::RangeNumber(Found::new(found.1)));
    }
    Ok(found)
}
