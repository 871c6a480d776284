//! Messages between ranks: what C sees of them, and the agent as the way to other hosts.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use px_runtime::libpx::talk::incoming::Wanted;
use px_runtime::libpx::talk::member::{Member, Patience};
use px_runtime::libpx::talk::{Message, Talk, TalkError, Uplink};
use px_runtime::libpx::wire::{FromProgram, Welcome};

use crate::boundary::{self, Out, buffer, bytes, optional_out};
use crate::link::Link;
use crate::status::{
    Fault, PX_ERR_MEMORY, PX_ERR_MODE, PX_ERR_PEER_GONE, PX_ERR_POISONED, PX_ERR_PROTOCOL,
    PX_ERR_STATE, PX_ERR_SYSTEM, PX_ERR_TIMEOUT, PX_ERR_TRUNCATED, PX_OK,
};
use crate::world::{self, World};

/// Instead of a rank: whoever has sent something.
pub const PX_ANY_SOURCE: c_int = -1;
/// Instead of a tag: whichever the message has.
pub const PX_ANY_TAG: c_int = -1;

/// A message that was received, or that could be.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct px_message {
    /// The rank that has sent it.
    pub source: c_int,
    /// Its tag.
    pub tag: c_int,
    /// Its length in bytes.
    pub length: usize,
}

/// What this program needs to talk to other ranks.
pub struct Voice {
    talk: Talk<Agent>,
    talks: Said,
    listens: Said,
}

/// How long a rank waits at least for an answer of pxrun's, which is a matter of microseconds: one
/// that has no patience for its first message has done nothing wrong.
const AN_ANSWER: Duration = Duration::from_secs(1);

/// Something that the agent is told once.
#[derive(Default)]
struct Said {
    done: AtomicBool,
    lock: Mutex<()>,
}

impl Said {
    fn once(&self, link: &Link, message: FromProgram) -> Result<(), Fault> {
        if !self.done.load(Ordering::Acquire) {
            let _one = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.done.load(Ordering::Acquire) {
                link.tell(&message)?;
                self.done.store(true, Ordering::Release);
            }
        }
        Ok(())
    }
}

/// The agent, which passes on what is for other hosts.
struct Agent(Arc<Link>);

impl Uplink for Agent {
    fn talk(&self, to: u32, header: &[u8], bytes: &[u8]) -> io::Result<()> {
        self.0.talk(to, header, bytes).map_err(|fault| io::Error::other(fault.text))
    }

    fn drained(&self, from: u32, bytes: u64) -> io::Result<()> {
        let told = self.0.tell(&FromProgram::Drained { from, bytes });
        told.map_err(|fault| io::Error::other(fault.text))
    }
}

impl Voice {
    /// Takes this program's place in the memory that the ranks of its host share.
    ///
    /// # Errors
    /// `PX_ERR_PROTOCOL`.
    pub fn new(commons: OwnedFd, welcome: &Welcome, link: Arc<Link>) -> Result<Voice, Fault> {
        let member = Member::attach(commons, welcome.rank, welcome.size)
            .map_err(|error| Fault::new(PX_ERR_PROTOCOL, error.to_string()))?;
        let talk = Talk::new(member, Agent(link));
        Ok(Voice { talk, talks: Said::default(), listens: Said::default() })
    }

    fn link(&self) -> &Link {
        &self.talk.uplink().0
    }

    fn fault(&self, error: &TalkError) -> Fault {
        let status = match error {
            TalkError::Gone(_) => PX_ERR_PEER_GONE,
            TalkError::Over => PX_ERR_STATE,
            TalkError::Truncated(_) => PX_ERR_TRUNCATED,
            TalkError::Timeout => PX_ERR_TIMEOUT,
            TalkError::Broken => PX_ERR_POISONED,
            TalkError::Garbled(_) | TalkError::Uplink(_) => PX_ERR_PROTOCOL,
            TalkError::Memory(_) => PX_ERR_MEMORY,
            TalkError::System(_) => PX_ERR_SYSTEM,
        };
        Fault::new(status, error.to_string())
    }

