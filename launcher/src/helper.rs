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
//! Where the work is to be done by functions of the program, no copy is started: each rank is a guest, a
//! socket to a thread there. When the program ends, in whatever way, so does its end of the socket, and
//! with it the job.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use px_runtime::agent::Guest;
use px_runtime::failure::Message;
use px_runtime::libpx::helper::{
    Account, HEADER, HelperError, MOST_GUESTS, Request, SOCKET, decode, decode_header, encode,
};
use px_runtime::sys::fd::take_inherited_sockets;

pub use px_runtime::libpx::helper::ENTRANCE;

use crate::supervise::{Done, run_for};
use crate::{Asker, Planned, Refusal, dry_run, of_root, planned, printed, say};

/// Runs the job that is told on the socket.
///
/// # Errors
/// That there is no socket, or no job comes over it.
pub fn run() -> Result<ExitCode, Refusal> {
    let sockets = take_inherited_sockets(SOCKET, MOST_GUESTS).map_err(|errno| {
        Message::new(format!("`{ENTRANCE}` is for libpx alone: descriptor {SOCKET}: {errno}"))
    })?;
    let mut sockets = sockets.into_iter();
    let Some(mut line) = sockets.next().map(UnixStream::from) else {
        return Err(Message::new("there is no socket").into());
    };
    let request = hear(&mut line)?;
    if sockets.len() != request.guests.len() {
        let (found, wanted) = (sockets.len(), request.guests.len());
        let text = format!("{wanted} sockets must come with the job of a program, found {found}");
        return Err(Message::new(text).into());
    }
    let mut line = Some(OwnedFd::from(line));
    let words = request.words.into_iter().map(OsString::from_vec).collect();
    let guests = sockets.zip(request.guests);
    let guests = guests.map(|(socket, place)| Guest { socket, place }).collect();
    let account = carry_out(words, guests, &mut line).unwrap_or_else(|refusal| {
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

fn carry_out(
    words: Vec<OsString>,
    guests: Vec<Guest>,
    line: &mut Option<OwnedFd>,
) -> Result<Account, Refusal> {
    let plan = match planned(words.clone(), Asker::Program, guests)? {
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
