//! Which hosts the user named, and which of them is this one.

use std::collections::HashSet;
use std::ffi::OsString;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use px_runtime::failure::Message;
use px_runtime::link::control::{Hello, Packing};
use px_runtime::link::joining::Allowed;
use px_runtime::link::lease;

use crate::hostfile::allocation::{Host, Slots, allocate};
use crate::hostfile::{Entry, parse_list, parse_words, read};
use crate::options::Options;
use crate::placement::{MapBy, Origin, Oversubscribe, Room, Wish, place};
use crate::slurm::allocation::Allocation;
use crate::ssh::command::Rsh;
use crate::{agent, values};

/// Logins at once, unless asked otherwise.
const LOGINS: u32 = 32;

/// Hosts to run ranks on, and how they are reached.
#[derive(Debug)]
pub struct Listing {
    /// In the order of ranks.
    pub hosts: Vec<Host>,
    /// Where they were listed.
    pub from: Origin,
    /// How ranks are placed on them.
    pub wish: Wish,
    /// How to log in.
    pub reach: ReachBy,
}

/// How other hosts are reached.
#[derive(Debug)]
pub struct ReachBy {
    /// The remote shell.
    pub rsh: Rsh,
    /// Logins at once.
    pub logins: u32,
    /// The agent there, where it is not this program's to bring.
    pub agent: Option<PathBuf>,
    /// Go on without hosts that cannot be reached, as long as there are so many.
    pub least: Option<u32>,
    /// Silence after which the other side is lost.
    pub lease: Duration,
    /// Which links are allowed.
    pub allowed: Allowed,
    /// Where agents may connect to.
    pub listen: Option<values::Listen>,
    /// How data is packed.
    pub packing: Packing,
}

/// Takes the hosts from the options, from `PX_HOSTFILE` or from the scheduler of this job; `None` for this
/// one alone.
///
/// # Errors
/// Whatever is wrong with a hostfile or an option.
pub fn listing(options: &Options, wish: Wish) -> Result<Option<Listing>, Message> {
    let (entries, from) = named(options, std::env::var_os("PX_HOSTFILE"))?;
    let (hosts, from) = if from.is_empty() {
        let Some((variable, entries)) = scheduled()? else { return Ok(None) };
        (one_slot_each(allocate(&entries)?), format!("`{variable}`"))
    } else {
        (allocate(&entries)?, from.join(", "))
    };
    let from = Origin { name: from, more: "add slots to the hostfile" };
    let reach = reach(options)?;
    if let Some(least) = reach.least.filter(|&least| least as usize > hosts.len()) {
        let text = format!("`--min-hosts {least}` asks for more than the {} listed", hosts.len());
        return Err(Message::new(text));
    }
    Ok(Some(Listing { hosts, from, wish, reach }))
}

/// The hosts that options name, or else a file that is named elsewhere; and where they are listed.
fn named(
    options: &Options,
    elsewhere: Option<OsString>,
) -> Result<(Vec<Entry>, Vec<String>), Message> {
    let mut entries = Vec::new();
    let mut from = Vec::new();
    let mut files: Vec<PathBuf> = options.all("hostfile").into_iter().map(PathBuf::from).collect();
    let named = options.raw("host");
    if files.is_empty() && named.is_none() {
        files.extend(elsewhere.filter(|file| !file.is_empty()).map(PathBuf::from));
    }
    for file in files {
        entries.extend(read(&file)?);
        from.push(file.display().to_string());
    }
    if let Some(list) = named {
        let text = list.to_str().ok_or_else(|| {
            Message::new(format!("`-H` must be text, found `{}`", list.to_string_lossy()))
        })?;
        entries.extend(parse_list(text)?);
        from.push("`-H`".to_owned());
    }
    Ok((entries, from))
}

