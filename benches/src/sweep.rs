//! Ends what a contestant left behind. The harness is a subreaper, so whatever loses its parent
//! becomes its child: it can be reaped, its time counted, and when it lingers it is killed.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

use crate::sys::{self, Patience};

/// How long an orphan may take to end by itself after the contestant's end.
const GRACE: Duration = Duration::from_secs(2);
/// How long killed processes may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// What was found after a contestant's end.
pub struct Swept {
    /// Time of the orphans that had to be reaped here.
    pub cpu: Duration,
    /// Processes that had to be killed.
    pub killed: usize,
}

/// Makes orphans of this process's descendants its own children.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Waits for orphans, then kills those that stay. To be called when no contestant is running.
pub fn sweep() -> io::Result<Swept> {
    let mut swept = Swept { cpu: Duration::ZERO, killed: 0 };
    if reap_until(Instant::now() + GRACE, &mut swept)? {
        return Ok(swept);
    }
    let deadline = Instant::now() + KILL_WAIT;
    while Instant::now() < deadline {
        swept.killed = swept.killed.max(kill_children()?);
        // A killed process's own children arrive here and are killed in the next turn.
        if reap_until(Instant::now() + Duration::from_millis(50), &mut swept)? {
            break;
        }
    }
    Ok(swept)
}

/// Kills every child and what they leave, at once.
pub fn kill_all() {
    let mut swept = Swept { cpu: Duration::ZERO, killed: 0 };
    let deadline = Instant::now() + KILL_WAIT;
    while Instant::now() < deadline {
        let killed = kill_children();
        let gone = reap_until(Instant::now() + Duration::from_millis(20), &mut swept);
        if killed.is_err() || gone.is_err() || matches!(gone, Ok(true)) {
            return;
        }
    }
}

/// Reaps until no child is left (true) or the time is over (false).
fn reap_until(deadline: Instant, swept: &mut Swept) -> io::Result<bool> {
    loop {
        match sys::reap(None, Patience::Look) {
            Ok(Some(ended)) => swept.cpu += ended.cpu,
            Ok(None) if Instant::now() >= deadline => return Ok(false),
            Ok(None) => sleep(Duration::from_millis(1)),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// Sends SIGKILL to each process whose parent is this one. Read from /proc, since the list of a
/// thread's children is not there in every kernel.
fn kill_children() -> io::Result<usize> {
    let me = getpid().as_raw_nonzero().get().to_string();
    let mut killed = 0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        if parent_of(pid).is_some_and(|parent| parent == me) {
            killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
        }
    }
    Ok(killed)
}

fn parent_of(pid: Pid) -> Option<String> {
    let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in brackets may hold anything, so count from its last bracket: state, parent.
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = String::from_utf8_lossy(&stat[after..]).into_owned();
    rest.split_whitespace().nth(1).map(str::to_owned)
}
