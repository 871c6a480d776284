//! The samples of `hostfiles/`: each means what stands beside it, and each wrong one is refused with
//! the message beside it.
//!
//! `NAME.expected` has a line for each host: host, user, port, slots, `max_slots`; `-` is what is not
//! said. `NAME.message` is the message as it is printed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

use px_runtime::failure::Message;
use pxrun::hostfile::allocation::{Host, Slots, allocate};
use pxrun::hostfile::{parse, read};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn hosts(file: &Path) -> Result<Vec<Host>, Message> {
    let name = file.file_name().unwrap().to_str().unwrap();
    allocate(&parse(name, &fs::read(file).unwrap())?)
}

fn line(host: &Host) -> String {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let slots = match host.slots {
        Slots::Counted(slots) => slots.to_string(),
        Slots::Cores => "cores".to_owned(),
    };
    let user = or_dash(host.user.clone());
    let port = or_dash(host.port.map(|port| port.to_string()));
    let most = or_dash(host.max_slots.map(|most| most.to_string()));
    format!("{} {user} {port} {slots} {most}\n", host.host)
}

/// The hosts, or the message.
fn said(file: &Path) -> String {
    match hosts(file) {
        Ok(hosts) => hosts.iter().map(line).collect(),
        Err(message) => message.render("error"),
    }
}

/// Looks at every `.txt` of a folder and at its neighbour; a file without the other fails.
fn compare(name: &str, neighbour: &str) {
    let mut wrong = String::new();
    let mut seen = 0;
    for found in fs::read_dir(folder(name)).unwrap() {
        let file = found.unwrap().path();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("txt") => {
                seen += 1;
                let got = said(&file);
                let wanted = fs::read_to_string(file.with_extension(neighbour));
                let wanted = wanted.unwrap_or_else(|error| format!("no .{neighbour}: {error}"));
                if got != wanted {
                    wrong += &format!("{}:\nwanted {wanted}\nfound  {got}\n", file.display());
                }
            }
            Some(other) if other == neighbour && file.with_extension("txt").exists() => {}
            None if file.is_dir() => {}
            _ => wrong += &format!("{}: belongs to no hostfile\n", file.display()),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen > 5, "only {seen} hostfiles in {name}");
}

#[test]
fn every_sample_means_what_stands_beside_it() {
    compare("hostfiles", "expected");
}

#[test]
fn every_wrong_hostfile_is_refused_with_the_message_beside_it() {
    compare("hostfiles/invalid", "message");
}

#[test]
fn a_file_without_end_is_read_no_further_than_a_hostfile_may_go() {
    let text = read(Path::new("/dev/zero")).unwrap_err().text;
    assert_eq!(
        text,
        "/dev/zero:1:1: a hostfile must have at most 1048576 bytes (1 MiB), found more"
    );
}

#[test]
fn a_hostfile_that_cannot_be_read_is_named_with_the_reason() {
    assert_eq!(read(&folder("hostfiles/pbs.txt")).unwrap().len(), 6);
    let missing = read(Path::new("/no/such")).unwrap_err().text;
    assert!(missing.starts_with("cannot open hostfile `/no/such`: No such file"), "{missing}");
    let directory = read(Path::new("/")).unwrap_err().text;
    assert!(directory.starts_with("cannot read hostfile `/`: Is a directory"), "{directory}");
}
