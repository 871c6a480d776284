//! `pxrun --as-helper`: what libpx starts to run a job for the program that it is part of.
//!
//! ```text
//! program          holds one end of a socket; knows nothing of these processes but that
//!   pxrun          not its child: reads the job from the socket, tells there how it went
//!     px-guardian  ends what is left
//!       px-agent   does all the work and starts the copies
//! ```
//!
//! The job is the words of a command line, so whatever pxrun can do a program can have done. Its
//! standard output and error are where the program wants the job's; its standard input is empty.
//! When the program ends, in whatever way, so does its end of the socket, and with it the job.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use px_runtime::failure::Message;
use px_runtime::libpx::helper::{
    Account, HEADER, HelperError, Request, SOCKET, decode, decode_header, encode,
};
use px_runtime::sys::fd::take_inherited_socket;

pub use px_runtime::libpx::helper::ENTRANCE;

use crate::supervise::{Done, run_for};
use crate::{Asker, Planned, Refusal, dry_run, of_root, planned, printed, say};

/// Runs the job that is told on the socket.
///
/// # Errors
/// That there is no socket, or no job comes over it.
pub fn run() -> Result<ExitCode, Refusal> {
    let socket = take_inherited_socket(SOCKET).map_err(|errno| {
        Message::new(format!("`{ENTRANCE}` is for libpx alone: descriptor {SOCKET}: {errno}"))
    })?;
    let mut line = UnixStream::from(socket);
    let request = hear(&mut line)?;
    let mut line = Some(OwnedFd::from(line));
    let words = request.words.into_iter().map(OsString::from_vec).collect();
    let account = carry_out(words, &mut line).unwrap_or_else(|refusal| {
        say(&refusal.message.render("error"));
        Account { status: refusal.status, ..Account::default() }
    });
    if let (Some(line), Ok(bytes)) = (line, encode(&account)) {
        // Where nobody hears it nobody wants to know.
        let _ = UnixStream::from(line).write_all(&bytes);
    }
    Ok(ExitCode::SUCCESS)
}

fn hear(line: &mut UnixStream) -> Result<Request, Message> {
    let cut = |error| Message::new(format!("cannot take over the job of a program: {error}"));
    let wrong = |error: HelperError| {
        let help = "`PX_HELPER` names the `pxrun` that was installed with libpx";
        Message::new(error.to_string()).help(help)
    };
    let mut header = [0; HEADER];
    line.read_exact(&mut header).map_err(cut)?;
    let mut bytes = vec![0; decode_header(&header).map_err(wrong)?];
    line.read_exact(&mut bytes).map_err(cut)?;
    decode(&bytes).map_err(wrong)
}

fn carry_out(words: Vec<OsString>, line: &mut Option<OwnedFd>) -> Result<Account, Refusal> {
    let plan = match planned(words.clone(), Asker::Program)? {
        Planned::Job(plan) => *plan,
        Planned::Text(text) => return of_text(text),
    };
    if let Some(how) = plan.dry_run {
        return of_text(&dry_run::describe(&plan, how)?);
    }
    let Done { status, totals } = run_for(of_root(plan, words, None)?, line)?;
    let (chunks, input, output) = (totals.chunks, totals.input, totals.output);
    Ok(Account { status, chunks, input, output })
}

/// The account of what is no job.
fn of_text(text: &str) -> Result<Account, Refusal> {
    let (status, output) = (printed(text)?, text.len() as u64);
    Ok(Account { status, output, ..Account::default() })
}
