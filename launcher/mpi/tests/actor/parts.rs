//! What each process does in a test; returns what to say and how long to wait for the others.

use std::path::Path;
use std::time::{Duration, Instant};

use px_runtime::link::carrier::Carrier;

use crate::ways::{Ways, rest, until_there};
use crate::{LONGEST, PATIENCE};

type Played = (String, Duration);

/// Message `index` of process `source`: a length of 0 to 1 MiB and bytes that no other has.
fn message(source: usize, index: usize) -> Vec<u8> {
    let length = match index {
        // Around each size at which something changes, in the library or in the hub.
        0..64 => ((1usize << (index % 21)) + index / 21 - 1).min(LONGEST),
        _ => index.wrapping_mul(2_654_435_761) % (LONGEST + 1),
    };
    let mut state = (source as u64 + 1) << 32 | index as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

const MESSAGES: usize = 300;

/// 1 and 2 send to 0 at the same time, which sends to both.
pub fn order(rank: usize, mut ways: Ways) -> Played {
    let others: &[usize] = if rank == 0 { &[1, 2] } else { &[0] };
    let (mut sent, mut came) = (vec![0; 3], vec![0; 3]);
    while others.iter().any(|&peer| sent[peer] < MESSAGES || came[peer] < MESSAGES) {
        for &peer in others {
            let way = ways.to(peer);
            while sent[peer] < MESSAGES && way.in_flight() < 2 * LONGEST {
                way.send(message(rank, sent[peer])).unwrap();
                sent[peer] += 1;
            }
            while let Some(bytes) = way.receive().unwrap() {
                let expected = message(peer, came[peer]);
                assert!(bytes == expected, "message {} of {peer}", came[peer]);
                came[peer] += 1;
            }
            while way.sent().is_some() {}
        }
        rest(ways.to(others[0]));
    }
    while others.iter().any(|&peer| ways.to(peer).in_flight() > 0) {
        assert_eq!(ways.to(others[0]).receive().unwrap(), None);
        rest(ways.to(others[0]));
    }
    (format!("{} messages", came.iter().sum::<usize>()), PATIENCE)
}

const FLOOD: usize = 2_000;
const WAVE: usize = 256 << 10;

/// 1 and 2 send half a gigabyte each to 0, which claims nothing of 1 until it has all of 2.
pub fn flood(rank: usize, mut ways: Ways, directory: &Path) -> Played {
    if rank != 0 {
        ways.send_all(0, (0..FLOOD).map(|_| vec![7; WAVE]));
        return ("sent".into(), PATIENCE);
    }
    let before = largest_so_far();
    // Once 1 has been seen to send, it stays unheard.
    let first = ways.next(1).unwrap();
    for _ in 0..FLOOD {
        assert_eq!(ways.next(2).unwrap().len(), WAVE);
    }
    std::fs::write(directory.join("half"), b"").unwrap();
    assert_eq!(first.len(), WAVE);
    for _ in 1..FLOOD {
        assert_eq!(ways.next(1).unwrap().len(), WAVE);
    }
    let grown = largest_so_far() - before;
    assert!(grown < 96 << 10, "grew by {grown} KiB");
    ("bounded".into(), PATIENCE)
}

/// The most memory that this process had so far, in KiB.
fn largest_so_far() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// 1 sends to 0, which does not listen to it any more; 2 is heard as ever.
pub fn deaf(rank: usize, mut ways: Ways) -> Played {
    match rank {
        0 => {
            drop(ways.next(1).unwrap());
            ways.drop_way(1);
            // All that 1 sends has been taken once 2 says that 1 has told it so.
            assert_eq!(ways.next(2).unwrap(), b"1 is done");
        }
        1 => {
            ways.send_all(0, (0..200).map(|_| vec![7; WAVE]));
            ways.send_all(2, [b"done".to_vec()].into_iter());
        }
        _ => {
            assert_eq!(ways.next(1).unwrap(), b"done");
            ways.send_all(0, [b"1 is done".to_vec()].into_iter());
        }
    }
    ("done".into(), PATIENCE)
}

/// 1 sends a message that is one byte too long; 2 is heard as ever.
pub fn long(rank: usize, mut ways: Ways, directory: &Path) -> Played {
    match rank {
        0 => {
            let error = ways.next(1).unwrap_err().to_string();
            assert_eq!(ways.to(1).send(Vec::new()).unwrap_err().to_string(), error);
            assert_eq!(ways.next(2).unwrap(), b"well");
            return (error, Duration::ZERO);
        }
        1 => ways.to(0).send(vec![7; LONGEST + 1]).unwrap(),
        _ => ways.send_all(0, [b"well".to_vec()].into_iter()),
    }
    ways.until_there(directory.join("left-0"), 0);
    ("sent".into(), Duration::ZERO)
}

/// 1 dies with messages on their way to it and from it.
pub fn killed(rank: usize, mut ways: Ways) -> Played {
    if rank == 1 {
        for peer in [0, 2] {
            ways.to(peer).send(vec![7; LONGEST]).unwrap();
        }
        drop(ways.next(0).unwrap());
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
    }
    ways.to(1).send(vec![7; LONGEST]).unwrap();
    // Whatever MPI says or does not say: it goes on answering until the lease is over.
    let over = Instant::now() + Duration::from_secs(1);
    while Instant::now() < over {
        if ways.to(1).receive().is_err() {
            break;
        }
        let _ = ways.to(1).send(vec![7; 100]);
        std::thread::sleep(Duration::from_millis(10));
    }
    ("survived".into(), Duration::from_millis(500))
}

/// 0 leaves while the others stay.
pub fn early(rank: usize, directory: &Path) -> Played {
    if rank != 0 {
        until_there(&[directory.join("left-0")]);
    }
    ("done".into(), Duration::from_millis(200))
}
