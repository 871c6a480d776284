//! A link and a small agent at the other end of its socket.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use proptest::prelude::*;
use px_runtime::job::Run;
use px_runtime::libpx::wire::{HEADER, ToProgram, decode_from_program, decode_header};
use px_runtime::records::Records;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::*;
use crate::chunk::{Chunk as HeldChunk, Ends, Home};
use crate::held::seen;
use crate::status::PX_ERR_INPUT_CHANGED;

fn welcome() -> Welcome {
    Welcome {
        version: VERSION,
        rank: 3,
        size: 8,
        local_rank: 1,
        local_size: 4,
        host: "node02".to_owned(),
        run: Run::PerRank,
        records: Records::LINES,
        talks: false,
    }
}

fn message(message: &ToProgram) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message(&mut out, message);
    out
}

fn greeting() -> Vec<u8> {
    message(&ToProgram::Welcome(Box::new(welcome())))
}

fn place(index: u64, offset: u64) -> Chunk {
    Chunk { index, offset, attempt: 1 }
}

/// A chunk by value, in parts of so many bytes.
fn by_value(index: u64, bytes: &[u8], part: usize) -> Vec<u8> {
    let length = Some(bytes.len() as u64);
    let mut out = message(&ToProgram::Begin { chunk: place(index, 0), length });
    for part in bytes.chunks(part.max(1)) {
        out.extend_from_slice(&encode_header(Kind::Bytes, index, part.len()));
        out.extend_from_slice(part);
    }
    out.extend(message(&ToProgram::End));
    out
}

fn send_with(agent: &UnixStream, bytes: &[u8], descriptor: BorrowedFd<'_>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let slices = [IoSlice::new(bytes)];
    let sent = rustix::net::sendmsg(agent, &slices, &mut control, SendFlags::NOSIGNAL);
    assert_eq!(sent, Ok(bytes.len()));
}

/// All that a program has said, after it has closed its end or so many messages.
fn heard(agent: &mut UnixStream, messages: usize) -> (Vec<FromProgram>, Vec<u8>) {
    let (mut said, mut output) = (Vec::new(), Vec::new());
    while said.len() < messages {
        let mut header = [0; HEADER];
        agent.read_exact(&mut header).unwrap();
        let header = decode_header(&header).unwrap();
        let mut payload = vec![0; header.length];
        agent.read_exact(&mut payload).unwrap();
        match header.kind {
            Kind::Message => said.push(decode_from_program(&payload).unwrap()),
            Kind::Emit => output.extend(payload),
            kind => panic!("{kind:?}"),
        }
    }
    (said, output)
}

fn open(agent_says: &[u8]) -> (UnixStream, Link) {
    let (mut agent, program) = UnixStream::pair().unwrap();
    agent.write_all(&greeting()).unwrap();
    agent.write_all(agent_says).unwrap();
    let (link, greeting) = Link::open(program.into(), Copies::Shared).unwrap();
    assert_eq!(greeting.welcome, welcome());
    (agent, link)
}

fn refused(agent_says: &[u8]) -> Fault {
    let (mut agent, program) = UnixStream::pair().unwrap();
    agent.write_all(agent_says).unwrap();
    drop(agent);
    Link::open(program.into(), Copies::Shared).err().unwrap()
}

#[test]
fn chunks_by_reference_and_by_value_come_as_they_were_dealt() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"one\ntwo\nthree\n").unwrap();
    let seen = seen(&rustix::fs::fstat(&file).unwrap());
    for copies in [Copies::Shared, Copies::Private] {
        let (agent, program) = UnixStream::pair().unwrap();
        (&agent).write_all(&greeting()).unwrap();
        send_with(&agent, &message(&ToProgram::File { file: 5, seen }), file.as_fd());
        let reference = |index, at, length| ToProgram::Reference {
            chunk: place(index, at),
            file: 5,
            at,
            length,
        };
        (&agent).write_all(&message(&reference(0, 4, 4))).unwrap();
        (&agent).write_all(&by_value(1, b"value\n", 2)).unwrap();
        (&agent).write_all(&message(&reference(2, 8, 6))).unwrap();
        (&agent).write_all(&message(&ToProgram::EndOfInput)).unwrap();
        let (link, _) = Link::open(program.into(), copies).unwrap();
        for (index, wanted) in [&b"two\n"[..], b"value\n", b"three\n"].into_iter().enumerate() {
            let arrived = link.next().unwrap().unwrap();
            assert_eq!(arrived.chunk.index, index as u64);
            assert_eq!(arrived.held.bytes(), wanted);
        }
        assert!(link.next().unwrap().is_none());
        assert!(link.next().unwrap().is_none());
    }
}

#[test]
fn what_was_taken_is_told_before_the_program_waits() {
    let (mut agent, link) = open(&by_value(0, b"one\n", 9));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let wanted = [FromProgram::Hello { version: VERSION }, FromProgram::Took { chunks: 1 }];
            assert_eq!(heard(&mut agent, 2).0, wanted);
            agent.write_all(&message(&ToProgram::EndOfInput)).unwrap();
        });
        assert!(link.next().unwrap().is_some());
        assert!(link.next().unwrap().is_none());
    });
}

