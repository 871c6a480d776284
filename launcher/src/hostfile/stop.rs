//! How a parser stops: with what is wrong, at the rest of the text that begins with it.

use nom::error::{ErrorKind, ParseError};
use nom::{IResult, Parser};

use super::fault::{Fault, Found};

/// What a parser of a line gives: the rest and a value, or where it stopped.
pub(crate) type Parsed<'a, T> = IResult<&'a str, T, Stop<'a>>;

/// A fault at the beginning of `rest`, which is a tail of the line.
#[derive(Debug)]
pub(crate) struct Stop<'a> {
    pub rest: &'a str,
    pub fault: Fault,
}

impl<'a> ParseError<&'a str> for Stop<'a> {
    // This is every parser that is tried in vain, so it looks at nothing: a line of ranges would be
    // read once more for each. `must` puts a fault in its place.
    fn from_error_kind(rest: &'a str, _: ErrorKind) -> Self {
        Stop { rest, fault: Fault::NoHost(Found::new("")) }
    }

    fn append(_: &'a str, _: ErrorKind, first: Self) -> Self {
        first
    }
}

/// Stops for good.
pub(crate) fn stop<T>(rest: &str, fault: Fault) -> Parsed<'_, T> {
    Err(nom::Err::Failure(Stop { rest, fault }))
}

/// Runs a parser that must succeed; where it does not, the fault is made from what is there.
pub(crate) fn must<'a, T>(
    mut parser: impl Parser<&'a str, Output = T, Error = Stop<'a>>,
    fault: impl Fn(&'a str) -> Fault,
) -> impl FnMut(&'a str) -> Parsed<'a, T> {
    move |input| match parser.parse(input) {
        Err(nom::Err::Error(Stop { rest, .. })) => stop(rest, fault(rest)),
        other => other,
    }
}

/// The column at which a tail of a line begins, from 1, in characters.
pub(crate) fn column(line: &str, rest: &str) -> u32 {
    let before = line.len().saturating_sub(rest.len());
    line.get(..before).map_or(0, |text| text.chars().count()) as u32 + 1
}

/// Turns the end of a parse into a plain result.
pub(crate) fn finish<'a, T>(parsed: Parsed<'a, T>) -> Result<(&'a str, T), Stop<'a>> {
    parsed.map_err(|error| match error {
        nom::Err::Error(stop) | nom::Err::Failure(stop) => stop,
        // These parsers have all of their input, so none asks for more.
        nom::Err::Incomplete(_) => Stop { rest: "", fault: Fault::NoHost(Found::new("")) },
    })
}

/// What ends a word.
pub(crate) fn is_end(character: char) -> bool {
    matches!(character, ' ' | '\t' | '#' | ',')
}

/// The word at the beginning of the rest, or as much of it as is shown.
pub(crate) fn word(rest: &str) -> Found {
    Found::until(rest, is_end)
}

/// The character at the beginning of the rest.
pub(crate) fn character(rest: &str) -> Found {
    let end = rest.chars().next().map_or(0, char::len_utf8);
    Found::new(&rest[..end])
}
