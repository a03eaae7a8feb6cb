//! The kernel's file systems that the agent reads: tracefs for tracepoint formats, bpffs for the tools that look at
//! programs.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, mount};

use super::Need;
use crate::sh;

struct FileSystem {
    kind: &'static str,
    place: &'static str,
    /// Exists only where it is mounted.
    mark: Option<&'static str>,
    why: &'static str,
}

const ALL: [FileSystem; 2] = [
    FileSystem {
        kind: "tracefs",
        place: "/sys/kernel/tracing",
        mark: Some("/sys/kernel/tracing/events"),
        why: "the kernel describes its tracepoints there",
    },
    FileSystem { kind: "bpf", place: "/sys/fs/bpf", mark: None, why: "where BPF tools look for what is pinned" },
];

/// The file systems that are not mounted.
pub(super) fn missing() -> Vec<Need> {
    ALL.iter().filter(|fs| !mounted(fs)).map(need).collect()
}

fn mounted(fs: &FileSystem) -> bool {
    if let Some(mark) = fs.mark {
        return Path::new(mark).exists();
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(fs.place))
}

fn need(fs: &'static FileSystem) -> Need {
    let FileSystem { kind, place, why, .. } = *fs;
    Need {
        what: format!("{kind} on {place}"),
        why,
        how: format!("mount -t {kind} {kind} {place}"),
        get: Box::new(move || -> Result<()> {
            if !sh::is_root() {
                bail!("mounting takes root");
            }
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mount(kind, place, kind, flags, None).with_context(|| format!("mounting {kind} on {place}"))
        }),
    }
}
