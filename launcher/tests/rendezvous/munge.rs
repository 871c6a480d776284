//! The exchange over srun's stdin and stdout, with a munge of the test's own.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use px_runtime::link::keys::KeyPair;
use px_runtime::sys::munge::{MOST_PAYLOAD, Munge, MungeError};
use pxrun::rendezvous::roll::Roll;
use pxrun::rendezvous::srun::{line_to, meet, open};
use pxrun::rendezvous::stdio::{Ear, Event};
use pxrun::rendezvous::{Card, MeetError, PATIENCE};
use pxrun::ssh::mark::Mark;

/// A munge daemon, ended with this.
struct Daemon {
    process: Child,
    directory: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("key"), [7; 1024]).unwrap();
        std::fs::set_permissions(at("key"), Permissions::from_mode(0o600)).unwrap();
        let named = |option: &str, name: &str| format!("--{option}={}", at(name).display());
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let process = Command::new("munged")
            .args(["--foreground", "--force", "--num-threads=2"])
            .args([named("key-file", "key"), named("socket", "sock"), named("pid-file", "pid")])
            .args([named("log-file", "log"), named("seed-file", "seed")])
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("munge must be installed");
        let mut daemon = Daemon { process, directory };
        let until = Instant::now() + PATIENCE;
        // Its socket is there a moment before it listens.
        while daemon.munge().is_none_or(|munge| munge.seal(b"").is_err()) {
            assert!(Instant::now() < until, "munge does not begin");
            assert!(daemon.process.try_wait().unwrap().is_none(), "munge has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    fn munge(&self) -> Option<Munge> {
        Munge::open(Some(&self.directory.path().join("sock"))).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn card(task: u32) -> Card {
    let key = KeyPair::random().unwrap().public();
    let addresses = vec!["[fd00:1111:2222:3333:4444:5555:6666:7777]:65535".parse().unwrap(); 8];
    let addresses = if task == 0 { addresses } else { Vec::new() };
    Card { job: "a-7".into(), task, host: "h".repeat(64), key, addresses }
}

#[test]
fn a_payload_comes_out_once_and_only_unchanged() {
    let daemon = Daemon::start();
    let munge = daemon.munge().unwrap();
    for length in [0, 1, MOST_PAYLOAD] {
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let credential = munge.seal(&payload).unwrap();
        assert_eq!(munge.open_credential(&credential).unwrap(), payload);
        let again = munge.open_credential(&credential);
        assert!(matches!(again, Err(MungeError::Decode(_))), "{again:?}");
    }
    let changed = munge.seal(b"a").unwrap().replacen("MUNGE:A", "MUNGE:B", 1);
    assert!(matches!(munge.open_credential(&changed), Err(MungeError::Decode(_))));
    assert_eq!(munge.seal(&[0; MOST_PAYLOAD + 1]), Err(MungeError::LongPayload(MOST_PAYLOAD + 1)));
    let long = "x".repeat(9000);
    assert_eq!(munge.open_credential(&long), Err(MungeError::LongCredential(9000)));
    assert_eq!(munge.open_credential("MUNGE:\0"), Err(MungeError::NulInCredential));
}

#[test]
fn what_another_user_has_sealed_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let daemon = Daemon::start();
    std::fs::set_permissions(daemon.directory.path(), Permissions::from_mode(0o755)).unwrap();
    let sealed = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "munge", "--string=hello", "--socket"])
        .arg(daemon.directory.path().join("sock"))
        .output()
        .unwrap();
    assert!(sealed.status.success(), "{sealed:?}");
    let credential = String::from_utf8(sealed.stdout).unwrap();
    let found = daemon.munge().unwrap().open_credential(credential.trim_end());
    assert_eq!(found, Err(MungeError::OtherUser { wanted: 0, found: 65534 }));
}

#[test]
fn where_no_daemon_listens_there_is_no_munge() {
    let nowhere = tempfile::tempdir().unwrap();
    assert!(Munge::open(Some(&nowhere.path().join("sock"))).unwrap().is_none());
}

#[test]
fn agents_and_root_meet_over_pipes_that_all_share() {
    const AGENTS: u32 = 5;
    let daemon = Daemon::start();
    let mark = Mark::from([9; 16]);
    let (mut outputs, output) = pipe().unwrap();
    let (ends, inputs): (Vec<PipeReader>, Vec<PipeWriter>) =
        (0..AGENTS).map(|_| pipe().unwrap()).unzip();
    std::thread::scope(|scope| {
        let daemon = &daemon;
        let agents: Vec<_> = std::iter::zip(1..=AGENTS, ends)
            .map(|(task, input)| {
                let output = output.try_clone().unwrap();
                scope.spawn(move || {
                    let own = card(task);
                    (&output).write_all(b"a prolog prints this").unwrap();
                    let munge = daemon.munge().unwrap();
                    let deadline = Instant::now() + PATIENCE;
                    let root = meet(&munge, mark, &own, (&input, &output), deadline).unwrap();
                    (own, root)
                })
            })
            .collect();
        drop(output);
        let munge = daemon.munge().unwrap();
        let (mut ear, mut roll) = (Ear::new(mark, AGENTS), Roll::new("a-7", AGENTS + 1));
        while !roll.is_complete() {
            let mut piece = [0; 100];
            let length = outputs.read(&mut piece).unwrap();
            assert_ne!(length, 0, "an agent has left");
            for event in ear.hear(&piece[..length]) {
                if let Event::Credential(credential) = event {
                    roll.enter(open(&munge, &credential).unwrap()).unwrap();
                }
            }
        }
        let root = card(0);
        let lines: String =
            (1..=AGENTS).map(|task| line_to(&munge, &root, task).unwrap()).collect();
        for mut input in inputs {
            input.write_all(lines.as_bytes()).unwrap();
        }
        let cards = roll.close().unwrap();
        for (agent, card) in std::iter::zip(agents, cards) {
            assert_eq!(agent.join().unwrap(), (card, root.clone()));
        }
    });
}

#[test]
fn an_agent_whose_root_is_gone_does_not_wait() {
    let daemon = Daemon::start();
    let munge = daemon.munge().unwrap();
    let ((input, root), (outputs, output)) = (pipe().unwrap(), pipe().unwrap());
    let mark = Mark::from([9; 16]);
    let silent = meet(&munge, mark, &card(1), (&input, &output), Instant::now());
    assert!(matches!(silent, Err(MeetError::NoRoot)), "{silent:?}");
    drop(root);
    let gone = meet(&munge, mark, &card(1), (&input, &output), Instant::now() + PATIENCE);
    assert!(matches!(gone, Err(MeetError::StdinEnded)), "{gone:?}");
    drop(output);
    let said: Vec<_> = BufReader::new(outputs).lines().map(Result::unwrap).collect();
    let begin = format!("{mark} MUNGE:");
    assert_eq!(said.iter().filter(|line| line.starts_with(&begin)).count(), 2, "{said:?}");
}
