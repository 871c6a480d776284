//! One entry: a host, or a name with ranges, and what is said of it.

use nom::Parser;
use nom::bytes::complete::{take_till, take_while1};
use nom::character::complete::{char, space0};
use nom::combinator::opt;
use nom::sequence::{preceded, terminated};

use super::MOST_SLOTS;
use super::brackets::Pattern;
use super::fault::{Fault, Found};
use super::name::{login, user};
use super::stop::{Parsed, is_end, must, stop, word};

/// An entry before its ranges are expanded.
#[derive(Debug)]
pub(super) struct Spec<'a> {
    /// The rest of the text that begins with it.
    pub at: &'a str,
    pub host: Pattern<'a>,
    pub user: Option<&'a str>,
    pub port: Option<u16>,
    pub slots: Option<u32>,
    pub max_slots: Option<u32>,
}

/// Parses an entry, up to the end of the text, a `,` or a `#`.
pub(super) fn entry(input: &str) -> Parsed<'_, Spec<'_>> {
    let (at, _) = space0.parse(input)?;
    let (rest, (user, host)) = login(at)?;
    if rest.trim_start_matches([' ', '\t']).starts_with('=') {
        return stop(at, Fault::NoHost(word(at)));
    }
    let (rest, slots) = opt(preceded(char(':'), |input| number("slots", input))).parse(rest)?;
    let mut spec = Spec { at, host, user, port: None, slots, max_slots: None };
    let (mut rest, _) = space0.parse(rest)?;
    while rest.starts_with(|next| !is_end(next)) {
        rest = terminated(|input| field(input, &mut spec), space0).parse(rest)?.0;
    }
    Ok((rest, spec))
}

/// Parses `KEY=VALUE`, with or without spaces around the `=`.
fn field<'a>(input: &'a str, spec: &mut Spec<'a>) -> Parsed<'a, ()> {
    let unknown = |_| Fault::Word(word(input));
    let key = take_while1(|next: char| next.is_ascii_alphanumeric() || matches!(next, '-' | '_'));
    let equals = (space0, char('='), space0);
    let (value, key) = match must(terminated(key, equals), unknown).parse(input) {
        Err(nom::Err::Failure(stopped)) => return stop(input, stopped.fault),
        other => other?,
    };
    match key {
        "slots" => {
            let (rest, slots) = number("slots", value)?;
            set(&mut spec.slots, slots, "slots", input, rest)
        }
        "max_slots" | "max-slots" | "slots_max" | "slots-max" => {
            let (rest, most) = number("max_slots", value)?;
            set(&mut spec.max_slots, most, "max_slots", input, rest)
        }
        "port" => {
            let (rest, port) = number("port", value)?;
            let port = u16::try_from(port).unwrap_or(u16::MAX);
            set(&mut spec.port, port, "port", input, rest)
        }
        "user" => {
            let (rest, user) = user(value)?;
            set(&mut spec.user, user, "user", input, rest)
        }
        "binding" => stop(input, Fault::Binding(word(input))),
        "ifname" => stop(input, Fault::Interface(word(input))),
        _ => stop(input, Fault::Word(word(input))),
    }
}

fn set<'a, T>(
    place: &mut Option<T>,
    value: T,
    field: &'static str,
    input: &'a str,
    rest: &'a str,
) -> Parsed<'a, ()> {
    match place.replace(value) {
        Some(_) => stop(input, Fault::Twice(field)),
        None => Ok((rest, ())),
    }
}

/// Parses a whole number from 1 to 65535; all of the three fields have these bounds.
fn number<'a>(field: &'static str, input: &'a str) -> Parsed<'a, u32> {
    let (rest, digits) = take_till(is_end).parse(input)?;
    // `parse` alone would take a sign.
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(number) if digits_only && (1..=MOST_SLOTS).contains(&number) => Ok((rest, number)),
        _ => stop(input, Fault::Number { field, found: Found::new(digits) }),
    }
}
