//! The vectors for the patterns of this crate in the Cacophony collection, in hexadecimal.

use super::*;

const PROLOGUE: &str = "4a6f686e2047616c74";
const SECRET: &str = "54686973206973206d7920417573747269616e20706572737065637469766521";
/// Of dialer and answerer: the private key that is made for the link.
const FRESH: [&str; 2] = [
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
];
/// Of dialer and answerer: the private key whose public one the other knows beforehand.
const KNOWN: [&str; 2] = [
    "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
    "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
];

/// What is said in turn; the second is said by the answerer, and so on.
const SAID: [&str; 6] = [
    "4c756477696720766f6e204d69736573",
    "4d757272617920526f746862617264",
    "462e20412e20486179656b",
    "4361726c204d656e676572",
    "4a65616e2d426170746973746520536179",
    "457567656e2042f6686d20766f6e2042617765726b",
];

/// One pattern, and what it makes of [`SAID`].
struct Vector {
    pattern: &'static str,
    hash: &'static str,
    wire: [&'static str; 6],
}

const BY_SECRET: Vector = Vector {
    pattern: "Noise_NNpsk0_25519_AESGCM_SHA256",
    hash: "9f3b1f9afd7767767b5b9d1069844a6154fdbdcc36dfb3e31c0fffc5c973d530",
    wire: [
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944\
         7c37a89fc17813788d30df2d59501d6066f5f8aecc3406bbd9829f2d24a531b1",
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843\
         2f29d79368ef9de4e1ae7a362fb05bf0ad668e026bf5714554497b3a720461",
        "7c01e898a6201f36aecee532e29cd0b7f8ffa29d3366ad0dce39a6",
        "a9ff535aace3db6a1da1a7fb00fe2de2622bb373abad9fb42c00e0",
        "6cfc49a3e65472edc2d0152abe5ce950170a8a47c959f30bd48b5f0aacf29adbfd",
        "9bc86e6d974ed21ba04604a94aa68de21677eb409ead070c0cd569b069ee19ba142aa4c1a9",
    ],
};

const BY_KEYS: Vector = Vector {
    pattern: "Noise_KK_25519_AESGCM_SHA256",
    hash: "c03693acd830588fac76dd414c9e100e8c601d27511de855100239f7705fa3f2",
    wire: [
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944\
         8564738a841228e693caeec4c497a8bd562231c3e51a1f03c4fd45dfe3a67870",
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843\
         b94504c4d83506f5dd2568b68490eba8ed6f9cf2cca194a273c56d7ae3c558",
        "6a5c10a201d4e3a08f79f64949e55731f774913a4d949bda3fcebf",
        "4e8a1bf06926fdd74e2f516e2b0c11cc1dc3387fadeb75389d4342",
        "c1df7194ca8ea51d4dd99059bc9b90288112d47237d8481f1773fb26a31629a05c",
        "3edba4feaf590ee88dd8f5fba51db4bee651cf41afd410fe476c524ac9b1db24252fc55ff8",
    ],
};

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What every vector of the collection shares.
struct Shared {
    prologue: Vec<u8>,
    fresh: [Vec<u8>; 2],
}

impl Shared {
    fn new() -> Self {
        Shared { prologue: bytes(PROLOGUE), fresh: FRESH.map(bytes) }
    }
}

/// Plays both ends; `with` gives each, by its place, what it knows.
fn every_byte_is_that_of<'a>(
    vector: &Vector,
    shared: &'a Shared,
    with: impl Fn(snow::Builder<'a>, usize) -> snow::Builder<'a>,
) {
    let end = |place: usize| {
        let pattern = vector.pattern.parse().unwrap();
        let builder = snow::Builder::with_resolver(pattern, Box::new(Primitives));
        let builder = builder.prologue(&shared.prologue).unwrap();
        with(builder.fixed_ephemeral_key_for_testing_only(&shared.fresh[place]), place)
    };
    let mut ends = [end(0).build_initiator().unwrap(), end(1).build_responder().unwrap()];
    let (mut wire, mut heard) = ([0; 128], [0; 128]);
    for (plain, sealed) in std::iter::zip(SAID, vector.wire).take(2) {
        let length = ends[0].write_message(&bytes(plain), &mut wire).unwrap();
        assert_eq!(wire[..length], bytes(sealed));
        let length = ends[1].read_message(&wire[..length], &mut heard).unwrap();
        assert_eq!(heard[..length], bytes(plain));
        ends.reverse();
    }
    assert_eq!(ends[0].get_handshake_hash(), bytes(vector.hash));
    let mut ends = ends.map(|end| end.into_transport_mode().unwrap());
    for (plain, sealed) in std::iter::zip(SAID, vector.wire).skip(2) {
        let length = ends[0].write_message(&bytes(plain), &mut wire).unwrap();
        assert_eq!(wire[..length], bytes(sealed));
        let length = ends[1].read_message(&wire[..length], &mut heard).unwrap();
        assert_eq!(heard[..length], bytes(plain));
        ends.reverse();
    }
}

#[test]
fn with_a_secret_every_byte_is_that_of_the_published_vector() {
    let (shared, secret) = (Shared::new(), bytes(SECRET).try_into().unwrap());
    every_byte_is_that_of(&BY_SECRET, &shared, |builder, _| builder.psk(0, &secret).unwrap());
}

#[test]
fn with_known_keys_every_byte_is_that_of_the_published_vector() {
    let shared = Shared::new();
    let pairs = KNOWN.map(|hex| KeyPair::of_private(&bytes(hex).try_into().unwrap()));
    every_byte_is_that_of(&BY_KEYS, &shared, |builder, place| {
        let builder = builder.local_private_key(pairs[place].expose()).unwrap();
        builder.remote_public_key(pairs[1 - place].public.as_bytes()).unwrap()
    });
}

#[test]
fn a_public_key_of_zeros_and_a_missing_key_are_refused() {
    let mut exchange = Exchange::default();
    let mut shared = [0; KEY_BYTES];
    assert_eq!(exchange.dh(&[9; KEY_BYTES], &mut shared), Err(Error::Dh));
    exchange.generate(&mut FromSystem(SystemRandom::new())).unwrap();
    assert_eq!(exchange.dh(&[9; KEY_BYTES], &mut shared), Ok(()));
    assert_eq!(exchange.dh(&[0; KEY_BYTES], &mut shared), Err(Error::Dh));
    exchange.set(&[1; KEY_BYTES - 1]);
    assert_eq!(exchange.dh(&[9; KEY_BYTES], &mut shared), Err(Error::Dh));
}
