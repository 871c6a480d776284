//! Placement: which rank goes to which host, without I/O; the same question has the same answer.
//!
//! Ranks fill slots first. With `--oversubscribe` further rounds follow, each over the same slots
//! in the same order, until every rank has a place or every host is at its bound. A host's bound is
//! never passed: its slots (times the factor of `--oversubscribe`), `--ranks-per-host`, and
//! `max_slots` above all.

use px_runtime::failure::Message;

/// Most ranks of a job.
pub const MOST_RANKS: u32 = 1 << 20;
/// Most hosts that a note lists.
const MOST_LISTED: usize = 8;

/// What a host has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its name in messages.
    pub host: String,
    /// Ranks that are permitted, one each.
    pub slots: u32,
    /// Ranks that it can have at all.
    pub max_slots: Option<u32>,
}

/// The order in which places are given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapBy {
    /// All slots of the first host, then those of the next.
    Slot,
    /// One on each host in turn.
    Host,
}

/// Whether a slot may have more than one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversubscribe {
    /// One rank a slot.
    No,
    /// Up to this many ranks a slot.
    Times(u32),
    /// As many ranks as are asked for.
    Any,
}

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// How many ranks; all that fit when nothing is said.
    pub np: Option<u32>,
    /// In which order.
    pub map_by: MapBy,
    /// Most ranks of a host.
    pub ranks_per_host: Option<u32>,
    /// Whether slots may be shared.
    pub oversubscribe: Oversubscribe,
}

/// Where hosts were listed.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its name, for a note.
    pub name: String,
    /// How there come to be more slots.
    pub more: &'static str,
}

/// Places ranks: the index of its host for each rank.
///
/// `from` is where the hosts were listed, for a note. Without `np` there are as many ranks as slots
/// (times the factor of [`Oversubscribe::Times`]), or with `ranks_per_host` that many for each host.
///
/// # Errors
/// More ranks than places; no host at all; more than [`MOST_RANKS`].
///
/// # Examples
/// ```
/// use pxrun::placement::{MapBy, Origin, Oversubscribe, Room, Wish, place};
///
/// let room = |host: &str, slots| Room { host: host.into(), slots, max_slots: None };
/// let hosts = [room("node01", 2), room("node02", 1)];
/// let mut wish = Wish {
///     np: None,
///     map_by: MapBy::Slot,
///     ranks_per_host: None,
///     oversubscribe: Oversubscribe::No,
/// };
/// let from = Origin { name: "hosts.txt".into(), more: "add slots to the hostfile" };
/// assert_eq!(place(&hosts, &wish, &from).unwrap(), [0, 0, 1]);
/// wish.map_by = MapBy::Host;
/// assert_eq!(place(&hosts, &wish, &from).unwrap(), [0, 1, 0]);
/// ```
pub fn place(hosts: &[Room], wish: &Wish, from: &Origin) -> Result<Vec<u32>, Message> {
    if hosts.is_empty() {
        return Err(Message::new("no host is listed to run ranks on"));
    }
    let np = wanted(hosts, wish);
    let places = places(hosts, wish);
    if np == 0 {
        return Err(Message::new("a job has at least 1 rank, found 0"));
    }
    if np > places {
        return Err(refusal(hosts, wish, np, places, from));
    }
    if np > u64::from(MOST_RANKS) {
        let help = format!("use `-np {MOST_RANKS}` or less");
        return Err(
            Message::new(format!("a job has at most {MOST_RANKS} ranks, found {np}")).help(help)
        );
    }
    Ok(deal(hosts, wish, np as usize))
}

/// How many ranks there are to be.
fn wanted(hosts: &[Room], wish: &Wish) -> u64 {
    match (wish.np, wish.ranks_per_host) {
        (Some(np), _) => u64::from(np),
        (None, Some(each)) => u64::from(each) * hosts.len() as u64,
        (None, None) => {
            let factor = match wish.oversubscribe {
                Oversubscribe::Times(factor) => factor,
                Oversubscribe::No | Oversubscribe::Any => 1,
            };
            let wish = Wish { oversubscribe: Oversubscribe::Times(factor), ..*wish };
            places(hosts, &wish)
        }
    }
}

/// How many ranks have a place.
fn places(hosts: &[Room], wish: &Wish) -> u64 {
    hosts.iter().fold(0, |sum, host| sum.saturating_add(bound(host, wish)))
}

