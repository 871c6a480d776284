//! Those who are not expected stay out, whatever they say and however slowly.

use super::*;

#[test]
fn the_right_peer_gets_in_among_strangers_of_every_kind() {
    let _alone = alone();
    let mut door = door_for_one();
    let _silent = connect(&door);
    let mut slow = connect(&door);
    slow.write_all(b"x").unwrap();
    let mut browser = connect(&door);
    browser
        .write_all(b"GET / HTTP/1.1\r\nHost: here\r\nAccept: */*\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut scanner = connect(&door);
    scanner.write_all(&[0x5a; 48]).unwrap();
    let mut replayer = connect(&door);
    replayer.write_all(&recorded_hello()).unwrap();
    until_strangers(&mut door, 2);
    assert!(was_sent_away(&mut browser) && was_sent_away(&mut scanner));
    gets_in(&mut door, Hello::Bare, &guest(1));
    assert_eq!(door.strangers(), 5);
}

#[test]
fn a_hello_sent_again_is_answered_but_never_lets_anybody_in() {
    let _alone = alone();
    let mut door = door_for_one();
    let hello = recorded_hello();
    let mut replayer = connect(&door);
    replayer.write_all(&hello).unwrap();
    let mut again = connect(&door);
    again.write_all(&hello).unwrap();
    until_strangers(&mut door, 1);
    assert!(was_sent_away(&mut again), "a second place for the same hello");
    let mut answer = [0; 48];
    replayer.read_exact(&mut answer).unwrap();
    let mut record = vec![32, 0];
    record.resize(34, 7);
    replayer.write_all(&record).unwrap();
    until_strangers(&mut door, 2);
    assert!(was_sent_away(&mut replayer));
    gets_in(&mut door, Hello::Bare, &guest(1));
}

#[test]
fn whoever_dribbles_is_sent_away_after_five_seconds_in_all() {
    let _alone = alone();
    let mut door = door_for_one();
    let mut poller = Poller::new().unwrap();
    poller.add(&door, Token::Control).unwrap();
    let start = Instant::now();
    let mut slow = connect(&door);
    wait(&mut poller, &[]);
    assert!(door.turn(start).unwrap().is_empty());
    assert_eq!(door.deadline(), Some(start + PATIENCE));
    for second in 0..5 {
        assert_eq!(door.strangers(), 0, "second {second}");
        slow.write_all(b"x").unwrap();
        wait(&mut poller, &[]);
        assert!(door.turn(start + Duration::from_secs(second)).unwrap().is_empty());
    }
    assert!(door.turn(start + PATIENCE).unwrap().is_empty());
    assert_eq!((door.strangers(), door.deadline()), (1, None));
    assert!(was_sent_away(&mut slow));
    gets_in(&mut door, Hello::Bare, &guest(1));
}
