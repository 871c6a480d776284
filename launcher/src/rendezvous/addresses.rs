//! On which addresses of its own the root opens its doors.

use std::net::IpAddr;

use px_runtime::sys::interfaces::{InterfaceAddress, addresses};
use rustix::io::Errno;

use super::card::MOST_ADDRESSES;

/// Lists this host's own addresses that another host may reach, IPv4 first.
///
/// # Errors
/// That the system does not list its interfaces.
pub fn own() -> Result<Vec<IpAddr>, Errno> {
    addresses().map(|listed| choose(&listed))
}

/// Chooses what others may reach: addresses of interfaces that are up, neither loopback nor valid
/// on one wire only; loopback where there is no other. At most [`MOST_ADDRESSES`], IPv4 first.
fn choose(listed: &[InterfaceAddress]) -> Vec<IpAddr> {
    let usable = |one: &&InterfaceAddress| one.is_up && !is_link_local(one.address);
    let (own, outward): (Vec<_>, Vec<&InterfaceAddress>) =
        listed.iter().filter(usable).partition(|one| one.is_loopback || one.address.is_loopback());
    let mut chosen: Vec<IpAddr> = Vec::new();
    for one in if outward.is_empty() { own } else { outward } {
        if !chosen.contains(&one.address) {
            chosen.push(one.address);
        }
    }
    chosen.sort_by_key(IpAddr::is_ipv6);
    chosen.truncate(MOST_ADDRESSES);
    chosen
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(address: &str) -> InterfaceAddress {
        let address: IpAddr = address.parse().unwrap();
        InterfaceAddress { address, is_up: true, is_loopback: address.is_loopback() }
    }

    fn chosen(listed: &[InterfaceAddress]) -> Vec<String> {
        choose(listed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_others_reach_is_chosen_and_the_older_protocol_first() {
        let down = InterfaceAddress { is_up: false, ..up("10.9.9.9") };
        let listed = [
            up("127.0.0.1"),
            up("::1"),
            up("fd00::2"),
            up("fe80::1"),
            up("10.0.0.2"),
            down,
            up("169.254.7.7"),
            up("10.0.0.2"),
            up("192.168.1.5"),
        ];
        assert_eq!(chosen(&listed), ["10.0.0.2", "192.168.1.5", "fd00::2"]);
    }

    #[test]
    fn a_host_without_a_network_is_reached_by_itself() {
        let listed = [up("::1"), up("127.0.0.1"), up("fe80::1")];
        assert_eq!(chosen(&listed), ["127.0.0.1", "::1"]);
        assert_eq!(chosen(&[]), [""; 0]);
    }

    #[test]
    fn no_more_are_chosen_than_a_card_holds() {
        let listed: Vec<_> = (0..20).map(|n| up(&format!("10.0.{n}.1"))).collect();
        assert_eq!(choose(&listed).len(), MOST_ADDRESSES);
    }

    #[test]
    fn this_host_has_an_address() {
        assert!(!own().unwrap().is_empty());
    }
}
