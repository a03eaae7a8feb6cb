//! One network namespace: what listens there, by which interfaces the edge comes, what its kernel counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::firewall::AddrSet;
use super::listeners::{self, Listener};

/// One process in each network namespace: the namespace's number → a pid in it.
pub(super) fn namespaces() -> BTreeMap<u64, i32> {
    let mut found = BTreeMap::new();
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        if let Ok(spaces) = process.namespaces()
            && let Some(net) = spaces.0.get(OsStr::new("net"))
        {
            found.entry(net.identifier).or_insert(process.pid);
        }
    }
    found
}

/// The number of the caller's own namespace.
pub(super) fn own() -> Option<u64> {
    let spaces = procfs::process::Process::myself().ok()?.namespaces().ok()?;
    spaces.0.get(OsStr::new("net")).map(|net| net.identifier)
}

/// Runs `job` in the network namespace of `pid`, on a thread of its own; `None`: it can't be entered.
pub(super) fn inside<T: Send>(pid: i32, job: impl FnOnce() -> T + Send) -> Option<T> {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).ok()?;
    let run = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).ok()?;
        Some(job())
    };
    thread::scope(|scope| scope.spawn(run).join().ok().flatten())
}

/// A file of the calling thread's namespace, below `/proc/net`; empty where there is none.
pub(super) fn file(name: &str) -> String {
    fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
}

/// A sysctl of the calling thread's namespace, by its path below `/proc/sys`.
pub(super) fn sysctl<T: std::str::FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

/// The sockets that the edge can reach on watched ports.
pub(super) fn watched(watch: impl Fn(u16) -> bool) -> Result<Vec<Listener>, String> {
    let all = listeners::listening().map_err(|error| format!("{error:#}"))?;
    Ok(all.into_iter().filter(|one| one.reachable() && watch(one.port)).collect())
}

/// The peers that can reach each port, by family.
pub(super) fn reach(listeners: &[Listener]) -> BTreeMap<u16, AddrSet> {
    let mut ports: BTreeMap<u16, AddrSet> = BTreeMap::new();
    for listener in listeners {
        let set = match listener.addr.to_canonical() {
            IpAddr::V4(_) => AddrSet::ipv4(),
            IpAddr::V6(addr) if addr.is_unspecified() => AddrSet::all(),
            IpAddr::V6(_) => AddrSet::ipv6(),
        };
        let there = ports.entry(listener.port).or_default();
        *there = there.or(&set);
    }
    ports
}

/// Interfaces with a default route; where there is none, all but loopback. From `/proc/net/{route,ipv6_route,dev}`.
pub(super) fn uplinks(route: &str, ipv6_route: &str, dev: &str) -> Vec<String> {
    let ipv4 = route.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        (fields.len() > 7 && fields[1] == "00000000" && fields[7] == "00000000").then(|| fields[0].to_owned())
    });
    let ipv6 = ipv6_route.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let default = fields.len() == 10 && fields[0].bytes().all(|byte| byte == b'0') && fields[1] == "00";
        (default && fields[9] != "lo").then(|| fields[9].to_owned())
    });
    let mut found: BTreeSet<_> = ipv4.chain(ipv6).collect();
    if found.is_empty() {
        let names = dev.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
        found = names.filter(|name| name != "lo").collect();
    }
    found.into_iter().collect()
}

/// The namespace's own addresses that others can reach. From `/proc/net/{fib_trie,if_inet6}`.
pub(super) fn addresses(fib_trie: &str, if_inet6: &str) -> AddrSet {
    let mut found = Vec::new();
    let mut last = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(addr) = line.strip_prefix("|-- ") {
            last = addr.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.filter(|addr| !addr.is_loopback()).map(IpAddr::V4));
        }
    }
    for line in if_inet6.lines() {
        let mut fields = line.split_ascii_whitespace();
        let addr = fields.next().and_then(|addr| u128::from_str_radix(addr, 16).ok());
        // 00: of global scope.
        if let (Some(addr), Some("00")) = (addr, fields.nth(2)) {
            found.push(IpAddr::V6(Ipv6Addr::from_bits(addr)));
        }
    }
    AddrSet::new(found.into_iter().map(|addr| (addr, addr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                         eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                         eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const ROUTE6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                          fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth2\n\
                          00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                          00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
    const DEV: &str = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n    lo: 1 2\n  veth0: 1 2\n";
    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n\
                        \x20    |-- 192.0.2.2\n        /32 host LOCAL\n\
                        \x20    |-- 192.0.2.255\n        /32 link BROADCAST\n";
    const INET6: &str = "20010db8000000000000000000000002 04 40 00 82     eth0\n\
                         fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
                         00000000000000000000000000000001 01 80 10 80       lo\n";

    #[test]
    fn uplinks_have_a_default_route_or_are_all_there_is() {
        assert_eq!(uplinks(ROUTE, ROUTE6, DEV), ["eth0", "eth2"]);
        assert_eq!(uplinks("", "", DEV), ["veth0"]);
    }

    #[test]
    fn addresses_are_those_that_others_can_reach() {
        let found = addresses(TRIE, INET6);
        let expected = ["192.0.2.2/32", "2001:db8::2/128"].map(|net| net.parse().unwrap());
        assert_eq!(found, AddrSet::nets(expected));
    }

    #[test]
    fn listeners_reach_their_family_or_both() {
        let listener = |addr: &str, port| Listener { addr: addr.parse().unwrap(), port, queue: 0, limit: 0, inode: 0 };
        let ports = reach(&[listener("0.0.0.0", 80), listener("::", 443), listener("2001:db8::1", 8443)]);
        assert_eq!(ports[&80], AddrSet::ipv4());
        assert_eq!(ports[&443], AddrSet::all());
        assert_eq!(ports[&8443], AddrSet::ipv6());
    }

    #[test]
    fn the_own_namespace_is_one_of_all_and_can_be_entered() {
        let own = own().unwrap();
        assert!(namespaces().contains_key(&own));
        let me = i32::try_from(std::process::id()).unwrap();
        // Without the privilege it can't be entered, which is no crash.
        assert!(inside(me, || 1).is_none_or(|one| one == 1));
    }
}
