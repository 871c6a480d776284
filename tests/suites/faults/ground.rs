//! What the tests of faults have in common: hosts, jobs on them, and the way to hit one process.

use std::time::Duration;

use px_tests::lab::{Host, Resident};
use px_tests::processes::{self, Process};
use px_tests::{Job, Lab, Outcome, Running, Scratch, sys};

/// The lease of these jobs, unless one says otherwise.
pub const LEASE: Duration = Duration::from_secs(2);

/// The promise: so long after the end of the root nothing of its job is left on any host, be it
/// cut off or its agent frozen.
pub const GONE: Duration = Duration::from_secs(LEASE.as_secs() + 2);

/// Longer than any of these jobs takes, also on a machine that is busy with others: a job that is
/// not over by then hangs.
pub const BOUND: Duration = Duration::from_secs(90);

/// What can be done to a host.
pub type Act = fn(&Host);

/// Hosts, and a directory that all of them see.
pub struct Ground {
    pub lab: Lab,
    pub scratch: Scratch,
}

impl Ground {
    pub fn new(lab: Lab) -> Self {
        Ground { lab, scratch: Scratch::new() }
    }

    /// A job on all hosts, with so many ranks on each; its copies know `$ZOO` and `$DIR`.
    pub fn job(&self, slots: usize, words: &str) -> Job {
        self.with_lease("2", slots, words)
    }

    /// The same with another lease, in seconds.
    pub fn with_lease(&self, lease: &str, slots: usize, words: &str) -> Job {
        let job = self.lab.pxrun("--lease").arg(lease).words("-x ZOO -x DIR");
        let job = if words.contains("--grace") { job } else { job.words("--grace 1") };
        let job = job.arg("--hostfile");
        let job = job.arg(self.lab.hostfile(slots)).env("DIR", self.scratch.path());
        job.words(words).bound(BOUND)
    }

    /// The files of the scratch directory whose names begin so, each without that beginning.
    pub fn marks(&self, start: &str) -> Vec<String> {
        let names = self.scratch.names(".").into_iter();
        names.filter_map(|name| name.strip_prefix(start).map(str::to_owned)).collect()
    }

    /// Holds when nothing of any job is left within `bound`.
    #[track_caller]
    pub fn is_left_clean(&self, bound: Duration) {
        let left: Vec<Resident> = self.lab.leftovers(bound);
        assert!(left.is_empty(), "left after {bound:?}: {left:?}");
    }
}

/// Whether the process that the user sees has ended; it may not have been waited for.
pub fn is_over(job: &Running) -> bool {
    processes::one(job.pid()).is_none_or(|process| process.state == 'Z')
}

/// The process that the user sees.
pub fn front(job: &Running) -> Vec<Process> {
    processes::one(job.pid()).into_iter().filter(|process| process.state != 'Z').collect()
}

/// The processes of one name on a host.
pub fn on(host: &Host, name: &str) -> Vec<Process> {
    let mut found = host.processes();
    found.retain(|process| process.name == name && process.state != 'Z');
    found
}

/// The first of the three processes that serve a job on a host.
pub fn top(host: &Host) -> Option<Process> {
    let serving = host.processes();
    let is_one = |process: &Process| {
        process.name != "sh" && processes::command_line(process.pid).contains(" --as-agent")
    };
    let serving: Vec<Process> = serving.into_iter().filter(is_one).collect();
    let pids: Vec<i32> = serving.iter().map(|process| process.pid).collect();
    serving.into_iter().find(|process| !pids.contains(&process.parent))
}

/// The ssh on the head that leads to a host.
pub fn ssh_to(job: &Running, host: &Host) -> Option<Process> {
    let leads = |process: &Process| {
        let words = processes::command_line(process.pid);
        words.split(' ').any(|word| word == host.name())
    };
    job.named("ssh").into_iter().find(leads)
}

/// Sends a signal to processes that may have gone by now.
pub fn send(signal: i32, to: &[Process]) {
    for process in to {
        let _ = sys::kill(process.pid, signal);
    }
}

/// Cuts the cable of a host.
pub fn cut(host: &Host) {
    host.cut();
}

/// Mends it.
pub fn heal(host: &Host) {
    host.heal();
}

/// Kills the agent of a host, once there is one.
pub fn kill_agent(job: &mut Running, host: &Host) {
    job.until("an agent", |_| !on(host, "px-agent").is_empty());
    send(libc::SIGKILL, &on(host, "px-agent"));
}

/// The errors that a job has told, each with the lines that belong to it.
pub fn errors(outcome: &Outcome) -> Vec<String> {
    let mut errors: Vec<String> = Vec::new();
    let mut inside = false;
    for line in outcome.stderr.lines() {
        if line.starts_with("pxrun: ") {
            inside = line.starts_with("pxrun: error: ");
            if inside {
                errors.push(String::new());
            }
        }
        if let Some(error) = errors.last_mut().filter(|_| inside) {
            *error += line;
            *error += "\n";
        }
    }
    errors
}

/// The error of a job that failed; there must be one alone.
#[track_caller]
pub fn the_error(outcome: &Outcome) -> String {
    let mut errors = errors(outcome);
    outcome.check(errors.len() == 1, || format!("wanted one error, found {}", errors.len()));
    errors.remove(0)
}
