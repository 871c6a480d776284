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
pub mod foreign_stdio;
mod help;
pub mod hostfile;
mod hosts;
mod joblog;
mod launcher_env;
mod muster;
pub mod options;
pub mod placement;
mod plan;
mod progress;
pub mod ssh;
mod supervise;
pub mod values;
pub mod words;
mod world;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use px_runtime::failure::{Message, OWN};
use px_runtime::job::OutputName;
use px_runtime::sys::fd::{secure_standard_streams, stdout_was_closed};

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
    match run() {
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

fn run() -> Result<ExitCode, Refusal> {
    secure_standard_streams()
        .map_err(|source| Message::new(format!("cannot open `/dev/null`: {source}")))?;
    if rustix::process::getuid() != rustix::process::geteuid()
        || rustix::process::getgid() != rustix::process::getegid()
    {
        return Err(Message::new("pxrun must not be installed setuid or setgid").into());
    }
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    // Between a host's login script and the binary that it was given; no option of users.
    if let [first, hash] = words.as_slice()
        && first == "--check-agent"
    {
        return check_agent(hash);
    }
    if let [first, rest @ ..] = words.as_slice()
        && first == "--as-agent"
        && rest.len() <= 1
    {
        return agent::run(rest.first().map(OsString::as_os_str));
    }
    let split = words::split(words)?;
    let options = options::parse(split)?;
    let options = match options {
        options::Asked::Job(options) => options,
        options::Asked::Help => return print(help::TEXT),
        options::Asked::Version => return print(VERSION_LINE),
    };
    let plan = plan::plan(*options)?;
    if stdout_was_closed() && plan.job.output == OutputName::Stdout {
        return Err(Message::new("standard output is closed")
            .help("`-o FILE` writes to a file")
            .into());
    }
    if let Some(how) = plan.dry_run {
        return print(&dry_run::describe(&plan, how)?);
    }
    supervise::run(plan)
}

fn check_agent(hash: &OsStr) -> Result<ExitCode, Refusal> {
    match ssh::own::check_agent(hash) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Refusal { message: Message::new(error.to_string()), status: 1 }),
    }
}

fn print(text: &str) -> Result<ExitCode, Refusal> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::from(px_runtime::failure::CLOSED_OUTPUT))
        }
        Err(error) => Err(Message::new(format!("cannot write to standard output: {error}")).into()),
    }
}
