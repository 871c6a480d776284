//! The job's secrets are nowhere to be seen while it runs.

use std::collections::BTreeSet;
use std::fs;

use px_tests::processes::{self, Process};
use px_tests::{Lab, binary};
use pxrun::ssh::script::COMMAND;

use crate::{directory, is_left_alone, job, names};

fn environment(process: &Process) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{}/environ", process.pid)).unwrap();
    let pairs = bytes.split(|&byte| byte == 0).filter(|pair| !pair.is_empty());
    pairs.map(|pair| String::from_utf8_lossy(pair).into_owned()).collect()
}

fn variables(process: &Process) -> BTreeSet<String> {
    let pairs = environment(process);
    pairs.iter().map(|pair| pair.split('=').next().unwrap().to_owned()).collect()
}

fn words(process: &Process) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap();
    let words =
        bytes.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<_> = words.collect();
    words.pop();
    words
}

/// Whether a text holds something as long and as arbitrary as a key of 32 bytes.
fn holds_a_key(text: &str) -> bool {
    let is_code = |character: char| character.is_ascii_alphanumeric() || "+/=_".contains(character);
    text.split(|character| !is_code(character)).any(|word| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        word.len() >= 43 && digits >= 4 && !word.contains('/')
    })
}

#[test]
fn no_command_line_environment_or_log_holds_a_secret() {
    assert!(holds_a_key(&"0123456789abcdef".repeat(4)));
    let lab = px_tests::lab!(Lab::of(2));
    let marks = directory(&lab, "marks");
    let joblog = lab.path().join("joblog");
    let plain = lab.ssh(1, "env");
    let login: BTreeSet<String> =
        plain.ok().text().lines().map(|line| line.split('=').next().unwrap().to_owned()).collect();
    let given = job(&lab, "-v --joblog").arg(&joblog).zoo("never-read").arg(&marks);
    let mut running = given.input("a\nb\nc\nd\n").start();
    running.until("all copies run", |_| names(&marks).len() == 4);
    // The agent's own processes: the one that the login waits for, the guardian, the agent.
    for host in lab.hosts() {
        let (agents, copies): (Vec<_>, Vec<_>) =
            host.processes().into_iter().partition(|process| process.name != "px-zoo");
        assert_eq!((agents.len(), copies.len()), (3, 2), "{agents:?}, {copies:?}");
        for agent in &agents {
            let words = words(agent);
            // The lease is no secret.
            assert_eq!(words[1..], ["--as-agent", "10000"], "{words:?}");
            let more: Vec<_> = variables(agent).difference(&login).cloned().collect();
            let by_shells = |name: &String| ["OLDPWD", "SHLVL", "_"].contains(&name.as_str());
            assert!(more.iter().all(by_shells), "{more:?}");
        }
        for copy in &copies {
            assert_eq!(words(copy)[1], "never-read");
            let more: Vec<_> = variables(copy).difference(&login).cloned().collect();
            let known = |name: &String| {
                name.starts_with("PX_") || ["OLDPWD", "SHLVL", "_"].contains(&name.as_str())
            };
            assert!(more.iter().all(known), "{more:?}");
            assert!(!environment(copy).iter().any(|pair| holds_a_key(pair)));
        }
    }
    let own = environment(&processes::one(running.pid()).unwrap());
    let here = processes::survivors(running.mark());
    let logins: Vec<_> = here.iter().filter(|process| process.name == "ssh").collect();
    assert_eq!(logins.len(), 2, "{here:?}");
    for login in logins {
        let words = words(login);
        assert_eq!(words.last().map(String::as_str), Some(COMMAND));
        assert_eq!(words[words.len() - 3], "--");
        assert!(!words.iter().any(|word| holds_a_key(word)), "{words:?}");
    }
    for process in &here {
        assert_eq!(environment(process), own, "{process:?} has another environment");
    }
    for process in here.iter().filter(|process| process.name.starts_with("px")) {
        assert_eq!(words(process)[0], binary::pxrun().to_string_lossy());
    }
    running.signal(libc::SIGTERM);
    let outcome = running.finish();
    outcome.dies_by(libc::SIGTERM);
    assert!(!holds_a_key(&outcome.stderr), "{}", outcome.seen());
    assert!(!holds_a_key(&fs::read_to_string(&joblog).unwrap()));
    for host in lab.hosts() {
        assert!(!host.log().contains("PX_"), "{}", host.log());
    }
    is_left_alone(&lab);
}
