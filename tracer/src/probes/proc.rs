//! What the agent reads from the host beside its programs: /proc of a process, the kernel's log of OOM kills, clocks.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
};

use procfs::process::Process;
use rustix::time::{ClockId, clock_getres, clock_gettime};

use crate::{
    diagnose::OomScope,
    state::{Clock, Facts},
};

/// `USER_HZ`: what /proc tells the start of a process in, nanoseconds.
pub const TICK_NS: u64 = 10_000_000;

/// Both clocks, now.
#[must_use]
pub fn clock() -> Clock {
    let now = clock_gettime(ClockId::Monotonic);
    // One tick of the coarse clock is one jiffy.
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let nanos = |spec: rustix::time::Timespec| {
        let seconds = u64::try_from(spec.tv_sec).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(spec.tv_nsec).unwrap_or(0))
    };
    Clock { monotonic_ns: nanos(now), wall: jiff::Timestamp::now(), tick_ns: nanos(tick) }
}

/// What /proc says of a living process, and when it began: boot-time nanoseconds, in steps of 10 ms. What can't be read
/// stays unknown.
#[must_use]
pub fn facts(pid: u32) -> Option<(u64, Facts)> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let stat = process.stat().ok()?;
    let facts = Facts {
        name: stat.comm,
        exe: process.exe().ok().map(|path| path.to_string_lossy().into_owned()),
        unit: unit(&cgroup),
        container: container(&cgroup),
        ns_pid: inner_pid(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()),
    };
    Some((stat.starttime.saturating_mul(TICK_NS), facts))
}

/// The systemd unit in a process's cgroup path.
fn unit(cgroup: &str) -> Option<String> {
    cgroup
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.rsplit('/'))
        .find(|part| part.ends_with(".service"))
        .map(str::to_owned)
}

/// The id of the innermost container in a process's cgroup path: 64 hexadecimal digits, shortened to 12 as its tools
/// do. Where the hierarchies of version 1 differ, the one with the most containers in it counts.
fn container(cgroup: &str) -> Option<String> {
    let ids = |path: &str| {
        let parts = path.split(['/', '-', '.', ':']);
        let ids = parts.filter(|part| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        ids.map(|id| id[..12].to_owned()).collect::<Vec<_>>()
    };
    cgroup.lines().map(ids).reduce(|most, other| if other.len() > most.len() { other } else { most })?.pop()
}

/// The process's id in its own namespace, the innermost of the line `NSpid:`; `None`: it has but one.
fn inner_pid(status: &str) -> Option<u32> {
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_ascii_whitespace().skip(1).last()?.parse().ok()
}

/// The kernel's log, read for what no hook shows.
pub struct KernelLog(File);

/// What the log is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Which memory had run out when this process was chosen.
    OomKill(u32, OomScope),
    /// The table of tracked connections was full, at this time: `CLOCK_MONOTONIC` nanoseconds.
    TableFull(u64),
}

impl KernelLog {
    /// Opens the log at its end. `None` where it may not be read: the scope of OOM kills then stays unknown.
    #[must_use]
    pub fn open() -> Option<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).ok()?)
            .open("/dev/kmsg")
            .ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self(file))
    }

    /// What was logged since the last call.
    pub fn news(&mut self) -> Vec<News> {
        let mut found = Vec::new();
        let mut buffer = [0; 8192];
        // One record a read; an overwritten record is an error once, the end is WouldBlock.
        for _ in 0..10_000 {
            match self.0.read(&mut buffer) {
                Ok(len) if len > 0 => found.extend(news(&String::from_utf8_lossy(&buffer[..len]))),
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
                _ => break,
            }
        }
        found
    }
}

/// Reads `Memory cgroup out of memory: Killed process 123 (comm) …`, `Out of memory: Killed process 123 (comm) …` and
/// `nf_conntrack: nf_conntrack: table full, dropping packet`. A line begins with `priority,number,microseconds,flags;`.
fn news(line: &str) -> Option<News> {
    if line.contains("nf_conntrack: table full") {
        let micros: u64 = line.split(',').nth(2)?.parse().ok()?;
        return Some(News::TableFull(micros.saturating_mul(1_000)));
    }
    let (before, after) = line.split_once(": Killed process ")?;
    let pid = after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let scope = if before.ends_with("Memory cgroup out of memory") { OomScope::Memcg } else { OomScope::Global };
    Some(News::OomKill(pid, scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_and_container_are_read_from_every_hierarchy() {
        assert_eq!(unit("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        let id = "0123456789abcdef".repeat(4);
        let path = format!("12:memory:/docker/{id}\n");
        assert_eq!(container(&path).as_deref(), Some("0123456789ab"));
        let path = format!("0::/kubepods.slice/cri-containerd-{id}.scope\n");
        assert_eq!(container(&path).as_deref(), Some("0123456789ab"));
        assert_eq!(container("0::/system.slice/nginx.service\n"), None);
    }

    #[test]
    fn of_containers_in_containers_the_innermost_counts() {
        let [outer, inner] = ["0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4)];
        let nested = format!("0::/docker/{outer}/kubepods/pod7/cri-containerd-{inner}.scope\n");
        assert_eq!(container(&nested).as_deref(), Some("fedcba987654"));
        let mixed = format!("12:memory:/docker/{outer}/docker/{inner}\n1:name=systemd:/docker/{outer}\n0::/\n");
        assert_eq!(container(&mixed).as_deref(), Some("fedcba987654"));
        assert_eq!(container(""), None);
    }

    #[test]
    fn the_pid_in_a_container_is_the_last_of_its_pids() {
        let status = |pids: &str| format!("Name:\tnode\nNStgid:\t{pids}\nNSpid:\t{pids}\nThreads:\t7\n");
        assert_eq!(inner_pid(&status("4711\t1")), Some(1));
        assert_eq!(inner_pid(&status("4711\t20\t7")), Some(7));
        assert_eq!(inner_pid(&status("4711")), None);
        assert_eq!(inner_pid("Name:\tnode\n"), None);
    }

    #[test]
    fn the_kernel_log_tells_a_groups_limit_from_the_hosts() {
        let memcg = "3,100,5,-;Memory cgroup out of memory: Killed process 123 (nginx) total-vm:1kB";
        assert_eq!(news(memcg), Some(News::OomKill(123, OomScope::Memcg)));
        assert_eq!(news("3,1,5,-;Out of memory: Killed process 7 (x)"), Some(News::OomKill(7, OomScope::Global)));
        assert_eq!(news("6,1,5,-;usb 1-1: new device"), None);
        let full = "4,1,5,-;nf_conntrack: nf_conntrack: table full, dropping packet";
        assert_eq!(news(full), Some(News::TableFull(5_000)));
    }

    #[test]
    fn this_process_has_facts() {
        let (start_ns, facts) = facts(std::process::id()).unwrap();
        assert!(start_ns > 0);
        assert!(facts.exe.is_some());
        assert!(!facts.name.is_empty());
    }
}
