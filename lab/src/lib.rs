//! The laboratory: an edge and an origin in two network namespaces joined by a veth, with no route out; where a case
//! asks for it, a container behind the origin in a third.
//!
//! The edge holds addresses from Cloudflare's ranges and one that is not; the origin runs real servers, or the lab's
//! own origin that fails on request. Everything carries the lab's unique name and goes when the [`Lab`] does, on a
//! panic too; what an outright killed lab left behind is removed by the next one.

mod addresses;
mod cgroup;
mod edge;
pub mod elf;
mod leftovers;
mod netns;
mod nginx;
pub mod origin;
mod process;
pub mod procs;
mod response;
mod terminal;
pub mod unit;
pub mod wait;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use addresses::EDGE_SIDE;
use leftovers::is_leftover;

pub use addresses::{CONTAINER, EDGE_A, EDGE_B, EDGE_C, EDGE_V6, ORIGIN_V4, ORIGIN_V6, STRANGER};
pub use cgroup::MemoryGroup;
pub use edge::{Conn, End, Exchange, Seen};
pub use netns::Namespace;
pub use nginx::module as nginx_module;
pub use nginx::{Nginx, NginxOptions};
pub use process::Process;
pub use response::{Progress, progress};
pub use terminal::Terminal;

/// How long a server may take to listen.
const SERVER_START: Duration = Duration::from_secs(8);
/// Every namespace, cgroup and folder of a lab: this, the maker's pid, a counter.
const PREFIX: &str = "tracer-lab-";

/// The namespaces and all that runs in them. Fields drop in this order: the processes' namespaces first, then the rest.
#[derive(Debug)]
pub struct Lab {
    container: Option<Namespace>,
    origin: Namespace,
    edge: Namespace,
    tag: String,
    dir: PathBuf,
    serial: AtomicU32,
}

impl Lab {
    /// Makes the two namespaces. Needs root and iproute2.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let tag = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&tag);
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let folder = Folder(Some(&dir));
        let origin = Namespace::create(format!("{tag}-origin"))?;
        let edge = Namespace::create(format!("{tag}-edge"))?;
        join(&origin, &edge)?;
        folder.keep();
        Ok(Self { container: None, origin, edge, tag, dir, serial: AtomicU32::new(0) })
    }

    /// A folder for the lab's files; removed with it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The namespace of the edge.
    #[must_use]
    pub fn edge(&self) -> &Namespace {
        &self.edge
    }

    /// The namespace of the origin.
    #[must_use]
    pub fn origin(&self) -> &Namespace {
        &self.origin
    }

    /// A memory cgroup in which all processes together may use `limit` bytes.
    pub fn memory_group(&self, limit: u64) -> Result<MemoryGroup> {
        MemoryGroup::create(&format!("{}-{}", self.tag, self.next()), limit)
    }

    /// Starts a process inside the origin's namespace.
    pub fn origin_command(&self, program: &Path, args: &[String], group: Option<&MemoryGroup>) -> Result<Process> {
        let log = self.dir.join(format!("{:02}.log", self.next()));
        Process::spawn(&self.origin, group, program, args, log)
    }

    /// Starts the lab's own origin and waits until it listens and has its workers.
    pub fn start_origin(&self, spec: &origin::Spec, group: Option<&MemoryGroup>) -> Result<Process> {
        let exe = std::env::current_exe().context("finding this executable")?;
        let process = self.origin_command(&exe, &spec.to_args(), group)?;
        let listening = self
            .origin
            .wait_listening(&[spec.port], SERVER_START)
            .and_then(|()| process.wait_workers(spec.workers, SERVER_START));
        listening.with_context(|| format!("starting the lab's origin: {}", process.log()))?;
        Ok(process)
    }

    /// Opens a connection from an edge-side address to the origin, of the address' family.
    pub fn connect(&self, from: IpAddr, port: u16) -> Result<Conn> {
        Conn::open(&self.edge, from, port)?
            .map_err(|end| anyhow::anyhow!("connecting from {from} to port {port}: {end:?}"))
    }

    /// One request on a connection of its own, closed afterwards; a refused or unanswered connection is a result too.
    pub fn get(&self, from: IpAddr, port: u16, path: &str) -> Result<Exchange> {
        match Conn::open(&self.edge, from, port)? {
            Ok(mut conn) => conn.request(path),
            Err(refused) => Ok(refused),
        }
    }

    /// Adds a namespace behind the origin, as a container is whose port is published: what comes for this port of the
    /// origin's IPv4 address goes to [`CONTAINER`].
    pub fn publish(&mut self, port: u16) -> Result<&Namespace> {
        const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
        let container = Namespace::create(format!("{}-container", self.tag))?;
        let (origin, name) = (&self.origin, container.name());
        let device = format!("link add lan0 type veth peer name lan1 netns {name}\nlink set lan0 up\n");
        origin.ip_batch("-4", &format!("{device}addr add {GATEWAY}/30 dev lan0\n"))?;
        let own = format!("link set lan1 up\naddr add {CONTAINER}/30 dev lan1\nroute add default via {GATEWAY}\n");
        container.ip_batch("-4", &own)?;
        origin.sysctl("net/ipv4/ip_forward", "1")?;
        let rule = format!("ip daddr {ORIGIN_V4} tcp dport {port} dnat to {CONTAINER}");
        let chain = format!("type nat hook prerouting priority dstnat;\n{rule}");
        origin.run("nft", &["-f", "-"], &format!("table ip published {{\nchain c {{\n{chain}\n}}\n}}\n"))?;
        Ok(self.container.insert(container))
    }

    /// Whether the origin's servers, or those in its container, are in the network namespace with this inode.
    #[must_use]
    pub fn serves_in(&self, inode: u64) -> bool {
        self.container.iter().chain([&self.origin]).any(|namespace| namespace.inode() == inode)
    }

    fn next(&self) -> u32 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(Folder(Some(&self.dir)));
    }
}

