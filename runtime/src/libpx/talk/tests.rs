//! Ranks of two hosts in one process, whose agents are as they are. What a rank does with a process
//! of its own is held to by programs in C.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::member::AttachError;
use super::part::Part;
use super::*;
use crate::libpx::commons::layout::{PROMISED, RING};
use crate::libpx::commons::posting::{Step, at};
use crate::libpx::commons::{Blocked, Commons};
use crate::sys::shared::bytes_of;

/// The agents, each with its ranks.
struct Agents {
    hosts: Vec<(Commons, OwnedFd)>,
    /// Where each rank is: host, place.
    places: Vec<(usize, u32)>,
    /// Bytes between ranks of two hosts that nobody has said to have read, by sender and receiver.
    on_their_way: HashMap<(u32, u32), u64>,
}

/// What links a rank to its agent.
struct Wire(u32, Arc<Mutex<Agents>>);

impl Uplink for Wire {
    fn talk(&self, to: u32, header: &[u8], bytes: &[u8]) -> io::Result<()> {
        let agents = &mut *self.1.lock().unwrap();
        let frame = [header, bytes].concat();
        assert!(frame.len() <= 64 << 10, "a frame of {} bytes", frame.len());
        let way = agents.on_their_way.entry((self.0, to)).or_default();
        *way += frame.len() as u64;
        assert!(*way <= RING, "{way} bytes on their way");
        let (host, place) = agents.places[to as usize];
        agents.hosts[host].0.deposit(place, self.0, &frame).unwrap();
        Ok(())
    }

    fn drained(&self, from: u32, bytes: u64) -> io::Result<()> {
        let agents = &mut *self.1.lock().unwrap();
        *agents.on_their_way.get_mut(&(from, self.0)).unwrap() -= bytes;
        let (host, place) = agents.places[from as usize];
        agents.hosts[host].0.drained(place, self.0, bytes).unwrap();
        Ok(())
    }
}

/// Starts ranks on hosts with so many each.
fn start(hosts: &[u32]) -> (Arc<Mutex<Agents>>, Vec<Talk<Wire>>) {
    let size = hosts.iter().sum();
    let mut agents = Agents { hosts: vec![], places: vec![], on_their_way: HashMap::new() };
    for (host, &ranks) in hosts.iter().enumerate() {
        let first = agents.places.len() as u32;
        let here: Vec<u32> = (first..first + ranks).collect();
        agents.hosts.push(Commons::create(size, &here, 1 << 20).unwrap());
        agents.places.extend((0..ranks).map(|place| (host, place)));
    }
    let agents = Arc::new(Mutex::new(agents));
    let talks = (0..size).map(|rank| {
        let guard = agents.lock().unwrap();
        let file = guard.hosts[guard.places[rank as usize].0].1.try_clone().unwrap();
        let member = Member::attach(file, rank, size).unwrap();
        Talk::new(member, Wire(rank, Arc::clone(&agents)))
    });
    (Arc::clone(&agents), talks.collect())
}

const ANYTHING: Wanted = Wanted { from: None, tag: None };

fn from(rank: u32, tag: u32) -> Wanted {
    Wanted { from: Some(rank), tag: Some(tag) }
}

/// Receives a message with room for `room` bytes.
fn receive(
    talk: &Talk<impl Uplink>,
    wanted: Wanted,
    room: usize,
    patience: Patience,
) -> Result<(Message, Vec<u8>), TalkError> {
    let mut buffer = vec![MaybeUninit::new(0xEE); room];
    let message = talk.receive(wanted, &mut buffer, patience)?;
    Ok((message, bytes_of(&buffer[..message.length as usize])))
}

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 3) as u8 ^ seed).collect()
}

/// Puts bytes into the ring from rank 0 to the first rank of the second host.
fn deposit(agents: &Mutex<Agents>, parts: &[&[u8]]) {
    agents.lock().unwrap().hosts[1].0.deposit(0, 0, &parts.concat()).unwrap();
}

fn header(tag: u32, length: usize, left: u64) -> [u8; 16] {
    Part::Bytes { tag, length: length as u32, left }.encode()
}

const ONCE: Patience = Patience::Once;
const ENDLESS: Patience = Patience::Endless;

#[test]
fn messages_of_any_length_go_between_hosts_with_little_on_their_way() {
    let (_, talks) = start(&[1, 1]);
    let lengths = [0, 1, 70_000, PROMISED as usize, 5 << 20, 3, 200_000];
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for (seed, length) in (0..).zip(lengths) {
                talks[0].send(1, 4, &pattern(length, seed), ENDLESS).unwrap();
            }
        });
        for (seed, length) in (0..).zip(lengths) {
            let (message, bytes) = receive(&talks[1], from(0, 4), 5 << 20, ENDLESS).unwrap();
            assert_eq!(message, Message { source: 0, tag: 4, length: length as u64 });
            assert!(bytes == pattern(length, seed), "{length} bytes");
        }
    });
}

