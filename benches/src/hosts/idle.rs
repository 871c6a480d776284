//! Runs pxrun with copies that wait, and looks what its agents take meanwhile.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use px_tests::processes::{self, Process};
use rustix::fs::{FileType, Mode, mknodat};

use crate::problem::Problem;

/// How long agents and copies may take to be there.
const START: Duration = Duration::from_secs(60);
/// From then on, until the start is over for everyone.
const SETTLED: Duration = Duration::from_secs(1);
/// `SECONDS AGENTS COMMAND...`: runs the command, whose copies must be `cat FIFO`, with a FIFO of
/// its own as the last word. Says what the busiest agent took of a core.
pub fn run(words: &[OsString]) -> Result<ExitCode, Problem> {
    let [seconds, agents, program, arguments @ ..] = words else {
        return Err(Problem::Usage("`idle` needs seconds, agents and a command".to_owned()));
    };
    let number = |word: &OsString| word.to_str().and_then(|word| word.parse::<u64>().ok());
    let (Some(seconds), Some(agents)) = (number(seconds), number(agents)) else {
        return Err(Problem::Usage("`idle` needs two numbers first".to_owned()));
    };
    let fifo = std::env::temp_dir().join("waited-for");
    let problem = || Problem::step(format!("make `{}`", fifo.display()));
    let _ = fs::remove_file(&fifo);
    mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .map_err(|errno| problem()(errno.into()))?;
    let spawned = Command::new(program).args(arguments).arg("cat").arg(&fifo).spawn();
    let mut child = spawned.map_err(Problem::step(format!("start {program:?}")))?;
    let told = watch(&fifo, usize::try_from(agents).unwrap_or(usize::MAX), seconds);
    // Its readers end by this, also when nothing could be measured.
    let opened = rustix::fs::open(
        &fifo,
        rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
        Mode::empty(),
    );
    drop(opened);
    let status = child.wait().map_err(Problem::step("wait for the watched process"))?;
    eprintln!("side-by-side: note: busiest idle agent: {:.5} of a core", told?);
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

/// What the busiest agent takes of a core.
fn watch(fifo: &Path, wanted: usize, seconds: u64) -> Result<f64, Problem> {
    let ready = processes::holds_within(START, || waiting(fifo).len() == wanted);
    if !ready {
        let what = format!("{} of {wanted} copies wait", waiting(fifo).len());
        return Err(Problem::Wrong(what));
    }
    sleep(SETTLED);
    let agents: Vec<i32> = waiting(fifo).iter().map(|copy| copy.parent).collect();
    let before: Vec<u64> = agents.iter().map(|pid| ticks(*pid)).collect::<Result<_, _>>()?;
    let start = Instant::now();
    sleep(Duration::from_secs(seconds));
    let took = start.elapsed().as_secs_f64();
    let mut most = 0;
    for (pid, before) in agents.iter().zip(before) {
        most = most.max(ticks(*pid)? - before);
    }
    Ok(most as f64 / rustix::param::clock_ticks_per_second() as f64 / took)
}

/// The copies that wait for the FIFO.
fn waiting(fifo: &Path) -> Vec<Process> {
    let line = format!("cat {}", fifo.display());
    let mut found = processes::all();
    found.retain(|process| {
        process.name == "cat" && processes::command_line(process.pid).trim() == line
    });
    found
}

/// User and system time of a process, all its threads together.
fn ticks(pid: i32) -> Result<u64, Problem> {
    let file = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&file).map_err(Problem::step(format!("read `{file}`")))?;
    let fields = text.rsplit(") ").next().unwrap_or("").split(' ').skip(11).take(2);
    Ok(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// Reads it back from what was said.
pub fn read(said: &str) -> Option<f64> {
    let (_, text) = said.lines().rev().find_map(|line| line.split_once("busiest idle agent: "))?;
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_agent_is_found_among_other_words() {
        let said = "pxrun: note: x\nside-by-side: note: busiest idle agent: 0.00412 of a core\n";
        assert_eq!(read(said), Some(0.00412));
        assert_eq!(read("pxrun: note: x\n"), None);
    }
}