/// Takes the nodes of an allocation that get ranks, options restricting which.
///
/// # Errors
/// Whatever is wrong with a hostfile or an option; more is asked for than the allocation has.
pub fn in_allocation(
    options: &Options,
    wish: Wish,
    allocation: &Allocation,
) -> Result<Listing, Message> {
    let (entries, listed) = named(options, None)?;
    let mut from = listed;
    let mut hosts = allocation.hosts();
    if !from.is_empty() {
        hosts = allocation.restrict(allocate(&entries)?)?;
    }
    from.push(allocation.title());
    let from = Origin { name: from.join(", "), more: "ask Slurm for more tasks" };
    // Who gets no rank needs no agent; the others have the same ranks without them.
    let rooms: Vec<Room> = hosts.iter().filter_map(|host| host.room(None)).collect();
    let used: HashSet<u32> = place(&rooms, &wish, &from)?.into_iter().collect();
    let hosts = hosts.into_iter().zip(0..).filter(|(_, at)| used.contains(at));
    let hosts = hosts.map(|(host, _)| host).collect();
    Ok(Listing { hosts, from, wish, reach: reach(options)? })
}

/// Takes the hosts for an MPI: those that are named, or of this allocation, or this one alone.
///
/// # Errors
/// Whatever is wrong with a hostfile or an option.
pub fn for_mpi(options: &Options, wish: Wish) -> Result<Listing, Message> {
    if let Some(listing) = listing(options, wish)? {
        return Ok(listing);
    }
    if let Some(allocation) = Allocation::read(|name| std::env::var(name).ok())? {
        return in_allocation(options, wish, &allocation);
    }
    let from = Origin { name: "this host".to_owned(), more: "name more hosts with `--hostfile`" };
    let mut own = Host::of_a_process(agent::host());
    (own.slots, own.reason) = (Slots::Cores, "cores of this host".to_owned());
    Ok(Listing { hosts: vec![own], from, wish, reach: reach(options)? })
}

/// One host for each of `size` processes, as long as it is not known which, and how they are
/// reached.
///
/// # Errors
/// Values that are none.
pub fn of_processes(options: &Options, wish: Wish, size: u32) -> Result<Listing, Message> {
    let from = Origin { name: "the launcher".to_owned(), more: "start more processes" };
    let hosts = (0..size).map(|rank| Host::of_a_process(format!("process {rank}"))).collect();
    Ok(Listing { hosts, from, wish, reach: reach(options)? })
}

/// Takes the hosts from what PBS or LSF says to a job, and the variable that says it. Inside a job of
/// Slurm's, which has an allocation of its own, they would be another job's.
fn scheduled() -> Result<Option<(&'static str, Vec<Entry>)>, Message> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if variable("SLURM_JOB_ID").is_some() {
        return Ok(None);
    }
    if let Some(file) = variable("PBS_NODEFILE") {
        return Ok(Some(("PBS_NODEFILE", read(Path::new(&file))?)));
    }
    let Some(words) = variable("LSB_HOSTS") else { return Ok(None) };
    let entries = parse_words("LSB_HOSTS", &words.to_string_lossy())?;
    Ok((!entries.is_empty()).then_some(("LSB_HOSTS", entries)))
}

/// A scheduler names a host once for each slot, so one name alone is one slot and not its cores.
fn one_slot_each(mut hosts: Vec<Host>) -> Vec<Host> {
    for host in hosts.iter_mut().filter(|host| host.slots == Slots::Cores) {
        host.slots = Slots::Counted(1);
        host.reason = format!("1 line, {}", host.place.short());
    }
    hosts
}

