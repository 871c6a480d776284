//! How fast two ranks of a host talk: `talk_speed look|sleep`, and two pipes beside: `talk_speed pipe`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "who cannot go on panics")]

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Instant;

use px_runtime::libpx::commons::Commons;
use px_runtime::libpx::talk::incoming::Wanted;
use px_runtime::libpx::talk::member::{Member, Patience};
use px_runtime::libpx::talk::{Talk, Uplink};
use rustix::io::FdFlags;

struct Nowhere;

impl Uplink for Nowhere {
    fn talk(&self, _: u32, _: &[u8], _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn drained(&self, _: u32, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args[1].as_str() {
        "rank" => rank(args[2].parse().unwrap(), args[3].parse().unwrap()),
        "pipe" => pipe(),
        "echo" => echo(),
        mode => start(if mode == "look" { 2 } else { 1 << 20 }),
    }
}

fn start(on_host: u32) {
    let (commons, file) = Commons::create(2, &[0, 1], on_host).unwrap();
    rustix::io::fcntl_setfd(&file, FdFlags::empty()).unwrap();
    let number = file.as_raw_fd().to_string();
    let itself = std::env::current_exe().unwrap();
    let ranks: Vec<_> = ["0", "1"]
        .map(|rank| Command::new(&itself).args(["rank", rank, &number]).spawn().unwrap())
        .into();
    for mut rank in ranks {
        assert!(rank.wait().unwrap().success());
    }
    drop(commons);
}

const WANTED: Wanted = Wanted { from: None, tag: Some(7) };

fn rank(rank: u32, number: i32) {
    // SAFETY: inherited under this number, and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    let talk = Talk::new(Member::attach(file, rank, 2).unwrap(), Nowhere);
    if std::env::var_os("RING").is_some() {
        talk.member().give_up_straight();
    }
    let wanted = Wanted { from: Some(1 - rank), ..WANTED };
    let only: Option<usize> = std::env::var("SIZE").ok().and_then(|size| size.parse().ok());
    let sizes = only
        .map_or(vec![8, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10, 1 << 20], |size| vec![size]);
    for size in sizes {
        let rounds = (1 << 27) / (size * 8 + 10_000);
        let bytes = vec![1; size];
        let mut buffer = vec![MaybeUninit::new(0u8); size];
        let send = |bytes: &[u8]| talk.send(1 - rank, 7, bytes, Patience::Endless).unwrap();
        let mut receive = || talk.receive(wanted, &mut buffer, Patience::Endless).unwrap();
        let (mut half, mut each) = (f64::MAX, f64::MAX);
        for _ in 0..BATCHES {
            let start = Instant::now();
            for _ in 0..rounds {
                if rank == 0 {
                    send(&bytes);
                    receive();
                } else {
                    receive();
                    send(&bytes);
                }
            }
            half = half.min(start.elapsed().as_secs_f64() / rounds as f64 / 2.0);
        }
        for _ in 0..BATCHES {
            let start = Instant::now();
            for _ in 0..rounds {
                if rank == 0 {
                    send(&bytes);
                } else {
                    receive();
                }
            }
            if rank == 0 {
                receive();
            } else {
                send(&[]);
            }
            each = each.min(start.elapsed().as_secs_f64() / rounds as f64);
        }
        if rank == 0 {
            let (us, there, one) = (half * 1e6, size as f64 / half / 1e9, size as f64 / each / 1e9);
            println!("{size:8} bytes: {us:8.3} us, {there:6.2} GB/s, one way {one:6.2} GB/s");
        }
    }
}

const BATCHES: usize = 20;

fn pipe() {
    let itself = std::env::current_exe().unwrap();
    let mut other = Command::new(itself)
        .arg("echo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (other.stdin.take().unwrap(), other.stdout.take().unwrap());
    let rounds = 10_000;
    let mut eight = [0; 8];
    let mut half = f64::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..rounds {
            to.write_all(&eight).unwrap();
            from.read_exact(&mut eight).unwrap();
        }
        half = half.min(start.elapsed().as_secs_f64() / f64::from(rounds) / 2.0);
    }
    println!("pipe: {:.3} us", half * 1e6);
    drop(to);
    assert!(other.wait().unwrap().success());
}

fn echo() {
    // SAFETY: the standard ones, used nowhere else in this process.
    let (mut from, mut to) =
        unsafe { (std::fs::File::from_raw_fd(0), std::fs::File::from_raw_fd(1)) };
    let mut eight = [0; 8];
    while from.read_exact(&mut eight).is_ok() {
        to.write_all(&eight).unwrap();
    }
}
