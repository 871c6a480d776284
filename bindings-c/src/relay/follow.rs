//! A rank other than 0: relays its guest, and ends with the outcome that rank 0 tells.

use std::time::Duration;

use super::pace::Pace;
use super::post::Post;
use super::stream::{self, Stream};
use super::window::Breach;
use super::words::{Said, VERSION, Word};
use super::{AT_ONCE, breach};
use crate::job::Outcome;
use crate::status::Fault;

/// Takes part in a job until rank 0 says that it is over. `found` is what is wrong here already;
/// `stream` is the guest's, where there is one.
///
/// # Errors
/// Those of the transport, and `PX_ERR_PROTOCOL`: rank 0 cannot be understood.
pub fn follow(
    post: &mut Post<'_>,
    found: Option<Fault>,
    stream: Option<Stream>,
) -> Result<Outcome, Fault> {
    let mut streams: Vec<Stream> = stream.into_iter().collect();
    post.say(0, Said::Hello { version: VERSION, found })?;
    let (mut pace, mut pause) = (Pace::default(), Duration::ZERO);
    let outcome = 'over: loop {
        let mut moved = stream::turn(&mut streams, post, &[], pause)?;
        for _ in 0..AT_ONCE {
            let Some((from, word)) = post.receive()? else { break };
            moved = true;
            match (from, word) {
                (0, Word::Said(Said::Outcome(outcome))) => break 'over outcome,
                (0, word) => {
                    let Err(what) = heard(streams.first_mut(), word) else { continue };
                    streams.clear();
                    post.say(0, Said::Failed(breach(0, what)))?;
                }
                (from, _) => return Err(breach(from, "it is not rank 0")),
            }
        }
        let on_its_way = !post.is_flushed()?;
        pause = pace.after(moved, on_its_way);
    };
    drop(streams);
    post.say(0, Said::Left)?;
    while !post.is_flushed()? {
        let moved = post.push()?;
        std::thread::sleep(pace.after(moved, true));
    }
    Ok(outcome)
}

/// Takes a word of the other end's for the stream. One for a stream that has failed means nothing.
pub(super) fn heard(stream: Option<&mut Stream>, word: Word<'_>) -> Result<(), String> {
    let told = |breach: Breach| breach.to_string();
    match (word, stream) {
        (Word::Said(Said::Credit { .. } | Said::Close) | Word::Bytes(_), None) => Ok(()),
        (Word::Bytes(bytes), Some(stream)) => stream.bytes(bytes).map_err(told),
        (Word::Said(Said::Credit { bytes }), Some(stream)) => stream.credit(bytes).map_err(told),
        (Word::Said(Said::Close), Some(stream)) => {
            stream.close();
            Ok(())
        }
        (Word::Said(said), _) => Err(format!("it said {said:?} when that could not be")),
    }
}
