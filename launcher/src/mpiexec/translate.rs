//! From hosts to the words of a launcher, without I/O: one process a host, this host's the first.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use px_runtime::failure::Message;

use super::environment::{Variable, carried, for_launcher};
use super::family::Family;
use super::find::Found;
use crate::hostfile::allocation::Host;
use crate::ssh::command::Rsh;

/// What a launcher is to start, and where.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The launcher and the agent.
    pub found: &'a Found,
    /// The hosts as listed.
    pub hosts: &'a [Host],
    /// Which of them is this one.
    pub here: Option<usize>,
    /// What this host calls itself.
    pub own_name: &'a str,
    /// How others are logged in to.
    pub rsh: &'a Rsh,
    /// Where the list of hosts will be.
    pub hostfile: &'a Path,
    /// Where the first process is given its job.
    pub socket: &'a Path,
    /// Whether this is root's to run, which Open MPI wants to be sure of.
    pub is_superuser: bool,
}

/// The same in the launcher's own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The launcher's words, its name the first.
    pub words: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<Variable>,
    /// The text of its hostfile.
    pub hostfile: String,
}

/// Which listed host each MPI process is on, in the order of MPI ranks: first this one, `None`
/// where it is not listed and has no ranks, then the others as listed.
pub fn order(hosts: usize, here: Option<usize>) -> Vec<Option<usize>> {
    let others = (0..hosts).filter(|&at| Some(at) != here).map(Some);
    std::iter::once(here).chain(others).collect()
}

/// The place of the host that is this one, of which there may be one.
///
/// # Errors
/// Two names of it.
pub fn here(hosts: &[Host], is_here: impl Fn(&Host) -> bool) -> Result<Option<usize>, Message> {
    let mut found = hosts.iter().enumerate().filter(|(_, host)| is_here(host));
    let first = found.next();
    if let (Some((_, first)), Some((_, second))) = (first, found.next()) {
        let named = |host: &Host| format!("`{}` at {}", host.host, host.place.short());
        let text = format!("{} and {} are this host", named(first), named(second));
        return Err(Message::new(text).help("name it once, with all its slots"));
    }
    Ok(first.map(|(at, _)| at))
}

/// Translates, `ours` being this process's environment.
///
/// # Errors
/// A host or a remote shell that the launcher cannot be told of.
pub fn translate(wanted: &Wanted<'_>, ours: Vec<Variable>) -> Result<Translation, Message> {
    let order = order(wanted.hosts.len(), wanted.here);
    let mut hostfile = String::new();
    for at in &order {
        let host = at.map(|at| &wanted.hosts[at]);
        let other = host.filter(|_| *at != wanted.here);
        let line = match other {
            Some(other) => line(wanted, other)?,
            None => this_host(wanted, host),
        };
        hostfile.push_str(&line);
        hostfile.push('\n');
    }
    let environment = for_launcher(ours, &settings(wanted)?);
    let mut words = vec![wanted.found.called.clone()];
    let names = carried(&environment);
    match wanted.found.launcher_kind.family {
        Family::OpenMpi => open_mpi(&mut words, wanted, order.len(), names),
        Family::Hydra => hydra(&mut words, wanted, order.len(), names),
    }
    words.extend([wanted.found.agent.clone().into(), "--as-agent".into(), wanted.socket.into()]);
    Ok(Translation { words, environment, hostfile })
}

/// `seq` has the k-th process on the k-th line, whatever else is configured. No directory is sure
/// to be on every host but `/`.
fn open_mpi(words: &mut Vec<OsString>, wanted: &Wanted<'_>, count: usize, names: Vec<OsString>) {
    words.extend(["--hostfile".into(), wanted.hostfile.into()]);
    words.extend(["--map-by", "seq", "--bind-to", "none", "--stdin", "none"].map(OsString::from));
    words.extend(["--wdir".into(), "/".into(), "-np".into(), count.to_string().into()]);
    words.extend(names.into_iter().flat_map(|name| ["-x".into(), name]));
}

/// With `-rmk user` no scheduler is asked for hosts. Binding is none by the settings: the word for
/// it is not the same in all of the family.
fn hydra(words: &mut Vec<OsString>, wanted: &Wanted<'_>, count: usize, names: Vec<OsString>) {
    let launcher = if wanted.rsh.is_openssh() { "ssh" } else { "rsh" };
    words.extend(["-rmk", "user", "-launcher", launcher, "-launcher-exec"].map(OsString::from));
    words.push(wanted.rsh.program().into());
    words.extend(["-f".into(), wanted.hostfile.into(), "-ppn".into(), "1".into()]);
    words.extend(["-wdir".into(), "/".into(), "-n".into(), count.to_string().into()]);
    // Without a list other hosts would see all of this one's environment, its PATH and HOME too.
    words.extend(["-genvlist".into(), names.join(OsStr::new(","))]);
}

