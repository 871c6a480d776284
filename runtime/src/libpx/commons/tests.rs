use super::*;

fn word(word: &std::sync::atomic::AtomicU64) -> u64 {
    word.load(Ordering::SeqCst)
}

/// Ranks 2 and 5 of eight.
fn two_of_eight() -> (Commons, Front) {
    let (commons, file) = Commons::create(8, &[2, 5], 2).unwrap();
    let front = Front::map(file, Layout::new(8, 2).unwrap()).unwrap();
    (commons, front)
}

fn content(commons: &Commons, local: u32, from: u32) -> Vec<u8> {
    let mut bytes = vec![0; RING as usize];
    let at = commons.front.layout().ring(local, from);
    assert_eq!(rustix::io::pread(&commons.file, &mut bytes, at), Ok(bytes.len()));
    bytes
}

#[test]
fn the_commons_cost_only_what_was_written() {
    let (commons, _) = two_of_eight();
    let stat = rustix::fs::fstat(&commons.file).unwrap();
    assert!(stat.st_size.unsigned_abs() >= 16 * RING);
    assert!(stat.st_blocks * 512 <= 64 << 10, "{} blocks", stat.st_blocks);
}

#[test]
fn nobody_can_make_the_commons_shorter() {
    let (_, file) = Commons::create(8, &[2, 5], 2).unwrap();
    assert_eq!(rustix::fs::ftruncate(&file, 4096), Err(Errno::PERM));
}

#[test]
fn what_is_deposited_goes_round_the_ring() {
    let (mut commons, front) = two_of_eight();
    let long = vec![7; RING as usize - 1];
    commons.deposit(1, 0, &long).unwrap();
    assert_eq!(word(&front.ring(1, 0).written.count), RING - 1);
    let full = CommonsError::Full { from: 0, length: 2, used: RING - 1 };
    assert_eq!(commons.deposit(1, 0, b"ab"), Err(full));
    front.ring(1, 0).read.count.store(1, Ordering::SeqCst);
    commons.deposit(1, 0, b"ab").unwrap();
    let bytes = content(&commons, 1, 0);
    assert_eq!((bytes[0], bytes[1], bytes[RING as usize - 1]), (b'b', 7, b'a'));
    assert_eq!(word(&front.news(1)[0]), 1);
    assert_eq!(word(&front.news(0)[0]), 0);
    assert!(content(&commons, 1, 1).iter().all(|&byte| byte == 0));
}

#[test]
fn counters_that_were_spoilt_are_an_error_and_nothing_else() {
    let (mut commons, front) = two_of_eight();
    for nonsense in [1, RING, u64::MAX, u64::MAX / 2] {
        front.ring(0, 7).read.count.store(nonsense, Ordering::SeqCst);
        let result = commons.deposit(0, 7, b"abc");
        assert!(matches!(result, Err(CommonsError::Full { .. })) || nonsense == u64::MAX);
    }
    front.peers()[3].local.store(77, Ordering::SeqCst);
    let waits = &front.mailbox(0).sending;
    waits.peer.store(3, Ordering::SeqCst);
    waits.since.store(1, Ordering::SeqCst);
    assert_eq!(commons.blocked().len(), 1);
    waits.peer.store(1 << 30, Ordering::SeqCst);
    assert_eq!(commons.blocked(), []);
}

#[test]
fn ranks_that_do_not_exist_are_refused() {
    let (mut commons, _) = two_of_eight();
    assert_eq!(commons.deposit(2, 0, b"a"), Err(CommonsError::Rank { rank: 2 }));
    assert_eq!(commons.deposit(0, 8, b"a"), Err(CommonsError::Rank { rank: 8 }));
    assert_eq!(commons.drained(0, 9, 1), Err(CommonsError::Rank { rank: 9 }));
    commons.begun(2);
    commons.gone(8);
    let layout = |here| CommonsError::Layout { world: 4, here };
    assert_eq!(Commons::create(4, &[], 1).unwrap_err(), layout(0));
    assert_eq!(Commons::create(4, &[1, 4], 1).unwrap_err(), layout(2));
}

#[test]
fn who_is_gone_stays_gone() {
    let (commons, front) = two_of_eight();
    assert!(!front.is_gone(5));
    commons.begun(1);
    assert_eq!(front.peers()[5].state.load(Ordering::SeqCst), RUNNING);
    commons.gone(5);
    commons.gone(5);
    commons.begun(1);
    commons.gone(0);
    assert!(front.is_gone(5) && front.is_gone(0) && !front.is_gone(2));
    assert_eq!(front.head().gone.load(Ordering::SeqCst), 2);
}

#[test]
fn ranks_look_before_they_sleep_only_where_each_has_a_core() {
    let (_, front) = two_of_eight();
    let alone = Commons::create(8, &[1], 1).unwrap().0;
    let crowded = Commons::create(8, &[1], 1 << 20).unwrap().0;
    assert_eq!(word(&alone.front.head().spin), SPIN.as_nanos() as u64);
    assert_eq!(word(&crowded.front.head().spin), 0);
    assert!(front.head().here.load(Ordering::SeqCst) == 2);
}

#[test]
fn who_was_called_is_not_blocked() {
    let (mut commons, front) = two_of_eight();
    let waits = |waits: &Blocking, peer, seen, since| {
        waits.peer.store(peer, Ordering::SeqCst);
        waits.tag.store(4, Ordering::SeqCst);
        waits.seen.store(seen, Ordering::SeqCst);
        waits.since.store(since, Ordering::SeqCst);
    };
    let mailbox = front.mailbox(0);
    assert_eq!(commons.blocked(), []);

    waits(&mailbox.receiving, ANY, 0, 9);
    let since = Duration::from_nanos(9);
    let any = Blocked { rank: 2, sending: false, on: None, tag: Some(4), since, timed: false };
    assert_eq!(commons.blocked(), [any]);
    waits(&mailbox.receiving, 7, 0, 9);
    assert_eq!(commons.blocked(), [Blocked { on: Some(7), ..any }]);
    commons.deposit(0, 7, b"x").unwrap();
    assert_eq!(commons.blocked(), []);
    waits(&mailbox.receiving, ANY, 0, 9);
    assert_eq!(commons.blocked(), []);

    waits(&mailbox.receiving, ANY, 0, 0);
    waits(&mailbox.sending, 6, 0, 9);
    assert_eq!(commons.blocked(), [Blocked { on: Some(6), sending: true, ..any }]);
    commons.drained(0, 6, 100).unwrap();
    assert_eq!(commons.blocked(), []);
    waits(&mailbox.sending, 5, 0, 9);
    assert_eq!(commons.blocked().len(), 1);
    front.ring(1, 2).read.count.store(50, Ordering::SeqCst);
    assert_eq!(commons.blocked(), []);
}
