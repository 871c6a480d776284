//! `user@host`: names that may reach ssh as an argument, so what could be an option is refused.

use std::net::Ipv6Addr;

use nom::Parser;
use nom::bytes::complete::{take_till, take_while1};
use nom::character::complete::char;
use nom::combinator::opt;
use nom::sequence::{delimited, terminated};

use super::MOST_NAME;
use super::brackets::{Pattern, pattern};
use super::fault::{Fault, Found};
use super::stop::{Parsed, Stop, character, is_end, must, stop, word};

/// Whom to log in as, and where; a pattern may stand for many hosts.
pub(super) type Login<'a> = (Option<&'a str>, Pattern<'a>);

/// Parses `user@host`, the user left out or not.
pub(super) fn login(input: &str) -> Parsed<'_, Login<'_>> {
    match input.chars().next() {
        Some('^') => return stop(input, Fault::Excluded(word(input))),
        Some('+') => return stop(input, Fault::Relative(word(input))),
        Some('@') => return stop(input, Fault::User(character(input))),
        _ => {}
    }
    let (rest, user) = opt(terminated(name, char('@'))).parse(input)?;
    if let Some(user) = user {
        check_user(input, user)?;
    }
    let (rest, host) = host(rest)?;
    Ok((rest, (user, host)))
}

/// Parses the user of `user=`.
pub(super) fn user(input: &str) -> Parsed<'_, &str> {
    let (rest, user) = must(name, |rest| Fault::User(word(rest))).parse(input)?;
    check_user(input, user)?;
    if rest.starts_with(|next| !is_end(next)) {
        return stop(rest, Fault::User(character(rest)));
    }
    Ok((rest, user))
}

fn check_user<'a>(input: &'a str, user: &str) -> Result<(), nom::Err<Stop<'a>>> {
    let fault = if user.starts_with('-') {
        Fault::UserIsOption(word(input))
    } else if user.len() > MOST_NAME {
        Fault::NameLength(user.len())
    } else {
        return Ok(());
    };
    Err(nom::Err::Failure(Stop { rest: input, fault }))
}

fn host(input: &str) -> Parsed<'_, Pattern<'_>> {
    if input.starts_with('[') {
        let (rest, address) = ipv6(input)?;
        return Ok((rest, Pattern::plain(address)));
    }
    if input.starts_with('-') {
        return stop(input, Fault::HostIsOption(word(input)));
    }
    let until_end = input.split(is_end).next().unwrap_or_default();
    if until_end.matches(':').count() > 1 && !until_end.contains('@') {
        return stop(input, Fault::Ipv6Bare(word(input)));
    }
    let (rest, host) = must(pattern, |rest| Fault::NoHost(word(rest))).parse(input)?;
    if host.longest() > MOST_NAME {
        return stop(input, Fault::NameLength(host.longest()));
    }
    match rest.chars().next() {
        Some(next) if next != ':' && !is_end(next) && next != '=' => {
            stop(rest, Fault::HostCharacter(character(rest)))
        }
        _ => Ok((rest, host)),
    }
}

/// Parses `[address]` or `[address%zone]`; gives what is between the brackets.
fn ipv6(input: &str) -> Parsed<'_, &str> {
    let inside = take_till(|next| next == ']' || is_end(next));
    let (rest, address) =
        delimited(char('['), inside, must(char(']'), |rest| Fault::Ipv6Open(character(rest))))
            .parse(input)?;
    let (number, zone) = match address.split_once('%') {
        Some((number, zone)) => (number, Some(zone)),
        None => (address, None),
    };
    let zone_is_name =
        zone.is_none_or(|zone| !zone.is_empty() && zone.len() <= 64 && zone.chars().all(is_name));
    if number.parse::<Ipv6Addr>().is_err() || !zone_is_name {
        return stop(&input[1..], Fault::Ipv6Address(Found::new(address)));
    }
    if rest.starts_with(|next| next != ':' && !is_end(next)) {
        return stop(rest, Fault::HostCharacter(character(rest)));
    }
    Ok((rest, address))
}

/// Parses a name without ranges.
pub(super) fn name(input: &str) -> Parsed<'_, &str> {
    take_while1(is_name).parse(input)
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_')
}
