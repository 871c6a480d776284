//! A copy's process family: itself, its process group, its session and its descendants.

use std::collections::{HashMap, HashSet};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};

/// One row of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    pid: i32,
    parent: i32,
    session: i32,
    zombie: bool,
}

/// Parses `/proc/PID/stat`; the name in it may hold anything, also spaces and brackets.
fn parse(stat: &[u8]) -> Option<Row> {
    let open = memchr::memchr(b'(', stat)?;
    let close = memchr::memrchr(b')', stat)?;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let pid = text(&stat[..open])?.trim().parse().ok()?;
    let rest = text(stat.get(close + 1..)?)?;
    let mut fields = rest.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let _group = fields.next()?;
    let session = fields.next()?.parse().ok()?;
    Some(Row { pid, parent, session, zombie })
}

fn table() -> Vec<Row> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| row(&entry.path().join("stat")))
        .collect()
}

/// Reads a row with one call: all that is of interest stands at the beginning of the line.
fn row(stat: &std::path::Path) -> Option<Row> {
    let file = rustix::fs::open(stat, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut line = [0; 512];
    let length = rustix::io::read(&file, &mut line).ok()?;
    parse(&line[..length])
}

/// Whether `parent` has no child but this very process, and this one none; false where the kernel
/// does not tell. One that comes or goes meanwhile may be missed.
fn is_alone_below(parent: Pid) -> bool {
    let children = |pid: Pid| {
        let pid = pid.as_raw_nonzero();
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()
    };
    let own = rustix::process::getpid();
    children(parent).is_some_and(|list| list.trim() == own.as_raw_nonzero().to_string())
        && children(own).is_some_and(|list| list.trim().is_empty())
}

fn members(table: &[Row], leaders: &[i32]) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for row in table {
        children.entry(row.parent).or_default().push(row.pid);
    }
    let leading: HashSet<i32> = leaders.iter().copied().collect();
    let in_session = |row: &&Row| leading.contains(&row.session) || leading.contains(&row.pid);
    let mut todo: Vec<i32> = table.iter().filter(in_session).map(|row| row.pid).collect();
    let mut family = HashSet::new();
    while let Some(pid) = todo.pop() {
        if family.insert(pid) {
            todo.extend(children.get(&pid).into_iter().flatten());
        }
    }
    let mut family: Vec<i32> = family.into_iter().collect();
    family.sort_unstable();
    family
}

/// Sends `signal` to the families of `leaders`, which are processes not yet waited for.
pub fn signal(leaders: &[Pid], signal: Signal) {
    for &leader in leaders {
        // At once and without a look at the table: what most families are.
        let _ = rustix::process::kill_process_group(leader, signal);
    }
    let numbers: Vec<i32> = leaders.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
    for pid in members(&table(), &numbers) {
        let own_group = numbers.contains(&pid);
        if let (false, Some(pid)) = (own_group, Pid::from_raw(pid)) {
            let grouped = rustix::process::getpgid(Some(pid)).is_ok_and(|g| leaders.contains(&g));
            if !grouped {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }
}

/// Lists the living descendants of this very process.
pub fn descendants() -> Vec<Pid> {
    descendants_of(rustix::process::getpid())
}

/// Ends every descendant of `parent` but this process: what copies have left behind went there.
///
/// Nothing where `parent` has ended: whose child this one is by then, say that of the system's first
/// process, has descendants that are nobody's here to end.
pub fn end_all_beside_this(parent: Pid) {
    const ROUNDS: u32 = 50;
    // Reading the whole table takes long on a busy machine. What is missed here is the guardian's.
    if is_alone_below(parent) {
        return;
    }
    for _ in 0..ROUNDS {
        let mut others = descendants_of(parent);
        if rustix::process::getppid() != Some(parent) {
            return;
        }
        others.retain(|&pid| pid != rustix::process::getpid());
        if others.is_empty() {
            return;
        }
        for pid in others {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn descendants_of(ancestor: Pid) -> Vec<Pid> {
    let table = table();
    let own = ancestor.as_raw_nonzero().get();
    let alive: HashMap<i32, bool> = table.iter().map(|row| (row.pid, !row.zombie)).collect();
    // The table is not read in one moment, so it may even hold a cycle.
    let mut seen = HashSet::from([own]);
    let mut todo = vec![own];
    let mut found = Vec::new();
    while let Some(parent) = todo.pop() {
        for row in table.iter().filter(|row| row.parent == parent) {
            if !seen.insert(row.pid) {
                continue;
            }
            todo.push(row.pid);
            if alive.get(&row.pid) == Some(&true) {
                found.extend(Pid::from_raw(row.pid));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_parent() {
        let row = parse(b"42 (a) b ( c) S 7 42 40 0 -1").unwrap();
        assert_eq!(row, Row { pid: 42, parent: 7, session: 40, zombie: false });
    }

    #[test]
    fn a_family_is_the_session_and_every_descendant() {
        let row = |pid, parent, session| Row { pid, parent, session, zombie: false };
        let table =
            [row(10, 1, 10), row(11, 10, 10), row(12, 11, 12), row(13, 1, 10), row(14, 1, 14)];
        assert_eq!(members(&table, &[10]), [10, 11, 12, 13]);
    }
}
