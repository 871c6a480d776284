//! A process without a free descriptor still lets the right peer in.

use super::*;

/// Lowers the limit on descriptors, and takes all that are left.
struct NoDescriptors {
    was: Rlimit,
    taken: Vec<OwnedFd>,
}

impl NoDescriptors {
    fn take() -> Self {
        let was = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..was }).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let mut taken = vec![OwnedFd::from(null)];
        while let Ok(copy) = taken[0].as_fd().try_clone_to_owned() {
            taken.push(copy);
        }
        NoDescriptors { was, taken }
    }
}

impl Drop for NoDescriptors {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.was).unwrap();
    }
}

#[test]
fn without_a_free_descriptor_the_right_peer_still_gets_in() {
    let _alone = alone();
    let mut door = door_for_one();
    let idle: Vec<TcpStream> = (0..5).map(|_| connect(&door)).collect();
    let mut dial = dial(&door, Hello::Bare, &guest(1));
    let mut poller = Poller::new().unwrap();
    poller.add(&door, Token::Control).unwrap();
    poller.add(&dial, Token::Lifeline).unwrap();
    let full = NoDescriptors::take();
    let (inside, outside) = run_both(&mut poller, &mut door, &mut dial);
    drop(full);
    assert_eq!((inside.len(), outside.is_ok()), (1, true));
    assert_eq!(door.strangers(), idle.len() as u64);
}

#[test]
fn with_no_room_for_a_single_connection_the_door_rests_and_comes_back() {
    let _alone = alone();
    let mut door = Door::for_several(&place(), vec![guest(1), guest(2)]).unwrap();
    let mut first = dial(&door, Hello::Numbered, &guest(1));
    let mut pollers = [Poller::new().unwrap(), Poller::new().unwrap()];
    for (poller, number) in pollers.iter().zip(0..) {
        poller.add(&door, Token::Process(number)).unwrap();
    }
    pollers[0].add(&first, Token::Control).unwrap();
    let mut full = NoDescriptors::take();
    // The first takes the one descriptor there is, and the second finds none.
    let (inside, outside) = run_both(&mut pollers[0], &mut door, &mut first);
    assert_eq!((inside.len(), outside.is_ok()), (1, true));
    full.taken.truncate(full.taken.len() - 2);
    let mut second = dial(&door, Hello::Numbered, &guest(2));
    pollers[1].add(&second, Token::Control).unwrap();
    assert!(is_readable(&door));
    let now = Instant::now();
    assert!(door.turn(now).unwrap().is_empty());
    assert_eq!(door.deadline(), Some(now + Duration::from_millis(100)));
    assert!(!is_readable(&door), "woken by what it cannot accept");
    full.taken.clear();
    let (inside, outside) = run_both(&mut pollers[1], &mut door, &mut second);
    drop(full);
    assert_eq!((inside.len(), outside.is_ok()), (1, true));
}
