//! The world that this program is part of: who it is, and where its chunks come from.

use std::ffi::{CString, c_char, c_int, c_uint};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use px_runtime::libpx::wire::{FromProgram, WHY};
use px_runtime::records::Records;
use px_runtime::sys::{fd, process};
use rustix::io::Errno;

use crate::alone::{self, Alone};
use crate::boundary::{self, optional_text};
use crate::chunk::{Home, PX_CHUNKS_MAX};
use crate::link::{Copies, Greeting, Link};
use crate::status::{
    self, Fault, PX_ERR_HELD, PX_ERR_NOT_FED, PX_ERR_PROTOCOL, PX_ERR_STATE, PX_OK,
};
use crate::surroundings::{self, Place, Surroundings};
use crate::talk::Voice;

/// First number of the version of libpx that a program was compiled with.
pub const PX_VERSION_MAJOR: c_int = 0;
/// Second number of that version.
pub const PX_VERSION_MINOR: c_int = 1;
/// Third number of that version.
pub const PX_VERSION_PATCH: c_int = 0;
/// A flag of px_init: chunks are copies of their own, which nobody can cut short.
pub const PX_INIT_PRIVATE: c_uint = 1;

/// What is between `px_init` and `px_finalize`.
pub struct World {
    place: Place,
    feed: Feed,
    records: Records,
    voice: Option<Result<Voice, Fault>>,
    held: Arc<AtomicI32>,
}

enum Feed {
    From(Home),
    /// pxrun feeds stdin, and this program reads it itself.
    Stdin,
}

