//! Brings the lab up and has this program race on its head.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::{HOSTS, Part, Race};
use crate::ground::{Ground, Portion};
use crate::problem::Problem;
use crate::sys;

/// How long a signal may go unseen when it arrives just before a wait.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What was measured on a lab's hosts, or why nothing was; `words` are those of this process.
pub fn report(race: Race, ground: &Ground, words: &[OsString]) -> Result<String, Problem> {
    let plan = race.plan();
    if let Err(reason) = plan.possible() {
        eprintln!("side-by-side: no lab, so nothing of `{}` is measured: {reason}", race.name());
        return Ok(format!("Not measured: {reason}.\n"));
    }
    let folder = lay_out(ground)?;
    let hidden = folder.join("hidden");
    let hidden = hidden.to_string_lossy().replace('\'', "'\\''");
    let hide = format!("mount -t tmpfs hidden '{hidden}'");
    eprintln!("side-by-side: bringing up {HOSTS} hosts");
    let lab = plan.each(|host| host.setup(&hide)).up();
    let mut command = lab.command(&ground.this_program.to_string_lossy());
    command.arg(Part::OnTheHead.name()).arg(race.name()).arg(lab.path()).arg(&folder).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().map_err(Problem::step("start this program on the lab's head"))?;
    listen(child)
}

/// Makes the folders with the input: one is hidden on the hosts when they come up.
fn lay_out(ground: &Ground) -> Result<PathBuf, Problem> {
    let input = ground.input(Portion::Whole)?;
    let folder = ground.scratch.join("far");
    let lay = |name: &str| {
        let place = folder.join(name);
        fs::create_dir_all(&place)?;
        match fs::hard_link(&input.whole, place.join("input")) {
            // For the lab before.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    };
    lay("shared").and_then(|()| lay("hidden")).map_err(Problem::step("lay out the input"))?;
    Ok(folder)
}

/// Takes all that the child prints; a signal for this process is passed on to it.
fn listen(mut child: Child) -> Result<String, Problem> {
    let problem = || Problem::step("read what the head prints");
    let mut text = Vec::new();
    let mut told = false;
    if let Some(mut stdout) = child.stdout.take() {
        let mut piece = [0; 4096];
        loop {
            if let Some(pid) = Pid::from_raw(child.id().cast_signed())
                && sys::interrupt().is_some()
                && !std::mem::replace(&mut told, true)
            {
                kill_process(pid, Signal::TERM).map_err(|errno| problem()(errno.into()))?;
            }
            let mut fds = [PollFd::new(&stdout, PollFlags::IN)];
            match poll(&mut fds, Some(&LOOK_AGAIN)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(problem()(errno.into())),
            }
            match stdout.read(&mut piece).map_err(problem())? {
                0 => break,
                count => text.extend_from_slice(&piece[..count]),
            }
        }
    }
    let status = child.wait().map_err(Problem::step("wait for this program on the head"))?;
    if let Some(signal) = sys::interrupt() {
        return Err(Problem::Interrupted { signal });
    }
    if !status.success() {
        let said = "the part on the lab's head failed".to_owned();
        return Err(Problem::Status { status, said });
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
