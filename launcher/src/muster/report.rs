//! What is to be said of all hosts together.

use std::collections::{HashMap, HashSet};

use px_runtime::agent::assignment::{Binding, Local};
use px_runtime::failure::{Message, OWN};
use px_runtime::job::Job;

use super::candidate::{Candidate, Failure};
use crate::Refusal;
use crate::hostfile::allocation::Host;

/// Hosts that a message tells of one by one.
const LISTED: usize = 20;

/// What a host says is shown no longer than this, in bytes.
const LONGEST: usize = 2000;

/// A host's own words, on one line and not too many.
fn bounded(words: &str) -> String {
    let words = words.trim();
    let end = words.floor_char_boundary(LONGEST);
    let dots = if end < words.len() { "..." } else { "" };
    format!("{}{dots}", words[..end].replace('\n', "; "))
}

/// How many hosts these are: a launcher may start several processes on one.
pub(super) fn hosts<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> usize {
    candidates.into_iter().map(Candidate::address).collect::<HashSet<_>>().len()
}

/// One message for all hosts that failed; `None` when none did.
pub(super) fn failures(candidates: &[Candidate]) -> Option<Refusal> {
    let failed: Vec<_> = candidates.iter().filter_map(|c| Some((c, c.failure.as_ref()?))).collect();
    let (first, failure) = failed.first()?;
    let status = failed.iter().map(|(_, failure)| failure.status).find(|&status| status != OWN);
    let status = status.unwrap_or(OWN);
    // Several agents of one host fail alike.
    let same = |(c, other): &(&Candidate, &Failure)| {
        (c.name(), other.what.as_str()) == (first.name(), failure.what.as_str())
    };
    let mut message = if failed.iter().all(same) {
        let mut message =
            Message::new(format!("host `{}`: {}", first.name(), bounded(&failure.what)));
        message.notes.extend(failure.note.as_deref().map(bounded));
        message
    } else {
        let count = hosts(failed.iter().map(|(candidate, _)| *candidate));
        let text = format!("{count} of {} hosts cannot take part", hosts(candidates));
        let mut lines: Vec<String> = failed.iter().map(|(c, failure)| told(c, failure)).collect();
        let mut seen = HashSet::new();
        lines.retain(|line| seen.insert(line.clone()));
        let more = lines.len().saturating_sub(LISTED);
        lines.truncate(LISTED);
        lines.extend((more > 0).then(|| format!("and {more} more")));
        let mut message = Message::new(text);
        message.notes = lines;
        message
    };
    message.help = failed.iter().find_map(|(_, failure)| failure.help.clone());
    let alive = candidates.len() - failed.len();
    if message.help.is_none() && status == OWN && alive > 0 {
        message.help = Some(format!("`--min-hosts {alive}` goes on without"));
    }
    Some(Refusal { message, status })
}

/// What one of several has failed by.
fn told(candidate: &Candidate, failure: &Failure) -> String {
    let words = failure.note.as_deref();
    let words = words.map_or(String::new(), |note| format!(" ({})", bounded(note)));
    format!("`{}`: {}{words}", candidate.name(), bounded(&failure.what))
}

/// Notes that the failures so far were told; says whether any was new.
pub(super) fn mark_told(candidates: &mut [Candidate]) -> bool {
    let mut new = false;
    for candidate in candidates.iter_mut().filter(|c| c.failure.is_some()) {
        new |= !std::mem::replace(&mut candidate.told, true);
    }
    new
}

/// Refuses two entries that are one host by its own word.
pub(super) fn same_host_twice(hosts: &[Host], candidates: &[Candidate]) -> Result<(), Message> {
    let mut seen: HashMap<(&str, &str, u64), usize> = HashMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let Some(identity) = candidate.identity() else { continue };
        if let Some(before) = seen.insert(identity, at) {
            let (first, second) = (&hosts[before], &hosts[at]);
            let text = format!(
                "`{}` at {} and `{}` at {} are one host, which calls itself `{}`",
                first.host,
                first.place.short(),
                second.host,
                second.place.short(),
                identity.1,
            );
            return Err(Message::new(text).help("name it once, with all its slots"));
        }
    }
    Ok(())
}

/// Refuses to keep more ranks on cores than there are cores.
pub(super) fn check_cores(
    job: &Job,
    candidates: &[Candidate],
    chosen: &[Vec<u32>],
    locals: &[Local],
) -> Result<(), Message> {
    if job.binding == Binding::None {
        return Ok(());
    }
    for ((candidate, ranks), local) in candidates.iter().zip(chosen).zip(locals) {
        let cores = candidate.hello().map_or(0, |hello| hello.cores.len());
        let needed = local.cores_taken as usize + ranks.len();
        if !ranks.is_empty() && needed > cores {
            let (name, ranks) = (candidate.name(), needed);
            let text = format!(
                "`--bind-to core` needs a core for each rank: `{name}` has {cores} for {ranks}"
            );
            return Err(Message::new(text).help("use fewer ranks there, or `--bind-to none`"));
        }
    }
    Ok(())
}
