//! The unix socket between pxrun and MPI rank 0, which no launcher carries a byte of.
//!
//! ```text
//! pxrun    mark length, with five descriptors; then the parcel
//! rank 0   up                     all of MPI is there; left out where it fails
//! pxrun    go                     no order is read here any more: they are rank 0's
//! rank 0   verdict
//! ```
//!
//! Each end makes sure that the other belongs to the same user. The end of the socket tells each
//! that the other is gone.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use px_runtime::root::Verdict;
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{Signal, Uid, geteuid};

use super::parcel::{MOST, Parcel, ParcelError};

/// What both ends know the conversation by.
const MARK: &[u8; 8] = b"pxroot1\n";
/// Mark and length.
const HEADER: usize = 12;
/// How many descriptors are handed over.
const DESCRIPTORS: usize = 5;
/// Without a byte for so long, the other end is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// All that pxrun says after the parcel.
const GO: u8 = b'G';
/// A word of rank 0 in bytes: what it is, and a number.
const UP: u8 = b'U';
const STATUS: u8 = b'E';
const SIGNAL: u8 = b'S';

/// What went wrong with a handover.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// There is no place for the socket.
    #[error("cannot make a directory for a socket in {0}")]
    NoDirectory(String),
    /// The socket cannot be made.
    #[error("cannot listen at `{0}`: {1}")]
    Listen(PathBuf, io::Error),
    /// Nobody can be let in.
    #[error("cannot accept a connection: {0}")]
    Accept(io::Error),
    /// The socket does not answer.
    #[error("cannot connect to `{0}`: {1}")]
    Connect(PathBuf, io::Error),
    /// The other end is somebody else's.
    #[error("the other end belongs to user {found}, not to user {wanted}")]
    Stranger {
        /// Whose it is.
        found: u32,
        /// Whose it must be.
        wanted: u32,
    },
    /// What comes is nothing of ours.
    #[error("the other end does not speak as pxrun does")]
    Foreign,
    /// Descriptors are missing, or there are too many.
    #[error("{DESCRIPTORS} descriptors must come with the job, found {0}")]
    Descriptors(usize),
    /// The parcel is none.
    #[error(transparent)]
    Parcel(#[from] ParcelError),
    /// The connection fails.
    #[error("cannot {0}: {1}")]
    Line(&'static str, io::Error),
}

/// One end of the connection.
#[derive(Debug)]
pub struct Line(UnixStream);

/// What rank 0 has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing yet.
    Nothing,
    /// All of MPI is up.
    Up,
    /// How the job ended.
    Verdict(Verdict),
    /// It says no more: it is gone, or what it said is nothing of ours.
    End,
}

impl Line {
    /// Makes sure that the other end belongs to `user`.
    ///
    /// # Errors
    /// That it does not.
    pub(super) fn with(stream: UnixStream, user: Uid) -> Result<Line, HandoverError> {
        let found = socket_peercred(&stream).map_err(failed("know the other end"))?.uid;
        if found != user {
            let (found, wanted) = (found.as_raw(), user.as_raw());
            return Err(HandoverError::Stranger { found, wanted });
        }
        // What is accepted does not inherit this from its listener everywhere.
        let set = stream.set_nonblocking(false);
        set.and_then(|()| stream.set_read_timeout(Some(SILENCE)))
            .and_then(|()| stream.set_write_timeout(Some(SILENCE)))
            .map_err(|error| HandoverError::Line("prepare the connection", error))?;
        Ok(Line(stream))
    }

