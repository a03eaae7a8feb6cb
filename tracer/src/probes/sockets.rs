//! Who holds a socket: what /proc shows of other processes' descriptors.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    net::{Ipv4Addr, TcpListener},
    os::fd::AsRawFd,
};

use procfs::process::{FDTarget, Process};

/// The process that holds each of these sockets; where several do, the youngest: a worker rather than its master.
pub(super) fn owners_of(sockets: &HashSet<u64>) -> BTreeMap<u64, (u32, String)> {
    let mut owners: BTreeMap<u64, (u64, (u32, String))> = BTreeMap::new();
    let sockfs = sockfs();
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        let held = held_by(&process, sockets, sockfs);
        if held.is_empty() {
            continue;
        }
        let (Ok(stat), Ok(pid)) = (process.stat(), u32::try_from(process.pid)) else { continue };
        for inode in held {
            let younger = owners.get(&inode).is_none_or(|(start, _)| *start <= stat.starttime);
            if younger {
                owners.insert(inode, (stat.starttime, (pid, stat.comm.clone())));
            }
        }
    }
    owners.into_iter().map(|(inode, (_, owner))| (inode, owner)).collect()
}

/// Those of the sockets that the process holds.
fn held_by(process: &Process, sockets: &HashSet<u64>, sockfs: Option<u64>) -> Vec<u64> {
    let held: HashSet<u64> = match process.fd() {
        Ok(fds) => fds
            .filter_map(Result::ok)
            .filter_map(|fd| if let FDTarget::Socket(inode) = fd.target { Some(inode) } else { None })
            .collect(),
        // Another user's: its descriptors' links can't be listed without CAP_DAC_READ_SEARCH.
        Err(_) => sockfs.map_or_else(HashSet::new, |mount| described(process.pid, mount)),
    };
    held.intersection(sockets).copied().collect()
}

/// The sockets among a process's descriptors, by their description, which takes CAP_SYS_PTRACE only.
fn described(pid: i32, sockfs: u64) -> HashSet<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return HashSet::new() };
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let files = texts.filter_map(|text| Some((field(&text, "mnt_id:")?, field(&text, "ino:")?)));
    files.filter(|(mount, _)| *mount == sockfs).map(|(_, inode)| inode).collect()
}

/// The mount that all sockets are on: inode numbers mean nothing without it. Unknown before Linux 5.14, which first
/// tells inodes in descriptions.
fn sockfs() -> Option<u64> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", socket.as_raw_fd())).ok()?;
    field(&text, "ino:").and(field(&text, "mnt_id:"))
}

/// A number in a descriptor's description.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::MetadataExt as _};

    use super::*;

    fn inode(fd: &impl AsRawFd) -> u64 {
        fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().ino()
    }

    #[test]
    fn descriptions_tell_sockets_as_links_do() {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let file = File::open("/proc/self/status").unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let owners = owners_of(&HashSet::from([inode(&socket)]));
        assert_eq!(owners[&inode(&socket)].0, std::process::id());
        if let Some(mount) = sockfs() {
            let found = described(pid, mount);
            assert!(found.contains(&inode(&socket)));
            assert!(!found.contains(&inode(&file)));
        }
    }

    #[test]
    fn fields_of_a_description_are_found_by_their_whole_name() {
        let text = "pos:\t0\nflags:\t02\nmnt_id:\t10\nino:\t2063\n";
        assert_eq!((field(text, "mnt_id:"), field(text, "ino:"), field(text, "no:")), (Some(10), Some(2063), None));
    }
}
