//! Runs pxrun and looks at what its own three processes take.

use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

use crate::problem::Problem;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(20);

/// The most that was seen of something.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Footprint {
    /// Memory of all three, each at its peak.
    pub bytes: u64,
    /// Threads of the one that does the work.
    pub threads: u64,
    /// Its descriptors.
    pub descriptors: u64,
}

impl Footprint {
    /// The larger of each.
    pub fn most(self, other: Footprint) -> Footprint {
        Footprint {
            bytes: self.bytes.max(other.bytes),
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }

    /// How it is told.
    fn text(self) -> String {
        let Footprint { bytes, threads, descriptors } = self;
        format!("root: {bytes} bytes, {threads} threads, {descriptors} descriptors")
    }

    /// Reads it back from what was said.
    pub fn read(said: &str) -> Option<Footprint> {
        let (_, text) = said.lines().rev().find_map(|line| line.split_once("note: root: "))?;
        let mut numbers = text.split(", ").map(|part| part.split(' ').next()?.parse().ok());
        let mut number = || numbers.next().flatten();
        Some(Footprint { bytes: number()?, threads: number()?, descriptors: number()? })
    }
}

/// Runs the words to their end, and ends as they did.
pub fn run(words: &[OsString]) -> Result<ExitCode, Problem> {
    let [program, arguments @ ..] = words else {
        return Err(Problem::Usage("nothing to watch".to_owned()));
    };
    let spawned = Command::new(program).args(arguments).spawn();
    let mut child = spawned.map_err(Problem::step(format!("start {program:?}")))?;
    let mut family = Vec::new();
    let mut footprint = Footprint::default();
    let status = loop {
        let ended = child.try_wait().map_err(Problem::step("wait for the watched process"))?;
        if let Some(status) = ended {
            break status;
        }
        // Before there is a host there are few processes, so it costs little to find them.
        if family.len() < 3 {
            family = lineage(child.id());
        }
        footprint = look(&family, footprint);
        sleep(EVERY);
    };
    eprintln!("side-by-side: note: {}", footprint.text());
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

/// pxrun, its child and its child's child: the last does the work.
fn lineage(first: u32) -> Vec<u32> {
    let parents = parents();
    let child = |of: u32| parents.iter().find(|(_, parent)| *parent == of).map(|(pid, _)| *pid);
    let mut family = vec![first];
    while family.len() < 3 {
        match family.last().and_then(|&last| child(last)) {
            Some(next) => family.push(next),
            None => break,
        }
    }
    family
}

/// Every process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, field(&status(pid), "PPid:")?.try_into().ok()?))).collect()
}

fn status(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn look(family: &[u32], before: Footprint) -> Footprint {
    let mut now = Footprint::default();
    for &pid in family {
        let status = status(pid);
        now.bytes += field(&status, "VmHWM:").unwrap_or(0) * 1024;
        now.threads = field(&status, "Threads:").unwrap_or(0);
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        now.descriptors = descriptors as u64;
    }
    now.most(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footprint_is_read_as_it_was_told() {
        let footprint = Footprint { bytes: 3 << 20, threads: 1, descriptors: 4012 };
        let said = format!("pxrun: note: x\nside-by-side: note: {}\n", footprint.text());
        assert_eq!(Footprint::read(&said), Some(footprint));
        assert_eq!(Footprint::read("pxrun: note: x\n"), None);
    }

    #[test]
    fn a_process_has_a_footprint() {
        let own = look(&[std::process::id()], Footprint::default());
        assert!(own.bytes > 0 && own.threads > 0 && own.descriptors > 2, "{own:?}");
    }
}
