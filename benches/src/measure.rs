//! One timed and verified run of one contestant.

use std::fs;
use std::path::Path;

use crate::contestant::Contestant;
use crate::ground::Ground;
use crate::hosts::far::Far;
use crate::hosts::idle;
use crate::hosts::watched::Footprint;
use crate::problem::Problem;
use crate::running;
use crate::verify::{self, Expect};

/// What one run took, in seconds of the whole work.
#[derive(Clone, Copy)]
pub struct Sample {
    pub wall: f64,
    /// Of the whole tree of processes, and of what ran for it on the lab's hosts.
    pub cpu: f64,
    /// Of the contestant without the copies it started, where it tells.
    pub own: Option<f64>,
    /// From pxrun's start until all hosts had answered, where it tells.
    pub answered: Option<f64>,
    /// What pxrun's own processes took, where they were watched.
    pub footprint: Option<Footprint>,
    /// What the work is judged by where that is none of these: for how long the copies had work, in
    /// seconds, or what the busiest idle agent took of a core.
    pub figure: Option<f64>,
}

/// Clears the output, runs, verifies, clears again.
pub fn measure(contestant: &Contestant, ground: &Ground) -> Result<Sample, Problem> {
    contestant.output.clear()?;
    let scratch = ground.scratch.path();
    let far_before = ground.far.as_ref().map_or(Ok(0.0), Far::cpu)?;
    let started_before = processes_started()?;
    let finished = running::run(&contestant.launches, scratch, ground.options.limit)?;
    let starts = processes_started()? - started_before;
    let said = said(&scratch.join("stderr"))?;
    if !finished.status.success() {
        return Err(Problem::Status { status: finished.status, said: last_line(&said) });
    }
    let mut far_cpu = 0.0;
    if let Some(far) = &ground.far {
        far.settle()?;
        far_cpu = far.cpu()? - far_before;
    }
    verify::check(&contestant.output, &contestant.expect, starts)?;
    let figure = match contestant.expect {
        Expect::Spans { .. } => verify::span(&contestant.output)?,
        _ => idle::read(&said),
    };
    // The page cache is for the next contestant.
    contestant.output.clear()?;
    let scale = f64::from(contestant.scale);
    Ok(Sample {
        wall: finished.wall.as_secs_f64() * scale,
        cpu: (finished.cpu.as_secs_f64() + far_cpu) * scale,
        own: own_cpu(&said).map(|own| own * scale),
        answered: answered(&said),
        footprint: Footprint::read(&said),
        figure,
    })
}

/// What was said on stderr, without the end where that is long.
fn said(path: &Path) -> Result<String, Problem> {
    let text = fs::read(path).map_err(Problem::step(format!("read `{}`", path.display())))?;
    Ok(String::from_utf8_lossy(&text[text.len().saturating_sub(1 << 20)..]).into_owned())
}

fn last_line(said: &str) -> String {
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("").trim().to_owned()
}

/// Reads the last `own cpu: 0.016 s user, 0.012 s system`, which pxrun prints on `-v` and the bare
/// limits always.
fn own_cpu(said: &str) -> Option<f64> {
    let (_, times) = said.lines().rev().find_map(|line| line.split_once("own cpu: "))?;
    let (user, system) = times.split_once(" s user, ")?;
    let (system, _) = system.split_once(" s system")?;
    Some(user.trim().parse::<f64>().ok()? + system.trim().parse::<f64>().ok()?)
}

/// Reads `4 hosts answered within 0.3120 s`, which pxrun prints on `-v`.
fn answered(said: &str) -> Option<f64> {
    let (_, time) = said.lines().find_map(|line| line.split_once(" answered within "))?;
    time.trim_end_matches(" s").parse().ok()
}

/// How many processes and threads this machine has started since it was booted. Others may start
/// some meanwhile, so a difference of two readings proves only that there were not fewer.
fn processes_started() -> Result<u64, Problem> {
    let stat = fs::read_to_string("/proc/stat").map_err(Problem::step("read `/proc/stat`"))?;
    let count = stat.lines().find_map(|line| line.strip_prefix("processes "));
    Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_last_answer_is_found() {
        let said = "pxrun: note: 4 hosts answered within 0.3120 s\npxrun: note: own cpu: ...\n";
        assert_eq!(answered(said), Some(0.312));
        assert_eq!(answered("pxrun: note: 2 ranks\n"), None);
    }

    #[test]
    fn the_own_cpu_line_is_found_among_others() {
        let said =
            "pxrun: note: 2 ranks\npxrun: note: own cpu: 0.016 s user, 0.012 s system\nbye\n";
        assert!((own_cpu(said).unwrap() - 0.028).abs() < 1e-9);
        assert!(own_cpu("pxrun: note: 2 ranks\n").is_none());
    }
}
