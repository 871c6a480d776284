//! Those who are expected get in, once each, at the address that the door was given.

use super::*;

#[test]
fn the_right_peer_gets_in_and_the_door_closes_behind_it() {
    let _alone = alone();
    let mut door = door_for_one();
    let address = door.local_addr();
    gets_in(&mut door, Hello::Bare, &guest(1));
    assert_eq!((door.missing().count(), door.strangers(), door.deadline()), (0, 0, None));
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn several_agents_get_in_each_with_its_own_key_and_only_once() {
    let _alone = alone();
    let mut door = Door::for_several(&place(), vec![guest(3), guest(1), guest(2)]).unwrap();
    gets_in(&mut door, Hello::Numbered, &guest(2));
    assert!(door.missing().eq([1, 3]));
    for stranger in [guest(2), guest_with(3, 1), guest(4)] {
        let mut dial = dial(&door, Hello::Numbered, &stranger);
        let (inside, outside) = meet(&mut door, &mut dial);
        assert!(inside.is_empty());
        let Err(DialError::Closed { address }) = outside else { panic!("let in") };
        assert_eq!(address, door.local_addr());
    }
    assert_eq!(door.strangers(), 3);
    gets_in(&mut door, Hello::Numbered, &guest(3));
    gets_in(&mut door, Hello::Numbered, &guest(1));
    assert_eq!(door.missing().count(), 0);
}

#[test]
fn of_two_that_prove_to_be_the_same_agent_one_gets_in() {
    let _alone = alone();
    let mut door = Door::for_several(&place(), vec![guest(1), guest(2)]).unwrap();
    let mut first = dial(&door, Hello::Numbered, &guest(1));
    let mut second = dial(&door, Hello::Numbered, &guest(1));
    let mut poller = Poller::new().unwrap();
    poller.add(&door, Token::Control).unwrap();
    poller.add(&first, Token::Process(1)).unwrap();
    poller.add(&second, Token::Process(2)).unwrap();
    let (mut inside, mut ends, until) = (0, [None, None], Instant::now() + BOUND);
    loop {
        assert!(Instant::now() < until);
        inside += door.turn(Instant::now()).unwrap().len();
        for (dial, end) in [&mut first, &mut second].into_iter().zip(&mut ends) {
            match dial.turn(Instant::now()) {
                Ok(None) => {}
                Ok(Some(_)) => *end = Some(true),
                Err(_) => *end = Some(false),
            }
        }
        if ends.iter().all(Option::is_some) {
            break;
        }
        wait(&mut poller, &[door.deadline(), first.deadline(), second.deadline()]);
    }
    ends.sort_unstable();
    assert_eq!((ends, inside), ([Some(false), Some(true)], 1));
}

#[test]
fn a_door_is_at_one_address_and_at_a_free_port_of_those_allowed() {
    let _alone = alone();
    for all in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
        let everywhere = Place { address: all.parse().unwrap(), ..place() };
        let error = Door::for_one(&everywhere, guest(1)).err().unwrap();
        assert!(matches!(error, DoorError::Wildcard { .. }), "{error}");
    }
    let taken = TcpListener::bind((HOME, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let only_that = Place { ports: Some(port..=port), ..place() };
    let error = Door::for_one(&only_that, guest(1)).err().unwrap().to_string();
    assert_eq!(
        error,
        format!("cannot listen on `127.0.0.1`: ports {port} to {port} are all in use")
    );
    let some = Place { ports: Some(port..=port + 50), ..place() };
    let mut door = Door::for_one(&some, guest(1)).unwrap();
    assert!((port + 1..=port + 50).contains(&door.local_addr().port()));
    gets_in(&mut door, Hello::Bare, &guest(1));
    let elsewhere = Place { address: "192.0.2.1".parse().unwrap(), ..place() };
    let error = Door::for_one(&elsewhere, guest(1)).err().unwrap().to_string();
    assert!(error.starts_with("cannot listen on `192.0.2.1:0`: "), "{error}");
}

#[test]
fn a_door_works_over_ipv6_where_there_is_any() {
    let _alone = alone();
    let address = "::1".parse().unwrap();
    if TcpListener::bind((address, 0)).is_err() {
        return;
    }
    let mut door = Door::for_one(&Place { address, ..place() }, guest(1)).unwrap();
    gets_in(&mut door, Hello::Bare, &guest(1));
}
