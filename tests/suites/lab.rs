//! The lab of hosts is what it says: names, logins, faults, and an end that leaves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use px_tests::lab::{Host, NOWHERE, PINS};
use px_tests::processes::{self, holds_within};
use px_tests::{Lab, Scratch, binary, lab, records, sys};

/// Long enough that what would come has come, where nothing may come.
const SILENCE: Duration = Duration::from_millis(300);

/// Far beyond what anything takes that must come.
const BOUND: Duration = Duration::from_secs(60);

const SSH: u16 = 22;

fn place(host: &Host, port: u16) -> SocketAddr {
    (host.address(), port).into()
}

/// A listener on a host, and its address.
fn listener(host: &Host) -> (TcpListener, SocketAddr) {
    let listener = host.within(|| TcpListener::bind((host.address(), 0))).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn connect(lab: &Lab, address: SocketAddr, bound: Duration) -> std::io::Result<TcpStream> {
    lab.within(|| TcpStream::connect_timeout(&address, bound))
}

/// A connection from the head to a host's sshd, which has said its first line.
fn greeted(lab: &Lab, host: &Host) -> BufReader<TcpStream> {
    let stream = connect(lab, place(host, SSH), BOUND).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("SSH-2.0-"), "{line:?}");
    stream
}

#[track_caller]
fn is_silent(stream: &mut BufReader<TcpStream>) {
    stream.get_ref().set_read_timeout(Some(SILENCE)).unwrap();
    let read = stream.read(&mut [0; 64]);
    assert!(read.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{read:?}");
}

#[track_caller]
fn is_unanswered(lab: &Lab, address: SocketAddr) {
    let error = connect(lab, address, SILENCE).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

fn lives(pid: i32) -> bool {
    processes::one(pid).is_some_and(|process| process.state != 'Z')
}

#[test]
fn names_and_addresses_are_those_of_the_host() {
    let lab = lab!(Lab::of(3));
    for number in 1..=3 {
        let name = format!("node{number}");
        lab.ssh(number, "hostname; cat /etc/hostname").ok().prints(format!("{name}\n{name}\n"));
        let address = format!("10.77.0.{}/24", 10 + number);
        let seen = lab.ssh(number, "ip -o -4 addr show eth0");
        assert!(String::from_utf8_lossy(&seen.ok().stdout).contains(&address), "{seen:?}");
    }
    lab.ssh(1, "getent hosts head node3 | awk '{ print $1 }'")
        .ok()
        .prints("10.77.0.1\n10.77.0.13\n");
    let head = lab.command("hostname").output().unwrap();
    assert_eq!(head.stdout, b"head\n");
}

#[test]
fn each_login_shell_gets_a_line_in_its_own_language() {
    let shells = [
        ("/bin/sh", "x=5; echo $x"),
        ("/bin/bash", "x=(5); echo ${x[0]}"),
        ("/bin/csh", "set x = 5; echo $x"),
        ("/usr/bin/fish", "set x 5; echo $x"),
    ];
    let mut plan = Lab::of(shells.len());
    for (number, (shell, _)) in (1..).zip(shells) {
        plan = plan.host(number, |host| host.shell(shell));
    }
    let lab = lab!(plan);
    for (number, (_, line)) in (1..).zip(shells) {
        lab.ssh(number, line).ok().prints("5\n");
    }
}

#[test]
fn each_host_has_a_home_of_its_own_and_shares_other_files() {
    let lab = lab!(Lab::of(2));
    lab.ssh(1, "mkdir ~/.cache && echo one >~/.cache/file").ok();
    assert_eq!(fs::read(lab.host(1).home().join(".cache/file")).unwrap(), b"one\n");
    lab.ssh(2, "ls -A ~").ok().prints("");
    let shared = lab.path().join("shared");
    lab.ssh(1, &format!("echo both >{}", shared.display())).ok();
    lab.ssh(2, &format!("cat {}", shared.display())).ok().prints("both\n");
    lab.ssh(1, "echo >/dev/shm/own").ok();
    lab.ssh(2, "ls -A /dev/shm").ok().prints("");
}

#[test]
fn lines_of_set_up_change_one_host_alone() {
    let noexec = "mount -t tmpfs -o noexec,size=1m home \"$HOME\"";
    let lab = lab!(Lab::of(2).host(2, |host| host.setup(noexec)));
    let line = "printf '#!/bin/sh\\necho runs\\n' >~/x && chmod 755 ~/x && exec ~/x";
    lab.ssh(1, line).ok().prints("runs\n");
    lab.ssh(2, line).exits(126);
}

#[test]
fn a_cut_cable_is_silent_and_a_healed_one_goes_on() {
    let lab = lab!(Lab::of(2));
    let host = lab.host(1);
    let (listener, address) = listener(host);
    let mut near = connect(&lab, address, BOUND).unwrap();
    let mut far = BufReader::new(listener.accept().unwrap().0);
    host.cut();
    near.write_all(b"x").unwrap();
    is_silent(&mut far);
    is_unanswered(&lab, place(host, SSH));
    drop(greeted(&lab, lab.host(2)));
    host.heal();
    far.get_ref().set_read_timeout(Some(BOUND)).unwrap();
    far.read_exact(&mut [0]).unwrap();
    lab.ssh(1, "true").ok();
}

#[test]
fn a_host_without_power_is_silent_and_knows_nobody_afterwards() {
    for plan in [Lab::of(1), Lab::of(1).wired()] {
        let lab = lab!(plan);
        let host = lab.host(1);
        let mut stream = greeted(&lab, host);
        let mut sleeper = host.command("sleep").arg("1000").spawn().unwrap();
        assert!(holds_within(BOUND, || host.processes().iter().any(|one| one.name == "sleep")));
        host.kill();
        sleeper.wait().unwrap();
        is_silent(&mut stream);
        is_unanswered(&lab, place(host, SSH));
        assert_eq!(host.processes(), []);
        host.start();
        lab.ssh(1, "hostname").ok().prints("node1\n");
        stream.get_ref().write_all(b"still there?").unwrap();
        stream.get_ref().set_read_timeout(Some(BOUND)).unwrap();
        let read = stream.read(&mut [0; 64]);
        assert!(read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_crashed_host_says_so_and_starts_again() {
    let lab = lab!(Lab::of(1));
    let host = lab.host(1);
    let mut stream = greeted(&lab, host);
    host.crash();
    let read = stream.read_to_end(&mut Vec::new());
    assert!(!read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "silence");
    let refused = connect(&lab, place(host, SSH), BOUND).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    host.start();
    lab.ssh(1, "hostname").ok().prints("node1\n");
}

#[test]
fn an_address_that_is_nowhere_never_answers() {
    let lab = lab!(Lab::of(1));
    is_unanswered(&lab, (NOWHERE, SSH).into());
}

#[test]
fn delay_slows_every_answer_until_it_is_cleared() {
    let lab = lab!(Lab::of(1).wired());
    let host = lab.host(1);
    let connecting = || {
        let start = Instant::now();
        connect(&lab, place(host, SSH), BOUND).unwrap();
        start.elapsed()
    };
    host.delay(Duration::from_millis(100));
    let slow = connecting();
    assert!(slow >= Duration::from_millis(200), "{slow:?}");
    host.clear();
    assert!(holds_within(BOUND, || connecting() < Duration::from_millis(100)));
}

#[test]
fn loss_drops_some_packets_and_not_all() {
    let lab = lab!(Lab::of(1).wired());
    let host = lab.host(1);
    let far = host.within(|| UdpSocket::bind((host.address(), 0))).unwrap();
    let near = lab.within(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    near.connect(far.local_addr().unwrap()).unwrap();
    host.loss(30);
    // One after the other, so that no queue overflows.
    far.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut arrived = BTreeSet::new();
    for number in 0..200_u8 {
        near.send(&[number]).unwrap();
        let mut byte = [0];
        if far.recv(&mut byte).is_ok() {
            arrived.insert(byte[0]);
        }
    }
    assert!((60..200).contains(&arrived.len()), "{} of 200 arrived", arrived.len());
}

#[test]
fn rate_bounds_what_passes() {
    let lab = lab!(Lab::of(1).wired());
    let host = lab.host(1);
    let (listener, address) = listener(host);
    let mut near = connect(&lab, address, BOUND).unwrap();
    let mut far = listener.accept().unwrap().0;
    host.rate(8);
    let start = Instant::now();
    let writer = std::thread::spawn(move || near.write_all(&[7; 1 << 20]));
    std::io::copy(&mut far, &mut std::io::sink()).unwrap();
    writer.join().unwrap().unwrap();
    // 1 MiB at 8 Mbit/s takes 1.05 s.
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[test]
fn a_firewall_swallows_what_its_rule_names() {
    let lab = lab!(Lab::of(1));
    let host = lab.host(1);
    let (_listener, address) = listener(host);
    host.firewall("tcp dport != 22 drop");
    is_unanswered(&lab, address);
    drop(greeted(&lab, host));
    host.clear();
    connect(&lab, address, BOUND).unwrap();
}

/// How many of 40 logins that are under way at once sshd greets.
fn greetings(lab: &Lab, host: &Host) -> usize {
    let logins: Vec<_> = (0..40).map(|_| connect(lab, place(host, SSH), BOUND).unwrap()).collect();
    let greeting = |stream: &TcpStream| {
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let mut line = String::new();
        // One that is refused may be told so, or be reset.
        let _ = BufReader::new(stream).read_line(&mut line);
        line.starts_with("SSH-2.0-")
    };
    logins.iter().filter(|stream| greeting(stream)).count()
}

#[test]
fn sshd_as_it_comes_refuses_some_of_forty_logins() {
    let lab = lab!(Lab::of(2).host(2, |host| host.default_startups()));
    assert_eq!(greetings(&lab, lab.host(1)), 40);
    let greeted = greetings(&lab, lab.host(2));
    assert!((10..40).contains(&greeted), "{greeted} of 40 were greeted");
}

#[test]
fn what_a_job_leaves_is_found_on_its_host() {
    let lab = lab!(Lab::of(2));
    assert_eq!(lab.leftovers(BOUND), []);
    lab.ssh(2, "setsid sleep 1000 </dev/null >/dev/null 2>&1 &").ok();
    let mut left = Vec::new();
    let found = holds_within(BOUND, || {
        left = lab.leftovers(Duration::ZERO);
        matches!(left.as_slice(), [one] if one.command == "sleep 1000")
    });
    let [sleeper] = left.as_slice() else { panic!("{left:?}") };
    assert!(found && sleeper.host == "node2", "{left:?}");
    assert_eq!(lab.host(2).processes()[0].pid, sleeper.pid);
    assert_eq!(lab.host(1).processes(), []);
    sys::kill(sleeper.pid, libc::SIGKILL).unwrap();
    assert_eq!(lab.leftovers(BOUND), []);
}

#[test]
fn pxrun_runs_on_the_head() {
    let lab = lab!(Lab::of(1));
    let input = records::numbered(1000, 1);
    lab.pxrun("-np 2 -k cat").input(&input).run().ok().prints(&input);
    lab.pxrun("-np 1 hostname").run().ok().prints("head\n");
    assert_eq!(lab.leftovers(BOUND), []);
}

/// What of a lab could be seen outside it.
fn traces() -> Vec<String> {
    let links = fs::read_to_string("/proc/net/dev").unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines = links.lines().chain(mounts.lines());
    lines
        .filter(|line| line.contains("pxv") || line.contains("px-test-"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_end_of_a_lab_leaves_nothing() {
    let lab = lab!(Lab::of(2).wired());
    lab.ssh(1, "setsid sleep 1000 </dev/null >/dev/null 2>&1 &").ok();
    let mut residents = Vec::new();
    for pin in fs::read_dir(PINS).unwrap() {
        residents.extend(inhabitants(&pin.unwrap().path()));
    }
    assert!(residents.len() >= 5, "two sshds, two wires, a sleeper: {residents:?}");
    let path = lab.path().to_owned();
    assert_eq!(traces(), [""; 0], "outside of its namespaces a lab is not seen");
    drop(lab);
    // The next lab may be up by now, but these were of this one.
    // What ends leaves its namespace a moment before it is a zombie.
    assert!(holds_within(BOUND, || !residents.iter().any(|&pid| lives(pid))));
    assert!(!path.exists());
    assert_eq!(traces(), [""; 0]);
}

/// The processes in the network namespace of a file.
fn inhabitants(pin: &Path) -> Vec<i32> {
    use std::os::unix::fs::MetadataExt;
    let number = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let own = number(pin);
    let all = processes::all().into_iter().map(|process| process.pid);
    all.filter(|pid| number(Path::new(&format!("/proc/{pid}/ns/net"))) == own && own.is_some())
        .collect()
}

#[test]
fn the_next_lab_ends_one_whose_owner_was_killed() {
    lab!();
    let mut owner = Command::new(binary::lab());
    owner.args(["2", "sh", "-c", "echo \"$HOME\"; exec sleep 1000"]).stdout(Stdio::piped());
    let mut owner = owner.spawn().unwrap();
    let mut home = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut home).unwrap();
    let residents: Vec<i32> =
        fs::read_dir(PINS).unwrap().flat_map(|pin| inhabitants(&pin.unwrap().path())).collect();
    assert!(residents.len() >= 5, "two sshds, two wires, a command: {residents:?}");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let lab = lab!(Lab::of(1));
    lab.ssh(1, "hostname").ok().prints("node1\n");
    assert_eq!(residents.iter().filter(|&&pid| lives(pid)).count(), 0);
    assert!(!Path::new(home.trim_end()).exists());
}

#[test]
fn without_root_a_test_is_reported_as_not_run_by_name() {
    lab!();
    // Where another user can reach it.
    let scratch = Scratch::new();
    let suite = scratch.at("suite");
    // By another process: a file that this one has open for writing, children of other tests
    // would keep open, and it could not be executed.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&suite).status();
    assert!(copied.unwrap().success());
    let name = "names_and_addresses_are_those_of_the_host";
    let mut plain = Command::new(&suite);
    plain.args(["--exact", name]).uid(65534).gid(65534).current_dir(scratch.path());
    let output = plain.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.trim_end(), format!("not run: {name}: hosts of a lab need root"));
}