#[test]
fn a_mebibyte_is_buffered_whatever_was_not_told_to_be_read() {
    for hosts in [&[1, 1][..], &[2]] {
        let (_, talks) = start(hosts);
        for _ in 0..12 {
            let block = pattern(PROMISED as usize / 16, 1);
            (0..16).for_each(|_| talks[0].send(1, 4, &block, ONCE).unwrap());
            let further = talks[0].send(1, 4, &[0; 3 * 65536], ONCE);
            assert!(matches!(further, Err(TalkError::Timeout)));
            for _ in 0..16 {
                assert!(receive(&talks[1], from(0, 4), 1 << 20, ONCE).unwrap().1 == block);
            }
            // What does not divide evenly, so that bytes are left to be told of.
            talks[0].send(1, 5, &[9; 12_345], ONCE).unwrap();
            receive(&talks[1], from(0, 5), 12_345, ONCE).unwrap();
        }
    }
}

#[test]
fn a_mebibyte_is_moved_aside_and_no_more() {
    let (_, talks) = start(&[2]);
    let block = pattern(1000, 3);
    let mut sent = 0;
    // Each look for a tag that is not there makes room for more.
    loop {
        match talks[0].send(1, 1, &block, ONCE) {
            Ok(()) => sent += 1,
            Err(TalkError::Timeout) => {
                let found = talks[1].probe(from(0, 2), ONCE);
                assert!(matches!(found, Err(TalkError::Timeout)));
                if talks[0].send(1, 1, &block, ONCE).is_err() {
                    break;
                }
                sent += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1900..2400).contains(&sent), "{sent} messages");
    for _ in 0..sent {
        assert!(receive(&talks[1], from(0, 1), 1000, ONCE).unwrap().1 == block);
    }
    assert!(matches!(receive(&talks[1], ANYTHING, 1000, ONCE), Err(TalkError::Timeout)));
}

#[test]
fn what_was_taken_of_a_message_is_kept_when_the_time_is_over() {
    let (agents, talks) = start(&[1, 2]);
    let all = pattern(3000, 7);
    deposit(&agents, &[&header(6, 1000, 2000), &all[..500]]);
    let wanted = [from(0, 6), ANYTHING];
    for round in 0..4 {
        let late = receive(&talks[1], wanted[round % 2], 3000, ONCE);
        assert!(matches!(late, Err(TalkError::Timeout)));
    }
    // Another tag moves it aside, as far as it is there.
    deposit(&agents, &[&all[500..1000], &header(6, 1500, 500), &all[1000..1700]]);
    assert!(matches!(receive(&talks[1], from(0, 5), 9, ONCE), Err(TalkError::Timeout)));
    assert!(matches!(receive(&talks[1], from(0, 6), 3000, ONCE), Err(TalkError::Timeout)));
    let short = receive(&talks[1], from(0, 6), 2999, ONCE);
    assert!(matches!(short, Err(TalkError::Truncated(Message { length: 3000, .. }))));
    deposit(&agents, &[&all[1700..2500], &header(6, 500, 0), &all[2500..]]);
    deposit(&agents, &[&header(5, 2, 0), b"ab"]);
    assert_eq!(receive(&talks[1], from(0, 5), 9, ONCE).unwrap().1, b"ab");
    assert!(receive(&talks[1], ANYTHING, 3000, ONCE).unwrap().1 == all);
}

#[test]
fn a_message_that_was_given_up_is_never_seen() {
    let (agents, talks) = start(&[1, 2]);
    let cancel = Part::Cancel.encode();
    for before in [0, 1, 2] {
        // Too long to be moved aside, and in the way of what follows.
        deposit(&agents, &[&header(6, 1000, 2 << 20), &[1; 1000]]);
        match before {
            0 => {}
            1 => drop(receive(&talks[1], from(0, 5), 9, ONCE).unwrap_err()),
            _ => drop(receive(&talks[1], from(0, 6), 3 << 20, ONCE).unwrap_err()),
        }
        deposit(&agents, &[&cancel, &header(5, 2, 0), b"ab"]);
        assert!(matches!(talks[1].probe(from(0, 6), ONCE), Err(TalkError::Timeout)));
        assert_eq!(receive(&talks[1], ANYTHING, 2, ONCE).unwrap().1, b"ab");
    }
}

#[test]
fn a_sender_that_gives_up_leaves_room_for_others() {
    let (_, talks) = start(&[2]);
    let soon = || Patience::Until(std::time::Instant::now() + std::time::Duration::from_millis(5));
    for _ in 0..3 {
        let late = talks[0].send(1, 6, &vec![1; 3 << 20], soon());
        assert!(matches!(late, Err(TalkError::Timeout)));
    }
    talks[0].send(1, 5, &[2; 600_000], ONCE).unwrap();
    assert_eq!(receive(&talks[1], from(0, 5), 600_000, ONCE).unwrap().0.length, 600_000);
}

#[test]
fn half_a_message_of_a_rank_that_is_gone_is_none() {
    for tag in [5, 6] {
        let (agents, talks) = start(&[1, 2]);
        deposit(&agents, &[&header(5, 2, 0), b"ab", &header(6, 1000, 2000), &[1; 900]]);
        if tag == 6 {
            assert!(matches!(receive(&talks[1], from(0, 6), 3000, ONCE), Err(TalkError::Timeout)));
        }
        agents.lock().unwrap().hosts[1].0.gone(0);
        assert_eq!(receive(&talks[1], from(0, 5), 9, ENDLESS).unwrap().1, b"ab");
        let half = receive(&talks[1], from(0, 6), 3000, ENDLESS);
        assert!(matches!(half, Err(TalkError::Gone(Some(0)))));
        assert!(matches!(talks[1].send(0, 1, b"x", ENDLESS), Err(TalkError::Gone(Some(0)))));
        talks[2].send(1, 7, b"c", ONCE).unwrap();
        assert_eq!(receive(&talks[1], ANYTHING, 9, ENDLESS).unwrap().1, b"c");
        agents.lock().unwrap().hosts[1].0.gone(2);
        let nobody = receive(&talks[1], ANYTHING, 9, ENDLESS);
        assert!(matches!(nobody, Err(TalkError::Gone(None))));
    }
}

/// Waits until the agent of the first host sees these waits.
fn until_blocked(agents: &Mutex<Agents>, waits: &[(u32, bool, Option<u32>, Option<u32>)]) {
    let said = |wait: &Blocked| (wait.rank, wait.sending, wait.on, wait.tag);
    let seen = || agents.lock().unwrap().hosts[0].0.blocked().iter().map(said).collect::<Vec<_>>();
    while seen() != waits {
        std::thread::yield_now();
    }
}

#[test]
fn who_waits_is_seen_and_called_when_the_other_one_goes() {
    let (agents, talks) = start(&[3]);
    let gone = |rank| agents.lock().unwrap().hosts[0].0.gone(rank);
    std::thread::scope(|threads| {
        let receiver = threads.spawn(|| receive(&talks[0], from(1, 7), 1 << 20, ENDLESS));
        until_blocked(&agents, &[(0, false, Some(1), Some(7))]);
        let sender = threads.spawn(|| talks[2].send(1, 3, &[0; 4 << 20], ENDLESS));
        until_blocked(&agents, &[(0, false, Some(1), Some(7)), (2, true, Some(1), Some(3))]);
        gone(1);
        assert!(matches!(receiver.join().unwrap(), Err(TalkError::Gone(Some(1)))));
        assert!(matches!(sender.join().unwrap(), Err(TalkError::Gone(Some(1)))));
        let any = threads.spawn(|| receive(&talks[0], ANYTHING, 1 << 20, ENDLESS));
        until_blocked(&agents, &[(0, false, None, None)]);
        gone(2);
        assert!(matches!(any.join().unwrap(), Err(TalkError::Gone(None))));
    });
    until_blocked(&agents, &[]);
}

#[test]
fn a_rank_that_is_done_waits_no_more() {
    let (agents, talks) = start(&[2]);
    std::thread::scope(|threads| {
        let receiver = threads.spawn(|| receive(&talks[0], ANYTHING, 9, ENDLESS));
        until_blocked(&agents, &[(0, false, None, None)]);
        agents.lock().unwrap().hosts[0].0.gone(0);
        assert!(matches!(receiver.join().unwrap(), Err(TalkError::Over)));
    });
    assert!(matches!(talks[0].send(1, 1, b"x", ENDLESS), Err(TalkError::Over)));
}

#[test]
fn a_claim_is_given_back_when_its_process_ends() {
    let (agents, talks) = start(&[3]);
    let posting = &talks[0].member().posting().word;
    std::thread::scope(|threads| {
        let receiver = threads.spawn(|| receive(&talks[0], ANYTHING, 1 << 20, ENDLESS));
        until_blocked(&agents, &[(0, false, None, None)]);
        let posted = posting.load(Ordering::SeqCst);
        let claimed = at(posted, Step::Claimed(2));
        posting.compare_exchange(posted, claimed, Ordering::SeqCst, Ordering::SeqCst).unwrap();
        // There is a message, but the buffer is another one's until that is known to have ended.
        talks[1].send(0, 5, b"ab", ONCE).unwrap();
        agents.lock().unwrap().hosts[0].0.ended(1);
        assert_eq!(posting.load(Ordering::SeqCst), claimed);
        agents.lock().unwrap().hosts[0].0.ended(2);
        assert_eq!(receiver.join().unwrap().unwrap().1, b"ab");
    });
    assert_eq!(posting.load(Ordering::SeqCst) & 3, 0);
}

#[test]
fn several_threads_of_a_rank_share_its_turns() {
    let (_, talks) = start(&[1]);
    let talk = &talks[0];
    std::thread::scope(|threads| {
        for tag in 0..4 {
            threads.spawn(move || {
                (0..100).for_each(|n| talk.send(0, tag, &pattern(n * 50, 1), ENDLESS).unwrap());
            });
        }
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                threads.spawn(|| {
                    let one = |_| receive(talk, from(0, 3), 5000, ENDLESS).unwrap().0.length;
                    (0..25).map(one).sum::<u64>()
                })
            })
            .collect();
        let sum: u64 = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
        assert_eq!(sum, (0..100).map(|n| n * 50).sum());
    });
}