/// Removes the folder unless it is kept, so that a lab that fails half-way leaves none.
struct Folder<'a>(Option<&'a Path>);

impl Folder<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        if let Some(dir) = self.0 {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

/// The veth, the addresses and the routes between them; there is no other route.
fn join(origin: &Namespace, edge: &Namespace) -> Result<()> {
    for namespace in [origin, edge] {
        // Without duplicate address detection an IPv6 address is usable at once. A host without IPv6 has no such file.
        let _ = namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        namespace.sysctl("net/ipv4/conf/all/rp_filter", "0")?;
    }
    edge.ip_batch("-4", &format!("link add edge0 type veth peer name origin0 netns {}\n", origin.name()))?;
    for (namespace, device) in [(edge, "edge0"), (origin, "origin0")] {
        namespace.ip_batch("-4", &format!("link set {device} up\n"))?;
    }
    let sides = [
        (edge, "edge0", &EDGE_SIDE[..], &[ORIGIN_V4, ORIGIN_V6][..]),
        (origin, "origin0", &[ORIGIN_V4, ORIGIN_V6], &EDGE_SIDE),
    ];
    for (namespace, device, own, far) in sides {
        for (family, v6, bits) in [("-4", false, 32), ("-6", true, 128)] {
            let nodad = if v6 { "nodad" } else { "" };
            let mut lines = String::new();
            for address in own.iter().filter(|a| a.is_ipv6() == v6) {
                lines += &format!("addr add {address}/{bits} dev {device} {nodad}\n");
            }
            for address in far.iter().filter(|a| a.is_ipv6() == v6) {
                let source = own.iter().find(|a| a.is_ipv6() == v6).context("an address of either family")?;
                lines += &format!("route add {address}/{bits} dev {device} src {source}\n");
            }
            namespace.ip_batch(family, &lines)?;
        }
    }
    Ok(())
}

fn remove_leftovers() {
    netns::remove_leftovers(PREFIX);
    cgroup::remove_leftovers(PREFIX);
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten().filter(|entry| is_leftover(&entry.file_name().to_string_lossy(), PREFIX)) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_labs_of_gone_processes_are_leftovers() {
        let mine = format!("{PREFIX}{}-0-edge", std::process::id());
        assert!(!is_leftover(&mine, PREFIX));
        assert!(is_leftover(&format!("{PREFIX}{}-0-edge", u32::MAX), PREFIX));
        assert!(!is_leftover("another", PREFIX));
        assert!(!is_leftover(&format!("{PREFIX}x-0"), PREFIX));
    }
}