/// What is set by variables, since they reach every version, known or not.
fn settings(wanted: &Wanted<'_>) -> Result<Vec<(&'static str, String)>, Message> {
    let shell = shell(wanted)?;
    Ok(match wanted.found.launcher_kind.family {
        Family::OpenMpi => {
            // Without it names lose their domain; but where no other host has one, this host's
            // own name is expected without.
            let keeps = wanted.hosts.iter().enumerate().any(|(at, host)| {
                Some(at) != wanted.here && host.host.contains('.') && !is_ipv4(&host.host)
            });
            let keeps = u8::from(keeps).to_string();
            let mut set = vec![
                ("OMPI_MCA_plm_rsh_agent", shell.join(" ")),
                ("PRTE_MCA_plm_ssh_agent", shell.join(" ")),
                // All hosts are reached from here, as with ssh: others may lack the key for it.
                ("OMPI_MCA_plm_rsh_no_tree_spawn", "1".to_owned()),
                ("PRTE_MCA_plm_ssh_no_tree_spawn", "1".to_owned()),
                ("OMPI_MCA_orte_keep_fqdn_hostnames", keeps.clone()),
                // Who is lost is the root's to tell: else all others are ended at once, rank 0 too.
                ("OMPI_MCA_orte_enable_recovery", "1".to_owned()),
                ("PRTE_MCA_prte_keep_fqdn_hostnames", keeps),
            ];
            if wanted.is_superuser {
                set.push(("OMPI_ALLOW_RUN_AS_ROOT", "1".to_owned()));
                set.push(("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1".to_owned()));
            }
            set
        }
        Family::Hydra => vec![
            ("HYDRA_LAUNCHER_EXTRA_ARGS", shell[1..].join(" ")),
            ("HYDRA_BINDING", "none".to_owned()),
            // These two bind from within the agent, below which all copies would be bound too.
            ("I_MPI_PIN", "off".to_owned()),
            ("MV2_ENABLE_AFFINITY", "0".to_owned()),
        ],
    })
}

/// The words of the remote shell, none of which the launcher may take for two.
fn shell(wanted: &Wanted<'_>) -> Result<Vec<String>, Message> {
    let words = wanted.rsh.opening();
    let breaks: &[char] = match wanted.found.launcher_kind.family {
        Family::OpenMpi => &[' ', '\t', '\n', ':'],
        Family::Hydra => &[' '],
    };
    if let Some(word) = words.iter().find(|word| word.is_empty() || word.contains(breaks)) {
        let launcher = wanted.found.launcher.display();
        let text = format!("`--rsh`: `{launcher}` cannot be told the word `{word}` as one");
        return Err(Message::new(text).help("put the command into a script: `--rsh SCRIPT`"));
    }
    Ok(words)
}

/// This host's own line. Open MPI knows it by no name but its own. What Hydra is told here is also
/// where the others connect to, so one that the user has given is better, but for one that means
/// another host to each.
fn this_host(wanted: &Wanted<'_>, listed: Option<&Host>) -> String {
    let own = wanted.own_name;
    match wanted.found.launcher_kind.family {
        Family::OpenMpi => format!("{own} slots=1"),
        Family::Hydra => {
            let listed = listed.map(|host| host.host.as_str());
            listed.filter(|name| !is_everywhere(name)).unwrap_or(own).to_owned()
        }
    }
}

/// Another host's line.
fn line(wanted: &Wanted<'_>, host: &Host) -> Result<String, Message> {
    let name = &host.host;
    let refuse = |what: String, help: &str| {
        let (place, launcher) = (host.place.short(), wanted.found.launcher.display());
        let text = format!("{place}: `{launcher}` cannot be told {what}");
        Message::new(text).help(format!("{help}, or use `--backend ssh`"))
    };
    if name.contains(':') {
        return Err(refuse(format!("the IPv6 address `{name}`"), "use a name of this host"));
    }
    let family = wanted.found.launcher_kind.family;
    let tells_ports = family == Family::OpenMpi && wanted.rsh.is_openssh();
    if let Some(port) = host.port.filter(|_| !tells_ports) {
        let what = format!("port {port} of `{name}`");
        return Err(refuse(what, "set `Port` for this host in ~/.ssh/config"));
    }
    let (mut line, user) = match family {
        Family::OpenMpi => (format!("{name} slots=1"), "username"),
        Family::Hydra => (name.clone(), "user"),
    };
    if let Some(named) = &host.user {
        line += &format!(" {user}={named}");
    }
    if let Some(port) = host.port {
        line += &format!(" port={port}");
    }
    Ok(line)
}

/// Whether a name means every host to itself.
fn is_everywhere(name: &str) -> bool {
    ["localhost", "localhost.localdomain", "ip6-localhost"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || name.parse::<Ipv6Addr>().is_ok()
}

fn is_ipv4(name: &str) -> bool {
    name.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests;
