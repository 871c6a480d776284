//! Meeting over srun's stdin and stdout: the agent's side, with its I/O, and what the root makes
//! of a credential.

use std::os::fd::AsFd;
use std::time::Instant;

use px_runtime::sys::munge::Munge;
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::ssh::mark::Mark;

use super::roll::must_be;
use super::stdio::{Waiting, said, told};
use super::wait::until_ready;
use super::{Card, MeetError};

/// (agent) Says its card on `output` and waits on `input` for the root's.
///
/// # Errors
/// The root's card did not come until the deadline, is another's, or munge refuses it.
pub fn meet(
    munge: &Munge,
    mark: Mark,
    card: &Card,
    (input, output): (impl AsFd, impl AsFd),
    deadline: Instant,
) -> Result<Card, MeetError> {
    let words = said(mark, &seal(munge, card)?)?;
    // Not in pieces, which srun could mix with those of others: a pipe takes so little at once.
    match rustix::io::retry_on_intr(|| rustix::io::write(&output, words.as_bytes())) {
        Ok(written) if written == words.len() => {}
        Ok(_) => return Err(MeetError::Stdio("write to", Errno::IO)),
        Err(error) => return Err(MeetError::Stdio("write to", error)),
    }
    let broken = |error| MeetError::Stdio("read from", error);
    let mut waiting = Waiting::new(card.task);
    loop {
        if !until_ready(&input, PollFlags::IN, deadline).map_err(broken)? {
            return Err(MeetError::NoRoot);
        }
        let mut piece = [0; 4 << 10];
        let length = match rustix::io::read(&input, &mut piece[..]) {
            Ok(0) => return Err(MeetError::StdinEnded),
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(error) => return Err(broken(error)),
        };
        if let Some(credential) = waiting.hear(&piece[..length])? {
            return must_be(open(munge, &credential)?, &card.job, 0);
        }
    }
}

/// (root) Opens an agent's credential, for the [roll](super::roll::Roll).
///
/// # Errors
/// Munge refuses it, it is another user's, or holds no card.
pub fn open(munge: &Munge, credential: &str) -> Result<Card, MeetError> {
    let payload = munge.open_credential(credential)?;
    Card::decode(&payload)
        .map_err(|source| MeetError::Card { whose: "a process of this job".to_owned(), source })
}

/// (root) The line to write to `srun` for the agent that is `task`.
///
/// # Errors
/// The card cannot be written, or munge makes no credential.
pub fn line_to(munge: &Munge, card: &Card, task: u32) -> Result<String, MeetError> {
    Ok(told(task, &seal(munge, card)?))
}

fn seal(munge: &Munge, card: &Card) -> Result<String, MeetError> {
    let text = card.encode().map_err(|source| MeetError::card(card.task, source))?;
    Ok(munge.seal(text.as_bytes())?)
}
