//! How the directory and the files in it are called, without I/O.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the root notes that the directory is its own.
pub(super) const CLAIM: &str = "root";
const CARD: &str = "task-";
const LOOK: &str = ".look-";
/// The most letters of a cluster's name that are taken.
const LONGEST_CLUSTER: usize = 40;

/// What a Slurm step calls its job: cluster, job, step and how often the job was started again, so
/// that no other one and no other try has the same name.
///
/// Each job of an array has a number of its own. `None` outside of a step.
pub fn job_name(environment: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let number = |name: &str| environment(name)?.to_str()?.parse::<u32>().ok();
    let cluster = environment("SLURM_CLUSTER_NAME").and_then(|name| name.into_string().ok());
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    let cluster: String = cluster
        .iter()
        .flat_map(|name| name.chars())
        .map(|letter| if plain(letter) { letter } else { '_' })
        .take(LONGEST_CLUSTER)
        .collect();
    let (job, step) = (number("SLURM_JOB_ID")?, number("SLURM_STEP_ID")?);
    let restarts = number("SLURM_RESTART_COUNT").unwrap_or(0);
    Some(format!("{cluster}-{job}.{step}-{restarts}"))
}

/// Where directories are made that nobody names: in the user's cache.
pub fn cache(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative path is to be ignored, says the specification of these directories.
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|at| at.is_absolute());
    let cache = absolute("XDG_CACHE_HOME");
    let cache = cache.or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join(Path::new("pxrun/rendezvous")))
}

/// How the card of a task is called.
pub(super) fn of_task(task: u32) -> String {
    format!("{CARD}{task}")
}

/// How a file is called that one process makes and removes again.
pub(super) fn of_look(task: u32) -> String {
    format!("{LOOK}{task}-{}", std::process::id())
}

/// Whose card is called so, if anybody's.
pub(super) fn task_of(name: &str) -> Option<u32> {
    let task = name.strip_prefix(CARD)?.parse().ok()?;
    (of_task(task) == name).then_some(task)
}

/// Whether something may be removed with the directory.
pub(super) fn is_ours(name: &str) -> bool {
    let name = name.strip_prefix('.').unwrap_or(name);
    name.starts_with(CARD) || name.starts_with(CLAIM) || name.starts_with(&LOOK[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(variables: &[(&str, &str)]) -> Option<String> {
        job_name(|name| variables.iter().find(|one| one.0 == name).map(|one| one.1.into()))
    }

    #[test]
    fn a_step_has_a_name_that_no_other_and_no_other_try_has() {
        let step =
            [("SLURM_CLUSTER_NAME", "px.lab/1"), ("SLURM_JOB_ID", "7"), ("SLURM_STEP_ID", "0")];
        assert_eq!(named(&step).as_deref(), Some("px_lab_1-7.0-0"));
        let again = [&step[..], &[("SLURM_RESTART_COUNT", "2")]].concat();
        assert_eq!(named(&again).as_deref(), Some("px_lab_1-7.0-2"));
        assert_eq!(named(&step[1..]).as_deref(), Some("-7.0-0"));
    }

    #[test]
    fn outside_of_a_step_there_is_no_name() {
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[("SLURM_JOB_ID", "7")]), None);
        assert_eq!(named(&[("SLURM_JOB_ID", "../7"), ("SLURM_STEP_ID", "0")]), None);
    }

    #[test]
    fn the_cache_is_where_the_user_has_it() {
        let at = |variables: &'static [(&str, &str)]| {
            cache(|name| variables.iter().find(|one| one.0 == name).map(|one| one.1.into()))
        };
        let home = Some(PathBuf::from("/home/a/.cache/pxrun/rendezvous"));
        assert_eq!(at(&[("HOME", "/home/a")]), home);
        assert_eq!(at(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "cache")]), home);
        let own = Some(PathBuf::from("/c/pxrun/rendezvous"));
        assert_eq!(at(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/c")]), own);
        assert_eq!(at(&[("HOME", "")]), None);
    }

    #[test]
    fn only_the_names_that_are_given_are_read_back() {
        assert_eq!(task_of(&of_task(12)), Some(12));
        for other in ["task-012", "task-+1", "task-", ".task-1-77", "task-4294967296", CLAIM] {
            assert_eq!(task_of(other), None, "{other}");
        }
        for ours in ["task-3", ".task-3-77", CLAIM, ".root-1", &of_look(3)] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in [".", "..", "notes.txt", ".profile"] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