/// How many ranks a host may have.
fn bound(host: &Room, wish: &Wish) -> u64 {
    let slots = u64::from(host.slots);
    let permitted = match wish.oversubscribe {
        Oversubscribe::No => slots,
        Oversubscribe::Times(factor) => slots * u64::from(factor),
        // Who may have no rank at all has none in any round.
        Oversubscribe::Any if slots == 0 => 0,
        Oversubscribe::Any => u64::MAX,
    };
    let most = |limit: Option<u32>| limit.map_or(u64::MAX, u64::from);
    permitted.min(most(host.max_slots)).min(most(wish.ranks_per_host))
}

/// A host that still has places.
struct Open {
    host: u32,
    slots: u64,
    bound: u64,
    placed: u64,
}

/// Deals ranks in rounds; at least `np` places are known to be there.
fn deal(hosts: &[Room], wish: &Wish, np: usize) -> Vec<u32> {
    let open = |(room, host): (&Room, u32)| Open {
        host,
        slots: u64::from(room.slots),
        bound: bound(room, wish),
        placed: 0,
    };
    let mut open: Vec<Open> = hosts.iter().zip(0..).map(open).collect();
    let mut ranks = Vec::with_capacity(np);
    // Those that are full leave the list, so each round places as many ranks as it visits hosts.
    for round in 1u64.. {
        open.retain(|host| host.placed < host.bound);
        if open.is_empty() || ranks.len() == np {
            break;
        }
        let here = |host: &Open| (round * host.slots).min(host.bound);
        match wish.map_by {
            MapBy::Slot => {
                for host in &mut open {
                    let count = (here(host) - host.placed).min((np - ranks.len()) as u64);
                    ranks.extend((0..count).map(|_| host.host));
                    host.placed += count;
                }
            }
            MapBy::Host => {
                let mut turn: Vec<&mut Open> = open.iter_mut().collect();
                while !turn.is_empty() && ranks.len() < np {
                    for host in turn.iter_mut().take(np - ranks.len()) {
                        ranks.push(host.host);
                        host.placed += 1;
                    }
                    turn.retain(|host| host.placed < here(host));
                }
            }
        }
    }
    ranks
}

/// Says why the ranks do not fit, with the arithmetic.
fn refusal(hosts: &[Room], wish: &Wish, np: u64, places: u64, from: &Origin) -> Message {
    let slots: u64 = hosts.iter().map(|host| u64::from(host.slots)).sum();
    let room = if places == slots { "slot" } else { "place" };
    let text = format!("{} do not fit in {}", count(np, "rank"), count(places, room));
    let mut message = Message::new(text).note(listed(hosts, &from.name));
    if let Some(each) = wish.ranks_per_host {
        message = message.note(format!(
            "`--ranks-per-host {each}` allows at most {} on each of {}",
            count(u64::from(each), "rank"),
            count(hosts.len() as u64, "host")
        ));
    }
    if let Oversubscribe::Times(factor) = wish.oversubscribe {
        let ranks = count(u64::from(factor), "rank");
        message = message.note(format!("`--oversubscribe={factor}` allows {ranks} a slot"));
    }
    let fewer = format!("use `-np {}`", places.min(u64::from(MOST_RANKS)));
    // Only where slots are what is missing do more of them help.
    let any = Wish { oversubscribe: Oversubscribe::Any, ..*wish };
    match (places > 0, self::places(hosts, &any) >= np) {
        (true, true) => {
            let more = from.more;
            message.help(format!("{fewer}, {more}, or pass `--oversubscribe`"))
        }
        (true, false) => message.help(fewer),
        (false, _) => message,
    }
}

/// `node01 has 4 slots, node02 has 4 (from hosts.txt)`.
fn listed(hosts: &[Room], from: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (index, Room { host, slots, max_slots }) in hosts.iter().take(MOST_LISTED).enumerate() {
        let mut part = match index {
            0 => format!("{host} has {}", count(u64::from(*slots), "slot")),
            _ => format!("{host} has {slots}"),
        };
        if let Some(most) = max_slots {
            part.push_str(&format!(" with `max_slots={most}`"));
        }
        parts.push(part);
    }
    let mut text = parts.join(", ");
    if hosts.len() > MOST_LISTED {
        text.push_str(&format!(" and {} more", hosts.len() - MOST_LISTED));
    }
    if !from.is_empty() {
        text.push_str(&format!(" (from {from})"));
    }
    text
}

fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests;