    /// Has pxrun know that ranks talk, and waits until it does: else it could deal a chunk again of
    /// which something was said.
    fn may_talk(&self, patience: Patience) -> Result<(), Fault> {
        let member = self.talk.member();
        if member.is_allowed() {
            return Ok(());
        }
        self.talks.once(self.link(), FromProgram::Talks)?;
        let least = Instant::now() + AN_ANSWER;
        let patience = match patience {
            Patience::Endless => Patience::Endless,
            Patience::Until(end) => Patience::Until(end.max(least)),
            Patience::Once => Patience::Until(least),
        };
        member.wait_until_allowed(patience).map_err(|error| match error {
            TalkError::Timeout => Fault::new(
                PX_ERR_TIMEOUT,
                "pxrun has not answered yet whether ranks may talk: try again",
            ),
            error => self.fault(&error),
        })
    }

    /// Who is meant, or anybody.
    fn rank(&self, rank: c_int) -> Result<u32, Fault> {
        let size = self.talk.member().size();
        u32::try_from(rank).ok().filter(|&rank| rank < size).ok_or_else(|| {
            Fault::argument(format!("`rank` must be from 0 to {}, found {rank}", size - 1))
        })
    }

    fn wanted(&self, rank: c_int, tag: c_int) -> Result<Wanted, Fault> {
        let from = (rank != PX_ANY_SOURCE).then(|| self.rank(rank)).transpose()?;
        let tag = (tag != PX_ANY_TAG).then(|| number_of(tag)).transpose()?;
        Ok(Wanted { from, tag })
    }
}

fn number_of(tag: c_int) -> Result<u32, Fault> {
    let number = u32::try_from(tag);
    number.map_err(|_| Fault::argument(format!("`tag` must be 0 or more, found {tag}")))
}

fn patience(timeout_ms: c_int) -> Result<Patience, Fault> {
    match timeout_ms {
        -1 => Ok(Patience::Endless),
        0 => Ok(Patience::Once),
        _ => {
            let time = u64::try_from(timeout_ms).map_err(|_| {
                let text =
                    format!("`timeout_ms` must be -1 (for ever) or more, found {timeout_ms}");
                Fault::argument(text)
            })?;
            Ok(Patience::Until(Instant::now() + Duration::from_millis(time)))
        }
    }
}

fn late(timeout_ms: c_int, what: &str) -> Fault {
    Fault::new(PX_ERR_TIMEOUT, format!("{what} within {timeout_ms} ms"))
}

/// What has not come.
fn nothing(Wanted { from, tag }: Wanted) -> String {
    let from = from.map_or("any rank".to_owned(), |rank| format!("rank {rank}"));
    let tag = tag.map_or("any tag".to_owned(), |tag| format!("tag {tag}"));
    format!("no message from {from} with {tag}")
}

fn voice(world: &World) -> Result<&Voice, Fault> {
    match world.voice() {
        Some(Ok(voice)) => Ok(voice),
        Some(Err(fault)) => Err(fault.clone()),
        None => Err(Fault::new(
            PX_ERR_MODE,
            "ranks talk to each other only as long-lived copies that use libpx: start them by \
             `pxrun --contract px` without `--run per-chunk`",
        )),
    }
}

fn tell(place: Option<Out<'_, px_message>>, message: Message) {
    // Ranks and tags come as such numbers, and no buffer can be longer than one.
    let number = |number| c_int::try_from(number).unwrap_or(c_int::MAX);
    if let Some(mut place) = place {
        place.set(px_message {
            source: number(message.source),
            tag: number(message.tag),
            length: usize::try_from(message.length).unwrap_or(usize::MAX),
        });
    }
}

