//! Cores: which CPUs this process may use, grouped as the hardware has them, and keeping a copy on
//! one of them.

use rustix::io::Errno;
use rustix::thread::CpuSet;

/// The CPUs of each core that this process may use, in ascending order of their first.
pub fn cores() -> Vec<Vec<u32>> {
    let allowed = allowed();
    let mut cores: Vec<Vec<u32>> = Vec::new();
    for &cpu in &allowed {
        if cores.iter().any(|core| core.contains(&cpu)) {
            continue;
        }
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let siblings = std::fs::read_to_string(path).ok().and_then(|text| parse(text.trim()));
        let mut core = siblings.unwrap_or_default();
        core.retain(|sibling| allowed.contains(sibling));
        cores.push(if core.contains(&cpu) { core } else { vec![cpu] });
    }
    cores
}

fn allowed() -> Vec<u32> {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .filter_map(|cpu| u32::try_from(cpu).ok())
        .collect()
}

/// Parses `0-3,8`.
fn parse(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last.checked_sub(first)? as usize > CpuSet::MAX_CPU {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Lists CPUs as `3,19`.
pub fn list(cpus: &[u32]) -> String {
    cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Keeps this process on some CPUs, which what it starts inherits, until it is dropped.
pub(super) struct Kept(CpuSet);

/// Keeps this process on `cpus` for now; nothing happens without any.
///
/// # Errors
/// `EINVAL` when none of them may be used any more.
pub(super) fn keep_on(cpus: Option<&[u32]>) -> Result<Option<Kept>, Errno> {
    let Some(cpus) = cpus else { return Ok(None) };
    let before = rustix::thread::sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    for &cpu in cpus {
        only.set(cpu as usize);
    }
    rustix::thread::sched_setaffinity(None, &only)?;
    Ok(Some(Kept(before)))
}

impl Drop for Kept {
    fn drop(&mut self) {
        // What was allowed before cannot be forbidden now but by an administrator.
        let _ = rustix::thread::sched_setaffinity(None, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(parse("5"), Some(vec![5]));
        assert_eq!(parse("3-1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn every_cpu_that_may_be_used_is_in_exactly_one_core() {
        let mut all: Vec<u32> = cores().concat();
        all.sort_unstable();
        assert_eq!(all, allowed());
    }
}
