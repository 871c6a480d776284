//! The command line of `pxrun`: from words to a validated plan, and the processes that carry it
//! out.
//!
//! No byte of a chunk passes through here; that is the runtime's. A word is turned into meaning
//! once:
//!
//! ```
//! use pxrun::words::split;
//! let words = ["-np", "2", "-k", "grep", "-np", "foo"].map(Into::into);
//! let split = split(words).unwrap();
//! assert_eq!(split.options, ["--np=2", "-k"]);
//! assert_eq!(split.command, ["grep", "-np", "foo"]);
//! ```

mod agent;
mod backend;
mod comers;
mod command;
mod dry_run;
pub mod fabric;
pub mod foreign_stdio;
mod help;
mod helper;
pub mod hostfile;
mod hosts;
mod joblog;
mod joined;
pub mod launcher_env;
pub mod mpiexec;
mod muster;
pub mod options;
pub mod placement;
mod plan;
mod progress;
pub mod rendezvous;
pub mod slurm;
pub mod ssh;
mod supervise;
pub mod values;
pub mod words;
mod work;
mod world;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use px_runtime::agent::Guest;
use px_runtime::failure::{Message, OWN};
use px_runtime::sys::fd::secure_standard_streams;

use backend::Way;
use plan::Plan;
use supervise::Undertaking;
use work::Gather;
use world::World;

/// What `--version` prints; also how a binary tells another that they are of one version.
const VERSION_LINE: &str = concat!("pxrun ", env!("CARGO_PKG_VERSION"), "\n");

/// An error that ends the run before it begins, with its exit status.
#[derive(Debug)]
pub struct Refusal {
    /// What to say.
    pub message: Message,
    /// What to end with.
    pub status: u8,
}

impl From<Message> for Refusal {
    fn from(message: Message) -> Self {
        Refusal { message, status: OWN }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    abort_on_panic();
    end(run(None))
}

/// Runs the command line of a process that `start` joins to others of its kind.
pub fn main_among(start: fabric::Start) -> ExitCode {
    abort_on_panic();
    end(run(Some(start)))
}

/// A process that is not what it should be any more does nothing further: its guardian ends what
/// it has started.
fn abort_on_panic() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say(panic);
        std::process::abort();
    }));
}

fn end(ran: Result<ExitCode, Refusal>) -> ExitCode {
    match ran {
        Ok(code) => code,
        Err(refusal) => {
            say(&refusal.message.render("error"));
            ExitCode::from(refusal.status)
        }
    }
}

