use proptest::prelude::*;

use super::*;

fn mark() -> Mark {
    Mark::from([7; 16])
}

fn heard<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Vec<u8>) {
    let (mut ear, mut credentials, mut noise) = (Ear::new(mark(), 3), Vec::new(), Vec::new());
    for event in pieces.into_iter().flat_map(|piece| ear.hear(piece)) {
        match event {
            Event::Credential(credential) => credentials.push(credential),
            Event::Noise(bytes) => noise.extend(bytes),
            Event::TooNoisy => panic!("too noisy"),
        }
    }
    (credentials, noise)
}

proptest! {
    #[test]
    fn credentials_are_heard_among_noise_in_whatever_pieces(
        said_by in proptest::collection::vec(
            ("[ -~]{0,40}\n?", "MUNGE:[A-Za-z0-9+/]{1,900}:"), 0..8
        ),
        cuts in proptest::collection::vec(1_usize..300, 1..20),
    ) {
        let mut bytes = Vec::new();
        for (noise, credential) in &said_by {
            bytes.extend(noise.as_bytes());
            bytes.extend(said(mark(), credential).unwrap().as_bytes());
        }
        let (mut rest, mut pieces, mut lengths) = (&bytes[..], Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        let (credentials, noise) = heard(pieces);
        let expected: Vec<_> = said_by.iter().map(|(_, credential)| credential.clone()).collect();
        prop_assert_eq!(credentials, expected);
        let spoken = |text: &[u8]| text.iter().copied().filter(|&b| b != b'\n').collect::<Vec<_>>();
        let printed: String = said_by.iter().map(|(noise, _)| noise.as_str()).collect();
        prop_assert_eq!(spoken(&noise), spoken(printed.as_bytes()));
    }
}

#[test]
fn a_mark_inside_a_line_is_noise() {
    let bytes = format!("echo {} MUNGE:x:\n", mark()).into_bytes();
    assert_eq!(heard([&bytes[..]]), (vec![], bytes));
    let long = [vec![b'x'; 3000], said(mark(), "MUNGE:x:").unwrap().into_bytes()].concat();
    assert_eq!(heard([&long[..]]).0, ["MUNGE:x:"]);
    let longer = [vec![b'x'; MOST_SAID], format!("{} MUNGE:x:\n", mark()).into_bytes()].concat();
    assert_eq!(heard([&longer[..]]).0, [""; 0]);
    let no_end_yet = format!("\n{} {}\n", mark(), "x".repeat(MOST_SAID)).into_bytes();
    assert_eq!(heard([&no_end_yet[..]]), (vec![], no_end_yet[1..].to_vec()));
}

#[test]
fn noise_has_an_end() {
    let mut ear = Ear::new(mark(), 1);
    let line = [&[b'x'; 99][..], b"\n"].concat();
    let most = MOST_NOISE.0 + MOST_NOISE.1;
    let mut noise = 0;
    let mut last = None;
    for event in (0..1000).flat_map(|_| ear.hear(&line)) {
        noise += if let Event::Noise(bytes) = &event { bytes.len() } else { 0 };
        last = Some(event);
    }
    assert_eq!(last, Some(Event::TooNoisy));
    assert!(noise <= most && noise > most - 100, "{noise}");
    assert_eq!(ear.hear(said(mark(), "MUNGE:x:").unwrap().as_bytes()), []);
}

#[test]
fn what_an_agent_says_fits_one_write() {
    let fits = said(mark(), &"x".repeat(988)).unwrap();
    assert_eq!(fits.len(), MOST_SAID);
    let error = said(mark(), &"x".repeat(989)).unwrap_err();
    assert!(matches!(error, MeetError::LongCredential { most: 988, found: 989 }), "{error}");
}

#[test]
fn an_agent_takes_its_own_line_in_whatever_pieces() {
    let lines = format!("{}{}{}", told(1, "MUNGE:a:"), told(12, "MUNGE:b:"), told(2, "MUNGE:c:"));
    for length in 1..lines.len() {
        let mut waiting = Waiting::new(2);
        let mut pieces = lines.as_bytes().chunks(length);
        let found = pieces.find_map(|piece| waiting.hear(piece).unwrap());
        assert_eq!(found.as_deref(), Some("MUNGE:c:"), "pieces of {length}");
    }
    assert_eq!(Waiting::new(3).hear(lines.as_bytes()).unwrap(), None);
}

#[test]
fn a_line_without_end_is_not_waited_for() {
    let mut waiting = Waiting::new(2);
    assert_eq!(waiting.hear(&[b'x'; MOST_LINE]).unwrap(), None);
    assert!(matches!(waiting.hear(b"x"), Err(MeetError::LongLine(MOST_LINE))));
}
