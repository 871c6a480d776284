//! All ranks in one process, a thread each, over a transport in memory.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use super::follow::follow;
use super::lead::{Running, lead};
use super::post::{Post, Transport};
use super::stream::Stream;
use super::window::{LARGEST, WINDOW};
use super::words::{self, BYTES, MESSAGE, Said};
use crate::job::{Outcome, px_result};
use crate::status::{Fault, PX_ERR_ARGUMENT, PX_ERR_HELPER, PX_ERR_PROTOCOL};

/// Messages that wait for a rank, with their senders.
type Mailbox = Mutex<VecDeque<(usize, Vec<u8>)>>;

struct Memory {
    rank: usize,
    boxes: Arc<Vec<Mailbox>>,
}

impl Memory {
    fn world(ranks: usize) -> Vec<Memory> {
        let boxes: Arc<Vec<Mailbox>> = Arc::new((0..ranks).map(|_| Mailbox::default()).collect());
        (0..ranks).map(|rank| Memory { rank, boxes: Arc::clone(&boxes) }).collect()
    }

    fn mine_in(&self, rank: usize) -> usize {
        self.boxes[rank].lock().unwrap().iter().filter(|(from, _)| *from == self.rank).count()
    }
}

impl Transport for Memory {
    fn send(&mut self, to: usize, message: &[u8]) -> Result<bool, Fault> {
        assert!(message.len() <= MESSAGE);
        let taken = self.mine_in(to) < 3;
        if taken {
            self.boxes[to].lock().unwrap().push_back((self.rank, message.to_vec()));
        }
        Ok(taken)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<(usize, usize)>, Fault> {
        let first = self.boxes[self.rank].lock().unwrap().pop_front();
        Ok(first.map(|(from, message)| {
            buffer[..message.len()].copy_from_slice(&message);
            (from, message.len())
        }))
    }

    fn flushed(&mut self) -> Result<bool, Fault> {
        Ok((0..self.boxes.len()).all(|rank| self.mine_in(rank) == 0))
    }
}

/// A job that ends once all who hold the other end have left.
struct UntilLeft(UnixStream);

fn until_left() -> (UntilLeft, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (UntilLeft(ours), theirs)
}

fn done() -> Outcome {
    let result = px_result { status: 0, chunks: 1, input_bytes: 2, output_bytes: 3 };
    Outcome { fault: None, result: Some(result) }
}

impl Running for UntilLeft {
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.0.as_fd()]
    }

    fn serve(&mut self) -> Result<Option<Outcome>, Fault> {
        Ok(matches!(self.0.read(&mut [0]), Ok(0)).then(done))
    }
}

fn stream(peer: usize) -> (Stream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Stream::new(peer, ours.into()), theirs)
}

fn pattern(rank: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251 + rank) as u8).collect()
}

/// Writes and reads at the same time, to the end.
fn converse(mut socket: UnixStream, say: Vec<u8>) -> Vec<u8> {
    let mut writer = socket.try_clone().unwrap();
    let writing = thread::spawn(move || {
        // Fails where the other end has left, which is what some tests are about.
        let _ = writer.write_all(&say);
        let _ = writer.shutdown(Shutdown::Write);
    });
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    writing.join().unwrap();
    heard
}

/// Answers each byte with its complement until nothing comes any more.
fn complement(mut socket: UnixStream) {
    let mut buffer = vec![0; 10_000];
    while let Ok(length @ 1..) = socket.read(&mut buffer) {
        buffer[..length].iter_mut().for_each(|byte| *byte = !*byte);
        socket.write_all(&buffer[..length]).unwrap();
    }
}

type Guest = Box<dyn FnOnce(UnixStream) + Send>;
type Agent = Box<dyn FnOnce(usize, UnixStream) + Send>;

