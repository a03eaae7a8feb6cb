//! Memory limits of the control groups that the watched listeners' processes live in (version 2).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::number::{bytes, keyed, percent};

/// Where version 2 is mounted, alone or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// What a group's files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    /// Bytes; `None`: no limit.
    max: Option<u64>,
    current: u64,
    /// Pages of files that the kernel can drop at once.
    inactive_file: u64,
    oom_kills: u64,
}

/// The groups of these processes, with every group above them that has a limit or lost a process.
pub(super) fn limits(processes: &[(i32, String)]) -> Finding {
    let mut groups = BTreeMap::new();
    for (pid, process) in processes {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let Some(path) = path_of(&text) else { continue };
        for path in Path::new(path).ancestors().filter(|path| path.parent().is_some()) {
            let group = MOUNTS.iter().find_map(|mount| read(&Path::new(mount).join(path.strip_prefix("/").ok()?)));
            if let Some(group) = group {
                groups.entry(path.to_path_buf()).or_insert((process.clone(), group));
            }
        }
    }
    judge(&groups)
}

/// The path in version 2's hierarchy, as `/proc/PID/cgroup` gives it.
fn path_of(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| path.starts_with('/'))
}

fn read(folder: &Path) -> Option<Group> {
    let file = |name| fs::read_to_string(folder.join(name)).ok();
    parse(&file("memory.max")?, &file("memory.current")?, &file("memory.stat")?, &file("memory.events")?)
}

fn parse(max: &str, current: &str, stat: &str, events: &str) -> Option<Group> {
    Some(Group {
        max: max.trim().parse().ok(),
        current: current.trim().parse().ok()?,
        inactive_file: keyed(stat, "inactive_file").unwrap_or(0),
        oom_kills: keyed(events, "oom_kill")?,
    })
}

fn judge(groups: &BTreeMap<PathBuf, (String, Group)>) -> Finding {
    let name = "memory limits of services";
    let (mut tight, mut seen) = (None, Vec::new());
    for (path, (process, group)) in groups {
        let used = group.current.saturating_sub(group.inactive_file);
        let full = group.max.is_some_and(|max| percent(used, max) >= 90);
        if group.max.is_none() && group.oom_kills == 0 {
            continue;
        }
        let max = group.max.map_or_else(|| "no limit".to_owned(), bytes);
        let kills =
            if group.oom_kills > 0 { format!(", {} OOM kills since it began", group.oom_kills) } else { String::new() };
        seen.push(format!("{} ({process}) {} of {max}{kills}", path.display(), bytes(used)));
        if full || group.oom_kills > 0 {
            tight = tight.or(Some(path));
        }
    }
    if groups.is_empty() {
        return Finding::ok(name, "no watched listener lives in a group of version 2 with the memory controller");
    }
    let Some(tight) = tight else {
        let none = "none".to_owned();
        return Finding::ok(name, if seen.is_empty() { none } else { seen.join("; ") });
    };
    let unit = tight.file_name().unwrap_or_default().to_string_lossy();
    let advice = format!("raise MemoryMax of {unit}, or lower what it uses (workers, caches, memory per request)");
    Finding::warn(name, seen.join("; "), advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    fn judged(group: Option<Group>) -> Finding {
        let groups = group.map(|group| (PathBuf::from("/system.slice/nginx.service"), ("nginx[7]".to_owned(), group)));
        judge(&groups.into_iter().collect())
    }

    #[test]
    fn files_are_read_as_the_kernel_writes_them() {
        let stat = "anon 100\nfile 50\ninactive_file 40\n";
        let events = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n";
        let group = parse("1048576\n", "900000\n", stat, events).unwrap();
        assert_eq!(group, Group { max: Some(1 << 20), current: 900_000, inactive_file: 40, oom_kills: 1 });
        assert_eq!(parse("max\n", "1\n", "", events).unwrap().max, None);
        assert_eq!(parse("max\n", "1\n", "", ""), None);
        assert_eq!(path_of("1:name=systemd:/x\n0::/system.slice/nginx.service\n"), Some("/system.slice/nginx.service"));
        assert_eq!(path_of("4:memory:/x\n"), None);
    }

    #[test]
    fn full_groups_and_past_kills_are_warned_of_but_not_cached_files() {
        let group = Group { max: Some(100 << 20), current: 95 << 20, inactive_file: 0, oom_kills: 0 };
        let full = judged(Some(group.clone()));
        assert_eq!(full.status, Status::Warn);
        assert_eq!(full.seen, "/system.slice/nginx.service (nginx[7]) 95 MiB of 100 MiB");
        assert!(full.advice.unwrap().starts_with("raise MemoryMax of nginx.service"));
        assert_eq!(judged(Some(Group { inactive_file: 50 << 20, ..group.clone() })).status, Status::Ok);
        let killed = Group { max: None, oom_kills: 2, ..group.clone() };
        assert!(judged(Some(killed)).seen.ends_with("95 MiB of no limit, 2 OOM kills since it began"));
        assert_eq!(judged(Some(Group { max: None, ..group })).seen, "none");
        assert_eq!(judged(None).status, Status::Ok);
    }
}
