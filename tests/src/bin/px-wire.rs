//! A cable with faults: two TAP devices in two network namespaces, joined in user space.
//!
//! `px-wire NAME NAMESPACE OTHER_NAME` makes the device NAME in its own network namespace and
//! OTHER_NAME in that of the file NAMESPACE, and passes frames between them. Each line on stdin
//! sets a [`Quality`] and is answered by a line on stdout, as is the start; the end of stdin is
//! the end of the wire, so none outlives whoever made it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a wire that cannot go on panics")]

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use px_tests::sys;
use px_tests::wire::{Direction, Quality};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Frames taken from one end before the other gets its turn.
const BATCH: usize = 64;

/// More than any frame has.
const FRAME: usize = 64 << 10;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [name, namespace, other_name] = words.as_slice() else {
        panic!("wanted NAME NAMESPACE OTHER_NAME, found {words:?}")
    };
    let ours = File::open("/proc/self/ns/net").unwrap();
    let near = sys::open_tap(name).unwrap();
    enter(&File::open(namespace).unwrap());
    let far = sys::open_tap(other_name).unwrap();
    enter(&ours);
    answer();
    Wire::of(near, far).run();
}

fn enter(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn answer() {
    let mut stdout = io::stdout();
    stdout.write_all(b"\n").and_then(|()| stdout.flush()).unwrap();
}

struct Wire {
    ends: [OwnedFd; 2],
    /// What came in at the end of the same number.
    directions: [Direction; 2],
    quality: Quality,
    orders: Vec<u8>,
    start: Instant,
}

impl Wire {
    fn of(near: OwnedFd, far: OwnedFd) -> Self {
        let directions = [Direction::seeded(1), Direction::seeded(2)];
        let (quality, orders) = (Quality::default(), Vec::new());
        Wire { ends: [near, far], directions, quality, orders, start: Instant::now() }
    }

    fn run(&mut self) {
        let mut frame = vec![0; FRAME];
        loop {
            let [orders, near, far] = self.wait();
            if orders && !self.obey() {
                return;
            }
            for (end, ready) in [near, far].into_iter().enumerate() {
                if ready {
                    self.fill(end, &mut frame);
                }
                self.drain(end);
            }
        }
    }

    /// Waits until an order or a frame comes in, or one under way is due; says which can be read.
    fn wait(&self) -> [bool; 3] {
        let due = self.directions.iter().filter_map(Direction::next_due).min();
        let pause = due.map(|due| due.saturating_sub(self.start.elapsed()));
        let pause = pause.map(|pause| Timespec::try_from(pause).expect("a short time"));
        let stdin = io::stdin();
        let [near, far] = &self.ends;
        let mut sources = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(near, PollFlags::IN),
            PollFd::new(far, PollFlags::IN),
        ];
        match poll(&mut sources, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
        sources.map(|source| !source.revents().is_empty())
    }

    /// Reads orders; says whether there may be more.
    fn obey(&mut self) -> bool {
        let mut block = [0; 256];
        let count = rustix::io::read(io::stdin(), &mut block).unwrap();
        self.orders.extend_from_slice(&block[..count]);
        while let Some(end) = self.orders.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.orders.drain(..=end).collect();
            let line = String::from_utf8(line).unwrap();
            self.quality = Quality::parse(&line).unwrap_or_else(|| panic!("an order: {line:?}"));
            answer();
        }
        assert!(self.orders.len() < block.len(), "an order without end");
        count > 0
    }

    fn fill(&mut self, end: usize, frame: &mut [u8]) {
        for _ in 0..BATCH {
            match rustix::io::read(&self.ends[end], &mut *frame) {
                Ok(count) => {
                    let now = self.start.elapsed();
                    self.directions[end].take(now, &frame[..count], &self.quality);
                }
                // EIO: the device is down.
                Err(Errno::AGAIN | Errno::INTR | Errno::IO) => return,
                // The namespace with the device has gone.
                Err(_) => std::process::exit(0),
            }
        }
    }

    /// Sends what came in at one end and is due out at the other.
    fn drain(&mut self, end: usize) {
        let now: Duration = self.start.elapsed();
        while let Some(frame) = self.directions[end].give(now) {
            // A device that is down or full loses frames, as hardware does.
            let _ = rustix::io::write(&self.ends[1 - end], &frame);
        }
    }
}