/// Writes to standard error; where that cannot be written nobody can be told.
fn say(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn run(start: Option<fabric::Start>) -> Result<ExitCode, Refusal> {
    secure_standard_streams()
        .map_err(|source| Message::new(format!("cannot open `/dev/null`: {source}")))?;
    if rustix::process::getuid() != rustix::process::geteuid()
        || rustix::process::getgid() != rustix::process::getegid()
    {
        return Err(Message::new("pxrun must not be installed setuid or setgid").into());
    }
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match (entrance(&words), start) {
        (Some(Entrance::AsAgent(Some(socket))), Some(start)) => mpiexec::agent::run(socket, start),
        (Some(Entrance::CheckAgent(hash)), _) => check_agent(hash),
        (Some(Entrance::AsAgent(lease)), _) => agent::run(lease),
        (Some(Entrance::AsAgentOfSrun(orders)), _) => slurm::entrance::run(orders),
        (Some(Entrance::AsHelper), _) => helper::run(),
        (None, start) => job(words, start),
    }
}

/// What only programs ask for; no options of users.
enum Entrance<'a> {
    /// A host's login script, of the binary that it was given.
    CheckAgent(&'a OsStr),
    /// A host's login script, or the launcher of an MPI: to serve a root elsewhere.
    AsAgent(Option<&'a OsStr>),
    /// `srun`, which a root has started.
    AsAgentOfSrun(&'a [OsString]),
    /// libpx, in a program that runs a job.
    AsHelper,
}

fn entrance(words: &[OsString]) -> Option<Entrance<'_>> {
    let (first, rest) = words.split_first()?;
    match (first.to_str()?, rest) {
        ("--check-agent", [hash]) => Some(Entrance::CheckAgent(hash)),
        ("--as-agent", []) => Some(Entrance::AsAgent(None)),
        ("--as-agent", [lease]) => Some(Entrance::AsAgent(Some(lease))),
        (helper::ENTRANCE, []) => Some(Entrance::AsHelper),
        (slurm::entrance::ENTRANCE, orders) => Some(Entrance::AsAgentOfSrun(orders)),
        _ => None,
    }
}

/// Does this process's part of a job.
fn job(words: Vec<OsString>, start: Option<fabric::Start>) -> Result<ExitCode, Refusal> {
    let asker = if start.is_some() { Asker::UserOfMany } else { Asker::User };
    let planned = planned(words.clone(), asker, Vec::new());
    let variables = |name: &str| std::env::var_os(name);
    let world = world::told(&variables).ok().flatten().filter(World::is_shared);
    let asked = match (planned, world) {
        // What is wrong for one is wrong for all: the root says it for them.
        (Err(_), Some(world)) if world.rank > 0 => return Ok(ExitCode::SUCCESS),
        (planned, _) => planned?,
    };
    let plan = match asked {
        Planned::Job(plan) => *plan,
        Planned::Text(text) => return print(text),
    };
    let first = world.is_none_or(|world| world.rank == 0);
    match (plan.way, plan.dry_run) {
        (Way::Join(_), Some(_)) if !first => Ok(ExitCode::SUCCESS),
        (_, Some(how)) => print(&dry_run::describe(&plan, how)?),
        (Way::Join(world), None) if !first => joined::take_part(&plan, world, start),
        (_, None) => supervise::run(of_root(plan, words, start)?),
    }
}

/// What the process does that has the root of `plan`, which was made from `words`.
fn of_root(
    plan: Plan,
    words: Vec<OsString>,
    start: Option<fabric::Start>,
) -> Result<Undertaking, Refusal> {
    Ok(match plan.way {
        Way::Join(world) => work::of_root(plan, Some(joined::gather(world, start))),
        Way::Slurm => {
            let gather =
                Gather { they_wait: false, gather: Box::new(|plan, _| slurm::step::gather(plan)) };
            work::of_root(plan, Some(gather))
        }
        Way::Mpi => mpiexec::run::through(plan, words)?,
        Way::Local | Way::Ssh => work::of_root(plan, None),
    })
}

/// The plan of a job that was handed over to MPI rank 0; what the launcher says around it is not
/// asked.
fn plan_for_mpi(words: Vec<OsString>) -> Result<Plan, Refusal> {
    match options::parse(words::split(words)?)? {
        options::Asked::Job(options) => {
            Ok(plan::plan(*options, backend::handed_over(), Vec::new())?.over_mpi()?)
        }
        options::Asked::Help | options::Asked::Version => Err(Message::new("no job").into()),
    }
}

/// What the words ask for.
enum Planned {
    Job(Box<Plan>),
    Text(&'static str),
}

/// Who asks for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// Who typed the words.
    User,
    /// The same, of a program that is made to be one of several.
    UserOfMany,
    /// A program, through libpx.
    Program,
}

fn planned(words: Vec<OsString>, asker: Asker, guests: Vec<Guest>) -> Result<Planned, Refusal> {
    let split = words::split(words)?;
    let options = match options::parse(split)? {
        options::Asked::Job(options) => options,
        options::Asked::Help => return Ok(Planned::Text(help::TEXT)),
        options::Asked::Version => return Ok(Planned::Text(VERSION_LINE)),
    };
    let variables = |name: &str| std::env::var_os(name);
    let choice = match asker {
        Asker::User => backend::choose(&options, &variables)?,
        Asker::UserOfMany => backend::among_others(&options, &variables)?,
        Asker::Program if guests.is_empty() => backend::of_a_program(&options, &variables)?,
        Asker::Program => backend::of_guests(),
    };
    let mut plan = plan::plan(*options, choice, guests)?;
    if asker == Asker::UserOfMany || plan.way == Way::Mpi {
        plan = plan.over_mpi()?;
    }
    Ok(Planned::Job(Box::new(plan)))
}

fn check_agent(hash: &OsStr) -> Result<ExitCode, Refusal> {
    match ssh::own::check_agent(hash) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Refusal { message: Message::new(error.to_string()), status: 1 }),
    }
}

fn print(text: &str) -> Result<ExitCode, Refusal> {
    printed(text).map(ExitCode::from)
}

/// Prints `text`; returns the exit status that comes of it.
fn printed(text: &str) -> Result<u8, Refusal> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(px_runtime::failure::CLOSED_OUTPUT)
        }
        Err(error) => Err(Message::new(format!("cannot write to standard output: {error}")).into()),
    }
}
