//! A door and its callers on real sockets: the right peer gets in, whatever strangers do.
//!
//! The clock is passed in, so that 5 seconds pass without waiting for them. Each test owns the
//! process while it runs, since some count its descriptors and its memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod calls;
mod descriptors;
mod floods;
mod peers;
mod strangers;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use px_runtime::link::dial::{Call, Dial, DialError};
use px_runtime::link::door::{Door, PATIENCE, PLACES};
use px_runtime::link::hello::{Admitted, Guest, Hello, Proof};
use px_runtime::link::place::{DoorError, Place};
use px_runtime::link::seal::{Side, Terms};
use px_runtime::link::secret::Secret;
use px_runtime::poller::{Poller, Token};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Far more than anything here takes.
const BOUND: Duration = Duration::from_secs(10);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn guest_with(agent: u32, secret: u8) -> Guest {
    let (version, job) = ("1.2".into(), "job".into());
    let terms = Terms { version, job, agent, attempt: 1, dialer: Side::Root };
    Guest { terms, proof: Proof::Secret(Secret::take(&mut [secret; 32])) }
}

fn guest(agent: u32) -> Guest {
    guest_with(agent, u8::try_from(agent).unwrap())
}

fn place() -> Place {
    Place { address: HOME, ports: None, user_timeout: BOUND }
}

fn door_for_one() -> Door {
    Door::for_one(&place(), guest(1)).unwrap()
}

fn call(address: SocketAddr, hello: Hello) -> Call {
    Call { address, hello, patience: PATIENCE, user_timeout: BOUND }
}

fn dial(door: &Door, hello: Hello, guest: &Guest) -> Dial {
    Dial::start(&call(door.local_addr(), hello), guest, Instant::now()).unwrap()
}

/// Waits as the engine does: edge-triggered, and without end but for the deadlines.
fn wait(poller: &mut Poller, deadlines: &[Option<Instant>]) {
    let soonest = deadlines.iter().flatten().min();
    let until = soonest.map_or(BOUND, |at| at.saturating_duration_since(Instant::now()));
    poller.wait(Some(until.min(BOUND)), &mut Vec::new()).unwrap();
}

/// Runs both until the call has ended; what the door and the call gave.
fn meet(door: &mut Door, dial: &mut Dial) -> (Vec<Admitted>, Result<Admitted, DialError>) {
    let mut poller = Poller::new().unwrap();
    poller.add(&*door, Token::Control).unwrap();
    poller.add(&*dial, Token::Lifeline).unwrap();
    run_both(&mut poller, door, dial)
}

fn run_both(
    poller: &mut Poller,
    door: &mut Door,
    dial: &mut Dial,
) -> (Vec<Admitted>, Result<Admitted, DialError>) {
    let end = Instant::now() + BOUND;
    let mut admitted = Vec::new();
    while Instant::now() < end {
        admitted.extend(door.turn(Instant::now()).unwrap());
        match dial.turn(Instant::now()) {
            Ok(None) => wait(poller, &[door.deadline(), dial.deadline()]),
            Ok(Some(peer)) => return (admitted, Ok(peer)),
            Err(error) => return (admitted, Err(error)),
        }
    }
    panic!("the call has not ended in {BOUND:?}");
}

/// The right peer gets in, and both ends read each other.
fn gets_in(door: &mut Door, hello: Hello, guest: &Guest) {
    let mut dial = dial(door, hello, guest);
    let (mut inside, outside) = meet(door, &mut dial);
    let (mut inside, mut outside) = (inside.pop().unwrap(), outside.unwrap());
    assert_eq!((inside.agent, inside.attempt), (guest.terms.agent, 1));
    assert_eq!(outside.agent, guest.terms.agent);
    speak(&mut inside, &mut outside);
    speak(&mut outside, &mut inside);
}

fn speak(from: &mut Admitted, to: &mut Admitted) {
    let mut wire = Vec::new();
    from.sealer.seal(b"the first words", &mut wire).unwrap();
    let mut out = TcpStream::from(from.stream.try_clone().unwrap());
    out.write_all(&wire).unwrap();
    let mut read = TcpStream::from(to.stream.try_clone().unwrap());
    read.set_nonblocking(false).unwrap();
    read.set_read_timeout(Some(BOUND)).unwrap();
    let mut received = vec![0; wire.len()];
    read.read_exact(&mut received).unwrap();
    let mut plain = Vec::new();
    assert_eq!(to.opener.open(&received, &mut plain), Ok(wire.len()));
    assert_eq!(plain, b"the first words");
}

fn connect(door: &Door) -> TcpStream {
    let stream = TcpStream::connect(door.local_addr()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
}

/// Turns until so many have been sent away.
fn until_strangers(door: &mut Door, count: u64) {
    let mut poller = Poller::new().unwrap();
    poller.add(&*door, Token::Control).unwrap();
    let end = Instant::now() + BOUND;
    while door.strangers() < count {
        assert!(Instant::now() < end, "{} of {count} strangers", door.strangers());
        assert!(door.turn(Instant::now()).unwrap().is_empty());
        if door.strangers() < count {
            wait(&mut poller, &[door.deadline()]);
        }
    }
}

fn is_readable(set: impl AsFd) -> bool {
    let at_once = px_runtime::sys::timespec(Duration::ZERO);
    poll(&mut [PollFd::new(&set, PollFlags::IN)], Some(&at_once)).unwrap() == 1
}

fn was_sent_away(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
}

/// What a genuine peer said to somebody who only listened.
fn recorded_hello() -> Vec<u8> {
    let listener = TcpListener::bind((HOME, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let call = call(address, Hello::Bare);
    let mut dial = Dial::start(&call, &guest(1), Instant::now()).unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&dial, Token::Control).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    wait(&mut poller, &[dial.deadline()]);
    assert!(dial.turn(Instant::now()).unwrap().is_none());
    let mut hello = vec![0; 48];
    stream.read_exact(&mut hello).unwrap();
    hello
}