/// Runs a job of a rank more than there are guests, with an agent for each; returns what each rank
/// was told.
fn run(guests: Vec<Guest>, agents: Vec<Agent>) -> Vec<Outcome> {
    let mut world = Memory::world(guests.len() + 1).into_iter();
    let mut first = world.next().unwrap();
    let (running, holders) = until_left();
    let mut threads = Vec::new();
    let mut streams = Vec::new();
    for (at, agent) in agents.into_iter().enumerate() {
        let (stream, socket) = stream(at + 1);
        let holder = holders.try_clone().unwrap();
        streams.push(stream);
        threads.push(thread::spawn(move || {
            agent(at + 1, socket);
            drop(holder);
        }));
    }
    drop(holders);
    let ranks = streams.len() + 1;
    let leader = thread::spawn(move || {
        let ready = Ok((streams, || Ok(running)));
        lead(&mut Post::new(&mut first), ranks, ready).unwrap()
    });
    let followers: Vec<_> = world
        .zip(guests)
        .map(|(mut transport, guest)| {
            thread::spawn(move || {
                let (stream, socket) = stream(0);
                let guest = thread::spawn(move || guest(socket));
                let outcome = follow(&mut Post::new(&mut transport), None, Some(stream)).unwrap();
                guest.join().unwrap();
                outcome
            })
        })
        .collect();
    let outcomes = std::iter::once(leader).chain(followers);
    let outcomes = outcomes.map(|thread| thread.join().unwrap()).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    outcomes
}

fn checks_the_complement(rank: usize, socket: UnixStream) {
    let say = pattern(rank, 5_000_000 + 777 * rank);
    let heard = converse(socket, say.clone());
    assert!(heard.iter().map(|byte| !byte).eq(say), "rank {rank}");
}

#[test]
fn every_byte_arrives_in_order_in_both_directions() {
    for others in [0, 1, 5] {
        let guests = (0..others).map(|_| Box::new(complement) as Guest).collect();
        let agents = (0..others).map(|_| Box::new(checks_the_complement) as Agent).collect();
        assert_eq!(run(guests, agents), vec![done(); others + 1]);
    }
}

#[test]
fn a_guest_that_does_not_read_holds_up_no_other() {
    let (go, wait) = mpsc::channel();
    let guests: Vec<Guest> = vec![
        Box::new(move |socket| {
            wait.recv().unwrap();
            complement(socket);
        }),
        Box::new(complement),
    ];
    let second = move |rank, socket| {
        checks_the_complement(rank, socket);
        go.send(()).unwrap();
    };
    let agents: Vec<Agent> = vec![Box::new(checks_the_complement), Box::new(second)];
    assert_eq!(run(guests, agents), vec![done(); 3]);
}

#[test]
fn the_end_of_a_guest_is_seen_at_the_other_end() {
    let guest = |mut socket: UnixStream| {
        socket.write_all(b"so long").unwrap();
        socket.read_exact(&mut [0; 100]).unwrap();
    };
    let agent = |rank, socket| {
        assert_eq!(converse(socket, pattern(rank, 20 * WINDOW)), b"so long");
    };
    let guests: Vec<Guest> = vec![Box::new(guest), Box::new(complement)];
    let agents: Vec<Agent> = vec![Box::new(agent), Box::new(checks_the_complement)];
    assert_eq!(run(guests, agents), vec![done(); 3]);
}

#[test]
fn a_guest_hears_what_was_said_before_the_agent_left() {
    let guest = |mut socket: UnixStream| {
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, pattern(1, 3 * WINDOW));
        socket.write_all(b"heard").unwrap();
    };
    let agent = |rank, socket| assert_eq!(converse(socket, pattern(rank, 3 * WINDOW)), b"heard");
    assert_eq!(run(vec![Box::new(guest)], vec![Box::new(agent)]), vec![done(); 2]);
}

/// Runs a job that is not to begin; returns what each rank was told.
fn refused(
    found: Vec<Option<Fault>>,
    start: impl FnOnce() -> Result<UntilLeft, Fault> + Send,
) -> Vec<Outcome> {
    let ranks = found.len();
    let mut world = Memory::world(ranks);
    let first = world.remove(0);
    let mut found = found.into_iter();
    let own = found.next().unwrap();
    thread::scope(|threads| {
        let followers: Vec<_> = world
            .into_iter()
            .zip(found)
            .map(|(mut transport, found)| {
                threads.spawn(move || {
                    let (stream, socket) = stream(0);
                    let stream = found.is_none().then_some(stream);
                    let outcome = follow(&mut Post::new(&mut transport), found, stream).unwrap();
                    assert_eq!(converse(socket, Vec::new()), b"");
                    outcome
                })
            })
            .collect();
        let ready =
            own.map_or_else(|| Ok(((1..ranks).map(|rank| stream(rank).0).collect(), start)), Err);
        let mut first = first;
        let outcome = lead(&mut Post::new(&mut first), ranks, ready).unwrap();
        let told = followers.into_iter().map(|thread| thread.join().unwrap());
        std::iter::once(outcome).chain(told).collect()
    })
}

