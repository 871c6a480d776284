//! Describes the machine, so that a table of times means something to a reader elsewhere.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use crate::ground::Ground;
use crate::problem::Problem;

/// One fact a line, ready for a markdown list.
pub fn describe(ground: &Ground) -> Result<Vec<String>, Problem> {
    let system = rustix::system::uname();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    let mut facts = vec![
        format!("processor: {}, {} cores online", processor(), cores()),
        format!("memory: {}", memory()),
        format!(
            "kernel: {} {}",
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy()
        ),
        format!("file system of inputs and outputs: {}", file_system(ground.scratch.path())),
        probe(&ground.scratch.join("probe")).map_err(Problem::step("probe the disk"))?,
        format!("load average of the last minute, at the start: {load}"),
    ];
    if load.parse::<f64>().is_ok_and(|load| load > 0.5) {
        facts.push(
            "**something else was running: these times are not those of a quiet machine**"
                .to_owned(),
        );
    }
    facts.push(format!("versions: {}", ground.tools.versions().join("; ")));
    let missing = ground.tools.missing();
    if !missing.is_empty() {
        facts.push(format!("missing here, so not measured: {}", missing.join(", ")));
    }
    Ok(facts)
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.and_then(|rest| rest.split_once(':')).map(|(_, model)| model.trim().to_owned());
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn cores() -> String {
    fs::read_to_string("/proc/cpuinfo").map_or_else(
        |_| "an unknown number of".to_owned(),
        |text| text.lines().filter(|line| line.starts_with("processor")).count().to_string(),
    )
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes
        .map_or_else(|| "unknown".to_owned(), |kib| format!("{:.1} GiB", kib as f64 / 1_048_576.0))
}

/// The type of the innermost mount that holds the folder.
fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found = (0, "unknown");
    for line in mounts.lines() {
        let point = line.split(' ').nth(4).unwrap_or("");
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
        if let Some(kind) = kind.filter(|_| folder.starts_with(point))
            && point.len() >= found.0
        {
            found = (point.len(), kind);
        }
    }
    found.1.to_owned()
}

/// How fast one plain writer fills the page cache there, and the disk behind it.
fn probe(path: &Path) -> io::Result<String> {
    const BLOCKS: u32 = 256;
    let block = vec![0x5a; 1 << 20];
    let mut file = File::create(path)?;
    let started = Instant::now();
    for _ in 0..BLOCKS {
        file.write_all(&block)?;
    }
    let cached = started.elapsed();
    file.sync_all()?;
    let stored = started.elapsed();
    fs::remove_file(path)?;
    let rate = |time: std::time::Duration| f64::from(BLOCKS) / 1024.0 / time.as_secs_f64();
    Ok(format!(
        "one writer there: {:.1} GiB/s into the page cache, {:.1} GiB/s with fsync",
        rate(cached),
        rate(stored)
    ))
}
