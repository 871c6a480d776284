//! Strangers at the doors of a job that runs: each costs little, all are counted, none gets in.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use px_tests::lab::{HEAD, Host};
use px_tests::processes::{Process, holds_within};
use px_tests::{Lab, Outcome, Running, lab, records, sys};

/// Far beyond what anything takes that must come.
const BOUND: Duration = Duration::from_secs(60);
const SSH: u16 = 22;
/// What the head says to a host other than over ssh is lost, answers too.
const DEAF_TO_THE_HEAD: &str = "ip saddr 10.77.0.1 tcp dport != 22 drop";
/// The head's calls to a host are lost; what it answers is not.
const NOT_CALLED_BY_THE_HEAD: &str =
    "ip saddr 10.77.0.1 tcp dport != 22 tcp flags & (syn | ack) == syn drop";
/// Descriptors beside the places at a door: the agent's own, generously.
const MOST_DESCRIPTORS: usize = 64 + 32;
/// Memory that strangers may cost.
const MOST_MEMORY: u64 = 4 << 20;

/// The sockets of the calling thread's network that listen, sshd's left out.
fn listening() -> Vec<SocketAddr> {
    let v4 = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let v6 = fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default();
    let lines = v4.lines().skip(1).chain(v6.lines().skip(1));
    let all = lines.filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        (state == "0A").then(|| address(local))
    });
    all.filter(|address| address.port() != SSH).collect()
}

/// `0100007F:0016` is 127.0.0.1:22: words of the machine's own order, the port in the usual one.
fn address(text: &str) -> SocketAddr {
    let (host, port) = text.split_once(':').unwrap();
    let port = u16::from_str_radix(port, 16).unwrap();
    let words = (0..host.len()).step_by(8).map(|at| &host[at..at + 8]);
    let bytes: Vec<u8> =
        words.flat_map(|word| u32::from_str_radix(word, 16).unwrap().to_ne_bytes()).collect();
    let address = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).unwrap()),
    };
    SocketAddr::new(address, port)
}

/// Waits until somebody listens; says where, which is one place on one address.
fn door_of(job: &mut Running, within: impl Fn() -> Vec<SocketAddr>, own: Ipv4Addr) -> SocketAddr {
    let mut doors = Vec::new();
    job.until("a door", |_| {
        doors = within();
        !doors.is_empty()
    });
    assert_eq!(doors.len(), 1, "{doors:?}");
    assert_eq!(doors[0].ip(), IpAddr::from(own), "a door stands on one address");
    doors[0]
}

fn agent_on(host: &Host) -> Process {
    let found = host.processes().into_iter().find(|process| process.name == "px-agent");
    found.expect("an agent")
}

/// How much a process has: open descriptors, and bytes of memory at the most so far.
fn load(pid: i32) -> (usize, u64) {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    (descriptors, kib.unwrap_or(0) << 10)
}

/// Looks at a process while something happens; says the most that it had.
fn watched<T>(pid: i32, happens: impl FnOnce() -> T) -> (T, usize, u64) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = load(pid);
            while !over.load(Ordering::Relaxed) {
                let (descriptors, memory) = load(pid);
                most = (most.0.max(descriptors), most.1.max(memory));
                thread::yield_now();
            }
            most
        });
        let result = happens();
        over.store(true, Ordering::Relaxed);
        let (descriptors, memory) = watching.join().unwrap();
        (result, descriptors, memory)
    })
}

/// Waits until the other end has closed.
fn is_let_go(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => assert!(bytes.is_empty(), "a stranger was told {bytes:?}"),
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "never let go"),
    }
}

/// Says something and waits to be let go.
fn says(door: SocketAddr, words: &[u8]) {
    let mut stream = TcpStream::connect_timeout(&door, BOUND).unwrap();
    // Whoever was let go before is no worse off.
    let _ = stream.write_all(words);
    is_let_go(&stream);
}

/// One byte now and then, for as long as it is listened to; says how many.
fn dribbles(door: SocketAddr) -> usize {
    let mut stream = TcpStream::connect_timeout(&door, BOUND).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    for said in 0..10_000 {
        if stream.write_all(b"x").is_err() {
            return said;
        }
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => return said,
        }
    }
    panic!("a dribble is listened to for ever")
}

/// How many strangers a note tells of.
fn told(outcome: &Outcome, door: &str) -> u64 {
    let line = outcome.stderr.lines().find(|line| line.contains("strangers knocked at"));
    let line = line.unwrap_or_else(|| panic!("no note of strangers\n{}", outcome.seen()));
    assert!(line.contains(door), "{line}");
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|&word| word == "strangers").unwrap();
    words[at - 1].parse().unwrap()
}

/// What a scanner, a browser and a fool do, ten thousand who come one after the other, and a
/// thousand who come to stay; says how many connections that were.
fn attack(door: SocketAddr) -> u64 {
    let count = AtomicU64::new(0);
    let one = || count.fetch_add(1, Ordering::Relaxed);
    for port in door.port().saturating_sub(20)..=door.port().saturating_add(20) {
        let place = SocketAddr::new(door.ip(), port);
        if let Ok(stream) = TcpStream::connect_timeout(&place, BOUND) {
            one();
            let _ = stream.shutdown(Shutdown::Write);
            is_let_go(&stream);
        }
    }
    one();
    says(door, b"GET / HTTP/1.1\r\nHost: node1\r\n\r\n0123456789abcdef0123456789");
    for _ in 0..10_000 {
        one();
        says(door, &[0x55; 48]);
    }
    one();
    says(door, &[0xff; 100_000]);
    one();
    let said = dribbles(door);
    assert!(said <= 48, "{said} bytes of a dribble were listened to");
    let connect = |_| {
        one();
        TcpStream::connect_timeout(&door, BOUND).unwrap()
    };
    let idle: Vec<TcpStream> = (0..1000).map(connect).collect();
    idle.iter().for_each(is_let_go);
    count.into_inner()
}

