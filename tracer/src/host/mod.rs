//! The usual roots of a 520 on this host, looked for before they are met: firewall, queues, memory, disks, limits, and
//! the servers' own settings. Reads only; what can't be judged is said to be unknown. Says nothing about whether the
//! host can be traced.

mod backlog;
mod cgroup;
pub(crate) mod child;
pub(crate) mod disk;
pub mod finding;
mod firewall;
pub(crate) mod limits;
pub(crate) mod listeners;
mod memory;
mod network;
mod number;
mod oom;
mod pairs;
pub mod servers;
mod sock_diag;
mod tls;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use self::backlog::Sysctls;
use self::finding::Finding;
use self::firewall::{AddrSet, Firewall, Ports, World};
use self::limits::Files;
use self::listeners::Listener;
use self::network::sysctl;
use crate::config::Settings;
use crate::edge::EdgeRanges;

/// The ports that Cloudflare proxies unless it is told otherwise.
const EDGE_PORTS: [u16; 13] = [80, 443, 2052, 2053, 2082, 2083, 2086, 2087, 2095, 2096, 8080, 8443, 8880];
/// Other network namespaces that are looked at: those where watched ports are listened on.
const NAMESPACES: usize = 8;

/// What was found, and where it was looked.
#[derive(Debug, Default)]
pub struct Roots {
    /// Which network namespaces were looked at.
    pub heading: String,
    pub findings: Vec<Finding>,
}

/// One network namespace, as its own threads see it.
struct Network {
    /// `None`: the doctor's own.
    place: Option<String>,
    world: World,
    listeners: Result<Vec<Listener>, String>,
    firewall: Firewall,
    counters: Counters,
}

/// What a namespace's kernel counts and allows.
struct Counters {
    sysctls: Sysctls,
    netstat: String,
    snmp: String,
    sockstat: String,
    local_ports: String,
    conntrack: (Option<u64>, Option<u64>),
}

/// Looks at this host.
#[must_use]
pub fn examine(settings: &Settings, ranges: &EdgeRanges) -> Roots {
    let watch =
        |port| if settings.ports.is_empty() { EDGE_PORTS.contains(&port) } else { settings.ports.contains(&port) };
    let own = network::own();
    let mut networks = vec![Network::here(None, ranges, network::watched(watch))];
    let mut passed_over = 0;
    for (number, pid) in network::namespaces().into_iter().filter(|(number, _)| Some(*number) != own) {
        let read = network::inside(pid, || network::watched(watch));
        let Some(Ok(listeners)) = read.filter(|read| matches!(read, Ok(list) if !list.is_empty())) else { continue };
        if networks.len() > NAMESPACES {
            passed_over += 1;
            continue;
        }
        let place = Some(format!("network namespace {number}"));
        networks.extend(network::inside(pid, || Network::here(place, ranges, Ok(listeners))));
    }
    let holders = Holders::of(&networks);
    let mut findings = Vec::new();
    for network in &networks {
        let behind = behind(&networks, network);
        findings.extend(network.findings(ranges, &holders, behind, !settings.ports.is_empty()));
    }
    if passed_over > 0 {
        let seen = format!("{passed_over} more with watched listeners, not looked at");
        findings.push(Finding::unknown("network namespaces", seen, "run `nsenter -t PID -n tracer doctor` in them"));
    }
    findings.extend(tunnel::tunnels(own, ranges));
    findings.extend(host(&holders, settings.tls_sight));
    Roots { heading: heading(own, networks.len() - 1), findings }
}

/// The findings for a reader who does not want all of them.
#[must_use]
pub fn brief(findings: Vec<Finding>) -> Vec<Finding> {
    pairs::brief(findings)
}

fn heading(own: Option<u64>, others: usize) -> String {
    let own = own.map_or_else(String::new, |own| format!(" {own}"));
    let others = match others {
        0 => String::new(),
        others => format!(" and {others} more where a watched port is listened on"),
    };
    format!("This host, network namespace{own}{others}:")
}

/// The watched ports of the other namespaces, to which the doctor's own may forward.
fn behind(networks: &[Network], network: &Network) -> BTreeSet<u16> {
    if network.place.is_some() {
        return BTreeSet::new();
    }
    networks[1..].iter().flat_map(|other| other.listeners.iter().flatten()).map(|listener| listener.port).collect()
}

impl Network {
    /// The calling thread's namespace.
    fn here(place: Option<String>, ranges: &EdgeRanges, listeners: Result<Vec<Listener>, String>) -> Self {
        let file = network::file;
        let world = World {
            edge: AddrSet::nets(ranges.iter()),
            uplinks: network::uplinks(&file("route"), &file("ipv6_route"), &file("dev")),
            local: network::addresses(&file("fib_trie"), &file("if_inet6")),
        };
        let legacy = ["ip_tables_names", "ip6_tables_names"].iter().any(|names| !file(names).trim().is_empty());
        let firewall = firewall::read(&world, legacy);
        Self { place, world, listeners, firewall, counters: Counters::here() }
    }