#[test]
fn commons_of_another_world_are_refused() {
    let (_, file) = Commons::create(4, &[1, 2], 2).unwrap();
    let attach = |rank, size| Member::attach(file.try_clone().unwrap(), rank, size).map(drop);
    assert_eq!(attach(1, 4), Ok(()));
    for (rank, size) in [(0, 4), (4, 4), (1, 5)] {
        assert_eq!(attach(rank, size), Err(AttachError::Foreign { rank, size }));
    }
    let other = rustix::fs::memfd_create(c"other", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let foreign = AttachError::Foreign { rank: 1, size: 4 };
    assert_eq!(Member::attach(other.try_clone().unwrap(), 1, 4).map(drop), Err(foreign));
    // Right from the beginning to the end, and one that could be cut short.
    let mut head = [0; 64];
    rustix::io::pread(&file, &mut head, 0).unwrap();
    rustix::io::pwrite(&other, &head, 0).unwrap();
    let length = rustix::fs::fstat(&file).unwrap().st_size as u64;
    rustix::fs::ftruncate(&other, length).unwrap();
    assert_eq!(Member::attach(other, 1, 4).map(drop), Err(foreign));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_in_shared_memory_nobody_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        (kind, length, left) in (0u8..4, 0u32..2000, 0u64..5000),
        counters: [u64; 3],
        posting: [u64; 4],
    ) {
        let (agents, talks) = start(&[1, 2]);
        let parts: &[&[u8]] = match kind {
            0 => &[],
            1 => &[&header(1, length as usize, left)],
            2 => &[&header(1, 8, left), &[0; 8], &header(1, length as usize, left)],
            _ => &[&Part::Cancel.encode()],
        };
        deposit(&agents, parts);
        deposit(&agents, &[&bytes]);
        for _ in 0..4 {
            let _ = talks[1].probe(from(0, 9), ONCE);
            let _ = receive(&talks[1], ANYTHING, 4000, ONCE);
        }
        let front = talks[1].member().front();
        front.ring(0, 0).written.count.store(counters[0], Ordering::SeqCst);
        front.ring(0, 2).written.count.store(counters[1], Ordering::SeqCst);
        front.ring(1, 1).read.count.store(counters[2], Ordering::SeqCst);
        let theirs = &front.mailbox(1).posting;
        theirs.word.store(posting[0] << 2 | 1, Ordering::SeqCst);
        theirs.address.store(posting[1], Ordering::SeqCst);
        theirs.length.store(posting[2], Ordering::SeqCst);
        theirs.source.store(u32::MAX, Ordering::SeqCst);
        theirs.process.store(posting[3] as u32 | 1 << 31, Ordering::SeqCst);
        for _ in 0..4 {
            let _ = receive(&talks[1], ANYTHING, 4000, ONCE);
            let _ = receive(&talks[1], from(2, 1), 4000, ONCE);
            let _ = talks[1].send(2, 1, &[0; 20_000], ONCE);
        }
        agents.lock().unwrap().hosts[1].0.blocked();
    }
}