#[test]
fn strangers_at_an_agents_door_are_let_go_and_counted_and_the_job_ends_right() {
    let lab = lab!(Lab::of(2));
    sys::raise_open_files();
    let host = lab.host(1);
    host.firewall(DEAF_TO_THE_HEAD);
    let input = records::numbered(20_000, 1);
    let job = lab.pxrun("-H node1:2 --lease 600 cat").input(&input);
    let mut job = job.bound(Duration::from_secs(600)).start();
    let door = door_of(&mut job, || host.within(listening), host.address());
    // The root stands still, so that the door stays open for as long as it is to be looked at.
    let root = job.named("px-agent")[0].pid;
    sys::kill(root, libc::SIGSTOP).unwrap();
    let agent = agent_on(host);
    let before = load(agent.pid);
    let (came, descriptors, memory) = watched(agent.pid, || lab.host(2).within(|| attack(door)));
    println!("{came} strangers: {descriptors} descriptors, {} KiB more", (memory - before.1) >> 10);
    assert!(descriptors <= MOST_DESCRIPTORS, "{descriptors} descriptors");
    assert!(memory <= before.1 + MOST_MEMORY, "{} and then {memory} bytes", before.1);
    assert_eq!(host.within(listening), [door], "it waits for the root");
    sys::kill(root, libc::SIGCONT).unwrap();
    let outcome = job.finish();
    outcome.ok();
    px_tests::checker::each_once(&outcome.stdout, 20_000);
    assert_eq!(told(&outcome, "the door of `node1`"), came, "{}", outcome.seen());
    assert_eq!(lab.leftovers(BOUND), []);
}

#[test]
fn strangers_at_the_roots_door_are_let_go_and_counted_and_the_job_ends_right() {
    let lab = lab!(Lab::of(2));
    sys::raise_open_files();
    lab.host(1).firewall(DEAF_TO_THE_HEAD);
    let input = records::numbered(20_000, 1);
    let job = lab.pxrun("-H node1:2 --listen 10.77.0.1:7000-7010 cat");
    let mut job = job.input(&input).start();
    let door = door_of(&mut job, || lab.within(listening), HEAD);
    assert!((7000..=7010).contains(&door.port()), "{door}");
    let root = job.named("px-agent")[0].pid;
    let before = load(root);
    let came = AtomicU64::new(0);
    // It is open until nobody is waited for any more.
    let flood = || {
        let mut idle = Vec::new();
        while let Ok(mut stream) = TcpStream::connect_timeout(&door, BOUND) {
            if came.fetch_add(1, Ordering::Relaxed).is_multiple_of(8) {
                idle.push(stream);
            } else {
                let _ = stream.write_all(&[0x55; 52]);
                is_let_go(&stream);
            }
        }
        idle.iter().for_each(is_let_go);
    };
    let ((), descriptors, memory) = watched(root, || lab.host(2).within(flood));
    let outcome = job.finish();
    outcome.ok().says("goes over ssh");
    px_tests::checker::each_once(&outcome.stdout, 20_000);
    let (told, came) = (told(&outcome, "the root's door"), came.into_inner());
    println!("{came} strangers, {told} told: {descriptors} descriptors");
    // Those who were never let up to the door are not known.
    assert!((1..=came).contains(&told), "{told} of {came}");
    assert!(descriptors <= before.0 + MOST_DESCRIPTORS, "{descriptors} descriptors");
    assert!(memory <= before.1 + 2 * MOST_MEMORY, "{} and then {memory} bytes", before.1);
    assert_eq!(lab.leftovers(BOUND), []);
}

/// A job whose copies run, until its stdin is closed.
fn running(lab: &Lab, words: &str) -> Running {
    let mut job = lab.pxrun(words).held_stdin().start();
    job.write(records::numbered(5000, 1));
    job.until("output", |job| !job.stdout().is_empty());
    job
}

#[test]
fn nobody_listens_any_more_once_copies_run() {
    let lab = lab!(Lab::of(2));
    for (rule, way) in [(None, "a connection to it"), (Some(NOT_CALLED_BY_THE_HEAD), "from it")] {
        if let Some(rule) = rule {
            for host in lab.hosts() {
                host.firewall(rule);
            }
        }
        let mut job = running(&lab, "-v -H node1:1,node2:1 --deal round-robin cat");
        assert_eq!(lab.within(listening), []);
        for host in lab.hosts() {
            assert_eq!(host.within(listening), [], "{}", host.name());
        }
        job.close_stdin();
        let outcome = job.finish();
        outcome.ok().says(way);
        px_tests::checker::each_once(&outcome.stdout, 5000);
    }
    assert!(holds_within(BOUND, || lab.leftovers(Duration::ZERO).is_empty()));
}

#[test]
fn an_address_that_stands_for_all_is_refused_as_a_door() {
    for listen in ["0.0.0.0", "[::]:7000", "0.0.0.0:7000-7010"] {
        let job = px_tests::Job::new("-H nowhere:1 --listen").arg(listen).words("cat");
        job.run().own_error().says("stands for all");
    }
}