    fn findings(&self, ranges: &EdgeRanges, holders: &Holders, behind: BTreeSet<u16>, given: bool) -> Vec<Finding> {
        let counters = &self.counters;
        let mut found = Vec::new();
        let listeners = match &self.listeners {
            Ok(listeners) => listeners.as_slice(),
            Err(why) => {
                found.push(Finding::unknown("listeners", why, "run as root, or see `ss -ltn`"));
                &[]
            }
        };
        let ranges: Vec<_> = ranges.iter().collect();
        let ports = Ports { here: network::reach(listeners), behind, given };
        if listeners.is_empty() && self.listeners.is_ok() && ports.behind.is_empty() {
            let seen = "nobody listens on a port that Cloudflare proxies (80, 443, 8080, 8443, …)";
            let seen = if given { "nobody listens on a port that --port names" } else { seen };
            found.push(Finding::unknown("listeners", seen, "name the ports that the edge is sent to with --port"));
        }
        found.extend(self.firewall.findings(&self.world, &ranges, &ports));
        let named: Vec<_> = listeners.iter().map(|one| (one.clone(), holders.name(one.inode))).collect();
        found.extend(backlog::queues(&named, counters.sysctls));
        found.push(backlog::overflows(&counters.netstat, &counters.snmp));
        if self.place.is_none() {
            found.push(backlog::syn(counters.sysctls));
        }
        found.push(limits::conntrack(counters.conntrack.0, counters.conntrack.1));
        found.push(limits::local_ports(&counters.local_ports, &counters.sockstat));
        found.into_iter().map(|finding| finding.of(self.place.as_deref())).collect()
    }
}

impl Counters {
    fn here() -> Self {
        Self {
            sysctls: Sysctls {
                somaxconn: sysctl("net/core/somaxconn"),
                max_syn_backlog: sysctl("net/ipv4/tcp_max_syn_backlog"),
                syncookies: sysctl("net/ipv4/tcp_syncookies"),
                abort_on_overflow: sysctl("net/ipv4/tcp_abort_on_overflow"),
            },
            netstat: network::file("netstat"),
            snmp: network::file("snmp"),
            sockstat: network::file("sockstat"),
            local_ports: sysctl("net/ipv4/ip_local_port_range").unwrap_or_default(),
            conntrack: (sysctl("net/netfilter/nf_conntrack_count"), sysctl("net/netfilter/nf_conntrack_max")),
        }
    }
}

/// The processes that hold watched listeners.
struct Holders {
    sockets: BTreeSet<u64>,
    by_socket: BTreeMap<u64, Vec<i32>>,
    /// Name and number of each.
    names: BTreeMap<i32, String>,
}

impl Holders {
    fn of(networks: &[Network]) -> Self {
        let listeners = networks.iter().flat_map(|network| network.listeners.iter().flatten());
        let sockets = listeners.map(|listener| listener.inode).collect();
        let by_socket = listeners::holders(&sockets);
        let pids: BTreeSet<i32> = by_socket.values().flatten().copied().collect();
        let name = |pid| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, format!("{}[{pid}]", comm.trim_end()))
        };
        Self { sockets, by_socket, names: pids.into_iter().map(name).collect() }
    }

    /// The oldest of a socket's processes.
    fn name(&self, socket: u64) -> String {
        let first = self.by_socket.get(&socket).and_then(|pids| pids.iter().min());
        first.and_then(|pid| self.names.get(pid)).cloned().unwrap_or_else(|| "a process that is not visible".to_owned())
    }

    /// Whether there are listeners, and nobody can be seen to hold them.
    fn hidden(&self) -> bool {
        !self.sockets.is_empty() && self.by_socket.is_empty()
    }

    fn files(&self) -> Vec<Files> {
        let files = |(pid, process): (&i32, &String)| {
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
            let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
            Some(Files { process: process.clone(), open: open as u64, limit: limits::open_files_limit(&limits)? })
        };
        self.names.iter().filter_map(files).collect()
    }
}

/// What does not belong to a network namespace.
fn host(holders: &Holders, tls_sight: bool) -> Vec<Finding> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let servers = servers::examine(&holders.names.keys().copied().collect());
    let processes: Vec<_> = holders.names.iter().map(|(pid, name)| (*pid, name.clone())).collect();
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    let mut found = vec![
        memory::memory(&read("/proc/meminfo")),
        memory::pressure(|resource| fs::read_to_string(format!("/proc/pressure/{resource}")).ok()),
        oom::kills(&read("/proc/vmstat"), now),
        disk::space(&servers.writes),
    ];
    if holders.hidden() {
        let seen = "they can't be looked at: their open files, memory limits and settings are not judged";
        found.push(Finding::unknown("listening processes", seen, "run as root (CAP_SYS_PTRACE)"));
        return found;
    }
    found.push(limits::files(&holders.files(), &read("/proc/sys/fs/file-nr")));
    found.push(cgroup::limits(&processes));
    found.extend(servers.findings);
    found.extend(pairs::examine(&servers.passes, sysctl("net/core/somaxconn")));
    found.extend(tls::libraries(&processes, tls_sight));
    found
}
