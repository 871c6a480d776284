//! Ways for data: a connection in either direction, else the login itself.

use px_tests::{Lab, Outcome, checker, records};

use crate::{BOUND, file, is_left_alone, job};

/// Nobody can connect to the host but to its sshd; what answers it comes through.
const ONLY_OUT: &str = "tcp dport != 22 tcp flags & (syn | ack) == syn drop";
/// Nothing but logins passes.
const ONLY_SSH: &str = "tcp dport != 22 drop";

const COUNT: u64 = 30_000;

/// Runs a job by reference, one by value and one with a stream; returns the first.
fn all_ways(lab: &Lab, options: &str) -> Outcome {
    let input = records::numbered(COUNT, 1);
    let path = file(lab, "data/input", &input);
    let first = job(lab, "-v").words(options).arg("cat").input_file(&path).run();
    checker::each_once(&first.ok().stdout, COUNT);
    let second = job(lab, "-k").words(options).arg("cat").input(&input).run();
    second.ok().prints(&input);
    let third = job(lab, "-k --contract lines").words(options).arg("cat").piped(&*input).run();
    third.ok().prints(&input);
    is_left_alone(lab);
    first
}

#[test]
fn data_goes_over_a_connection_to_each_host() {
    let lab = px_tests::lab!(Lab::of(2));
    for options in ["--link auto", "--link tcp", "--compress"] {
        let outcome = all_ways(&lab, options);
        outcome.says("note: `node1` runs 2 ranks, data goes over a connection to it, ");
        outcome.says("note: `node2` runs 2 ranks, data goes over a connection to it, ");
    }
}

#[test]
fn data_goes_over_ssh_where_that_is_asked_for() {
    let lab = px_tests::lab!(Lab::of(2));
    for options in ["--link ssh", "--link ssh --compress"] {
        let outcome = all_ways(&lab, options);
        outcome.says("note: `node1` runs 2 ranks, data goes over ssh, ");
        outcome.says("note: `node2` runs 2 ranks, data goes over ssh, ");
    }
}

#[test]
fn a_host_behind_a_firewall_connects_to_the_root() {
    let lab = px_tests::lab!(Lab::of(2));
    lab.host(2).firewall(ONLY_OUT);
    // The login shows an address of the root; it may also be named.
    for options in ["", "--listen 10.77.0.1", "--listen 10.77.0.1:40000-40100", "--link tcp"] {
        let outcome = all_ways(&lab, options);
        outcome.says("note: `node1` runs 2 ranks, data goes over a connection to it, ");
        outcome.says("note: `node2` runs 2 ranks, data goes over a connection from it, ");
        outcome.says_not("strangers");
    }
}

#[test]
fn data_goes_over_ssh_with_a_note_where_no_connection_comes_about() {
    let lab = px_tests::lab!(Lab::of(2));
    lab.host(2).firewall(ONLY_SSH);
    let input = records::numbered(COUNT, 2);
    let outcome = job(&lab, "-k cat").input(&input).run();
    outcome.ok().prints(&input);
    outcome.says("pxrun: note: data to and from `node2` goes over ssh: ").says_not("`node1`");
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.seen());
    job(&lab, "-q -k cat").input(&input).run().ok().quiet().prints(&input);
    let outcome = job(&lab, "--link tcp cat").input(&input).run();
    outcome.own_error().prints("").says("host `node2`: no connection for data could be made: ");
    lab.host(2).clear();
    job(&lab, "-k cat").input(&input).run().ok().quiet().prints(&input);
    is_left_alone(&lab);
}

#[test]
fn no_door_stays_open_once_all_are_in() {
    let lab = px_tests::lab!(Lab::of(2));
    lab.host(2).firewall(ONLY_OUT);
    let marks = crate::directory(&lab, "marks");
    let mut running = job(&lab, "").zoo("never-read").arg(&marks).input("a\nb\nc\nd\n").start();
    running.until("all copies run", |_| crate::names(&marks).len() == 4);
    let listeners = |within: &(dyn Fn() -> String + Sync)| {
        let table = within();
        let lines = table.lines().skip(1).filter(|line| line.contains(" 0A "));
        lines.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let table = || {
        let four = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        four + &std::fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default()
    };
    assert_eq!(listeners(&|| lab.within(table)), [""; 0], "on the head");
    for host in lab.hosts() {
        // Port 22 is sshd's.
        let doors = listeners(&|| host.within(table));
        assert!(doors.iter().all(|door| door.ends_with(":0016")), "{}: {doors:?}", host.name());
    }
    running.signal(libc::SIGTERM);
    running.finish().dies_by(libc::SIGTERM);
    assert_eq!(lab.leftovers(BOUND), []);
}
