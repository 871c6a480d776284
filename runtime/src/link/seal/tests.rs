//! Both ends in memory, and whoever stands between them.

use proptest::prelude::*;

use super::*;

fn terms() -> Terms {
    Terms { version: "1.2".into(), job: "j".into(), agent: 3, attempt: 1, dialer: Side::Root }
}

fn secret(byte: u8) -> Proof {
    Proof::Secret(Secret::take(&mut [byte; 32]))
}

/// The proofs of both ends of a link.
fn keys() -> (Proof, Proof) {
    let pair = || Rc::new(KeyPair::random().unwrap());
    let (root, agent) = (pair(), pair());
    let proof = |own: &Rc<KeyPair>, theirs: &KeyPair| Proof::Keys {
        own: Rc::clone(own),
        theirs: theirs.public(),
    };
    (proof(&root, &agent), proof(&agent, &root))
}

type Ends = (Sealer, Opener);

fn linked() -> (Ends, Ends) {
    let (dialer, hello) = Dialer::new(&terms(), &secret(1)).unwrap();
    let (reply, sealer, opener) = answer(&terms(), &secret(1), &hello).unwrap();
    (dialer.finish(&reply).unwrap(), (sealer, opener))
}

fn sealed(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(plain, &mut out).unwrap();
    out
}

fn opened(opener: &mut Opener, received: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::new();
    let consumed = opener.open(received, &mut out)?;
    assert_eq!(consumed, received.len());
    Ok(out)
}

#[test]
fn ends_with_the_same_secret_and_terms_read_each_other() {
    let ((mut to_agent, mut from_agent), (mut to_root, mut from_root)) = linked();
    for plain in [&b"one"[..], b"", b"three", &[7; 65_519], &[8; 65_520], &[9; 300_000]] {
        assert_eq!(opened(&mut from_root, &sealed(&mut to_agent, plain)).unwrap(), plain);
        assert_eq!(opened(&mut from_agent, &sealed(&mut to_root, plain)).unwrap(), plain);
    }
}

#[test]
fn a_record_is_18_bytes_longer_than_what_it_holds_and_never_shows_it() {
    let ((mut sealer, _), _) = linked();
    assert_eq!(sealed(&mut sealer, &[0; LARGEST_PLAIN]).len(), LARGEST_RECORD);
    let two = sealed(&mut sealer, &[0; LARGEST_PLAIN + 1]);
    assert_eq!(two.len(), LARGEST_RECORD + 1 + RECORD_OVERHEAD);
    assert!(!two.windows(8).any(|bytes| bytes == [0; 8]));
}

#[test]
fn another_secret_or_any_other_term_is_refused() {
    let (_, hello) = Dialer::new(&terms(), &secret(1)).unwrap();
    let refused = |terms: Terms, secret: Proof| answer(&terms, &secret, &hello).err();
    assert_eq!(refused(terms(), secret(1)), None);
    let other = [
        Terms { version: "1.3".into(), ..terms() },
        Terms { version: "1".into(), job: ".2j".into(), ..terms() },
        Terms { job: "k".into(), ..terms() },
        Terms { agent: 4, ..terms() },
        Terms { attempt: 2, ..terms() },
        Terms { dialer: Side::Agent, ..terms() },
    ];
    for other in other {
        assert_eq!(refused(other, secret(1)), Some(SealError::Refused));
    }
    assert_eq!(refused(terms(), secret(2)), Some(SealError::Refused));
}

#[test]
fn ends_that_know_each_others_keys_read_each_other_and_nobody_else() {
    let (root, agent) = keys();
    let (dialer, hello) = Dialer::new(&terms(), &agent).unwrap();
    let (reply, mut to_agent, mut from_agent) = answer(&terms(), &root, &hello).unwrap();
    let (mut to_root, mut from_root) = dialer.finish(&reply).unwrap();
    assert_eq!(opened(&mut from_root, &sealed(&mut to_agent, b"down")).unwrap(), b"down");
    assert_eq!(opened(&mut from_agent, &sealed(&mut to_root, b"up")).unwrap(), b"up");

    let (stranger, other) = keys();
    for proof in [&stranger, &other, &agent, &secret(1)] {
        assert_eq!(answer(&terms(), proof, &hello).err(), Some(SealError::Refused));
    }
    let (dialer, _) = Dialer::new(&terms(), &agent).unwrap();
    assert_eq!(dialer.finish(&reply).err(), Some(SealError::Refused));
    let elsewhere = Terms { agent: 4, ..terms() };
    assert_eq!(answer(&elsewhere, &root, &hello).err(), Some(SealError::Refused));
}

#[test]
fn any_flipped_bit_of_a_handshake_of_keys_is_refused() {
    let (root, agent) = keys();
    for bit in 0..HANDSHAKE_BYTES * 8 {
        let (dialer, mut hello) = Dialer::new(&terms(), &agent).unwrap();
        let (mut reply, ..) = answer(&terms(), &root, &hello).unwrap();
        reply[bit / 8] ^= 1 << (bit % 8);
        assert!(dialer.finish(&reply).is_err(), "bit {bit} of the answer");
        hello[bit / 8] ^= 1 << (bit % 8);
        // The topmost bit of a public key means nothing, but is part of what is proven.
        assert!(answer(&terms(), &root, &hello).is_err(), "bit {bit} of the hello");
    }
}

#[test]
fn ends_that_both_dial_refuse_each_other() {
    let (one, hello_of_one) = Dialer::new(&terms(), &secret(1)).unwrap();
    let (other, hello_of_other) = Dialer::new(&terms(), &secret(1)).unwrap();
    assert_eq!(one.finish(&hello_of_other).err(), Some(SealError::Refused));
    assert_eq!(other.finish(&hello_of_one).err(), Some(SealError::Refused));
}

