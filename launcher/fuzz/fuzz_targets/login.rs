//! Whatever a host prints at a login, in whatever pieces: it is understood or refused without a
//! panic, noise and answers stay within their bounds, and after the agent's first byte nothing is
//! taken for an answer any more.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pxrun::ssh::identity::{Hash, Identity, Machine};
use pxrun::ssh::login::{Event, Login, MOST_NOISE};
use pxrun::ssh::mark::Mark;

/// Most bytes of an answer.
const ANSWER: usize = 4 << 10;
/// Stands for the mark, which no input could guess.
const MARK: u8 = 0xfe;
/// Stands for an answer that asks for the binary.
const NEED: &[u8] = b"need 7f454c4602013e00 x86_64";

fn login() -> Option<Login> {
    let machine = Machine::of_digits("7f454c4602013e00")?;
    let pushed = Identity { hash: Hash([0xab; 32]), size: 42, machine };
    Login::new(Mark::from([7; 16]), pushed, Some(Path::new("/opt/agent"))).ok()
}

/// What the host prints: the input, with marks and long noise where it says so.
fn printed(data: &[u8]) -> Vec<u8> {
    let mark = format!("\n{} ", Mark::from([7; 16]));
    let mut printed = Vec::new();
    for (at, &byte) in data.iter().enumerate() {
        match byte {
            MARK => printed.extend_from_slice(mark.as_bytes()),
            0xfd => printed.extend_from_slice(NEED),
            0xfc => printed.extend_from_slice(&vec![b'x'; 97 * (at % 64)]),
            other => printed.push(other),
        }
    }
    printed
}

/// The same bytes in pieces that the input chooses.
fn heard(printed: &[u8], lengths: &[u8]) -> Vec<Event> {
    let Some(mut login) = login() else { return Vec::new() };
    let mut events: Vec<Event> = Vec::new();
    let mut rest = printed;
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        let length = lengths.next().map_or(rest.len(), |&length| 1 + usize::from(length));
        let (piece, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        match events.last_mut() {
            Some(Event::Runs { rest }) => rest.extend_from_slice(piece),
            Some(Event::Failed { .. } | Event::TooNoisy) => {}
            _ => events.extend(login.hear(piece)),
        }
        assert!(login.unanswered().len() <= MOST_NOISE + 3 * ANSWER);
    }
    events
}

fuzz_target!(|data: &[u8]| {
    let (lengths, said) = data.split_at(data.len().min(8));
    let printed = printed(said);
    let events = heard(&printed, lengths);
    let mut noise = 0;
    for (at, event) in events.iter().enumerate() {
        let is_last = at + 1 == events.len();
        match event {
            Event::Noise(bytes) => noise += bytes.len(),
            Event::Push => assert!(!events[..at].contains(&Event::Push)),
            Event::Failed { words } => assert!(is_last && words.len() <= 4 * ANSWER),
            Event::Runs { rest } => assert!(is_last && printed.ends_with(rest)),
            Event::TooNoisy => assert!(is_last),
        }
    }
    assert!(noise <= MOST_NOISE);
    assert_eq!(heard(&printed, &[]), events, "pieces change nothing");
});
