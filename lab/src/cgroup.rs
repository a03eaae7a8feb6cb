//! A memory cgroup with a hard limit, of either version, so that the kernel's own OOM killer does the killing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{leftovers, netns, wait};

const V1: &str = "/sys/fs/cgroup/memory";
/// Where version 2 is mounted: beside version 1, or alone.
const V2: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// A memory cgroup of the lab; dropping it kills the processes in it and removes it.
#[derive(Debug)]
pub struct MemoryGroup {
    dir: PathBuf,
}

impl MemoryGroup {
    /// Makes a group in which all processes together may use `limit` bytes.
    pub(crate) fn create(name: &str, limit: u64) -> Result<Self> {
        let (base, limit_file, swap) = controller()?;
        let group = Self { dir: base.join(name) };
        fs::create_dir(&group.dir).with_context(|| format!("making memory cgroup {}", group.dir.display()))?;
        fs::write(group.dir.join(limit_file), limit.to_string())
            .with_context(|| format!("writing {limit_file} of {}", group.dir.display()))?;
        // Swap would only put the kill off; a kernel without swap accounting has no such file.
        let _ = fs::write(group.dir.join(swap), "0");
        Ok(group)
    }

    /// Where the group is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The processes in the group.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        pids(&self.dir)
    }

    /// How many processes the OOM killer has taken in the group.
    pub fn oom_kills(&self) -> Result<u64> {
        let text = fs::read_to_string(self.dir.join("memory.oom_control"))
            .or_else(|_| fs::read_to_string(self.dir.join("memory.events")))
            .with_context(|| format!("reading the OOM kills of {}", self.dir.display()))?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        count.with_context(|| format!("{} does not count OOM kills", self.dir.display()))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

/// Removes the groups that a lab of a process that is gone left behind.
pub(crate) fn remove_leftovers(prefix: &str) {
    let Ok((base, ..)) = controller() else { return };
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten().filter(|entry| leftovers::is_leftover(&entry.file_name().to_string_lossy(), prefix))
    {
        remove(&entry.path());
    }
}

fn pids(dir: &Path) -> Vec<u32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn remove(dir: &Path) {
    netns::kill_all(|| pids(dir));
    // The kernel empties a group some time after its last process has ended.
    let removed = wait::until_true("the memory cgroup to be removed", Duration::from_secs(3), || {
        fs::remove_dir(dir).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) }).is_ok()
    });
    if let Err(error) = removed {
        eprintln!("lab: {error}: {}", dir.display());
    }
}

/// The controller's root, its limit file and the file that keeps the group from swapping.
fn controller() -> Result<(PathBuf, &'static str, &'static str)> {
    if Path::new(V1).join("memory.limit_in_bytes").exists() {
        return Ok((V1.into(), "memory.limit_in_bytes", "memory.swappiness"));
    }
    for root in V2.map(Path::new) {
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if controllers.split_ascii_whitespace().any(|name| name == "memory") {
            fs::write(root.join("cgroup.subtree_control"), "+memory")
                .with_context(|| format!("switching the memory controller on below {}", root.display()))?;
            return Ok((root.into(), "memory.max", "memory.swap.max"));
        }
    }
    bail!("no memory cgroup controller below /sys/fs/cgroup")
}
