//! How fast the hub is: `px-mpi-rate stream MIB` from process 1 to 0 with so much on its way,
//! `px-mpi-rate echo PAUSE_US` between them, `px-mpi-rate idle` in all of them.

#![allow(clippy::expect_used, reason = "it measures or it fails")]

use std::time::{Duration, Instant};

use px_runtime::buffers::{BUFFER, Buffers};
use px_runtime::link::carrier::Carrier;
use px_runtime::sys::process::{exit_now, own_cpu};
use pxrun_mpi::hub::{Hub, Way};
use pxrun_mpi::world::{Left, World};

/// What is streamed.
const STREAM: usize = 1 << 30;
/// Messages that go to and fro.
const ECHOES: u32 = 2_000;
/// How long nothing is done.
const IDLE: Duration = Duration::from_secs(10);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let world = World::start().unwrap_or_else(|error| panic!("{error}"));
    let rank = world.rank();
    let buffers = Buffers::default();
    let hub = Hub::new(&world, buffers.clone(), BUFFER);
    let mut way = hub.carrier(if rank == 0 { 1 } else { 0 }).expect("two processes");
    let number = || words.get(1).and_then(|word| word.parse::<usize>().ok()).expect("a number");
    // All begin at the same time.
    if rank < 2 {
        send(&mut way, vec![0]);
        next(&mut way);
    }
    let (begun, (user, system)) = (Instant::now(), own_cpu());
    let said = match words.first().map(String::as_str) {
        Some("stream") => stream(rank, way, &buffers, number() << 20),
        Some("echo") => echo(rank, way, Duration::from_micros(number() as u64)),
        _ => idle(way),
    };
    let took = begun.elapsed();
    let (user, system) = (own_cpu().0 - user, own_cpu().1 - system);
    let share = (user + system) as f64 / took.as_micros() as f64 * 100.0;
    println!(
        "{rank}: {said}{took:.2?}, {share:.1} % of a core ({user} us user, {system} us system)"
    );
    let left = world.leave(Duration::from_secs(30), 1, || hub.look());
    exit_now(i32::from(left == Left::Alone));
}

fn stream(rank: usize, mut way: Way, buffers: &Buffers, in_flight: usize) -> String {
    let begun = Instant::now();
    let mut left = STREAM / BUFFER;
    if rank == 0 {
        while left > 0 {
            buffers.give(next(&mut way));
            left -= 1;
        }
        let rate = STREAM as f64 / begun.elapsed().as_secs_f64() / 1e9;
        return format!("{rate:.2} GB/s, ");
    }
    // Sent again as they are: how they would be filled is not what is measured.
    let mut spare = vec![vec![7; BUFFER]; in_flight.div_ceil(BUFFER)];
    while left > 0 || way.in_flight() > 0 {
        while left > 0
            && let Some(message) = spare.pop()
        {
            way.send(message).expect("a way");
            left -= 1;
        }
        let _ = way.receive().expect("a way");
        // The greeting is among them.
        spare.extend(std::iter::from_fn(|| way.sent()).filter(|sent| sent.len() == BUFFER));
        rest(&way);
    }
    String::new()
}

fn echo(rank: usize, mut way: Way, pause: Duration) -> String {
    let begun = Instant::now();
    for _ in 0..ECHOES {
        if rank == 0 {
            std::thread::sleep(pause);
            send(&mut way, vec![7; 100]);
            next(&mut way);
        } else {
            let message = next(&mut way);
            send(&mut way, message);
        }
    }
    format!("{:.1?} to and fro, ", (begun.elapsed()) / ECHOES)
}

fn idle(mut way: Way) -> String {
    let (begun, mut looks) = (Instant::now(), 0);
    while begun.elapsed() < IDLE {
        let _ = way.receive().expect("a way");
        looks += 1;
        rest(&way);
    }
    format!("{looks} looks in ")
}

fn send(way: &mut Way, message: Vec<u8>) {
    way.send(message).expect("a way");
}

fn next(way: &mut Way) -> Vec<u8> {
    loop {
        if let Some(message) = way.receive().expect("a way") {
            return message;
        }
        while way.sent().is_some() {}
        rest(way);
    }
}

fn rest(way: &Way) {
    let pause = way.pause();
    if !pause.is_zero() {
        std::thread::sleep(pause);
    }
}
