//! Looks at the processes of a job from outside, through `/proc`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;

/// The variable that marks every process of a job.
pub const MARK: &str = "MARK_OF_THE_TESTED_JOB";

/// A process as `/proc/PID/stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// `R`, `S`, `T` (stopped), `Z` (zombie), ...
    pub state: char,
    /// Its short name.
    pub name: String,
}

/// All processes that can be seen.
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(one).collect()
}

/// One process, when it is there.
pub fn one(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, parentheses and spaces too.
    let (start, end) = (stat.find('(')?, stat.rfind(')')?);
    let mut fields = stat.get(end + 2..)?.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, state, name: stat[start + 1..end].to_owned() })
}

/// The command line of a process, empty when it has gone.
pub fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}

/// Tells whether a process, the first thread of it, is in this system call right now.
pub fn is_in_call(pid: i32, number: i64) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    call.split(' ').next() == Some(&number.to_string())
}

/// A variable of the environment in which a process was started. A zombie has none any more.
pub fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let value = |pair: &[u8]| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    environment.split(|&byte| byte == 0).find_map(value)
}

/// Tells whether a process carries a job's mark.
pub fn carries(pid: i32, mark: &str) -> bool {
    variable(pid, MARK).is_some_and(|found| found == mark)
}

/// The live processes that carry a mark.
pub fn survivors(mark: &str) -> Vec<Process> {
    all().into_iter().filter(|process| carries(process.pid, mark)).collect()
}

/// The live processes with a mark and a name.
pub fn named(mark: &str, name: &str) -> Vec<Process> {
    let mut found = all();
    found.retain(|process| process.name == name && carries(process.pid, mark));
    found
}

/// Zombies whose parent is one of the job's processes.
pub fn zombies(mark: &str) -> Vec<Process> {
    let all = all();
    let family: Vec<i32> =
        all.iter().map(|process| process.pid).filter(|&pid| carries(pid, mark)).collect();
    let dead = all.into_iter().filter(|process| process.state == 'Z');
    dead.filter(|process| family.contains(&process.parent)).collect()
}

/// Waits until no process with this mark is left.
///
/// # Panics
///
/// When one lives longer than `bound`.
pub fn wait_until_gone(mark: &str, bound: Duration) {
    let mut left = Vec::new();
    let gone = holds_within(bound, || {
        left = survivors(mark);
        left.is_empty()
    });
    if !gone {
        kill_all(mark);
        panic!("still alive after {bound:?}: {left:?}");
    }
}

/// Kills every process that carries a mark.
pub fn kill_all(mark: &str) {
    for _ in 0..100 {
        let left = survivors(mark);
        if left.is_empty() {
            return;
        }
        for process in left {
            let _ = sys::kill(process.pid, libc::SIGKILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Asks again and again whether something holds, until it does or the bound is over; says which.
pub fn holds_within(bound: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        // What holds after a standstill of this process held in time as far as it can tell.
        let late = start.elapsed() > bound;
        if holds() {
            return true;
        }
        if late {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}