#[test]
fn output_comes_before_the_release_of_its_chunk_and_all_of_it_counts() {
    let lines: Vec<u8> = (0..100_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    for part in [7, 40_000, 300_000, usize::MAX] {
        let (mut agent, link) = open(&by_value(4, b"one\n", 9));
        let link = Arc::new(link);
        let agent = std::thread::spawn(move || heard(&mut agent, 3));
        let arrived = link.next().unwrap().unwrap();
        let ends = Ends::Return;
        let mut chunk = HeldChunk::new(arrived, Records::LINES, Home::Link(link), ends);
        for part in lines.chunks(part) {
            chunk.emit(part).unwrap();
        }
        chunk.release(Released::Commit).unwrap();
        let (said, output) = agent.join().unwrap();
        assert!(output == lines);
        let emitted = lines.len() as u64;
        assert!(said.contains(&FromProgram::Took { chunks: 1 }));
        let release = FromProgram::Release { chunk: 4, how: Released::Commit, emitted };
        assert_eq!(said.last(), Some(&release));
    }
}

#[test]
fn a_chunk_of_a_file_that_was_cut_short_is_released_without_output() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'x'; 8]).unwrap();
    let seen = seen(&rustix::fs::fstat(&file).unwrap());
    let (mut agent, link) = open(&[]);
    send_with(&agent, &message(&ToProgram::File { file: 0, seen }), file.as_fd());
    for index in 0..2 {
        let reference = ToProgram::Reference { chunk: place(index, 0), file: 0, at: 0, length: 8 };
        agent.write_all(&message(&reference)).unwrap();
    }
    let link = Arc::new(link);
    let arrived = link.next().unwrap().unwrap();
    let home = Home::Link(Arc::clone(&link));
    let mut chunk = HeldChunk::new(arrived, Records::LINES, home, Ends::Return);
    chunk.emit(b"output").unwrap();
    file.set_len(0).unwrap();
    assert_eq!(chunk.release(Released::Commit).unwrap_err().status, PX_ERR_INPUT_CHANGED);
    assert_eq!(link.next().unwrap_err().status, PX_ERR_INPUT_CHANGED);
    let (said, output) = heard(&mut agent, 5);
    assert_eq!(output, b"");
    for chunk in 0..2 {
        let how = Released::InputChanged;
        assert!(said.contains(&FromProgram::Release { chunk, how, emitted: 0 }), "{said:?}");
    }
}

#[test]
fn an_agent_of_another_version_is_named_with_the_way_out() {
    let other = Welcome { version: VERSION + 1, ..welcome() };
    let fault = refused(&message(&ToProgram::Welcome(Box::new(other))));
    assert_eq!(fault.status, PX_ERR_PROTOCOL);
    let wanted = format!("pxrun speaks version {}", VERSION + 1);
    assert!(fault.text.contains(&wanted) && fault.text.contains("link the program"));
}

#[test]
fn an_agent_that_leaves_or_breaks_the_protocol_is_a_status() {
    assert!(refused(&[]).text.contains("pxrun is gone"));
    assert!(refused(&message(&ToProgram::EndOfInput)).text.contains("something else"));
    let out_of_its_world = Welcome { rank: 8, ..welcome() };
    let fault = refused(&message(&ToProgram::Welcome(Box::new(out_of_its_world))));
    assert!(fault.text.contains("rank 8 of 8"), "{}", fault.text);
    let unknown = ToProgram::Reference { chunk: place(0, 0), file: 0, at: 0, length: 1 };
    let undescribed = ToProgram::File { file: 0, seen: seen(&rustix::fs::stat("/").unwrap()) };
    for wrong in [
        greeting(),
        message(&ToProgram::End),
        message(&unknown),
        message(&undescribed),
        encode_header(Kind::Bytes, 0, 0).to_vec(),
    ] {
        let (agent, link) = open(&wrong);
        let fault = link.next().unwrap_err();
        assert!(fault.text.starts_with("pxrun said what it must not say"), "{}", fault.text);
        drop(agent);
        assert_eq!(link.next().unwrap_err(), fault);
    }
    let (agent, link) = open(&by_value(0, b"one\n", 9)[..40]);
    drop(agent);
    assert!(link.next().unwrap_err().text.contains("pxrun is gone"));
    assert_eq!(link.tell(&FromProgram::Finalize).unwrap_err().status, PX_ERR_PROTOCOL);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunks_are_the_same_in_whatever_pieces_they_come(
        chunks in proptest::collection::vec((0usize..90_000, 1usize..70_000), 0..6),
        pieces in 1usize..50_000,
    ) {
        let bytes = |index: usize, length| vec![b'a' + index as u8; length];
        let mut says = Vec::new();
        for (index, (length, part)) in chunks.iter().enumerate() {
            says.extend(by_value(index as u64, &bytes(index, *length), *part));
        }
        says.extend(message(&ToProgram::EndOfInput));
        let (mut agent, link) = open(&[]);
        let agent = std::thread::spawn(move || {
            says.chunks(pieces).for_each(|piece| agent.write_all(piece).unwrap());
            agent
        });
        for (index, (length, _)) in chunks.iter().enumerate() {
            let arrived = link.next().unwrap().unwrap();
            prop_assert_eq!(arrived.chunk.index, index as u64);
            prop_assert!(arrived.held.bytes() == bytes(index, *length));
        }
        prop_assert!(link.next().unwrap().is_none());
        agent.join().unwrap();
    }

    #[test]
    fn whatever_comes_is_a_chunk_or_a_status(says: Vec<u8>) {
        let (agent, link) = open(&says);
        drop(agent);
        let next = link.next();
        prop_assert!(next.is_err() || next.is_ok_and(|next| next.is_none()));
    }
}
