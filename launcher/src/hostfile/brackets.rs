//! Ranges in host names: `node[01-03]-ib` is three hosts.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{map, opt};
use nom::multi::{many1, separated_list1};
use nom::sequence::{delimited, preceded};

use super::fault::{Fault, Found};
use super::name::name;
use super::stop::{Parsed, character, finish, is_end, must, stop, word};
use super::{MOST_HOSTS, MOST_NAME};

/// Expands a comma-separated list of host names with ranges, as `scontrol show hostnames` does.
///
/// Several brackets in one name multiply, the last one counting fastest. Numbers are padded as the
/// first of their range is. Nothing is sorted and nothing is dropped: `n[2,1,1]` is three names.
///
/// Where Slurm (22.05) differs:
///
/// | list | here | Slurm |
/// |---|---|---|
/// | `n[1-2]-ib`, text behind the last bracket | `n1-ib`, `n2-ib` | refused |
/// | `a[1-2]b[1-2]c[1-2]`, three brackets or more | the last counts fastest, the first slowest | same names, other order |
/// | `n[1-010]` | refused: 1 or 001? | `n1` to `n10` |
/// | `n[1-]`, `n[ 1-2]` | refused | `n1`; `n01`, `n02` |
/// | `n[1-2`, no closing bracket | refused | `n]` |
/// | `[1-3]`, a range at the beginning | refused: there an IPv6 address begins | `1`, `2`, `3` |
/// | a number of more than 15 digits | refused | taken |
///
/// # Errors
/// What is wrong; also more than 65,536 names, or a name of more than 253 characters.
///
/// # Examples
/// ```
/// let hosts = pxrun::hostfile::brackets::expand("n[08-10,12],login").unwrap();
/// assert_eq!(hosts, ["n08", "n09", "n10", "n12", "login"]);
/// ```
pub fn expand(list: &str) -> Result<Vec<String>, Fault> {
    let one = |input| {
        let (rest, found) = must(pattern, |rest| Fault::NoHost(word(rest))).parse(input)?;
        if found.longest() > MOST_NAME {
            return stop(input, Fault::NameLength(found.longest()));
        }
        match rest.chars().next() {
            None | Some(',') => Ok((rest, found)),
            Some(_) => stop(rest, Fault::HostCharacter(character(rest))),
        }
    };
    let parsed = separated_list1(char(','), one).parse(list);
    let (_, patterns) = finish(parsed).map_err(|stopped| stopped.fault)?;
    let count = patterns.iter().fold(0u64, |sum, pattern| sum.saturating_add(pattern.count()));
    if count > MOST_HOSTS as u64 {
        return Err(Fault::TooManyHosts(count));
    }
    Ok(patterns.iter().flat_map(Pattern::names).collect())
}

/// A name that may stand for many.
#[derive(Debug)]
pub(super) struct Pattern<'a>(Vec<Piece<'a>>);

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
        let mut names = vec![String::new()];
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => names.iter_mut().for_each(|name| name.push_str(text)),
                Piece::Ranges(ranges) => {
                    let numbers = |name: &String| {
                        let join = |number: String| format!("{name}{number}");
                        ranges.iter().flat_map(Range::numbers).map(join).collect::<Vec<_>>()
                    };
                    names = names.iter().flat_map(numbers).collect();
                }
            }
        }
        names
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
pub(super) fn pattern(input: &str) -> Parsed<'_, Pattern<'_>> {
    if let Some(inside) = input.strip_prefix('[') {
        return stop(inside, Fault::Ipv6Address(Found::until(inside, |next| next == ']')));
    }
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
