//! Measures the memory of a job's own processes.

use std::collections::BTreeMap;
use std::fs;

use crate::processes::{all, carries};

/// The names of `pxrun`'s own processes.
pub const OWN: [&str; 3] = ["pxrun", "px-guardian", "px-agent"];

/// The most resident memory that each process of `pxrun` had, mapped file pages included.
///
/// It adds up the kernel's own high-water marks, so that a peak between two looks counts, and so
/// that the sum is never less than what they had together.
#[derive(Clone, Debug, Default)]
pub struct Peak(BTreeMap<i32, u64>);

impl Peak {
    /// Looks at the processes with this mark.
    pub fn look(&mut self, mark: &str) {
        let all = all();
        let own = all.iter().filter(|process| OWN.contains(&process.name.as_str()));
        for process in own.filter(|process| carries(process.pid, mark)) {
            // A copy between fork and exec still has the agent's name, and its memory.
            let half_born = all.iter().any(|p| p.pid == process.parent && p.name == "px-agent");
            if !half_born && let Some(bytes) = high_water(process.pid) {
                let peak = self.0.entry(process.pid).or_default();
                *peak = bytes.max(*peak);
            }
        }
    }

    /// The sum in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.values().sum()
    }
}

fn high_water(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}
