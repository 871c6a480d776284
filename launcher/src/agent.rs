//! `pxrun --as-agent`: what runs on a host that a root reaches from elsewhere.
//!
//! ```text
//! pxrun          holds the login open until nothing of the job runs here any more
//!   px-guardian  kills and reaps whatever is left when the agent has ended, or hangs
//!     px-agent   runs the ranks and speaks with the root
//! ```

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use px_runtime::agent::binding;
use px_runtime::buffers::Buffers;
use px_runtime::failure::{Message, OWN};
use px_runtime::guardian::{self, Belief};
use px_runtime::job::Command;
use px_runtime::link::channel::Ends;
use px_runtime::link::control::{Errand, Hello, Packing};
use px_runtime::link::lease;
use px_runtime::link::serve::{Unfit, Wiring, serve};
use px_runtime::sys::fd::{pipe, set_nonblocking};
use px_runtime::sys::memory::{keep_secrets_out_of_core_files, return_large_buffers};
use px_runtime::sys::process::{Fork, exit_now, fork};
use px_runtime::sys::signal::{Signals, ignore, set_default};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

use crate::{Refusal, command, say};

/// Names this program's version to others.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

fn system(step: &'static str) -> impl Fn(Errno) -> Message {
    move |source| Message::new(format!("cannot {step}: {source}"))
}

/// Serves one job, `lease` (in milliseconds) being how long its root may be silent.
///
/// # Errors
/// What kept it from beginning.
pub fn run(lease: Option<&OsStr>) -> Result<ExitCode, Refusal> {
    let lease = lease.and_then(|text| text.to_str()?.parse().ok()).map(Duration::from_millis);
    let lease = lease.unwrap_or(lease::USUAL).clamp(lease::SHORTEST, lease::PAUSED);
    set_default(Signal::CHILD);
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TSTP] {
        ignore(signal);
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(system("become subreaper"))?;
    let (alive_end, alive) = pipe().map_err(system("make a pipe"))?;
    match fork().map_err(system("start the guardian"))? {
        Fork::Child => {
            drop(alive);
            become_guardian(lease, &alive_end)
        }
        Fork::Parent(guardian) => {
            drop(alive_end);
            let _ = rustix::io::retry_on_intr(|| {
                rustix::process::waitpid(Some(guardian), WaitOptions::empty())
            });
            if let Ok(signals) = Signals::block(&[Signal::CHILD]) {
                guardian::sweep(&signals);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn become_guardian(lease: Duration, keeper: &OwnedFd) -> ! {
    let _ = rustix::thread::set_name(c"px-guardian");
    let failed = |step, errno| -> ! {
        say(&system(step)(errno).render("error"));
        exit_now(i32::from(OWN))
    };
    if let Err(errno) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        failed("become subreaper", errno);
    }
    let ((lifeline, held), (heard, pulse)) = match (pipe(), pipe()) {
        (Ok(lifeline), Ok(pulse)) => (lifeline, pulse),
        (Err(errno), _) | (_, Err(errno)) => failed("make a pipe", errno),
    };
    let guardian = rustix::process::getpid();
    match fork() {
        Err(errno) => failed("start the agent", errno),
        Ok(Fork::Child) => {
            drop((held, heard));
            let _ = rustix::thread::set_name(c"px-agent");
            exit_now(become_agent(guardian, lifeline, pulse, lease))
        }
        Ok(Fork::Parent(agent)) => {
            drop((lifeline, pulse));
            let clean = guardian::guard(agent, keeper, Belief::Pulses(&heard, lease));
            drop(held);
            exit_now(i32::from(!clean.unwrap_or(false)))
        }
    }
}

fn become_agent(guardian: Pid, lifeline: OwnedFd, pulse: OwnedFd, lease: Duration) -> i32 {
    return_large_buffers();
    let served = keep_secrets_out_of_core_files()
        .and_then(|()| control())
        .map_err(|errno| system("speak with the root")(errno).text)
        .and_then(|control| {
            let wiring = Wiring {
                control,
                seal: None,
                packing: Packing::Plain,
                buffers: Buffers::default(),
                asks: None,
                guardian,
                lifeline,
                pulse,
                lease,
            };
            let mut prepare = |errand: &Errand| prepare(errand);
            serve(wiring, hello(), VERSION, &mut prepare).map_err(|error| error.to_string())
        });
    match served {
        Ok(()) => 0,
        Err(why) => {
            let host = host();
            say(&Message::new(format!("agent on `{host}`: {why}")).render("error"));
            i32::from(OWN)
        }
    }
}

/// Standard input and output, for nobody else from here on.
fn control() -> Result<Ends, Errno> {
    let incoming = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let outgoing = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    // Descriptors of the login are this process's alone, so their flags are too.
    set_nonblocking(&incoming)?;
    set_nonblocking(&outgoing)?;
    Ok(Ends::Pair(incoming, outgoing))
}

/// What this host calls itself.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Where this agent is.
pub fn hello() -> Hello {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    let parallelism = std::thread::available_parallelism().map_or(1, |count| count.get());
    Hello {
        host: host(),
        boot: read("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
        network: std::fs::metadata("/proc/self/ns/net").map_or(0, |found| found.ino()),
        parallelism: u32::try_from(parallelism).unwrap_or(u32::MAX),
        cores: binding::cores(),
        login: login(),
    }
}

/// Both addresses of the login, the root's first.
fn login() -> Option<(IpAddr, IpAddr)> {
    let text = std::env::var("SSH_CONNECTION").ok()?;
    let mut words = text.split_ascii_whitespace();
    let root = words.next()?.parse().ok()?;
    let own = words.nth(1)?.parse().ok()?;
    Some((root, own))
}

/// Finds the command as this host has it.
///
/// # Errors
/// It is not there, or cannot be executed; nor can the working directory be entered.
pub fn prepare(errand: &Errand) -> Result<Command, Unfit> {
    let directory = PathBuf::from(OsString::from_vec(errand.directory.clone()));
    let entered = std::env::set_current_dir(&directory);
    if let Err(error) = entered {
        let text = format!("cannot enter the working directory `{}`: {error}", directory.display());
        return Err(Unfit { status: OWN, text });
    }
    let words: Vec<_> = errand.words.iter().cloned().map(OsString::from_vec).collect();
    // The login's own is its home.
    let mut variables = vec![[b"PWD=", errand.directory.as_slice()].concat()];
    variables.extend(errand.variables.iter().cloned());
    command::resolve(&words, &variables, errand.launcher_env, None).map_err(|refusal| {
        let mut text = refusal.message.text;
        for note in refusal.message.notes {
            text.push_str("; ");
            text.push_str(&note);
        }
        Unfit { status: refusal.status, text }
    })
}
