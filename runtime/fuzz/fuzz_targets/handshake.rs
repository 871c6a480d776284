//! Whatever arrives in place of a hello, an answer or a record: it is refused, and nothing panics.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use px_runtime::link::seal::{Dialer, Opener, Side, Terms, answer};
use px_runtime::link::secret::Secret;

const HANDSHAKE_BYTES: usize = 48;

thread_local! {
    /// Opens nothing that is not sealed, so it stays as it is from one input to the next.
    static OPENER: RefCell<Opener> = RefCell::new(opener());
}

fn terms() -> Terms {
    let (version, job) = ("1".into(), "job".into());
    Terms { version, job, agent: 1, attempt: 1, dialer: Side::Root }
}

fn secret() -> Secret {
    Secret::take(&mut [7; 32])
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
    assert!(answer(&terms(), &secret(), &handshake).is_err());
    let (dialer, _) = Dialer::new(&terms(), &secret()).unwrap();
    assert!(dialer.finish(&handshake).is_err());

    let mut out = Vec::new();
    let opened = OPENER.with_borrow_mut(|opener| opener.open(wire, &mut out));
    assert!(!matches!(opened, Ok(1..)));
    assert!(out.is_empty());
});
