//! `pxrun-mpi --as-agent SOCKET`: what a launcher starts on each host for a `pxrun --backend mpi`.
//!
//! MPI rank 0 is given the job before it joins MPI, since what it is given is this process's
//! environment too, and that can be changed only while there is one thread. It says when MPI is up.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use px_runtime::engine::{Order, Ties};
use px_runtime::failure::Message;
use px_runtime::link::control::Packing;
use px_runtime::link::lease;
use px_runtime::root::Verdict;
use px_runtime::sys::process::replace_environment;
use rustix::io::Errno;

use super::environment::split;
use super::handover::{Line, Received, receive};
use super::translate::here;
use crate::comers::Comers;
use crate::fabric::{Present, Start};
use crate::hostfile::allocation::Host;
use crate::joined::{self, Asks, Duty};
use crate::launcher_env::StartedBy;
use crate::plan::Plan;
use crate::supervise::{self, EndBy, Ended, Post, Undertaking};
use crate::work::{self, Gather};
use crate::{Refusal, world};

/// What its launcher starts it with, before the socket.
pub const ENTRANCE: &str = "--as-agent";

/// Does the part of one of the launcher's processes.
///
/// # Errors
/// What kept it from beginning.
pub fn run(socket: &OsStr, start: Start) -> Result<ExitCode, Refusal> {
    let variables = |name: &str| std::env::var_os(name);
    let rank = world::told(&variables)?.map_or(0, |world| world.rank);
    if rank > 0 {
        // What the user asks for by signals, pxrun hears.
        let duty =
            Duty { lease: lease::USUAL, packing: Packing::Plain, grace: Duration::from_secs(5) };
        return supervise::run(joined::of_peer(start, duty, Asks::Ignored));
    }
    let socket = PathBuf::from(socket);
    let work = move |post: Post| root(&socket, start, post).map(|()| None);
    supervise::run_apart(Undertaking {
        grace: Duration::ZERO,
        verbose: false,
        user_signal: Order::Status,
        end_by: EndBy::Status,
        lease: None,
        work: Box::new(work),
    })
}

/// The root's work, told at the other end of the socket.
fn root(socket: &Path, start: Start, post: Post) -> Result<(), Ended> {
    let told = |error: &dyn std::fmt::Display| Message::new(error.to_string());
    let received = receive(socket).map_err(|error| told(&error))?;
    let Received { parcel, streams, control, report, line } = received;
    let [stdin, stdout, stderr] = streams;
    let taken = rustix::stdio::dup2_stdin(&stdin)
        .and_then(|()| rustix::stdio::dup2_stdout(&stdout))
        .and_then(|()| rustix::stdio::dup2_stderr(&stderr))
        .and_then(|()| replace_environment(environment(parcel.environment)));
    taken.map_err(|errno: Errno| Message::new(format!("cannot take the job over: {errno}")))?;
    let line = Rc::new(RefCell::new(line));
    let entered = std::env::set_current_dir(&parcel.directory).map_err(|error| {
        Message::new(format!("cannot enter `{}`: {error}", parcel.directory.display()))
    });
    let ties = Ties { control, report, ..post.ties };
    let post = Post { ties, ..post };
    let outcome = entered.map_err(Ended::from).and_then(|()| {
        let plan = crate::plan_for_mpi(parcel.words)
            .map_err(|refusal| Ended::Refused(Box::new(refusal)))?;
        let line = Rc::clone(&line);
        let gather = move |plan: &Plan, buffers: &_| gather(plan, start(buffers)?, &line);
        let gather = Gather { they_wait: true, gather: Box::new(gather) };
        work::work(plan, Some(gather), post)
    });
    let verdict = supervise::conclude(outcome.map(Some));
    let verdict = verdict.unwrap_or(Verdict::Status(px_runtime::failure::OWN));
    Ok(line.borrow_mut().tell(verdict).map_err(|error| told(&error))?)
}

/// The user's own environment, and what the launcher has said to this process.
fn environment(user: Vec<std::ffi::OsString>) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let own: Vec<_> = std::env::vars_os().collect();
    let started_by = StartedBy::told(own.iter().map(|(name, _)| name.as_os_str()));
    let said = own.into_iter().filter(|(name, _)| started_by.owns(name));
    // The launcher's word counts where a user has the same.
    user.into_iter().filter_map(split).chain(said).collect()
}

fn gather(
    plan: &Plan,
    fabric: Box<dyn crate::fabric::Fabric>,
    line: &RefCell<Line>,
) -> Result<Box<dyn Comers>, Message> {
    line.borrow_mut().is_up().map_err(|error| Message::new(error.to_string()))?;
    let hosts = plan.listing.as_ref().map_or(&[][..], |listing| &listing.hosts);
    let names = hosts.iter().map(|host| host.host.clone()).collect();
    Ok(Box::new(Present::on(fabric, names, here(hosts, Host::is_here)?)?))
}
