//! How soon a host that says nothing any more is named.

use std::time::{Duration, Instant};

use px_tests::lab::Host;
use px_tests::{Lab, lab, records};

use crate::ground::{Act, Ground, cut, heal, on, send};

/// What a busy machine may take to tell.
const SLACK: Duration = Duration::from_secs(1);

fn switch_off(host: &Host) {
    host.kill();
}

fn switch_on(host: &Host) {
    host.start();
}

/// Its agent goes no more; its guardian ends it in time.
fn freeze(host: &Host) {
    send(libc::SIGSTOP, &on(host, "px-agent"));
}

#[test]
fn a_silent_host_is_named_within_the_lease() {
    let ground = Ground::new(lab!(Lab::of(2)));
    let silences: [(&str, Act, Act); 3] =
        [("power", switch_off, switch_on), ("cable", cut, heal), ("freeze", freeze, |_| {})];
    for (name, fall_silent, undo) in silences {
        for lease in [2, 4] {
            let host = ground.lab.host(2);
            let job = ground.with_lease(&lease.to_string(), 1, "").zoo("never-read");
            let job = job.arg(ground.scratch.path()).input(records::numbered(100, 1));
            let mut job = job.start();
            job.until("the copies run", |_| ground.marks("ready.").len() == 2);
            let lease = Duration::from_secs(lease);
            fall_silent(host);
            let silent = Instant::now();
            job.until("the host is named", |job| job.stderr().contains("`node2`"));
            let took = silent.elapsed();
            println!("{name}, lease {lease:?}: named after {took:.2?}");
            assert!(took <= lease + SLACK, "{name}: {took:?} with a lease of {lease:?}");
            job.finish().own_error().says("`node2`");
            undo(host);
            ground.is_left_clean(lease + Duration::from_secs(3));
            for mark in ground.marks("ready.") {
                std::fs::remove_file(ground.scratch.at(&format!("ready.{mark}"))).unwrap();
            }
        }
    }
}