    /// Hands over the job: standard input, output and error, where orders come from, where reports
    /// go to.
    ///
    /// # Errors
    /// Too large a parcel; those of sending.
    pub fn hand_over(
        &mut self,
        parcel: &Parcel,
        descriptors: [BorrowedFd<'_>; DESCRIPTORS],
    ) -> Result<(), HandoverError> {
        let bytes = parcel.encode()?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let header = [MARK.as_slice(), &length].concat();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let flags = SendFlags::NOSIGNAL;
        let sent = rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.0, &[IoSlice::new(&header)], &mut ancillary, flags)
        });
        let sent = sent.map_err(failed("hand over the job"))?;
        let rest = [&header[sent..], &bytes].concat();
        self.0.write_all(&rest).map_err(|error| HandoverError::Line("hand over the job", error))
    }

    /// The next word of rank 0, without waiting for it.
    pub fn hear(&mut self) -> Heard {
        let mut bytes = [0; 2];
        let flags = RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.0, &mut bytes, flags) {
            Ok((2, _)) => decode(bytes),
            Err(Errno::AGAIN | Errno::INTR) => Heard::Nothing,
            _ => Heard::End,
        }
    }

    /// Answers that MPI is up: rank 0 may read orders and begin.
    ///
    /// # Errors
    /// That it is gone.
    pub fn go(&mut self) -> Result<(), HandoverError> {
        let written = self.0.write_all(&[GO]);
        written.map_err(|error| HandoverError::Line("let the job begin", error))
    }

    /// Says that all of MPI is up, and waits until orders are rank 0's to read.
    ///
    /// # Errors
    /// That nobody hears it any more, or the job is not to begin.
    pub fn is_up(&mut self) -> Result<(), HandoverError> {
        let failed = |error| HandoverError::Line("say that MPI is up", error);
        self.0.write_all(&[UP, 0]).map_err(failed)?;
        let mut answer = [0];
        self.0.read_exact(&mut answer).map_err(failed)?;
        if answer == [GO] { Ok(()) } else { Err(HandoverError::Foreign) }
    }

    /// Tells how the job ended, which is the last word.
    ///
    /// # Errors
    /// That nobody hears it any more.
    pub fn tell(&mut self, verdict: Verdict) -> Result<(), HandoverError> {
        let written = self.0.write_all(&encode(verdict));
        written.map_err(|error| HandoverError::Line("tell the verdict", error))
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What rank 0 is given.
#[derive(Debug)]
pub struct Received {
    /// The plan's words and where they were said.
    pub parcel: Parcel,
    /// Standard input, output and error of the user.
    pub streams: [OwnedFd; 3],
    /// Orders come from here, once MPI is up.
    pub control: OwnedFd,
    /// Reports go here.
    pub report: OwnedFd,
    /// Where to say that MPI is up, and then the verdict; its end means that pxrun's own process here is gone.
    pub line: Line,
}

/// Takes over the job at the socket that was named on the command line.
///
/// # Errors
/// That there is nobody of this user, or nothing that is a job.
pub fn receive(socket: &Path) -> Result<Received, HandoverError> {
    let stream = UnixStream::connect(socket)
        .map_err(|error| HandoverError::Connect(socket.to_owned(), error))?;
    receive_on(Line::with(stream, geteuid())?)
}

fn receive_on(mut line: Line) -> Result<Received, HandoverError> {
    let mut header = [0; HEADER];
    // One more than there may be, so that too many are seen; what more there is the kernel closes.
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS + 1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let came = rustix::io::retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(&mut header)];
        rustix::net::recvmsg(&line.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    });
    let came = came.map_err(failed("take over the job"))?;
    let cut = |error| HandoverError::Line("take over the job", error);
    line.0.read_exact(&mut header[came.bytes..]).map_err(cut)?;
    let mut descriptors = Vec::with_capacity(DESCRIPTORS + 1);
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    let Some((MARK, length)) = header.split_first_chunk() else {
        return Err(HandoverError::Foreign);
    };
    let count = descriptors.len() + usize::from(came.flags.contains(ReturnFlags::CTRUNC));
    let descriptors: [OwnedFd; DESCRIPTORS] =
        descriptors.try_into().map_err(|_| HandoverError::Descriptors(count))?;
    let length = length.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MOST {
        return Err(ParcelError::TooLong(length).into());
    }
    let mut bytes = vec![0; length];
    line.0.read_exact(&mut bytes).map_err(cut)?;
    let [stdin, stdout, stderr, control, report] = descriptors;
    let parcel = Parcel::decode(&bytes)?;
    Ok(Received { parcel, streams: [stdin, stdout, stderr], control, report, line })
}

fn failed(step: &'static str) -> impl Fn(Errno) -> HandoverError {
    move |errno| HandoverError::Line(step, errno.into())
}

fn encode(verdict: Verdict) -> [u8; 2] {
    match verdict {
        Verdict::Status(status) => [STATUS, status],
        // No signal has a number that needs more.
        Verdict::Signal(signal) => [SIGNAL, u8::try_from(signal.as_raw()).unwrap_or(0)],
    }
}

fn decode(bytes: [u8; 2]) -> Heard {
    match bytes {
        [UP, 0] => Heard::Up,
        [STATUS, status] => Heard::Verdict(Verdict::Status(status)),
        [SIGNAL, signal] => Signal::from_named_raw(signal.into())
            .map_or(Heard::End, |signal| Heard::Verdict(Verdict::Signal(signal))),
        _ => Heard::End,
    }
}

#[cfg(test)]
mod tests;