/// How ranks are to be placed.
///
/// # Errors
/// Values that are none.
pub fn wish(options: &Options, np: Option<u32>) -> Result<Wish, Message> {
    let ways = [("slot", MapBy::Slot), ("host", MapBy::Host), ("node", MapBy::Host)];
    let per_host = options.value("ranks-per-host", |text| values::whole(text, 1, 1 << 20))?;
    let oversubscribe = match options.oversubscribe() {
        None => Oversubscribe::No,
        Some("") => Oversubscribe::Any,
        Some(text) => {
            let factor = values::whole(text, 1, 1024)
                .map_err(|wrong| Message::new(format!("`--oversubscribe` {wrong}")))?;
            Oversubscribe::Times(u32::try_from(factor).unwrap_or(1))
        }
    };
    Ok(Wish {
        np,
        map_by: options.choice("map-by", &ways)?.unwrap_or(MapBy::Slot),
        ranks_per_host: per_host.and_then(|count| u32::try_from(count).ok()),
        oversubscribe,
    })
}

fn reach(options: &Options) -> Result<ReachBy, Message> {
    let rsh = options.raw("rsh").map_or("ssh".into(), |text| text.to_string_lossy());
    let rsh = Rsh::parse(&rsh).map_err(|error| Message::new(error.to_string()))?;
    let links = [("auto", Allowed::Any), ("tcp", Allowed::Connection), ("ssh", Allowed::Control)];
    let allowed = options.choice("link", &links)?.unwrap_or(Allowed::Any);
    let number = |name: &str, most| options.value(name, |text| values::whole(text, 1, most));
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let shortest = lease::SHORTEST;
    let lease = options.value("lease", |text| {
        let lease = values::seconds(text)?;
        if lease < shortest {
            return Err(format!("must be at least {} s, found `{text}`", shortest.as_secs()));
        }
        Ok(lease)
    })?;
    Ok(ReachBy {
        rsh,
        logins: number("ssh-parallel", 4096)?.map_or(LOGINS, small),
        agent: options.raw("agent-path").map(PathBuf::from),
        least: number("min-hosts", 1 << 20)?.map(small),
        lease: lease.unwrap_or(lease::USUAL),
        allowed,
        listen: options.value("listen", values::listen)?,
        packing: if options.flag("compress") { Packing::Compressed } else { Packing::Plain },
    })
}

impl Host {
    /// A host that has one rank, that of a process which a launcher has started there.
    pub fn of_a_process(host: String) -> Self {
        let place = crate::hostfile::Place {
            source: crate::hostfile::Source::HostOption,
            line: 1,
            column: 1,
        };
        let reason = "one process".to_owned();
        let slots = Slots::Counted(1);
        Host { host, user: None, port: None, slots, max_slots: None, reason, place }
    }

    /// How many ranks have room there; `None` where that is its agent's to say and it was not
    /// asked.
    pub fn room(&self, hello: Option<&Hello>) -> Option<Room> {
        let slots = match self.slots {
            Slots::Counted(slots) => slots,
            Slots::Cores => hello?.parallelism,
        };
        Some(Room { host: self.host.clone(), slots, max_slots: self.max_slots })
    }

    /// Whether it is the host on which this process runs, to be used without a login.
    pub fn is_here(&self) -> bool {
        if self.user.is_some() || self.port.is_some() {
            return false;
        }
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return is_own(address);
        }
        let name = self.host.to_ascii_lowercase();
        let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let short = own.split('.').next().unwrap_or_default();
        ["localhost", "localhost.localdomain", "ip6-localhost", &own, short]
            .contains(&name.as_str())
            || listed_as_own(&name)
    }
}

/// Whether an address is one of this host's: only those can be bound to.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || !address.is_unspecified() && UdpSocket::bind((address, 0)).is_ok()
}

/// Whether `/etc/hosts` gives the name to an address of this host. No name server is asked: that
/// is ssh's to do.
fn listed_as_own(name: &str) -> bool {
    const LONGEST: u64 = 1 << 20;
    let small = std::fs::metadata("/etc/hosts").is_ok_and(|found| found.len() <= LONGEST);
    let text = if small { std::fs::read_to_string("/etc/hosts").ok() } else { None };
    text.unwrap_or_default().lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse().ok());
        words.any(|word| word.eq_ignore_ascii_case(name)) && address.is_some_and(is_own)
    })
}
