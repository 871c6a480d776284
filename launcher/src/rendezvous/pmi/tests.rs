//! Both ends in one process: the other one is a launcher that a test writes line by line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use px_runtime::link::keys::PublicKey;

use super::*;

/// Answers each question as the test says; ends with the questions.
fn launcher(answers: &[&str]) -> (OwnedFd, JoinHandle<Vec<String>>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let answers: Vec<_> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let told = std::thread::spawn(move || {
        let mut questions = Vec::new();
        let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
        let mut answers = answers.into_iter();
        while let Some(Ok(question)) = lines.next() {
            questions.push(question);
            // A peer that has refused an answer does not read the next.
            let _ = answers.next().map(|answer| (&theirs).write_all(answer.as_bytes()));
        }
        questions
    });
    (ours.into(), told)
}

const BEGIN: [&str; 3] = [
    "cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1\n",
    "cmd=maxes rc=0 kvsname_max=256 keylen_max=256 vallen_max=1024\n",
    "cmd=my_kvsname rc=0 kvsname=7.0\n",
];

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn card(task: u32) -> Card {
    let addresses = if task == 0 { vec!["10.0.0.1:4711".parse().unwrap()] } else { Vec::new() };
    let (job, host) = ("7.0".to_owned(), "n1".to_owned());
    Card { job, task, host, key: PublicKey::from_bytes([7; 32]), addresses }
}

fn got(card: &Card) -> String {
    format!("cmd=get_result rc=0 value={}\n", card.encode().unwrap())
}

#[test]
fn agents_put_before_the_first_barrier_and_the_root_before_the_second() {
    let root = got(&card(0));
    let more = ["cmd=put_result rc=0\n", "cmd=barrier_out rc=0\n", "cmd=barrier_out rc=0\n"];
    let answers = [&BEGIN[..], &more, &[&root, "cmd=finalize_ack rc=0\n"]].concat();
    let (socket, asked) = launcher(&answers);
    let mut agent = Pmi::over(socket, 1, 2, soon()).unwrap();
    assert_eq!(agent.job(), "7.0");
    assert_eq!(agent.meet(&card(1), soon()).unwrap(), card(0));
    drop(agent);
    let asked = asked.join().unwrap();
    assert_eq!(
        asked[3..],
        [
            &format!("cmd=put kvsname=7.0 key=px-1 value={}", card(1).encode().unwrap()),
            "cmd=barrier_in",
            "cmd=barrier_in",
            "cmd=get kvsname=7.0 key=px-0",
            "cmd=finalize",
        ]
    );

    let (one, two) = (got(&card(1)), got(&card(2)));
    let more = ["cmd=barrier_out\n", &one, &two, "cmd=put_result rc=0\n", "cmd=barrier_out\n"];
    let answers = [&BEGIN[..], &more, &["cmd=finalize_ack\n"]].concat();
    let (socket, asked) = launcher(&answers);
    let mut root = Pmi::over(socket, 0, 3, soon()).unwrap();
    assert_eq!(root.collect(soon()).unwrap(), [card(1), card(2)]);
    root.announce(&card(0), soon()).unwrap();
    drop(root);
    let asked = asked.join().unwrap();
    let verbs: Vec<_> = asked.iter().map(|line| line.split(' ').next().unwrap()).collect();
    let expected =
        ["init", "get_maxes", "get_my_kvsname", "barrier_in", "get", "get", "put", "barrier_in"];
    assert_eq!(verbs[..8], expected.map(|verb| format!("cmd={verb}")));
    assert_eq!(verbs[8..], ["cmd=finalize"]);
}

#[test]
fn who_has_not_met_goes_without_a_farewell() {
    let (socket, asked) = launcher(&BEGIN);
    drop(Pmi::over(socket, 1, 2, soon()).unwrap());
    assert_eq!(asked.join().unwrap().len(), 3);
}

#[test]
fn a_launcher_that_hangs_up_or_says_nothing_is_not_waited_for_without_end() {
    let (socket, far) = UnixStream::pair().unwrap();
    drop(far);
    assert!(matches!(Pmi::over(socket.into(), 1, 2, soon()), Err(PmiError::Closed)));

    let (socket, _far) = UnixStream::pair().unwrap();
    let silent = Pmi::over(socket.into(), 1, 2, Instant::now()).err().unwrap();
    assert_eq!(silent.to_string(), "the launcher did not answer `cmd=init` in time");

    let (socket, _asked) = launcher(&BEGIN);
    let mut root = Pmi::over(socket, 0, 2, soon()).unwrap();
    let error = root.collect(Instant::now()).unwrap_err();
    assert!(matches!(error, MeetError::Incomplete { size: 2 }), "{error}");
}

#[test]
fn answers_that_are_none_are_refused() {
    let over = |answers: &[&str]| Pmi::over(launcher(answers).0, 1, 2, soon()).err().unwrap();
    assert!(matches!(over(&["cmd=maxes\n"]), PmiError::Answer(WireError::OtherAnswer { .. })));
    let long = "x".repeat(LONGEST_ANSWER + 1);
    assert!(matches!(over(&[&long]), PmiError::LongAnswer));
    let size = over(&["cmd=response_to_init rc=0 size=3 rank=1\n"]);
    assert_eq!(size.to_string(), "the launcher must tell size 2, found 3");
    let short = "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=51\n";
    let (socket, _asked) = launcher(&[BEGIN[0], short, BEGIN[2]]);
    let mut agent = Pmi::over(socket, 1, 2, soon()).unwrap();
    let error = agent.meet(&card(1), soon()).unwrap_err().to_string();
    let length = card(1).encode().unwrap().len();
    assert_eq!(error, format!("the launcher takes at most 50 bytes for a value, found {length}"));
}

#[test]
fn the_card_of_another_is_not_taken_for_the_roots() {
    let other = got(&card(1));
    let more = ["cmd=put_result rc=0\n", "cmd=barrier_out\n", "cmd=barrier_out\n", &other];
    let (socket, _asked) = launcher(&[&BEGIN[..], &more].concat());
    let mut agent = Pmi::over(socket, 1, 2, soon()).unwrap();
    let error = agent.meet(&card(1), soon()).unwrap_err();
    assert!(matches!(error, MeetError::OtherTask { wanted: 0, found: 1 }), "{error}");
}
