use std::fs::File;
use std::thread;

use rustix::io::{FdFlags, fcntl_getfd};
use rustix::pipe::pipe;

use super::*;
use crate::mpiexec::desk::Desk;

fn parcel() -> Parcel {
    Parcel {
        directory: "/a".into(),
        words: vec!["-np".into(), "2".into(), "cat".into()],
        environment: vec!["A=b".into()],
    }
}

/// A desk and somebody who has come to it.
fn desk() -> (tempfile::TempDir, Desk) {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::open(&[place.path().to_owned()]).unwrap();
    (place, desk)
}

/// Two ends that have accepted each other.
fn lines() -> (Line, Line) {
    let (_place, desk) = desk();
    let there = UnixStream::connect(desk.socket()).unwrap();
    let here = desk.accept(geteuid()).unwrap().unwrap();
    (here, Line::with(there, geteuid()).unwrap())
}

#[test]
fn a_job_is_handed_over_with_its_descriptors() {
    let (place, desk) = desk();
    let socket = desk.socket().to_owned();
    // More than a socket takes at once.
    let mut large = parcel();
    large.words.push("x".repeat(2 << 20).into());
    let expected = large.clone();
    let root = thread::spawn(move || receive(&socket).unwrap());
    let mut line = loop {
        if let Some(line) = desk.accept(geteuid()).unwrap() {
            break line;
        }
    };
    let (input, feed) = pipe().unwrap();
    let (told, report) = pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    let null = null.as_fd();
    line.hand_over(&large, [input.as_fd(), null, null, null, report.as_fd()]).unwrap();
    let mut received = root.join().unwrap();
    assert_eq!(received.parcel, expected);
    // They are the very same files, and no child inherits them.
    rustix::io::write(&feed, b"to the job").unwrap();
    let mut bytes = [0; 32];
    assert_eq!(rustix::io::read(&received.streams[0], &mut bytes), Ok(10));
    rustix::io::write(&received.report, b"Z").unwrap();
    assert_eq!(rustix::io::read(&told, &mut bytes), Ok(1));
    assert_eq!(fcntl_getfd(&received.control), Ok(FdFlags::CLOEXEC));
    assert_eq!(fcntl_getfd(&received.line), Ok(FdFlags::CLOEXEC));
    assert_eq!(line.hear(), Heard::Nothing);
    thread::scope(|scope| {
        let up = scope.spawn(|| received.line.is_up());
        while line.hear() != Heard::Up {
            thread::yield_now();
        }
        assert!(!up.is_finished(), "orders are not its own yet");
        line.go().unwrap();
        up.join().unwrap().unwrap();
    });
    received.line.tell(Verdict::Status(3)).unwrap();
    assert_eq!(line.hear(), Heard::Verdict(Verdict::Status(3)));
    drop(received);
    assert_eq!(line.hear(), Heard::End);
    drop(desk);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_job_without_all_descriptors_or_with_more_is_none() {
    for count in [0, 4, 6, 40] {
        let (here, there) = lines();
        let null = File::open("/dev/null").unwrap();
        let descriptors = vec![null.as_fd(); count];
        let mut space = vec![MaybeUninit::uninit(); cmsg_space!(ScmRights(40))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if count > 0 {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let header = [MARK.as_slice(), &[0; 4]].concat();
        let parts = [IoSlice::new(&header)];
        rustix::net::sendmsg(&here.0, &parts, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        let told = receive_on(there).unwrap_err();
        let HandoverError::Descriptors(found) = told else { panic!("{told}") };
        assert!(found == count || count == 40 && found > DESCRIPTORS, "{found} of {count}");
    }
}

#[test]
fn what_is_no_job_is_refused_before_memory_is_reserved_for_it() {
    let null = File::open("/dev/null").unwrap();
    let with = |header: &[u8]| {
        let (here, there) = lines();
        let descriptors = [null.as_fd(); DESCRIPTORS];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let parts = [IoSlice::new(header)];
        rustix::net::sendmsg(&here.0, &parts, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        drop(here);
        receive_on(there).unwrap_err()
    };
    assert!(matches!(with(b"GET / HTTP/1.1"), HandoverError::Foreign));
    let long = [MARK.as_slice(), &[255; 4]].concat();
    let told = with(&long);
    assert!(matches!(told, HandoverError::Parcel(ParcelError::TooLong(0xffff_ffff))), "{told}");
    let cut = [MARK.as_slice(), &[9, 0, 0, 0], b"short"].concat();
    assert!(matches!(with(&cut), HandoverError::Line("take over the job", _)));
    assert!(matches!(with(MARK), HandoverError::Line("take over the job", _)));
}

#[test]
fn a_verdict_is_heard_as_it_was_told_and_other_bytes_are_none() {
    for verdict in [
        Verdict::Status(0),
        Verdict::Status(255),
        Verdict::Signal(Signal::INT),
        Verdict::Signal(Signal::QUIT),
    ] {
        assert_eq!(decode(encode(verdict)), Heard::Verdict(verdict));
    }
    for bytes in [[SIGNAL, 0], [SIGNAL, 200], [b'x', 0], [UP, 1]] {
        assert_eq!(decode(bytes), Heard::End);
    }
    let (mut here, there) = lines();
    (&there.0).write_all(b"?!").unwrap();
    assert_eq!(here.hear(), Heard::End);
}

#[test]
fn a_socket_that_is_gone_is_told_by_its_path() {
    let told = receive(Path::new("/nowhere/root")).unwrap_err().to_string();
    assert!(told.starts_with("cannot connect to `/nowhere/root`: No such file"), "{told}");
}
