//! However many knock: memory, descriptors and time have bounds.

use super::*;

/// Descriptors that this process has open.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Memory of this process, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn ten_thousand_connections_cost_neither_memory_nor_descriptors() {
    const COUNT: u64 = 10_000;
    let _alone = alone();
    let mut door = door_for_one();
    let (before, memory) = (open_descriptors(), resident());
    let says: [&[u8]; 4] = [b"", b"GET / HTTP/1.0\r\n\r\n", &[1; 48], &[2; 4096]];
    for (number, words) in (0..COUNT).zip(says.into_iter().cycle()) {
        let mut stream = connect(&door);
        // Reset at the end, so that no port stays taken for a minute.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        stream.write_all(words).unwrap();
        assert!(door.turn(Instant::now()).unwrap().is_empty());
        if number % 2 == 0 {
            drop(stream);
            assert!(door.turn(Instant::now()).unwrap().is_empty());
        }
    }
    until_strangers(&mut door, COUNT);
    let grown = resident().saturating_sub(memory);
    assert!(grown < 1 << 10, "{grown} KiB more memory");
    assert_eq!(open_descriptors(), before);
    gets_in(&mut door, Hello::Bare, &guest(1));
}

#[test]
fn a_thousand_idle_connections_hold_no_more_than_the_places() {
    const COUNT: usize = 1000;
    let _alone = alone();
    let mut door = door_for_one();
    let (before, memory) = (open_descriptors(), resident());
    let mut idle = Vec::new();
    while idle.len() < COUNT {
        idle.push(connect(&door));
        assert!(door.turn(Instant::now()).unwrap().is_empty());
    }
    until_strangers(&mut door, (COUNT - PLACES) as u64);
    assert_eq!(open_descriptors() - before - COUNT, PLACES);
    let grown = resident().saturating_sub(memory);
    assert!(grown < 1 << 10, "{grown} KiB more memory");
    assert!(was_sent_away(&mut idle[0]), "the oldest kept its place");
    gets_in(&mut door, Hello::Bare, &guest(1));
    assert_eq!(door.strangers(), COUNT as u64);
}

#[test]
fn a_peer_that_knew_the_secret_keeps_its_place_before_those_who_proved_nothing() {
    let _alone = alone();
    let mut door = door_for_one();
    let mut dial = dial(&door, Hello::Bare, &guest(1));
    let mut poller = Poller::new().unwrap();
    poller.add(&dial, Token::Lifeline).unwrap();
    poller.add(&door, Token::Control).unwrap();
    wait(&mut poller, &[]);
    assert!(dial.turn(Instant::now()).unwrap().is_none());
    let mut answered = false;
    while !answered {
        assert!(door.turn(Instant::now()).unwrap().is_empty());
        answered = is_readable(&dial);
        if !answered {
            wait(&mut poller, &[door.deadline()]);
        }
    }
    let flood: Vec<TcpStream> = (0..3 * PLACES).map(|_| connect(&door)).collect();
    until_strangers(&mut door, flood.len() as u64 - PLACES as u64 + 1);
    let (inside, outside) = run_both(&mut poller, &mut door, &mut dial);
    assert_eq!((inside.len(), outside.is_ok()), (1, true));
}

#[test]
fn a_flood_takes_a_bounded_share_of_each_turn() {
    let _alone = alone();
    let mut door = door_for_one();
    let flood: Vec<TcpStream> = (0..200).map(|_| connect(&door)).collect();
    let before = open_descriptors();
    let now = Instant::now();
    assert!(door.turn(now).unwrap().is_empty());
    assert_eq!((door.strangers(), open_descriptors() - before), (0, 32));
    assert_eq!(door.deadline(), Some(now), "more can be done at once");
    until_strangers(&mut door, (flood.len() - PLACES) as u64);
}
