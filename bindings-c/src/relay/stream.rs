//! A stream socket whose other end is, so to speak, on another rank.
//!
//! What comes out of the socket goes there, what comes from there goes into the socket; the end of
//! either direction is passed on by itself. Nothing here waits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use px_runtime::sys;

use super::post::Post;
use super::window::{Breach, Inward, Outward};
use super::words::Said;
use crate::socket::Socket;
use crate::status::Fault;

/// One socket and the stream to the rank with its other end.
pub struct Stream {
    peer: usize,
    socket: Socket,
    outward: Outward,
    inward: Inward,
    /// Whether the socket's own end may still say something.
    reads: bool,
    writes: Writes,
}

/// What becomes of bytes from the other rank.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// They are written.
    Yes,
    /// Those held are the last.
    Last,
    /// They are thrown away: nobody reads them.
    No,
}

impl Stream {
    /// Begins to relay between `socket` and `peer`.
    pub fn new(peer: usize, socket: OwnedFd) -> Self {
        let (outward, inward) = (Outward::default(), Inward::default());
        Stream { peer, socket: socket.into(), outward, inward, reads: true, writes: Writes::Yes }
    }

    /// Takes bytes that have come.
    ///
    /// # Errors
    /// [`Breach::Bytes`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        let written = match self.inward.next() {
            [] => write(&self.socket, &mut self.writes, bytes),
            _ => 0,
        };
        self.inward.came(bytes.len(), &bytes[written..])
    }

    /// Takes credit that has come.
    ///
    /// # Errors
    /// [`Breach::Credit`].
    pub fn credit(&mut self, bytes: u32) -> Result<(), Breach> {
        self.outward.granted(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Notes that no further bytes come.
    pub fn close(&mut self) {
        if self.writes == Writes::Yes {
            self.writes = Writes::Last;
        }
        self.close_written();
    }

    /// What is worth to be waited for.
    fn interest(&self, post: &Post<'_>) -> PollFlags {
        let mut interest = PollFlags::empty();
        if self.reads && self.outward.room() > 0 && post.is_clear(self.peer) {
            interest |= PollFlags::IN;
        }
        if !self.inward.next().is_empty() {
            interest |= PollFlags::OUT;
        }
        interest
    }

    /// Does what can be done now; returns whether that was anything.
    fn serve(&mut self, ready: PollFlags, post: &mut Post<'_>) -> Result<bool, Fault> {
        let mut moved = false;
        if ready.intersects(PollFlags::OUT | PollFlags::HUP | PollFlags::ERR) {
            moved |= self.write_held();
        }
        if self.reads && !ready.is_empty() && self.interest(post).contains(PollFlags::IN) {
            moved |= self.read(post)?;
        }
        if post.is_clear(self.peer)
            && let Some(bytes) = self.inward.owed()
        {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            post.say(self.peer, Said::Credit { bytes })?;
            moved = true;
        }
        Ok(moved)
    }

    fn read(&mut self, post: &mut Post<'_>) -> Result<bool, Fault> {
        let socket = &self.socket;
        let read = post.send_bytes(self.peer, self.outward.room(), |buffer| {
            rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT).map(|(bytes, _)| bytes)
        })?;
        match read {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            // One that left with bytes unread has said all that it will, too.
            Ok(0) | Err(_) => {
                self.reads = false;
                post.say(self.peer, Said::Close)?;
            }
            Ok(bytes) => self.outward.sent(bytes),
        }
        Ok(true)
    }

    fn write_held(&mut self) -> bool {
        let mut any = false;
        loop {
            let written = write(&self.socket, &mut self.writes, self.inward.next());
            if written == 0 {
                break;
            }
            self.inward.left(written);
            any = true;
        }
        self.close_written();
        any
    }

    fn close_written(&mut self) {
        if self.writes == Writes::Last && self.inward.next().is_empty() {
            self.writes = Writes::No;
            // Fails where nobody is there any more.
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
        }
    }
}

/// Writes what the socket takes; what nobody reads counts as written.
fn write(socket: &OwnedFd, writes: &mut Writes, bytes: &[u8]) -> usize {
    if *writes == Writes::No || bytes.is_empty() {
        return bytes.len();
    }
    match rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(written) => written,
        Err(Errno::AGAIN | Errno::INTR) => 0,
        Err(_) => {
            *writes = Writes::No;
            bytes.len()
        }
    }
}

/// Waits until a socket of `streams` or of `others` has something, or `pause` is over, and passes
/// on what is there. Returns whether anything was.
///
/// # Errors
/// Those of the transport; `PX_ERR_SYSTEM`.
pub fn turn(
    streams: &mut [Stream],
    post: &mut Post<'_>,
    others: &[BorrowedFd<'_>],
    pause: Duration,
) -> Result<bool, Fault> {
    let ready = wait(streams, post, others, pause)?;
    let mut moved = post.push()?;
    for (stream, ready) in streams.iter_mut().zip(ready) {
        moved |= stream.serve(ready, post)?;
    }
    Ok(moved)
}

fn wait(
    streams: &[Stream],
    post: &Post<'_>,
    others: &[BorrowedFd<'_>],
    pause: Duration,
) -> Result<Vec<PollFlags>, Fault> {
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(streams.len() + others.len());
    let mut asked = Vec::with_capacity(streams.len());
    for stream in streams {
        let interest = stream.interest(post);
        // One that is not asked anything would still tell again and again that its end is gone.
        asked.push((!interest.is_empty()).then_some(fds.len()));
        if !interest.is_empty() {
            fds.push(PollFd::from_borrowed_fd(stream.socket.as_fd(), interest));
        }
    }
    fds.extend(others.iter().map(|&fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    match rustix::event::poll(&mut fds, Some(&sys::timespec(pause))) {
        Ok(_) => {}
        // A signal of the program's own: nothing is known of any.
        Err(Errno::INTR) => return Ok(vec![PollFlags::empty(); streams.len()]),
        Err(errno) => return Err(Fault::system("wait for the guests' sockets", errno)),
    }
    let ready = |place: Option<usize>| place.map_or(PollFlags::empty(), |at| fds[at].revents());
    Ok(asked.into_iter().map(ready).collect())
}
