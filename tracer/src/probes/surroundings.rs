//! What the host looks like around a failure: how many descriptors a process has left, how short memory is, which disk
//! is full, how long an accept queue is. Read at the failure, since later it is another; seldom more than once a second
//! for a process or a port, so that a storm of failures costs little.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::MetadataExt as _,
};

use procfs::process::Process;
use tracer_common::Tuple;

use super::{disk, family::children, proc::TICK_NS};
use crate::{
    diagnose::{Around, Descriptors, Halt, Halted, Held, Queue},
    host::{limits::open_files_limit, listeners::listening},
};

/// What was read stays good for so long, in nanoseconds.
const FRESH_NS: u64 = 1_000_000_000;
/// Readings within that time; beyond them a failure goes without.
const MOST: usize = 64;
/// A process with a higher limit is not looked at where its descriptors would have to be counted one by one.
const COUNTABLE: u64 = 65_536;

/// Children of a server that are looked at.
const MOST_CHILDREN: usize = 64;

/// Where version 2 is mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Where it is beside version 1, and where that has its freezer.
const UNIFIED: &str = "/sys/fs/cgroup/unified";
const FREEZER: &str = "/sys/fs/cgroup/freezer";

/// A process, by pid and start.
type Owner = (u32, u64);

/// Reads, and remembers for a second.
#[derive(Default)]
pub struct Surroundings {
    processes: HashMap<Owner, Around>,
    queues: HashMap<(u32, u16), (Option<Queue>, Option<Held>)>,
    servers: HashMap<u32, Option<Halted>>,
    since_ns: u64,
}

impl Surroundings {
    /// What surrounds a failure of this process, now.
    pub fn of(&mut self, owner: Owner, now_ns: u64) -> Around {
        self.forget(now_ns);
        if let Some(known) = self.processes.get(&owner) {
            return known.clone();
        }
        if owner.0 == 0 || self.processes.len() >= MOST {
            return Around::default();
        }
        let around = read(owner).unwrap_or_default();
        self.processes.insert(owner, around.clone());
        around
    }

    /// The accept queue of a connection that process `pid`, or one in its network namespace, listens for; and who holds
    /// others of its port, as `held` finds out.
    pub fn queue(
        &mut self,
        pid: u32,
        tuple: &Tuple,
        now_ns: u64,
        held: impl FnOnce() -> Option<Held>,
    ) -> (Option<Queue>, Option<Held>) {
        self.forget(now_ns);
        let key = (tuple.netns, tuple.local_port);
        if let Some(known) = self.queues.get(&key) {
            return *known;
        }
        if self.queues.len() >= MOST {
            return (None, None);
        }
        let found = (queue(pid, tuple), held());
        self.queues.insert(key, found);
        found
    }

    /// Which of its workers do not run, of a server that no connection was read by.
    pub fn halted_workers(&mut self, server: u32, now_ns: u64) -> Option<Halted> {
        self.forget(now_ns);
        if let Some(known) = self.servers.get(&server) {
            return *known;
        }
        if server == 0 || self.servers.len() >= MOST {
            return None;
        }
        let found = halted_workers(server);
        self.servers.insert(server, found);
        found
    }

    fn forget(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.since_ns) >= FRESH_NS {
            self.processes.clear();
            self.queues.clear();
            self.servers.clear();
            self.since_ns = now_ns;
        }
    }
}

/// What /proc says of it. `None`: it is gone, or another process has its number.
fn read((pid, start_ns): Owner) -> Option<Around> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    // A start that is not known is 0: of a process that listened before the tracer came.
    if start_ns != 0 && stat.starttime.abs_diff(start_ns / TICK_NS) > 1 {
        return None;
    }
    Some(Around {
        descriptors: descriptors(pid),
        memory_pressure: pressure(pid),
        full_disk: disk::full(pid, &stat.comm),
        halted: halt(pid, stat.state).map(|halt| Halted { pid, halt, others: 0 }),
        ..Around::default()
    })
}

/// Those of its children that have its name.
fn halted_workers(server: u32) -> Option<Halted> {
    let stat = |pid: u32| Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok();
    let name = stat(server)?.comm;
    let halted = children(server).into_iter().take(MOST_CHILDREN).filter_map(|pid| {
        let stat = stat(pid).filter(|stat| stat.comm == name)?;
        Some((pid, halt(pid, stat.state)?))
    });
    let halted: Vec<_> = halted.collect();
    let (pid, halt) = *halted.first()?;
    Some(Halted { pid, halt, others: u32::try_from(halted.len() - 1).unwrap_or(u32::MAX) })
}

/// Why it does not run, if it does not, by the state of its first thread and by its control group.
fn halt(pid: u32, state: char) -> Option<Halt> {
    // In version 1 of the freezer a frozen task is in state D, too.
    if is_frozen(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()) {
        return Some(Halt::Frozen);
    }
    match state {
        'T' => Some(Halt::Stopped),
        't' => Some(Halt::Traced),
        'D' => Some(Halt::Uninterruptible),
        _ => None,
    }
}

