//! Whatever arrives in place of a hello, an answer or a record: it is refused, and nothing panics.
#![no_main]

use std::cell::RefCell;
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use px_runtime::link::keys::KeyPair;
use px_runtime::link::seal::{Dialer, Opener, Proof, Side, Terms, answer};
use px_runtime::link::secret::Secret;

const HANDSHAKE_BYTES: usize = 48;

thread_local! {
    /// Opens nothing that is not sealed, so it stays as it is from one input to the next.
    static OPENER: RefCell<Opener> = RefCell::new(opener());
    static PROOFS: [Proof; 2] = [secret(), keys()];
}

fn terms() -> Terms {
    let (version, job) = ("1".into(), "job".into());
    Terms { version, job, agent: 1, attempt: 1, dialer: Side::Root }
}

fn secret() -> Proof {
    Proof::Secret(Secret::take(&mut [7; 32]))
}

fn keys() -> Proof {
    let theirs = KeyPair::random().unwrap().public();
    Proof::Keys { own: Rc::new(KeyPair::random().unwrap()), theirs }
}

fn opener() -> Opener {
    let (_, hello) = Dialer::new(&terms(), &secret()).unwrap();
    let Ok((_, _, opener)) = answer(&terms(), &secret(), &hello) else { unreachable!() };
    opener
}

fuzz_target!(|data: &[u8]| {
    let (message, wire) = data.split_at(data.len().min(HANDSHAKE_BYTES));
    let mut handshake = [0; HANDSHAKE_BYTES];
    handshake[..message.len()].copy_from_slice(message);
    PROOFS.with(|proofs| {
        for proof in proofs {
            assert!(answer(&terms(), proof, &handshake).is_err());
            let (dialer, _) = Dialer::new(&terms(), proof).unwrap();
            assert!(dialer.finish(&handshake).is_err());
        }
    });

    let mut out = Vec::new();
    let opened = OPENER.with_borrow_mut(|opener| opener.open(wire, &mut out));
    assert!(!matches!(opened, Ok(1..)));
    assert!(out.is_empty());
});
