//! A helper that runs a job: told what to do, listened to until it is gone.

use std::ffi::c_int;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use px_runtime::libpx::helper::{Account, HelperError, Request, decode, decode_header, encode};
use px_runtime::sys::fd::{above_standard, pipe, set_nonblocking, socketpair};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::said::Said;
use super::start::start;
use crate::socket::Socket;
use crate::status::{Fault, PX_ERR_HELPER};

/// Read at once, in bytes.
const PIECE: usize = 256 << 10;
/// Reads of what is left at the end: more than any pipe holds, though somebody may write on.
const LAST_READS: usize = 64;
/// Most bytes of an account.
const LONGEST_ACCOUNT: usize = 256;

/// Where something that a job gives goes.
pub enum Way<'a> {
    /// Nowhere.
    Nowhere,
    /// Into a descriptor.
    Descriptor(BorrowedFd<'a>),
    /// To this process: output to the taker of [`Helper::serve`], words into [`Ended::said`].
    Here,
}

/// Takes output; an answer that is not zero ends the job.
pub type Taker<'a> = dyn FnMut(&[u8]) -> c_int + 'a;

/// How a job ended.
pub struct Ended {
    /// What the helper said last; `None` where it is gone without a word.
    pub account: Option<Account>,
    /// What was said while the job went on.
    pub said: String,
    /// What the taker answered that wanted no more.
    pub declined: Option<c_int>,
}

/// A helper that runs. When it is dropped its job ends.
pub struct Helper {
    path: PathBuf,
    line: Socket,
    output: Option<OwnedFd>,
    words: Option<OwnedFd>,
    heard: Vec<u8>,
    said: Said,
    declined: Option<c_int>,
    piece: Vec<u8>,
}

impl Helper {
    /// Starts the program at `path` and tells it its job, with the other ends of its guests' sockets.
    ///
    /// # Errors
    /// `PX_ERR_HELPER`, `PX_ERR_SYSTEM`; `PX_ERR_ARGUMENT` for a job of too many words.
    pub fn start(
        path: PathBuf,
        request: &Request,
        output: &Way<'_>,
        words: &Way<'_>,
        guests: &[OwnedFd],
    ) -> Result<Helper, Fault> {
        let bytes = encode(request).map_err(|error| Fault::argument(error.to_string()))?;
        let system = |errno| Fault::system("connect to a helper", errno);
        let (line, theirs) = connection().map_err(system)?;
        let (output, out) = ends(output).map_err(system)?;
        let (words, err) = ends(words).map_err(system)?;
        let (out, err) = (out.as_ref().map(End::fd), err.as_ref().map(End::fd));
        start(&path, out, err, theirs.as_fd(), guests)?;
        let (heard, said, declined) = (Vec::new(), Said::default(), None);
        let piece = vec![0; PIECE];
        let helper =
            Helper { path, line: line.into(), output, words, heard, said, declined, piece };
        helper.tell(&bytes);
        Ok(helper)
    }

    /// Says all of `bytes`, unless nobody hears it: then the end of the line tells.
    fn tell(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::net::send(&self.line, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// What to wait for: one of them is readable when there is something to serve.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let more = self.output.iter().chain(&self.words);
        std::iter::once(self.line.as_fd()).chain(more.map(AsFd::as_fd))
    }

    /// Takes what is there now, without waiting; says whether the job is over.
    ///
    /// # Errors
    /// `PX_ERR_HELPER` where what the helper says is nothing of ours, `PX_ERR_SYSTEM`.
    pub fn serve(&mut self, taker: &mut Taker<'_>) -> Result<bool, Fault> {
        // First of all: what was written before the end is there then.
        let over = self.listen()?;
        let reads = if over { LAST_READS } else { 1 };
        let said = &mut self.said;
        take(&mut self.words, &mut self.piece, reads, |bytes| {
            said.hear(bytes);
            true
        })
        .map_err(|errno| Fault::system("hear what a job says", errno))?;
        let declined = &mut self.declined;
        take(&mut self.output, &mut self.piece, reads, |bytes| {
            let answer = taker(bytes);
            if answer != 0 {
                *declined = Some(answer);
            }
            answer == 0
        })
        .map_err(|errno| Fault::system("take the output of a job", errno))?;
        Ok(over)
    }

    /// Hears the last word; says whether the helper is gone.
    fn listen(&mut self) -> Result<bool, Fault> {
        let mut bytes = [0; LONGEST_ACCOUNT];
        loop {
            match rustix::net::recv(&self.line, &mut bytes, RecvFlags::DONTWAIT) {
                // One that did not hear all that it was told, for it cannot have run, resets.
                Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(true),
                Ok((count, _)) => self.heard.extend_from_slice(&bytes[..count]),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Fault::system("hear of a job", errno)),
            }
            if self.heard.len() > LONGEST_ACCOUNT {
                return Err(foreign(&self.path, &HelperError::Unreadable));
            }
        }
    }

    /// Says how it ended, once [`serve`](Self::serve) has said that it is over.
    ///
    /// # Errors
    /// `PX_ERR_HELPER` where what the helper said is nothing of ours.
    pub fn end(self) -> Result<Ended, Fault> {
        let Helper { path, heard, said, declined, .. } = self;
        let account = match heard.split_first_chunk() {
            None => None,
            Some((header, rest)) => {
                decode_header(header).map_err(|error| foreign(&path, &error))?;
                Some(decode(rest).map_err(|error| foreign(&path, &error))?)
            }
        };
        Ok(Ended { account, said: said.text(), declined })
    }

    /// Which program it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn foreign(path: &Path, error: &HelperError) -> Fault {
    let text = format!(
        "`{}` answers as no helper does: {error}; set PX_HELPER to the `pxrun` of this version",
        path.display()
    );
    Fault::new(PX_ERR_HELPER, text)
}

/// Reads from a pipe, if there is one, up to `reads` times what is there; closes it at its end, or
/// when `each` wants no more.
fn take(
    pipe: &mut Option<OwnedFd>,
    piece: &mut [u8],
    reads: usize,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Result<(), Errno> {
    for _ in 0..reads {
        let Some(fd) = pipe else { return Ok(()) };
        match rustix::io::read(fd, &mut *piece) {
            Ok(count) if count > 0 && each(&piece[..count]) => {}
            Ok(_) => *pipe = None,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The two ends of a socket that no child inherits; what this process has for its standard streams
/// stays what it is, even where it has closed some.
pub fn connection() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (one, other) = socketpair()?;
    Ok((above_standard(one)?, above_standard(other)?))
}

/// What the helper gets.
enum End<'a> {
    Own(OwnedFd),
    Others(BorrowedFd<'a>),
}

impl End<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            End::Own(fd) => fd.as_fd(),
            End::Others(fd) => *fd,
        }
    }
}

/// What this process reads from, and what the helper gets.
fn ends<'a>(way: &Way<'a>) -> Result<(Option<OwnedFd>, Option<End<'a>>), Errno> {
    match *way {
        Way::Nowhere => Ok((None, None)),
        Way::Descriptor(fd) => Ok((None, Some(End::Others(fd)))),
        Way::Here => {
            let (read, write) = pipe()?;
            let (read, write) = (above_standard(read)?, above_standard(write)?);
            set_nonblocking(&read)?;
            Ok((Some(read), Some(End::Own(write))))
        }
    }
}