/// Sends a message to `rank`, which may be this program itself.
///
/// Returns as soon as the message is buffered or received, and the bytes are the caller's again:
/// 1 MiB is buffered for each pair of ranks. After that it waits for room, at most `timeout_ms`
/// milliseconds; -1 is for ever and 0 not at all. A message of any length can be sent. `tag` is 0
/// or more; messages with the same one are received in the order in which they were sent. On an
/// error the message is not received. `bytes` may be NULL where `length` is 0.
///
/// From a job's first call on no chunk is dealt again, since what was said cannot be taken back: a
/// copy that is killed, or a host that is lost, then ends the job. So the first call waits until
/// pxrun knows of it, for a second even where `timeout_ms` is less.
///
/// One thread sends at a time; others wait for it. A thread that receives is in nobody's way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_send(
    rank: c_int,
    tag: c_int,
    bytes: *const c_void,
    length: usize,
    timeout_ms: c_int,
) -> c_int {
    boundary::status(|| {
        let world = world::current()?;
        let voice = voice(&world)?;
        let (to, tag) = (voice.rank(rank)?, number_of(tag)?);
        // SAFETY: as the caller promises.
        let message = unsafe { self::bytes(bytes, length, "bytes") }?;
        let patience = patience(timeout_ms)?;
        voice.may_talk(patience)?;
        voice.talk.send(to, tag, message, patience).map_err(|error| match error {
            TalkError::Timeout => {
                late(timeout_ms, &format!("no room for {length} bytes to rank {to}"))
            }
            error => voice.fault(&error),
        })?;
        Ok(PX_OK)
    })
}

/// Receives the first message with `tag` from `rank`, or from whoever has sent one
/// (`PX_ANY_SOURCE`), or with whichever tag (`PX_ANY_TAG`).
///
/// Waits for it at most `timeout_ms` milliseconds; -1 is for ever and 0 looks once. `message`,
/// which may be NULL, says who has sent it, its tag and its length. A message that is longer than
/// `capacity` is `PX_ERR_TRUNCATED`: `message` says its length, and it can still be received. What
/// a finished or dead rank has sent can be received; after that it is `PX_ERR_PEER_GONE`, from any
/// source when all others are gone. On an error it is not said what `buffer` holds. `buffer` may be
/// NULL where `capacity` is 0.
///
/// One thread receives or probes at a time; others wait for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_recv(
    rank: c_int,
    tag: c_int,
    buffer: *mut c_void,
    capacity: usize,
    timeout_ms: c_int,
    message: *mut px_message,
) -> c_int {
    boundary::status(|| {
        let world = world::current()?;
        let voice = voice(&world)?;
        let wanted = voice.wanted(rank, tag)?;
        // SAFETY: as the caller promises.
        let buffer = unsafe { self::buffer(buffer, capacity, "buffer") }?;
        // SAFETY: as the caller promises.
        let place = unsafe { optional_out(message, "message") }?;
        let patience = patience(timeout_ms)?;
        voice.listens.once(voice.link(), FromProgram::Listens)?;
        match voice.talk.receive(wanted, buffer, patience) {
            Ok(message) => tell(place, message),
            Err(TalkError::Truncated(message)) => {
                tell(place, message);
                let Message { source, tag, length } = message;
                return Err(Fault::new(
                    PX_ERR_TRUNCATED,
                    format!(
                        "the message from rank {source} with tag {tag} has {length} bytes, and the \
                         buffer {capacity}: receive it with a larger one"
                    ),
                ));
            }
            Err(TalkError::Timeout) => return Err(late(timeout_ms, &nothing(wanted))),
            Err(error) => return Err(voice.fault(&error)),
        }
        Ok(PX_OK)
    })
}

/// Waits for the message that `px_recv` would receive with the same `rank`, `tag` and `timeout_ms`,
/// says what it is in `message`, which may be NULL, and leaves it.
///
/// It may be there in part only. One thread receives or probes at a time; others wait for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_probe(
    rank: c_int,
    tag: c_int,
    timeout_ms: c_int,
    message: *mut px_message,
) -> c_int {
    boundary::status(|| {
        let world = world::current()?;
        let voice = voice(&world)?;
        let wanted = voice.wanted(rank, tag)?;
        // SAFETY: as the caller promises.
        let place = unsafe { optional_out(message, "message") }?;
        let patience = patience(timeout_ms)?;
        voice.listens.once(voice.link(), FromProgram::Listens)?;
        let found = voice.talk.probe(wanted, patience).map_err(|error| match error {
            TalkError::Timeout => late(timeout_ms, &nothing(wanted)),
            error => voice.fault(&error),
        })?;
        tell(place, found);
        Ok(PX_OK)
    })
}