#[test]
fn any_flipped_bit_of_a_handshake_is_refused() {
    let (_, hello) = Dialer::new(&terms(), &secret(1)).unwrap();
    for bit in 0..HANDSHAKE_BYTES * 8 {
        let mut changed = hello;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(answer(&terms(), &secret(1), &changed).is_err(), "bit {bit} of the hello");
        let (dialer, hello) = Dialer::new(&terms(), &secret(1)).unwrap();
        let (mut reply, ..) = answer(&terms(), &secret(1), &hello).unwrap();
        reply[bit / 8] ^= 1 << (bit % 8);
        assert!(dialer.finish(&reply).is_err(), "bit {bit} of the answer");
    }
}

#[test]
fn any_flipped_bit_of_a_record_yields_no_byte() {
    let ((mut sealer, _), (_, mut opener)) = linked();
    let record = sealed(&mut sealer, b"a record");
    for bit in 0..record.len() * 8 {
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let mut out = Vec::new();
        // A changed length may ask for more bytes than there are; those would not open either.
        assert!(matches!(opener.open(&changed, &mut out), Err(_) | Ok(0)), "bit {bit}");
        assert!(out.is_empty());
    }
    assert_eq!(opened(&mut opener, &record).unwrap(), b"a record");
}

#[test]
fn records_cut_short_left_out_moved_or_sent_again_are_refused() {
    let ((mut sealer, _), (_, mut opener)) = linked();
    let first = sealed(&mut sealer, b"first");
    let second = sealed(&mut sealer, b"second");
    let mut shorter = first.clone();
    shorter.pop();
    shorter[0] -= 1;
    assert_eq!(opened(&mut opener, &shorter), Err(SealError::Forged { number: 0 }));
    assert_eq!(opened(&mut opener, &second), Err(SealError::Forged { number: 0 }));
    assert_eq!(opened(&mut opener, &first).unwrap(), b"first");
    assert_eq!(opened(&mut opener, &first), Err(SealError::Forged { number: 1 }));
    assert_eq!(opened(&mut opener, &second).unwrap(), b"second");
    assert_eq!(opened(&mut opener, &[15, 0]), Err(SealError::TooShort { found: 15 }));
}

#[test]
fn a_record_does_not_open_at_the_end_that_sealed_it_nor_on_another_link() {
    let ((mut sealer, mut own), _) = linked();
    let (_, (_, mut of_another_link)) = linked();
    let record = sealed(&mut sealer, b"mine");
    assert_eq!(opened(&mut own, &record), Err(SealError::Forged { number: 0 }));
    assert_eq!(opened(&mut of_another_link, &record), Err(SealError::Forged { number: 0 }));
}

#[test]
fn a_hello_sent_again_is_answered_and_yields_no_readable_record() {
    let (dialer, hello) = Dialer::new(&terms(), &secret(1)).unwrap();
    let (reply, _, mut genuine) = answer(&terms(), &secret(1), &hello).unwrap();
    let (mut sealer, _) = dialer.finish(&reply).unwrap();
    let record = sealed(&mut sealer, b"in");
    let (_, mut to_thief, mut replayed) = answer(&terms(), &secret(1), &hello).unwrap();
    assert_eq!(opened(&mut replayed, &record), Err(SealError::Forged { number: 0 }));
    assert_eq!(opened(&mut genuine, &record).unwrap(), b"in");
    // Nor is what is sealed for the thief the same as what the genuine peer could read.
    assert_ne!(sealed(&mut to_thief, b"in"), record);
}

#[test]
fn a_key_that_is_used_up_is_an_error_and_no_nonce_comes_again() {
    let ((mut sealer, _), (_, mut opener)) = linked();
    (sealer.number, opener.number) = (u64::MAX - 1, u64::MAX - 1);
    let last = sealed(&mut sealer, b"last");
    assert_eq!(opened(&mut opener, &last).unwrap(), b"last");
    let mut out = vec![1];
    let used_up = SealError::UsedUp { number: u64::MAX };
    assert_eq!(sealer.seal(b"one too many", &mut out), Err(used_up));
    assert_eq!(out, [1]);
    assert_eq!(opened(&mut opener, &last), Err(used_up));
}

proptest! {
    #[test]
    fn records_open_alike_however_they_arrive(
        plains in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12),
        pieces in prop::collection::vec(1_usize..200, 1..40),
    ) {
        let ((mut sealer, _), (_, mut opener)) = linked();
        let mut wire = Vec::new();
        for plain in &plains {
            sealer.seal(plain, &mut wire).unwrap();
        }
        let (mut waiting, mut out) = (Vec::new(), Vec::new());
        let mut sizes = pieces.iter().cycle();
        let mut left = wire.as_slice();
        while !left.is_empty() {
            let (piece, after) = left.split_at(left.len().min(*sizes.next().unwrap()));
            waiting.extend_from_slice(piece);
            let consumed = opener.open(&waiting, &mut out).unwrap();
            waiting.drain(..consumed);
            left = after;
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(out, plains.concat());
    }

    #[test]
    fn no_bytes_make_a_handshake_or_a_record(
        hello in prop::collection::vec(any::<u8>(), 48),
        wire in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let hello: [u8; 48] = hello.try_into().unwrap();
        prop_assert!(answer(&terms(), &secret(1), &hello).is_err());
        let (dialer, _) = Dialer::new(&terms(), &secret(1)).unwrap();
        prop_assert!(dialer.finish(&hello).is_err());
        let (_, (_, mut opener)) = linked();
        let mut out = Vec::new();
        prop_assert!(!matches!(opener.open(&wire, &mut out), Ok(1..)));
        prop_assert!(out.is_empty());
    }
}
