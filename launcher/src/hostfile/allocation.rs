//! The allocation: lines of hostfiles merged to one host each, in the order of first appearance.
//!
//! Lines with slots add up; lines without are one slot each, as in a PBS_NODEFILE, but one line
//! alone says nothing about slots: then the host's cores count, which only its agent knows. Lines
//! that contradict each other are an error that names both; so are lines with and without slots.
//! Names are the same host when they are written the same.

use std::collections::HashMap;

use px_runtime::failure::Message;

use super::{Entry, MOST_SLOTS, Place};

/// How many ranks a host has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// As many as the user said.
    Counted(u32),
    /// As many as cores that its agent may use.
    Cores,
}

/// A host that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// Whom to log in as.
    pub user: Option<String>,
    /// The port of the SSH server.
    pub port: Option<u16>,
    /// How many ranks have room.
    pub slots: Slots,
    /// How many ranks it can have at all, also when slots are oversubscribed.
    pub max_slots: Option<u32>,
    /// Why it has these slots, for a table.
    pub reason: String,
    /// Its first line.
    pub place: Place,
}

/// Merges entries, those of several hostfiles one behind the other, to hosts.
///
/// # Errors
/// Two lines of a host contradict each other, or it has more slots than it can.
pub fn allocate(entries: &[Entry]) -> Result<Vec<Host>, Message> {
    let mut merged: Vec<Merged<'_>> = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for entry in entries {
        match seen.get(entry.host.as_str()) {
            Some(&at) => merged[at].add(entry)?,
            None => {
                seen.insert(&entry.host, merged.len());
                merged.push(Merged::new(entry));
            }
        }
    }
    merged.iter().map(Merged::host).collect()
}

/// The lines of one host so far.
struct Merged<'a> {
    first: &'a Entry,
    last: &'a Entry,
    lines: u64,
    slots: u64,
}

impl<'a> Merged<'a> {
    fn new(first: &'a Entry) -> Self {
        Merged { first, last: first, lines: 1, slots: u64::from(first.slots.unwrap_or(1)) }
    }

    fn add(&mut self, entry: &'a Entry) -> Result<(), Message> {
        let first = self.first;
        let differ = |what: &str, mine: Option<String>, other: Option<String>| {
            let shown = |value: Option<String>| match value {
                Some(value) => format!("`{value}`"),
                None => "none".to_owned(),
            };
            let (places, host) = (between(&first.place, " and ", &entry.place), &first.host);
            let found = format!("found {} and {}", shown(mine), shown(other));
            Message::new(format!("{places}: `{host}` must have {what}, {found}"))
        };
        let text = |value: Option<u32>, key| value.map(|value| format!("{key}={value}"));
        if first.slots.is_some() != entry.slots.is_some() {
            let what = "slots on all of its lines or on none";
            return Err(differ(what, text(first.slots, "slots"), text(entry.slots, "slots")));
        }
        if first.max_slots != entry.max_slots {
            let (mine, other) =
                (text(first.max_slots, "max_slots"), text(entry.max_slots, "max_slots"));
            return Err(differ("the same `max_slots` on all of its lines", mine, other));
        }
        if first.user != entry.user {
            let what = "the same user on all of its lines";
            return Err(differ(what, first.user.clone(), entry.user.clone()));
        }
        if first.port != entry.port {
            let port = |entry: &Entry| entry.port.map(|port| format!("port={port}"));
            return Err(differ("the same port on all of its lines", port(first), port(entry)));
        }
        self.slots += u64::from(entry.slots.unwrap_or(1));
        self.lines += 1;
        self.last = entry;
        Ok(())
    }

    fn host(&self) -> Result<Host, Message> {
        let Entry { host, user, port, max_slots, place, .. } = self.first;
        let cores = self.lines == 1 && self.first.slots.is_none();
        let slots = match u32::try_from(self.slots) {
            Ok(_) if cores => Slots::Cores,
            Ok(slots) if slots <= max_slots.unwrap_or(MOST_SLOTS) => Slots::Counted(slots),
            _ => return Err(self.too_many()),
        };
        Ok(Host {
            host: host.clone(),
            user: user.clone(),
            port: *port,
            slots,
            max_slots: *max_slots,
            reason: self.reason(),
            place: place.clone(),
        })
    }

    fn too_many(&self) -> Message {
        let (lines, slots) = (self.lines(), self.slots);
        let host = &self.first.host;
        let most = match self.first.max_slots {
            Some(most) => format!("`max_slots={most}`"),
            None => MOST_SLOTS.to_string(),
        };
        Message::new(format!("{lines}: `{host}` must have at most {most}, found {slots} slots"))
    }

    fn reason(&self) -> String {
        let (lines, places) = (self.lines, self.lines());
        match self.first.slots {
            None if lines == 1 => format!("its cores, {places}"),
            None => format!("{lines} lines, {places}"),
            Some(slots) if lines == 1 => format!("`slots={slots}` at {places}"),
            Some(_) => format!("slots of {lines} lines, {places}"),
        }
    }

    fn lines(&self) -> String {
        match self.lines {
            1 => self.first.place.short(),
            2 => between(&self.first.place, " and ", &self.last.place),
            _ => between(&self.first.place, " to ", &self.last.place),
        }
    }
}

/// Names two places; one line that names a host twice is one place.
fn between(first: &Place, word: &str, last: &Place) -> String {
    if first == last {
        return first.short();
    }
    format!("{}{word}{}", first.short(), last.short())
}