/// Whether a control group among these (`/proc/PID/cgroup`) is frozen.
fn is_frozen(groups: &str) -> bool {
    // A group counts as frozen where one above it is.
    let says =
        |file: String, word: &str| fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line == word));
    let unified = group(groups).is_some_and(|group| {
        [CGROUPS, UNIFIED].iter().any(|mount| says(format!("{mount}/{group}/cgroup.events"), "frozen 1"))
    });
    unified || freezer_group(groups).is_some_and(|group| says(format!("{FREEZER}/{group}/freezer.state"), "FROZEN"))
}

fn descriptors(pid: u32) -> Option<Descriptors> {
    let limit = open_files_limit(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)?;
    // Since Linux 6.2 their number is the folder's size.
    let size = fs::metadata(format!("/proc/{pid}/fd")).map_or(0, |folder| folder.size());
    if size > 0 {
        return Some(Descriptors { open: size, limit });
    }
    if limit > COUNTABLE {
        return None;
    }
    // Whose links may not be listed, its descriptions may.
    let folder = ["fd", "fdinfo"].iter().find_map(|name| fs::read_dir(format!("/proc/{pid}/{name}")).ok())?;
    Some(Descriptors { open: folder.count() as u64, limit })
}

/// The host's pressure on memory, or that of the process's control group where it is more.
fn pressure(pid: u32) -> Option<u8> {
    let host = fs::read_to_string("/proc/pressure/memory").ok();
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let group = group(&groups).and_then(|group| fs::read_to_string(format!("{CGROUPS}/{group}/memory.pressure")).ok());
    [host, group].iter().flatten().filter_map(|text| some_avg10(text)).max()
}

/// The path in version 2's hierarchy below its root; of one that lies outside of what is seen here, none.
fn group(groups: &str) -> Option<&str> {
    inside(groups.lines().find_map(|line| line.strip_prefix("0::/"))?)
}

/// The same in that of version 1's freezer.
fn freezer_group(groups: &str) -> Option<&str> {
    inside(groups.lines().find_map(|line| line.split_once(":freezer:/").map(|(_, path)| path))?)
}

fn inside(path: &str) -> Option<&str> {
    (!path.split('/').any(|part| part == "..")).then_some(path)
}

/// `some avg10=12.34 avg60=… avg300=… total=…`: 12.
fn some_avg10(text: &str) -> Option<u8> {
    let share = text.lines().find_map(|line| line.strip_prefix("some avg10="))?.split(['.', ' ']).next()?;
    share.parse().ok()
}

/// The accept queue for connections to this address: of this network namespace with its limit where sock_diag may be
/// asked, of others by the process's own /proc.
fn queue(pid: u32, tuple: &Tuple) -> Option<Queue> {
    let to = Ipv6Addr::from(tuple.local_addr).to_canonical();
    let fits = |addr: IpAddr, port: u16| port == tuple.local_port && serves(addr, to);
    let here = fs::metadata("/proc/self/ns/net").is_ok_and(|own| own.ino() == u64::from(tuple.netns));
    if here && let Ok(listeners) = listening() {
        let fitting = listeners.iter().filter(|one| fits(one.addr, one.port));
        return sum(fitting.map(|one| (one.queue, Some(one.limit))));
    }
    let listeners = ["tcp", "tcp6"].iter().flat_map(|table| listeners(pid, table));
    sum(listeners.filter(|(addr, port, _)| fits(*addr, *port)).map(|(_, _, waiting)| (waiting, None)))
}

/// Those of a table of `/proc/PID/net`, in which they come before all other sockets.
fn listeners(pid: u32, table: &str) -> Vec<(IpAddr, u16, u32)> {
    let Ok(file) = File::open(format!("/proc/{pid}/net/{table}")) else { return Vec::new() };
    BufReader::new(file).lines().skip(1).map_while(|line| listener(&line.ok()?)).collect()
}

/// Whether a socket that listens on `addr` takes connections to `to`.
fn serves(addr: IpAddr, to: IpAddr) -> bool {
    let addr = addr.to_canonical();
    addr == to || addr.is_unspecified() && (addr.is_ipv6() || to.is_ipv4())
}

fn sum(queues: impl Iterator<Item = (u32, Option<u32>)>) -> Option<Queue> {
    queues.fold(None, |all: Option<Queue>, (waiting, limit)| {
        let all = all.unwrap_or(Queue { limit: Some(0), ..Queue::default() });
        Some(Queue {
            waiting: all.waiting.saturating_add(waiting),
            limit: all.limit.zip(limit).map(|(all, limit)| all.saturating_add(limit)),
            sockets: all.sockets + 1,
        })
    })
}

/// A line of `/proc/net/tcp`, `sl: local_address rem_address st tx_queue:rx_queue …`: address, port and queue of one
/// that listens (state 0A).
fn listener(line: &str) -> Option<(IpAddr, u16, u32)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (addr, port) = local.split_once(':').filter(|_| state == "0A")?;
    let waiting = u32::from_str_radix(queues.split_once(':')?.1, 16).ok()?;
    Some((address(addr)?, u16::from_str_radix(port, 16).ok()?, waiting))
}

