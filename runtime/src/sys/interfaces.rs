//! The network interfaces of this host and their addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;

use super::process::last_errno;

/// Most addresses that are looked at; a host has a few, a machine full of containers thousands.
const MOST: usize = 1 << 16;

/// One address of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// The interface can be used at all.
    pub is_up: bool,
    /// The interface reaches nothing but this host.
    pub is_loopback: bool,
}

/// Lists the addresses of all interfaces, in the system's order.
///
/// # Errors
/// Those of `getifaddrs`: `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn addresses() -> Result<Vec<InterfaceAddress>, Errno> {
    let mut first = std::ptr::null_mut();
    // SAFETY: stores the head of a list, which is freed below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(last_errno());
    }
    let mut found = Vec::new();
    let mut next = first;
    while !next.is_null() && found.len() < MOST {
        // SAFETY: `next` is an entry of the list, which lives until it is freed below.
        let entry = unsafe { &*next };
        next = entry.ifa_next;
        // SAFETY: the pointer is the entry's own: null, or to an address that is as long as the
        // family in its head says.
        let Some(address) = (unsafe { read(entry.ifa_addr) }) else { continue };
        let has = |flag: i32| entry.ifa_flags & flag.unsigned_abs() != 0;
        let (is_up, is_loopback) = (has(libc::IFF_UP), has(libc::IFF_LOOPBACK));
        found.push(InterfaceAddress { address, is_up, is_loopback });
    }
    // SAFETY: `first` came from getifaddrs and is freed once; no entry of it is used any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// Reads an internet address; other families are none.
///
/// # Safety
/// `address` is null, or points to a socket address of the length that its family has.
unsafe fn read(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: every socket address begins with its family; what is read for a family is of that
    // family's type. Reads need no alignment.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
                Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_listed_as_what_it_is() {
        let listed = addresses().unwrap();
        let own = listed.iter().find(|one| one.address == Ipv4Addr::LOCALHOST).unwrap();
        assert!(own.is_loopback && own.is_up);
        let outward = |one: &&InterfaceAddress| !one.is_loopback;
        assert!(listed.iter().filter(outward).all(|one| !one.address.is_loopback()));
    }
}
