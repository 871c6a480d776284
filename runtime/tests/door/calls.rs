//! A call that comes to nothing ends, and says why.

use super::*;

/// How a call to somebody who is no door ends.
fn call_ends(address: SocketAddr, answer: impl FnOnce(&mut TcpStream)) -> DialError {
    let listener = TcpListener::bind(address).unwrap();
    let call = call(listener.local_addr().unwrap(), Hello::Bare);
    let mut dial = Dial::start(&call, &guest(1), Instant::now()).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&dial, Token::Control).unwrap();
    wait(&mut poller, &[]);
    assert!(dial.turn(Instant::now()).unwrap().is_none());
    stream.read_exact(&mut [0; 48]).unwrap();
    answer(&mut stream);
    drop(stream);
    loop {
        wait(&mut poller, &[dial.deadline()]);
        match dial.turn(Instant::now()) {
            Ok(None) => {}
            Ok(Some(_)) => panic!("let in by nobody"),
            Err(error) => return error,
        }
    }
}

#[test]
fn a_call_that_fails_says_why() {
    let _alone = alone();
    let anywhere = SocketAddr::new(HOME, 0);
    let closed = call_ends(anywhere, |_| {});
    assert!(matches!(closed, DialError::Closed { .. }), "{closed}");
    let impostor = call_ends(anywhere, |stream| stream.write_all(&[9; 48]).unwrap());
    assert!(matches!(impostor, DialError::Unproven { .. }), "{impostor}");

    let gone = TcpListener::bind(anywhere).unwrap().local_addr().unwrap();
    let mut poller = Poller::new().unwrap();
    let refused = match Dial::start(&call(gone, Hello::Bare), &guest(1), Instant::now()) {
        Err(error) => error,
        Ok(mut dial) => {
            poller.add(&dial, Token::Control).unwrap();
            wait(&mut poller, &[]);
            dial.turn(Instant::now()).err().unwrap()
        }
    };
    let refused = refused.to_string().to_lowercase();
    assert!(refused.starts_with(&format!("cannot connect to `{gone}`: connection refused")));
}

#[test]
fn a_call_ends_when_its_patience_does() {
    let _alone = alone();
    let listener = TcpListener::bind((HOME, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let now = Instant::now();
    let mut dial = Dial::start(&call(address, Hello::Bare), &guest(1), now).unwrap();
    assert_eq!(dial.deadline(), Some(now + PATIENCE));
    let mut poller = Poller::new().unwrap();
    poller.add(&dial, Token::Control).unwrap();
    wait(&mut poller, &[]);
    assert!(dial.turn(now + PATIENCE - Duration::from_millis(1)).unwrap().is_none());
    let error = dial.turn(now + PATIENCE).err().unwrap();
    assert_eq!(error.to_string(), format!("timed out: `{address}` did not answer within 5 s"));
    assert_eq!(dial.deadline(), None);
}