/// Words of 32 bits, each printed as this machine reads it from memory.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Where a connection to this loopback port would be, in this network namespace or in none that is known.
    fn to_port(port: u16, here: bool) -> Tuple {
        let netns = fs::metadata("/proc/self/ns/net").unwrap().ino();
        Tuple {
            local_addr: Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
            local_port: port,
            netns: if here { u32::try_from(netns).unwrap() } else { 1 },
            ..Tuple::default()
        }
    }

    #[test]
    fn a_queue_is_counted_by_either_way_and_its_limit_is_known_by_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _waiting = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let near = queue(std::process::id(), &to_port(port, true)).unwrap();
        assert_eq!((near.waiting, near.sockets), (1, 1));
        assert!(near.limit.is_some_and(|limit| limit > 0));
        let far = queue(std::process::id(), &to_port(port, false)).unwrap();
        assert_eq!(far, Queue { waiting: 1, limit: None, sockets: 1 });
    }

    #[test]
    fn this_process_has_descriptors_and_another_with_its_number_has_none() {
        let pid = std::process::id();
        let around = read((pid, 0)).unwrap();
        assert!(around.descriptors.is_some_and(|found| found.open > 2 && found.open <= found.limit));
        assert_eq!(read((pid, 1)), None);
    }

    #[test]
    fn a_process_that_is_stopped_does_not_run_and_is_found_among_the_children_of_its_server() {
        use std::process::Command;

        use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let id = child.id();
        kill_process(pid, Signal::STOP).unwrap();
        let _stopped = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        let stopped = Some(Halted { pid: id, halt: Halt::Stopped, others: 0 });
        assert_eq!(read((id, 0)).unwrap().halted, stopped);
        assert_eq!(read((std::process::id(), 0)).unwrap().halted, None);
        // It is no worker: it has another name.
        assert_eq!(halted_workers(std::process::id()), None);
        child.kill().and_then(|()| child.wait()).unwrap();
    }

    #[test]
    fn groups_are_read_as_the_kernel_writes_them() {
        let groups = "9:name=systemd:/\n6:freezer:/docker/abc\n0::/system.slice/docker-abc.scope\n";
        assert_eq!(freezer_group(groups), Some("docker/abc"));
        assert_eq!(group(groups), Some("system.slice/docker-abc.scope"));
        assert_eq!(freezer_group("6:freezer:/../x\n"), None);
        assert!(!is_frozen(groups));
    }

    #[test]
    fn what_was_read_is_good_for_a_second_and_there_is_an_end_to_reading() {
        let mut surroundings = Surroundings::default();
        let now = 10 * FRESH_NS;
        let found = |found| move || Some(Held { connections: found, ..Held::default() });
        let tuple = to_port(1, true);
        let first = surroundings.queue(1, &tuple, now, found(1));
        assert_eq!(surroundings.queue(1, &tuple, now + FRESH_NS - 1, found(2)), first);
        assert_ne!(surroundings.queue(1, &tuple, now + FRESH_NS, found(2)), first);
        for port in 2..200 {
            surroundings.queue(1, &to_port(port, false), now + FRESH_NS, found(3));
        }
        assert_eq!(surroundings.queue(1, &to_port(200, false), now + FRESH_NS, found(3)), (None, None));
        assert_eq!(surroundings.queues.len(), MOST);
    }

    #[test]
    fn lines_and_pressure_are_read_as_the_kernel_writes_them() {
        let line = "   0: 0100007F:0050 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 9 1";
        let expected = Some((Ipv4Addr::LOCALHOST.into(), 80, 3));
        assert_eq!(if cfg!(target_endian = "little") { listener(line) } else { expected }, expected);
        let any =
            "   1: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:0000000A 0";
        assert_eq!(listener(any), Some((Ipv6Addr::UNSPECIFIED.into(), 443, 10)));
        assert_eq!(listener("   2: 0100007F:0050 0100007F:9999 01 00000000:00000003 00"), None);
        for text in
            ["", "  sl  local_address rem_address   st tx_queue rx_queue", "0: 01:50 0 0A 0:0", "0: é00007F:1 0 0A 0:0"]
        {
            assert_eq!(listener(text), None, "{text}");
        }
        assert_eq!(some_avg10("some avg10=43.21 avg60=0.00 avg300=0.00 total=1\nfull avg10=9.00"), Some(43));
        assert_eq!(some_avg10("full avg10=9.00"), None);
        assert_eq!(group("1:cpu:/x\n0::/system.slice/web.service\n"), Some("system.slice/web.service"));
        for outside in ["0::/../web\n", "0::/..\n", "1:cpu:/x\n"] {
            assert_eq!(group(outside), None, "{outside}");
        }
    }

    #[test]
    fn a_socket_on_every_address_serves_all_and_one_on_an_address_serves_that() {
        let (v4, v6): (IpAddr, IpAddr) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        let (any4, any6): (IpAddr, IpAddr) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        assert!(serves(v4, v4) && serves(any4, v4) && serves(any6, v4) && serves(any6, v6));
        assert!(!serves(any4, v6) && !serves(v6, v4) && !serves([10, 0, 0, 5].into(), v4));
    }
}