/// One of the places for chunks that a program may hold.
pub struct Seat(Arc<AtomicI32>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

enum State {
    Before,
    Running(Arc<World>),
    Over,
}

static STATE: RwLock<State> = RwLock::new(State::Before);
/// Outlives the world, since a program may keep the pointer.
static HOST: OnceLock<CString> = OnceLock::new();

/// The world that this program is in.
///
/// # Errors
/// `PX_ERR_STATE`.
pub fn current() -> Result<Arc<World>, Fault> {
    STATE.read().unwrap_or_else(PoisonError::into_inner).world()
}

impl State {
    fn world(&self) -> Result<Arc<World>, Fault> {
        match self {
            State::Running(world) => Ok(Arc::clone(world)),
            State::Before => Err(before()),
            State::Over => Err(over()),
        }
    }
}

fn before() -> Fault {
    Fault::new(PX_ERR_STATE, "px_init was not called yet")
}

fn over() -> Fault {
    Fault::new(PX_ERR_STATE, "px_finalize was called already, or px_init has failed for good")
}

/// Why this program has no chunks, where it is one that pxrun does not feed.
pub fn unfed() -> Option<Fault> {
    current().ok()?.home().err()
}

impl World {
    /// This program's place in it.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where its chunks come from.
    ///
    /// # Errors
    /// `PX_ERR_NOT_FED`.
    pub fn home(&self) -> Result<&Home, Fault> {
        match &self.feed {
            Feed::From(home) => Ok(home),
            Feed::Stdin => Err(Fault::new(
                PX_ERR_NOT_FED,
                "pxrun feeds this program through stdin: start it by `pxrun --contract px` to take \
                 chunks by px_chunk_next",
            )),
        }
    }

    /// The connection to the agent, where there is one.
    pub fn link(&self) -> Option<&Arc<Link>> {
        match &self.feed {
            Feed::From(Home::Link(link)) => Some(link),
            _ => None,
        }
    }

    /// What it needs to talk to other ranks, where it can.
    pub fn voice(&self) -> Option<&Result<Voice, Fault>> {
        self.voice.as_ref()
    }

    /// What a record is.
    pub fn records(&self) -> Records {
        self.records
    }

    /// Takes one of the places for held chunks.
    ///
    /// # Errors
    /// `PX_ERR_HELD`.
    pub fn take_seat(&self) -> Result<Seat, Fault> {
        let before = self.held.fetch_add(1, Ordering::AcqRel);
        let seat = Seat(Arc::clone(&self.held));
        match before < PX_CHUNKS_MAX {
            true => Ok(seat),
            false => Err(Fault::new(
                PX_ERR_HELD,
                format!("{PX_CHUNKS_MAX} chunks are held, the most there may be: release one"),
            )),
        }
    }
}

fn surroundings() -> Result<Surroundings, Fault> {
    surroundings::look(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
}

fn begin(surroundings: Surroundings, copies: Copies) -> Result<World, Fault> {
    let held = Arc::default();
    Ok(match surroundings {
        Surroundings::Fed(socket) => {
            let (link, greeting) = Link::open(take_socket(&socket)?, copies)?;
            let Greeting { welcome, commons } = greeting;
            // An agent's numbers were checked to fit.
            let number = |number| c_int::try_from(number).unwrap_or(c_int::MAX);
            let place = Place {
                rank: number(welcome.rank),
                size: number(welcome.size),
                local_rank: number(welcome.local_rank),
                local_size: number(welcome.local_size),
                host: Some(welcome.host.clone()),
            };
            let link = Arc::new(link);
            // A program that says nothing to others needs none, so its lack is told to who does.
            let voice = commons.map(|commons| Voice::new(commons, &welcome, Arc::clone(&link)));
            let (feed, records) = (Feed::From(Home::Link(link)), welcome.records);
            World { place, feed, records, voice, held }
        }
        Surroundings::Unfed(place) => {
            World { place, feed: Feed::Stdin, records: alone::RECORDS, voice: None, held }
        }
        Surroundings::Alone => {
            let place = Place { rank: 0, size: 1, local_rank: 0, local_size: 1, host: None };
            let feed = Feed::From(Home::Alone(Arc::new(Alone::new(copies))));
            World { place, feed, records: alone::RECORDS, voice: None, held }
        }
    })
}

/// Takes over the socket to the agent; programs that this one starts learn nothing of it.
fn take_socket(number: &str) -> Result<OwnedFd, Fault> {
    let name = surroundings::SOCKET;
    process::forget_variable(name);
    let number = surroundings::number(name, number)?;
    fd::take_inherited_socket(number).map_err(|e| {
        let why = match e {
            Errno::BADF => "there is no such descriptor: what is between pxrun and this program \
                            must let it pass"
                .to_owned(),
            e => e.to_string(),
        };
        Fault::new(
            PX_ERR_PROTOCOL,
            format!("cannot take the socket that `{name}` names, {number}: {why}"),
        )
    })
}

/// Begins the use of libpx: finds out which world this program is part of.
///
/// Started by `pxrun --contract px` it takes its chunks from pxrun; started by pxrun without that it
/// knows its rank and reads stdin; started by nobody it is a world of one, which cuts its stdin into
/// chunks and writes its output to stdout. A program that another launcher has started several
/// times is none of these: PX_ERR_FOREIGN_WORLD.
///
/// flags is 0 or PX_INIT_PRIVATE. Call it once, from any thread, before others use libpx; it
/// takes PX_FD out of the environment, so no other thread should read that meanwhile. Jobs
/// (px_job_new) need no px_init.
#[unsafe(no_mangle)]
pub extern "C" fn px_init(flags: c_uint) -> c_int {
    boundary::status(|| {
        let copies = match flags {
            0 => Copies::Shared,
            PX_INIT_PRIVATE => Copies::Private,
            _ => {
                return Err(Fault::argument(format!("`flags` has unknown bits, found {flags:#x}")));
            }
        };
        let mut state = STATE.write().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Before => {}
            State::Running(_) => {
                return Err(Fault::new(PX_ERR_STATE, "px_init was called already"));
            }
            State::Over => return Err(over()),
        }
        let surroundings = surroundings()?;
        if matches!(surroundings, Surroundings::Fed(_)) {
            // What pxrun says is read once: where that fails, a second try would find nothing.
            *state = State::Over;
        }
        let world = begin(surroundings, copies)?;
        let host = world.place.host.clone().unwrap_or_else(host_name);
        HOST.get_or_init(|| CString::new(host).unwrap_or_default());
        *state = State::Running(Arc::new(world));
        Ok(PX_OK)
    })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Ends the use of libpx; it cannot begin again.
///
/// While chunks are held, or waited for by another thread, this is PX_ERR_HELD, and nothing has
/// happened: none of them is committed, and they can still be released. Ranks that wait for a message
/// from this one learn at once that none comes. It does not stand for the end of the input: a program
/// that pxrun feeds and that ends with status 0 has failed where it holds a chunk or has not taken its
/// input to the end, with this call and without it.
#[unsafe(no_mangle)]
pub extern "C" fn px_finalize() -> c_int {
    boundary::status(|| {
        let mut state = STATE.write().unwrap_or_else(PoisonError::into_inner);
        let world = state.world()?;
        let held = world.held.load(Ordering::Acquire);
        if held > 0 {
            let text = format!("{held} chunks are held, or waited for: release them first");
            return Err(Fault::new(PX_ERR_HELD, text));
        }
        *state = State::Over;
        world.link().map_or(Ok(()), |link| link.tell(&FromProgram::Finalize))?;
        Ok(PX_OK)
    })
}

fn place(of: impl FnOnce(&Place) -> c_int) -> c_int {
    boundary::status(|| Ok(of(current()?.place())))
}

/// This program's rank, from 0 to px_size() - 1; or a status below 0.
#[unsafe(no_mangle)]
pub extern "C" fn px_rank() -> c_int {
    place(|place| place.rank)
}

/// World size: all ranks of the job; or a status below 0.
#[unsafe(no_mangle)]
pub extern "C" fn px_size() -> c_int {
    place(|place| place.size)
}

/// This program's place among the ranks of its host, from 0; or a status below 0.
#[unsafe(no_mangle)]
pub extern "C" fn px_local_rank() -> c_int {
    place(|place| place.local_rank)
}

/// All ranks of this program's host; or a status below 0.
#[unsafe(no_mangle)]
pub extern "C" fn px_local_size() -> c_int {
    place(|place| place.local_size)
}

/// What this program's host is called; NULL before px_init. It is valid to the program's end, also
/// after px_finalize.
#[unsafe(no_mangle)]
pub extern "C" fn px_host() -> *const c_char {
    boundary::value(std::ptr::null(), || {
        let host = HOST.get().ok_or_else(before);
        host.map(|host| host.as_ptr())
    })
}

/// How long px_abort tries to say why, where other threads wait to say more than anybody reads.
const A_WHILE: Duration = Duration::from_secs(1);

/// Ends the whole job with status, from 1 to 255, and this program with it, as _exit does.
///
/// pxrun says why, up to 4096 bytes; it may be NULL. Where no pxrun feeds this program it goes to
/// stderr. It returns only where it cannot do that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_abort(status: c_int, why: *const c_char) -> c_int {
    boundary::status(|| {
        // SAFETY: as the caller promises.
        let why = unsafe { optional_text(why) }.map(|why| why.to_string_lossy());
        let world = current()?;
        let code = u8::try_from(status).ok().filter(|code| *code > 0);
        let code = code.ok_or_else(|| {
            Fault::argument(format!("`status` must be from 1 to 255, found {status}"))
        })?;
        match world.link() {
            Some(link) => {
                let why = why.as_deref().unwrap_or_default();
                let why = why[..why.floor_char_boundary(WHY)].to_owned();
                // Who cannot say it in time ends all the same, which tells enough.
                let _ = link.tell_within(A_WHILE, &FromProgram::Abort { status: code, why });
            }
            None => {
                let why = why.iter().map(|why| format!("{why}\n")).collect::<String>();
                // There is no other place to say that this one is not there.
                let _ = rustix::io::write(rustix::stdio::stderr(), why.as_bytes());
            }
        }
        process::exit_now(status)
    })
}

/// The version of the libpx that runs, as "1.2.3".
#[unsafe(no_mangle)]
pub extern "C" fn px_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What a status means, in words; never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn px_strerror(status: c_int) -> *const c_char {
    status::text(status).as_ptr()
}

/// The full text of the last call that failed in this thread: what, where, the value found and the
/// way out; "" if none has. It is valid until the next call that fails in this thread.
#[unsafe(no_mangle)]
pub extern "C" fn px_last_error() -> *const c_char {
    status::last()
}
