//! Starts the processes of one run together, waits for them with a bound, and kills them otherwise.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::contestant::Launch;
use crate::problem::Problem;
use crate::sweep;
use crate::sys::{self, Patience};

/// What the processes of one run used.
pub struct Finished {
    /// From before the first start to after the last end.
    pub wall: Duration,
    /// User and system time of all processes and of what they waited for, orphans included.
    pub cpu: Duration,
    /// The worst status: the first that is no success.
    pub status: ExitStatus,
}

/// How long a signal may go unseen when it arrives just before a wait.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs all launches at once. `scratch` is their TMPDIR and keeps what they say on stderr.
pub fn run(launches: &[Launch], scratch: &Path, limit: Duration) -> Result<Finished, Problem> {
    let stderr = scratch.join("stderr");
    let opened =
        File::create(&stderr).map_err(Problem::step(format!("open `{}`", stderr.display())))?;
    let mut commands = Vec::new();
    for launch in launches {
        let said = opened.try_clone().map_err(Problem::step("share stderr"))?;
        commands.push(command(launch, scratch, said)?);
    }
    let started = Instant::now();
    let mut run = Run { processes: Vec::new() };
    for command in &mut commands {
        let child =
            command.spawn().map_err(Problem::step(format!("start {:?}", command.get_program())))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let pid =
            pid.ok_or_else(|| Problem::step("start a process")(io::ErrorKind::Other.into()))?;
        run.add(pid)?;
    }
    let (mut cpu, status) = run.wait(started + limit, limit)?;
    let wall = started.elapsed();
    let swept = sweep::sweep().map_err(Problem::step("look for orphans"))?;
    cpu += swept.cpu;
    if swept.killed > 0 {
        return Err(Problem::LeftBehind { processes: swept.killed });
    }
    Ok(Finished { wall, cpu, status })
}

fn command(launch: &Launch, scratch: &Path, stderr: File) -> Result<Command, Problem> {
    let open = |path: &Path| Problem::step(format!("open `{}`", path.display()));
    let stdin = launch.stdin.as_deref().unwrap_or(Path::new("/dev/null"));
    let mut command = Command::new(&launch.words[0]);
    command
        .args(&launch.words[1..])
        .stdin(File::open(stdin).map_err(open(stdin))?)
        .stdout(File::create(&launch.stdout).map_err(open(&launch.stdout))?)
        .stderr(Stdio::from(stderr))
        .current_dir(scratch)
        // The same for all: a plain shell (it makes GNU parallel faster), plain bytes, one place
        // for temporary files, and no notice of GNU parallel's on stderr.
        .env("SHELL", "/bin/sh")
        .env("PARALLEL_SHELL", "/bin/sh")
        .env("PARALLEL_HOME", scratch)
        .env("LC_ALL", "C")
        .env("TMPDIR", scratch)
        .process_group(0);
    Ok(command)
}

struct Run {
    processes: Vec<(Pid, OwnedFd)>,
}

impl Run {
    fn add(&mut self, pid: Pid) -> Result<(), Problem> {
        // Not yet in the list, so a failure here must end it by the sweep.
        let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| {
            sweep::kill_all();
            Problem::step("watch a process")(error.into())
        })?;
        self.processes.push((pid, fd));
        Ok(())
    }

    fn wait(
        &mut self,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(Duration, ExitStatus), Problem> {
        let mut cpu = Duration::ZERO;
        let mut worst = ExitStatus::default();
        while !self.processes.is_empty() {
            if let Some(signal) = sys::interrupt() {
                return Err(Problem::Interrupted { signal });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Problem::TooSlow { limit });
            }
            for index in self.ended(left.min(LOOK_AGAIN))?.into_iter().rev() {
                let (pid, _) = self.processes.swap_remove(index);
                let ended = sys::reap(Some(pid), Patience::Wait)
                    .map_err(Problem::step("wait for a process"))?;
                if let Some(ended) = ended {
                    cpu += ended.cpu;
                    worst = if worst.success() { ended.status } else { worst };
                }
            }
        }
        Ok((cpu, worst))
    }

    /// The processes that have ended by now, as places in the list, in rising order.
    fn ended(&self, wait: Duration) -> Result<Vec<usize>, Problem> {
        let mut fds: Vec<PollFd<'_>> =
            self.processes.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)).collect();
        let wait =
            Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut fds, Some(&wait)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(Problem::step("wait for processes")(error.into())),
        }
        let ended = fds.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ended.map(|(index, _)| index).collect())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        for (pid, _) in &self.processes {
            // Gone already is as good as killed.
            let _ = kill_process_group(*pid, Signal::KILL);
        }
        sweep::kill_all();
    }
}
