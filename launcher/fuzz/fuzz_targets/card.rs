//! Whatever comes for a card, over a launcher's wire or over srun's stdout: it is read as what it
//! would be written as, or refused without a panic, and what is kept of it stays within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pxrun::rendezvous::Card;
use pxrun::rendezvous::pmi::wire::{Answer, Question};
use pxrun::rendezvous::stdio::{Ear, Event, MOST_NOISE, Waiting};
use pxrun::ssh::mark::Mark;

/// Stands for the mark, which no input could guess.
const MARK: u8 = 0xfe;
/// Stands for a card's beginning.
const BEGIN: u8 = 0xfd;

fn printed(data: &[u8]) -> Vec<u8> {
    let mark = format!("\n{} ", Mark::from([7; 16]));
    let begin = "px1/0.1.0/job/1/host/";
    let mut printed = Vec::new();
    for &byte in data {
        match byte {
            MARK => printed.extend_from_slice(mark.as_bytes()),
            BEGIN => printed.extend_from_slice(begin.as_bytes()),
            other => printed.push(other),
        }
    }
    printed
}

fuzz_target!(|data: &[u8]| {
    let printed = printed(data);
    if let Ok(card) = Card::decode(&printed) {
        assert_eq!(card.encode().map(String::into_bytes), Ok(printed.clone()));
    }

    let question = Question::Get { space: "s", key: "k" };
    let line = [b"cmd=get_result rc=0 value=", printed.as_slice()].concat();
    if let Ok(answer) = Answer::read(&line, &question) {
        assert_eq!(answer.need("cmd"), Ok("get_result"));
    }

    let (mut ear, mut at_once) = (Ear::new(Mark::from([7; 16]), 1), Vec::new());
    let mut pieces = ear.clone();
    at_once.extend(ear.hear(&printed));
    let (mut noise, mut credentials) = (0, 0);
    for event in &at_once {
        match event {
            Event::Noise(bytes) => noise += bytes.len(),
            Event::Credential(credential) => {
                assert!(credential.len() < 1024);
                credentials += 1;
            }
            Event::TooNoisy => {}
        }
    }
    assert!(noise <= MOST_NOISE.0 + MOST_NOISE.1);
    let again = printed.chunks(7).flat_map(|piece| pieces.hear(piece));
    let again = again.filter(|event| matches!(event, Event::Credential(_))).count();
    assert_eq!(again, credentials, "pieces change nothing");

    let mut waiting = Waiting::new(1);
    let _ = printed.chunks(5).try_for_each(|piece| waiting.hear(piece).map(drop));
});
