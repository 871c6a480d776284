use proptest::prelude::*;

use super::*;

fn card() -> Card {
    let addresses = ["10.0.0.1:4711", "[fd00::1]:80"].map(|one| one.parse().unwrap()).to_vec();
    let key = PublicKey::from_bytes(std::array::from_fn(|at| at as u8));
    Card { job: "pxlab-7.0".into(), task: 3, host: "n3".into(), key, addresses }
}

fn any_card() -> impl Strategy<Value = Card> {
    let addresses = proptest::collection::vec(any::<SocketAddr>(), 0..=MOST_ADDRESSES);
    let plain = |addresses: Vec<SocketAddr>| {
        addresses.iter().map(|one| SocketAddr::new(one.ip(), one.port())).collect()
    };
    let names = ("[A-Za-z0-9._:@+-]{1,128}", "[A-Za-z0-9._:@+-]{1,64}");
    (names, any::<u32>(), any::<[u8; 32]>(), addresses).prop_map(
        move |((job, host), task, key, addresses)| {
            let (key, addresses) = (PublicKey::from_bytes(key), plain(addresses));
            Card { job, task, host, key, addresses }
        },
    )
}

proptest! {
    #[test]
    fn every_card_comes_back_from_its_line(card in any_card()) {
        let line = card.encode().unwrap();
        prop_assert!(line.len() <= MOST_BYTES);
        prop_assert!(line.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'='));
        prop_assert_eq!(Card::decode(line.as_bytes()), Ok(card));
    }

    #[test]
    fn a_line_with_a_byte_changed_is_another_card_or_none(
        card in any_card(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut line = card.encode().unwrap().into_bytes();
        let at = at.index(line.len());
        prop_assume!(line[at] != byte);
        line[at] = byte;
        match Card::decode(&line) {
            Ok(other) => {
                prop_assert_ne!(&other, &card);
                prop_assert_eq!(other.encode().unwrap().into_bytes(), line);
            }
            Err(error) => prop_assert!(error.to_string().len() < 2 * MOST_BYTES),
        }
    }

    #[test]
    fn any_bytes_are_a_card_that_writes_them_or_none(
        tail in proptest::collection::vec(any::<u8>(), 0..2 * MOST_BYTES)
    ) {
        for line in [tail.clone(), [b"px1/", VERSION.as_bytes(), b"/", &tail].concat()] {
            if let Ok(card) = Card::decode(&line) {
                prop_assert_eq!(card.encode().unwrap().into_bytes(), line);
            }
        }
    }
}

#[test]
fn a_card_is_this_line() {
    let line = format!(
        "px1/{VERSION}/pxlab-7.0/3/n3/\
         000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f/\
         10.0.0.1:4711,[fd00::1]:80"
    );
    assert_eq!(card().encode().as_deref(), Ok(line.as_str()));
}

#[test]
fn another_version_and_another_form_are_told_before_anything_else() {
    let decode = |line: &str| Card::decode(line.as_bytes());
    assert_eq!(decode("px1/9.9.9/what/ever"), Err(CardError::Version("9.9.9".into())));
    for line in ["", "px2/0.1.0/a", "px1", "px1//", "px1/\u{1b}[31m/", "Welcome to n3"] {
        assert_eq!(decode(line), Err(CardError::Form(line.into())));
    }
}

#[test]
fn names_that_would_not_stand_in_one_word_are_refused() {
    for name in ["", "a b", "a=b", "a/b", "a\nb", "\u{e9}", &"a".repeat(129)] {
        let job = Card { job: name.into(), ..card() };
        assert_eq!(job.encode(), Err(CardError::Job(shown(name))));
        let host = Card { host: name.into(), ..card() };
        assert_eq!(host.encode(), Err(CardError::Host(shown(name))));
    }
}

#[test]
fn each_field_is_held_to_its_bounds() {
    let line = card().encode().unwrap();
    let with = |from: &str, to: &str| Card::decode(line.replacen(from, to, 1).as_bytes());
    assert_eq!(with("/3/", "/03/"), Err(CardError::Writing(line.clone())));
    assert_eq!(with("/3/", "/4294967296/"), Err(CardError::Task("4294967296".into())));
    assert_eq!(with("0a", "0A"), Err(CardError::Writing(line.clone())));
    assert!(matches!(with("0a", "+a"), Err(CardError::Key(_))));
    assert!(matches!(with("0a", ""), Err(CardError::Key(_))));
    assert_eq!(with("[fd00::1]:80", "n3:80"), Err(CardError::Address("n3:80".into())));
    assert!(matches!(with("fd00::1]", "fe80::1%2]"), Err(CardError::Writing(_))));
    assert_eq!(with("/n3/", "/n3/n3/"), Err(CardError::Fields(8)));
    let nine = ["10.0.0.1:1"; 9].join(",");
    assert_eq!(with("10.0.0.1:4711", &nine), Err(CardError::Addresses(10)));
    assert_eq!(Card::decode(&[b'p'; 701]), Err(CardError::Long(701)));
}
