//! Somebody on the way between the root and an agent that is as it should be.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use px_runtime::link::control::{self, AgentSays, Hello};
use px_runtime::link::frame::{self, Decoded, Kind};
use px_runtime::link::preamble;

use super::{Agent, PIECE};

/// What somebody on the way does to what passes over the connection for data.
#[derive(Clone, Copy)]
pub struct Change {
    /// To what goes to the root, else to what goes to the agent.
    to_root: bool,
    /// Behind so many bytes.
    after: usize,
    how: fn(&mut Vec<u8>),
}

/// What that is called.
pub fn named(manner: &str) -> Option<Change> {
    const FLIP: fn(&mut Vec<u8>) = |bytes| bytes[0] ^= 4;
    const CUT: fn(&mut Vec<u8>) = Vec::clear;
    // In the middle of what the job says, but for a hello and an answer of 48 bytes each.
    let (to_root, after, how): (_, _, fn(&mut Vec<u8>)) = match manner {
        "flips a bit of the output" => (true, 100_001, FLIP),
        "flips a bit of the input" => (false, 100_001, FLIP),
        "flips a bit of the hello" => (false, 20, FLIP),
        "flips a bit of the answer" => (true, 20, FLIP),
        "flips a bit of a length" => (true, 82, FLIP),
        "drops a byte" => (true, 100_001, |bytes| bytes.truncate(bytes.len() - 1)),
        "says something twice" => (true, 100_001, |bytes| bytes.extend_from_within(..)),
        "adds a byte" => (false, 100_001, |bytes| bytes.insert(0, 0)),
        "cuts the output" => (true, 100_001, CUT),
        "cuts the input" => (false, 100_001, CUT),
        _ => return None,
    };
    Some(Change { to_root, after, how })
}

/// Runs an agent that is as it should be, behind a relay that is not.
///
/// What the agent says of its door is changed to the relay's, as somebody on the way would have the
/// network do it.
pub fn stand_between(words: &[String], change: Change) {
    let honest = std::env::var("HONEST").unwrap();
    let mut agent = Command::new(honest);
    agent.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut agent = agent.spawn().unwrap();
    let (mut orders, mut said) = (agent.stdin.take().unwrap(), agent.stdout.take().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut orders);
    });
    let mut waiting = Vec::new();
    let mut bytes = vec![0; PIECE];
    let mut greeting = Some(preamble::encode(env!("CARGO_PKG_VERSION")).len());
    while let Ok(count @ 1..) = said.read(&mut bytes) {
        waiting.extend_from_slice(&bytes[..count]);
        if let Some(length) = greeting.filter(|&length| waiting.len() >= length) {
            greeting = None;
            say_to_root(&waiting[..length]);
            waiting.drain(..length);
        }
        while let (None, Decoded::Frame(found)) =
            (greeting, frame::decode(&waiting, PIECE).unwrap())
        {
            let length = frame::HEADER + found.payload.len();
            let said = match found.kind {
                Kind::Control => control::decode(found.payload).ok(),
                _ => None,
            };
            match said {
                Some(AgentSays::Listening(Ok(door))) => {
                    say_to_root(&message(&AgentSays::Listening(Ok(relay(door, change)))));
                }
                Some(AgentSays::Hello(hello)) => {
                    // Else it would be one host with the other.
                    let boot = Agent::hello().boot;
                    say_to_root(&message(&AgentSays::Hello(Box::new(Hello { boot, ..*hello }))));
                }
                _ => say_to_root(&waiting[..length]),
            }
            waiting.drain(..length);
        }
    }
    let _ = agent.wait();
}

fn say_to_root(bytes: &[u8]) {
    let mut stdout = std::io::stdout();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

fn message(message: &AgentSays) -> Vec<u8> {
    let mut payload = Vec::new();
    assert!(control::encode(&mut payload, message));
    Agent::frame(Kind::Control, 0, &payload)
}

/// Opens a door before a door.
fn relay(door: SocketAddr, change: Change) -> SocketAddr {
    let listener = TcpListener::bind((door.ip(), 0)).unwrap();
    let own = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (root, _) = listener.accept().unwrap();
        let agent = TcpStream::connect(door).unwrap();
        let (from_root, from_agent) = (root.try_clone().unwrap(), agent.try_clone().unwrap());
        let (up, down) = (change.to_root.then_some(change), (!change.to_root).then_some(change));
        std::thread::spawn(move || pass(from_agent, &root, up));
        pass(from_root, &agent, down);
    });
    own
}

/// Passes on what comes, changed once.
fn pass(mut from: TcpStream, mut to: &TcpStream, mut change: Option<Change>) {
    let mut passed = 0;
    let mut bytes = vec![0; PIECE];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let mut piece = bytes[..count].to_vec();
        if let Some(Change { after, how, .. }) = change
            && passed + count > after
        {
            change = None;
            let mut tail = piece.split_off(after - passed);
            how(&mut tail);
            if tail.is_empty() {
                let _ = to.write_all(&piece);
                break;
            }
            piece.extend_from_slice(&tail);
        }
        passed += count;
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    // Both ends hear of it.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
