//! Names, addresses and the text of each file of a lab, without I/O.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use super::plan::{HostPlan, Plan, Startups};
use super::slurm_conf;

/// The head's address.
pub const HEAD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// An address, named `nowhere`, that swallows what is sent to it without an answer.
pub const NOWHERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 250);

/// The network of head and hosts.
pub(super) const NETWORK: &str = "10.77.0.0/24";

/// The most hosts that have addresses.
pub const MOST: usize = 200;

/// The name of a host by its number, from 1.
pub(super) fn name(number: usize) -> String {
    format!("node{number}")
}

/// The address of a host.
pub(super) fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(10 + number).expect("at most 200 hosts"))
}

/// The device of the head at whose other end a host is.
pub(super) fn cable(number: usize) -> String {
    format!("pxv{number}")
}

/// Addresses of cards follow from those of hosts, so that nobody has to ask for them.
fn card(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:50:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Every neighbour is known beforehand: a cut cable is then silence, where a question for the
/// card's address that nobody answers would be an error after three seconds.
fn neighbour(address: Ipv4Addr, device: &str) -> String {
    format!("neigh replace {address} lladdr {} dev {device} nud permanent\n", card(address))
}

/// `ip` lines for the head, cables left out.
pub(super) fn head_network(hosts: usize) -> String {
    let mut lines = format!(
        "link set lo up\n\
         link add pxbr0 address {} type bridge\n\
         link set pxbr0 addrgenmode none\n\
         addr add {HEAD}/24 dev pxbr0\n\
         link set pxbr0 up\n",
        card(HEAD)
    );
    for number in 1..=hosts {
        lines += &neighbour(address(number), "pxbr0");
    }
    lines + &neighbour(NOWHERE, "pxbr0")
}

/// `ip` lines for the head: a cable to a host's namespace.
pub(super) fn veth(number: usize, pin: &Path) -> String {
    let cable = cable(number);
    format!("link add {cable} type veth peer name eth0 netns {}\n", pin.display())
}

/// `ip` lines for the head: a cable is plugged in.
pub(super) fn plugged(number: usize) -> String {
    let cable = cable(number);
    format!("link set {cable} addrgenmode none\nlink set {cable} master pxbr0 up\n")
}

/// `ip` lines for a host.
pub(super) fn host_network(number: usize, hosts: usize) -> String {
    let own = address(number);
    let mut lines = format!(
        "link set lo up\n\
         link set eth0 address {} addrgenmode none\n\
         addr add {own}/24 dev eth0\n\
         link set eth0 up\n",
        card(own)
    );
    let others = (1..=hosts).filter(|&other| other != number).map(address);
    for other in others.chain([HEAD, NOWHERE]) {
        lines += &neighbour(other, "eth0");
    }
    lines
}

/// `/etc/hosts`, the same everywhere.
pub(super) fn hosts(count: usize) -> String {
    let mut text = format!("127.0.0.1 localhost\n{HEAD} head\n{NOWHERE} nowhere\n");
    for number in 1..=count {
        let _ = writeln!(text, "{} {}", address(number), name(number));
    }
    text
}

/// `/etc/ssh/ssh_config` of the head. What a launcher has to ask for by itself, as `BatchMode` or
/// a time limit, is left out.
pub(super) fn ssh_config(lab: &Path, hosts: usize) -> String {
    let mut text = String::new();
    for number in 1..=hosts {
        let (name, address) = (name(number), address(number));
        let _ = write!(text, "Host {name}\n  HostName {address}\n  HostKeyAlias {name}\n");
    }
    let lab = lab.display();
    text + &format!(
        "Host node* nowhere\n  User root\n  IdentityFile {lab}/head/key\n  IdentitiesOnly yes\n  \
         UserKnownHostsFile {lab}/head/known_hosts\n  GlobalKnownHostsFile /dev/null\n  \
         StrictHostKeyChecking yes\n  LogLevel ERROR\n"
    )
}

/// Lines that the head runs before each command.
pub(super) fn head_setup(lab: &Path, plan: &Plan) -> String {
    let mut lines = String::new();
    if plan.slurm.is_some() {
        lines += slurm_conf::HEAD_SETUP;
    }
    for mpi in &plan.mpis {
        lines += &mpi.setup(lab);
    }
    lines
}

/// The line of `known_hosts` for a host.
pub(super) fn known_host(number: usize, public: &str) -> String {
    let key: Vec<&str> = public.split_whitespace().take(2).collect();
    format!("{},{} {}\n", name(number), address(number), key.join(" "))
}

/// The configuration of a host's sshd.
pub(super) fn sshd_config(lab: &Path, number: usize, plan: &HostPlan) -> String {
    let (lab, name) = (lab.display(), name(number));
    let startups = match plan.startups {
        Startups::Generous => "MaxStartups 1000\nMaxSessions 1000\n",
        Startups::Default => "",
    };
    // The first value of an option counts, so a plan's own lines come first.
    plan.sshd.clone()
        + &format!(
            "{startups}Port 22\nListenAddress 0.0.0.0\nHostKey {lab}/{name}/key\n\
             PidFile {lab}/{name}/sshd.pid\nAuthorizedKeysFile {lab}/head/key.pub\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nStrictModes no\nUsePAM no\nUseDNS no\n\
             PrintMotd no\nPrintLastLog no\nX11Forwarding no\nLogLevel VERBOSE\n\
             Subsystem sftp internal-sftp\n"
        )
}

/// `/etc/passwd` as the machine has it, but with another home and login shell of root.
pub(super) fn passwd(real: &str, home: &Path, shell: &str) -> String {
    let others = real.lines().filter(|line| !line.starts_with("root:"));
    let others: String = others.map(|line| format!("{line}\n")).collect();
    format!("root:x:0:0:root:{}:{shell}\n{others}", home.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_changes_nobody_but_root() {
        let real = "daemon:x:1:1::/:/bin/sh\nroot:x:0:0::/root:/bin/bash\nrooter:x:9:9::/:/x\n";
        let text = passwd(real, Path::new("/lab/home"), "/bin/csh");
        let wanted =
            "root:x:0:0:root:/lab/home:/bin/csh\ndaemon:x:1:1::/:/bin/sh\nrooter:x:9:9::/:/x\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_plan_without_startups_leaves_sshd_its_default() {
        let mut plan = HostPlan::default();
        assert!(sshd_config(Path::new("/lab"), 1, &plan).contains("MaxStartups"));
        plan.default_startups();
        assert!(!sshd_config(Path::new("/lab"), 1, &plan).contains("MaxStartups"));
    }

    #[test]
    fn names_and_addresses_of_all_hosts_are_in_hosts() {
        let text = hosts(MOST);
        assert!(text.contains("10.77.0.11 node1\n") && text.contains("10.77.0.210 node200\n"));
    }
}
