//! The lab's hosts as a race sees them from the head: what runs there, and what it has cost.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{HOSTS, RANKS};
use crate::problem::Problem;

/// How long the hosts may take to be idle after a contestant's end.
const SETTLED: Duration = Duration::from_secs(5);

/// The hosts.
pub struct Far {
    /// In it `shared/input` is seen by all, `hidden/input` by the head alone. They are one file.
    folder: PathBuf,
    /// The network of each host.
    networks: HashSet<(u64, u64)>,
    /// What runs there anyway: sshd, and the daemons of a Slurm.
    services: HashSet<u32>,
}

impl Far {
    /// Finds the hosts of the lab in this folder.
    pub fn find(lab: &Path, folder: PathBuf) -> Result<Far, Problem> {
        let mut networks = HashSet::new();
        for number in 1..=HOSTS {
            let file = lab.join(format!("node{number}/sshd.pid"));
            let read = Problem::step(format!("read `{}`", file.display()));
            let text = fs::read_to_string(&file).map_err(read)?;
            let pid = text.trim().parse().map_err(|_| {
                Problem::Usage(format!("`{}` holds no number: `{text}`", file.display()))
            })?;
            let network = network_of(pid)
                .ok_or_else(|| Problem::Usage(format!("node{number} does not run")))?;
            networks.insert(network);
        }
        let services = on(&networks)?.into_iter().collect();
        Ok(Far { folder, networks, services })
    }

    /// The input where every host sees it.
    pub fn shared(&self) -> PathBuf {
        self.folder.join("shared/input")
    }

    /// The input where only the head sees it.
    pub fn hidden(&self) -> PathBuf {
        self.folder.join("hidden/input")
    }

    /// Where the head sees what it puts there, and nobody else.
    pub fn hidden_folder(&self) -> PathBuf {
        self.folder.join("hidden")
    }

    /// All hosts with their slots, as pxrun's `-H` takes them.
    pub fn list() -> String {
        let hosts = (1..=HOSTS).map(|number| format!("node{number}:{RANKS}"));
        hosts.collect::<Vec<_>>().join(",")
    }

    /// All hosts with their slots, as GNU parallel's `-S` takes them.
    pub fn parallel_list() -> String {
        let hosts = (1..=HOSTS).map(|number| format!("{RANKS}/node{number}"));
        hosts.collect::<Vec<_>>().join(",")
    }

    /// Each host's name.
    pub fn names() -> impl Iterator<Item = OsString> {
        (1..=HOSTS).map(|number| format!("node{number}").into())
    }

    /// Waits until nothing but its services runs on any host.
    pub fn settle(&self) -> Result<(), Problem> {
        let deadline = Instant::now() + SETTLED;
        loop {
            let found = on(&self.networks)?;
            let left = found.iter().filter(|pid| !self.services.contains(pid)).count();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Problem::LeftBehind { processes: left });
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// Time that all processes of all hosts have taken so far.
    ///
    /// What sshd does not wait for is left to the process that holds the lab, which is this one's
    /// parent and reaps nothing, so its time can still be read.
    pub fn cpu(&self) -> Result<f64, Problem> {
        let holder = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
        let mut ticks = 0;
        for entry in fs::read_dir("/proc").map_err(Problem::step("list `/proc`"))? {
            let name = entry.map_err(Problem::step("list `/proc`"))?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
            let [state, parent, ..] = fields.as_slice() else { continue };
            let is_left = *state == "Z" && Some(*parent) == holder.as_deref();
            if is_left || self.services.contains(&pid) {
                // Its own user and system time, then those of whom it has waited for.
                let times = fields.iter().skip(11).take(4);
                ticks += times.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
            }
        }
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

/// The processes on these networks.
fn on(networks: &HashSet<(u64, u64)>) -> Result<Vec<u32>, Problem> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(Problem::step("list `/proc`"))? {
        let name = entry.map_err(Problem::step("list `/proc`"))?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if network_of(pid).is_some_and(|network| networks.contains(&network)) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Which network a process is on; `None` for one that has gone.
fn network_of(pid: u32) -> Option<(u64, u64)> {
    let found = fs::metadata(format!("/proc/{pid}/ns/net")).ok()?;
    Some((found.dev(), found.ino()))
}
