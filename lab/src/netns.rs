//! One network namespace: made, entered by short-lived threads only, and taken down with every process in it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{leftovers, procs, wait};

/// Where iproute2 keeps the names.
const NAMES: &str = "/run/netns";

/// A named network namespace; dropping it kills the processes in it and removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    link: File,
    inode: u64,
}

impl Namespace {
    /// Makes the namespace with its loopback up.
    pub(crate) fn create(name: String) -> Result<Self> {
        ip(&["netns", "add", &name])?;
        let link = File::open(format!("{NAMES}/{name}")).with_context(|| format!("opening {NAMES}/{name}"))?;
        let inode = link.metadata()?.ino();
        let namespace = Self { name, link, inode };
        namespace.ip_batch("-4", "link set lo up\n")?;
        Ok(namespace)
    }

    /// The name that `ip netns` shows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The inode that the kernel and the agent name the namespace by.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Runs `job` on a thread inside the namespace. The namespace belongs to the thread, so the caller's stays as it
    /// is, and a process or socket that `job` makes stays inside for good.
    pub fn inside<T: Send>(&self, job: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                move_into_link_name_space(self.link.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok::<T, rustix::io::Errno>(job())
            });
            worker.join().map_err(|_| anyhow!("a job inside namespace {} panicked", self.name))
        })?
        .with_context(|| format!("entering namespace {}", self.name))
    }

    /// Runs `ip FAMILY -n NAME -batch -` on the lines.
    pub(crate) fn ip_batch(&self, family: &str, lines: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args([family, "-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting ip (package iproute2)")?;
        child.stdin.take().context("ip has no standard input")?.write_all(lines.as_bytes())?;
        let done = child.wait_with_output()?;
        if !done.status.success() {
            bail!("ip -batch in {}: {}", self.name, String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }

    /// Runs a short command inside the namespace with this standard input, and returns its output.
    pub fn run(&self, program: &str, args: &[&str], input: &str) -> Result<String> {
        let done = self.inside(|| -> Result<_> {
            let mut child = Command::new(program)
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("starting {program}"))?;
            child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
            Ok(child.wait_with_output()?)
        })??;
        if !done.status.success() {
            bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Sets a sysctl of the namespace, by its path below `/proc/sys`.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        self.inside(|| fs::write(format!("/proc/sys/{path}"), value))?
            .with_context(|| format!("setting {path} in {}", self.name))
    }

    /// Lets every CPU take packets (RPS), so that they interrupt whatever runs there, as those of a network card do.
    pub fn spread_packets(&self) -> Result<()> {
        let cpus = std::thread::available_parallelism()?.get().min(32);
        let mask = format!("{:x}", (1_u64 << cpus) - 1);
        let script = format!("for queue in /sys/class/net/*/queues/rx-*/rps_cpus; do echo {mask} > $queue; done");
        // The namespace's own /sys.
        ip(&["netns", "exec", &self.name, "sh", "-ec", &script])
    }

    /// The TCP ports in LISTEN state.
    pub fn listening(&self) -> Result<BTreeSet<u16>> {
        Ok(self.sockets()?.iter().filter(|socket| socket.state == LISTEN).map(|socket| socket.local_port).collect())
    }

    /// State of the TCP socket with these ports, as the kernel numbers them; `None`: there is none.
    pub fn state(&self, local_port: u16, peer_port: u16) -> Result<Option<u8>> {
        let is_it = |socket: &&Socket| (socket.local_port, socket.peer_port) == (local_port, peer_port);
        Ok(self.sockets()?.iter().find(is_it).map(|socket| socket.state))
    }

    /// Read from `/proc`, so that looking makes no traffic.
    fn sockets(&self) -> Result<Vec<Socket>> {
        self.inside(|| {
            let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")));
            tables.into_iter().flatten().flat_map(|text| sockets(&text)).collect()
        })
    }

    /// Waits until every port is listened on.
    pub fn wait_listening(&self, ports: &[u16], limit: Duration) -> Result<()> {
        let what = format!("ports {ports:?} to be listened on in {}", self.name);
        wait::until(&what, limit, || {
            let open = self.listening()?;
            Ok(ports.iter().all(|port| open.contains(port)).then_some(()))
        })
    }

    /// The processes whose main thread is in the namespace.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        pids_in(self.inode)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        kill_all(|| self.pids());
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("lab: {error:#}");
        }
    }
}

/// Removes the namespaces that a lab of a process that is gone left behind (it was killed outright).
pub(crate) fn remove_leftovers(prefix: &str) {
    let Ok(names) = fs::read_dir(NAMES) else { return };
    for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        if !leftovers::is_leftover(&name, prefix) {
            continue;
        }
        if let Ok(inode) = fs::metadata(format!("{NAMES}/{name}")).map(|meta| meta.ino()) {
            kill_all(|| pids_in(inode));
        }
        // Another lab may be removing the same leftover: whoever is second has nothing to do.
        let _ = ip(&["netns", "del", &name]);
    }
}

/// Kills what `list` names until it names nothing.
pub(crate) fn kill_all(mut list: impl FnMut() -> Vec<u32>) {
    let gone = wait::until_true("the lab's processes to end", Duration::from_secs(5), || {
        let pids = list();
        for &pid in &pids {
            procs::signal(pid, Signal::KILL);
        }
        pids.is_empty()
    });
    if let Err(error) = gone {
        eprintln!("lab: {error}: {:?}", list());
    }
}

fn pids_in(inode: u64) -> Vec<u32> {
    let me = std::process::id();
    let link = PathBuf::from(format!("net:[{inode}]"));
    procs::all()
        .into_iter()
        .filter(|&pid| pid != me && fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|at| at == link))
        .collect()
}

fn ip(args: &[&str]) -> Result<()> {
    let done = Command::new("ip").args(args).output().context("starting ip (package iproute2)")?;
    if !done.status.success() {
        bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}

/// `TCP_LISTEN`.
const LISTEN: u8 = 10;

/// A row of `/proc/net/tcp`.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    local_port: u16,
    peer_port: u16,
    state: u8,
}

fn sockets(table: &str) -> Vec<Socket> {
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local_port, peer_port) = (port(fields.next()?)?, port(fields.next()?)?);
        Some(Socket { local_port, peer_port, state: u8::from_str_radix(fields.next()?, 16).ok()? })
    };
    table.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_ports_and_a_state() {
        let table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0 0\n   1: 0100007F:0050 0100007F:9C40 01 0\n";
        let [listener, open] = &sockets(table)[..] else { panic!("two rows") };
        assert_eq!(*listener, Socket { local_port: 8080, peer_port: 0, state: LISTEN });
        assert_eq!(*open, Socket { local_port: 80, peer_port: 40000, state: 1 });
    }
}