#[test]
fn what_is_wrong_on_one_rank_is_told_to_all_and_nothing_starts() {
    let fault = || Some(Fault::argument("no callback"));
    let told = |text: &str| Outcome::failed(Fault::new(PX_ERR_ARGUMENT, text));
    let never = || panic!("it was started");
    let second = "rank 2: no callback";
    assert_eq!(refused(vec![None, None, fault(), None], never), vec![told(second); 4]);
    assert_eq!(refused(vec![None, None, fault(), fault()], never), vec![told(second); 4]);
    assert_eq!(refused(vec![fault(), None, None], never), vec![told("no callback"); 3]);
}

#[test]
fn a_job_that_cannot_start_is_told_to_all() {
    let fault = Fault::new(PX_ERR_HELPER, "there is no helper");
    let told = Outcome::failed(fault.clone());
    assert_eq!(refused(vec![None; 3], || Err(fault)), vec![told; 3]);
}

/// What rank 0 makes of a rank that sends these messages as they are.
fn made_of(messages: Vec<Vec<u8>>) -> Fault {
    let mut world = Memory::world(2);
    let (mut second, mut first) = (world.pop().unwrap(), world.pop().unwrap());
    let (running, holder) = until_left();
    let rank = thread::spawn(move || {
        let mut buffer = vec![0; MESSAGE];
        let mut messages = VecDeque::from(messages);
        loop {
            while let Some(message) = messages.front() {
                if !second.send(0, message).unwrap() {
                    break;
                }
                messages.pop_front();
            }
            if let Some((_, length)) = second.receive(&mut buffer).unwrap()
                && let Some(words::Word::Said(Said::Outcome(outcome))) =
                    words::decode(&buffer[..length])
            {
                messages.push_back(words::encode(Said::Left));
                while !messages.is_empty() {
                    if second.send(0, &messages[0]).unwrap() {
                        messages.pop_front();
                    }
                }
                return outcome.fault.unwrap();
            }
            thread::yield_now();
        }
    });
    let (stream, unread) = stream(1);
    let ready = Ok((vec![stream], || Ok(running)));
    let outcome = lead(&mut Post::new(&mut first), 2, ready).unwrap();
    drop((unread, holder));
    let fault = outcome.fault.unwrap();
    assert_eq!(rank.join().unwrap(), fault);
    fault
}

#[test]
fn a_rank_that_breaks_the_protocol_ends_the_job_for_all() {
    let hello = |version| words::encode(Said::Hello { version, found: None });
    let mut flood = vec![hello(words::VERSION)];
    flood.extend((0..6).map(|_| [&[BYTES][..], &vec![7; LARGEST]].concat()));
    for (messages, says) in [
        (flood, "rank 1 broke the protocol: 262144 bytes where credit was left for"),
        (vec![hello(words::VERSION + 1)], "rank 1 has another libpx (protocol 2) than rank 0"),
        (vec![hello(words::VERSION); 2], "rank 1 broke the protocol: it said Hello"),
        (vec![words::encode(Said::Credit { bytes: 1 })], "credit for 1 bytes where 0 were"),
        (vec![words::encode(Said::Outcome(done()))], "it said Outcome"),
    ] {
        let fault = made_of(messages);
        assert_eq!(fault.status, PX_ERR_PROTOCOL);
        assert!(fault.text.contains(says), "{}", fault.text);
    }
}

#[test]
fn a_fault_that_a_rank_finds_later_ends_the_job_for_all() {
    let hello = words::encode(Said::Hello { version: words::VERSION, found: None });
    let failed = words::encode(Said::Failed(Fault::argument("too late")));
    let fault = made_of(vec![hello, failed]);
    assert_eq!(fault, Fault::argument("rank 1: too late"));
}
