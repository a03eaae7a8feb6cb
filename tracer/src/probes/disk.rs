//! Whether a file system is full that a process writes to: one where it has a file open for writing, where it works, or
//! where it may keep temporary files.
//!
//! Only file systems of this machine are looked at, and only by ways that lead over such: one that lies on the network
//! may never answer.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
};

use crate::{
    diagnose::{FullDisk, Lack, Writes},
    host::disk::NGINX,
};

/// Bytes of the list of mounts, and of what describes a descriptor.
const MOST_LIST: u64 = 1 << 20;
const MOST_DESCRIPTION: u64 = 256;
/// File systems and descriptors that are looked at.
const MOST_SYSTEMS: usize = 256;
const MOST_FILES: usize = 512;
/// The longest name of a mount point.
const LONGEST: usize = 512;

/// Less than this is full, if it is less than a hundredth, too. The last block may be too small for what was written.
const ROOM: u64 = 64 << 10;

/// File systems that answer without a network; and those that tell other numbers of their devices than mounts do.
const LOCAL: [&str; 13] =
    ["tmpfs", "overlay", "ext2", "ext3", "ext4", "xfs", "f2fs", "jfs", "reiserfs", "vfat", "btrfs", "bcachefs", "zfs"];
const RENUMBERED: [&str; 3] = ["btrfs", "bcachefs", "zfs"];
/// Further ones that a way may lead over.
const PASSABLE: [&str; 5] = ["devtmpfs", "proc", "sysfs", "ramfs", "rootfs"];

/// Where most programs keep temporary files.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The major and the minor number.
type Device = (u32, u32);

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    id: u64,
    device: Device,
    point: String,
    writable: bool,
    kind: String,
}

/// How much of a file system is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Space {
    total: u64,
    left: u64,
    inodes: u64,
    inodes_left: u64,
}

/// A full file system that this process writes to, if there is one. One where it has a file open comes first.
pub(super) fn full(pid: u32, name: &str) -> Option<FullDisk> {
    let mounts: Vec<_> = text(&format!("/proc/{pid}/mountinfo"), MOST_LIST)?.lines().filter_map(mount).collect();
    let far = far(&mounts);
    let full = full_ones(&mounts, &far, |mount| space(pid, mount));
    if full.is_empty() {
        return None;
    }
    let told = |mount: &Mount, by| Some(FullDisk { mount: mount.point.clone(), lack: *full.get(&mount.device)?, by });
    let open = written(pid).into_iter().find_map(|id| told(mounts.iter().find(|mount| mount.id == id)?, Writes::File));
    open.or_else(|| {
        folders(pid, name).into_iter().find_map(|(folder, by)| {
            let mount = holder(&mounts, &folder)?;
            let is_there = is_near(&far, &folder) && fs::metadata(format!("/proc/{pid}/root{folder}")).is_ok();
            told(mount, by).filter(|_| is_there)
        })
    })
}

/// The full ones among the file systems that can be written to.
fn full_ones(mounts: &[Mount], far: &[&str], space: impl Fn(&Mount) -> Option<Space>) -> BTreeMap<Device, Lack> {
    let mut known: BTreeMap<Device, Option<Lack>> = BTreeMap::new();
    let near = mounts.iter().filter(|mount| mount.writable && LOCAL.contains(&mount.kind.as_str()));
    for mount in near.take(MOST_SYSTEMS) {
        if !known.contains_key(&mount.device)
            && is_near(far, &mount.point)
            && let Some(space) = space(mount)
        {
            known.insert(mount.device, lack(space));
        }
    }
    known.into_iter().filter_map(|(device, lack)| Some((device, lack?))).collect()
}

/// What a file system has run out of, if it has. A pseudo file system has no size, and some have no fixed number of
/// inodes.
fn lack(Space { total, left, inodes, inodes_left }: Space) -> Option<Lack> {
    if total > 0 && left < ROOM && left < total / 100 {
        return Some(Lack::Space { left, total });
    }
    (inodes > 0 && inodes_left == 0).then_some(Lack::Inodes(inodes))
}

/// Asks the file system, as the process may use it. `None`: another one hides it.
fn space(pid: u32, mount: &Mount) -> Option<Space> {
    let path = format!("/proc/{pid}/root{}", mount.point);
    let device = fs::metadata(&path).ok()?.dev();
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    if device != mount.device && !RENUMBERED.contains(&mount.kind.as_str()) {
        return None;
    }
    let found = rustix::fs::statvfs(&path).ok()?;
    // What is kept back for root is no use to others.
    let blocks = if is_root(pid) { found.f_bfree } else { found.f_bavail };
    Some(Space {
        total: found.f_blocks.saturating_mul(found.f_frsize),
        left: blocks.saturating_mul(found.f_frsize),
        inodes: found.f_files,
        inodes_left: found.f_ffree,
    })
}

/// By its effective user.
fn is_root(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    users.split_ascii_whitespace().nth(1) == Some("0")
}

/// The mounts on which the process has files open for writing.
fn written(pid: u32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return Vec::new() };
    let texts = entries.take(MOST_FILES).filter_map(|entry| text(entry.ok()?.path().to_str()?, MOST_DESCRIPTION));
    texts.filter_map(|text| writing(&text)).collect()
}

/// The mount of a descriptor that can be written to, from its description.
fn writing(text: &str) -> Option<u64> {
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let flags = u32::from_str_radix(field("flags:")?, 8).ok()?;
    // O_ACCMODE: 0 is O_RDONLY.
    if flags & 3 == 0 { None } else { field("mnt_id:")?.parse().ok() }
}

/// Where it writes without a file that is open all the time.
fn folders(pid: u32, name: &str) -> Vec<(String, Writes)> {
    let mut found = Vec::new();
    if ["nginx", "openresty", "angie"].iter().any(|server| name.starts_with(server)) {
        found.extend(NGINX.map(|folder| (folder.to_owned(), Writes::Temporary(folder))));
    }
    let link = |name| fs::read_link(format!("/proc/{pid}/{name}")).ok()?.into_os_string().into_string().ok();
    // Behind chroot the path would begin above its root. In `/` daemons stand that write elsewhere.
    let working = link("cwd").filter(|folder| folder != "/" && link("root").as_deref() == Some("/"));
    found.extend(working.map(|folder| (folder, Writes::Folder)));
    found.extend(TEMPORARY.map(|folder| (folder.to_owned(), Writes::Temporary(folder))));
    found
}

/// The mount that a path lies on: of those at the same point, the last.
fn holder<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    mounts.iter().filter(|mount| is_under(path, &mount.point)).max_by_key(|mount| mount.point.len())
}

/// The mount points that no way may lead over.
fn far(mounts: &[Mount]) -> Vec<&str> {
    let is_far = |mount: &&Mount| LOCAL.iter().chain(&PASSABLE).all(|kind| *kind != mount.kind);
    mounts.iter().filter(is_far).map(|mount| mount.point.as_str()).collect()
}

/// Whether the way to this path leads over file systems of this machine alone.
fn is_near(far: &[&str], path: &str) -> bool {
    !far.iter().any(|point| is_under(path, point))
}

fn is_under(path: &str, point: &str) -> bool {
    point == "/" || path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw`, as proc(5) explains it.
fn mount(line: &str) -> Option<Mount> {
    let (about, system) = line.split_once(" - ")?;
    let mut fields = about.split(' ');
    let id = fields.next()?.parse().ok()?;
    let (major, minor) = fields.nth(1)?.split_once(':')?;
    let point = fields.nth(1).filter(|point| point.len() <= LONGEST)?;
    let writable = fields.next()?.split(',').any(|option| option == "rw");
    Some(Mount {
        id,
        device: (major.parse().ok()?, minor.parse().ok()?),
        point: unescaped(point),
        writable,
        kind: system.split(' ').next()?.to_owned(),
    })
}

/// Blanks and such stand as octal numbers.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// So much of a file, as text.
fn text(path: &str, most: u64) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        23 22 0:5 / /dev rw,nosuid - devtmpfs udev rw\n\
        24 22 8:2 / /var/log rw - xfs /dev/sdb1 rw\n\
        25 22 0:40 / /mnt/far rw - nfs4 server:/a rw\n\
        26 25 8:3 / /mnt/far/near rw - ext4 /dev/sdc1 rw\n\
        27 23 0:41 / /dev/shm rw - tmpfs tmpfs rw\n\
        28 22 8:4 / /srv/two\\040words ro,noatime master:1 - ext4 /dev/sdd1 rw\n";

    fn mounts() -> Vec<Mount> {
        LIST.lines().map(|line| mount(line.trim_start()).unwrap()).collect()
    }

    #[test]
    fn mounts_are_read_as_the_kernel_writes_them() {
        let mounts = mounts();
        let log = Mount { id: 24, device: (8, 2), point: "/var/log".into(), writable: true, kind: "xfs".into() };
        assert_eq!(mounts[2], log);
        assert_eq!((mounts[6].point.as_str(), mounts[6].writable), ("/srv/two words", false));
        let line = LIST.lines().next().unwrap();
        for cut in (0..line.find("ext4").unwrap()).filter_map(|end| line.get(..end)) {
            assert_eq!(mount(cut), None, "{cut}");
        }
        assert_eq!(mount(&format!("1 0 8:1 / /{} rw - ext4 a rw", "x".repeat(LONGEST))), None);
    }

    #[test]
    fn a_path_lies_on_the_mount_that_is_nearest_to_it() {
        let on = |path| holder(&mounts(), path).map(|mount| mount.id);
        assert_eq!(
            [on("/var/log/nginx"), on("/var/log"), on("/var/logs"), on("/")].map(Option::unwrap),
            [24, 24, 22, 22]
        );
    }

    #[test]
    fn what_lies_on_the_network_or_behind_it_is_not_asked() {
        let asked = std::cell::RefCell::new(Vec::new());
        let empty = Space { total: 1 << 30, left: 0, inodes: 0, inodes_left: 0 };
        let mounts = mounts();
        let full = full_ones(&mounts, &far(&mounts), |mount| {
            asked.borrow_mut().push(mount.id);
            Some(empty)
        });
        assert_eq!(*asked.borrow(), [22, 24, 27], "and none that can't be written to");
        assert_eq!(full.len(), 3);
    }

    #[test]
    fn a_file_system_is_full_when_next_to_nothing_is_left() {
        let room = Space { total: 100 << 30, left: 1 << 30, inodes: 1000, inodes_left: 1 };
        assert_eq!(lack(room), None);
        assert_eq!(lack(Space { left: 0, ..room }), Some(Lack::Space { left: 0, total: 100 << 30 }));
        assert_eq!(lack(Space { left: 4096, ..room }), Some(Lack::Space { left: 4096, total: 100 << 30 }));
        assert_eq!(lack(Space { left: ROOM, ..room }), None);
        assert_eq!(lack(Space { total: 64 << 10, left: 60 << 10, ..room }), None, "a small one with room");
        assert_eq!(lack(Space { inodes_left: 0, ..room }), Some(Lack::Inodes(1000)));
        assert_eq!(lack(Space { inodes: 0, inodes_left: 0, ..room }), None, "without fixed inodes");
        assert_eq!(lack(Space { total: 0, left: 0, ..room }), None, "a pseudo file system");
    }

    #[test]
    fn a_descriptor_is_written_to_by_its_flags() {
        let text = |flags: &str| format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t24\nino:\t7\n");
        assert_eq!(writing(&text("0102001")), Some(24));
        assert_eq!(writing(&text("02100002")), Some(24));
        assert_eq!(writing(&text("0100000")), None);
        for strange in ["", "9", "-1"] {
            assert_eq!(writing(&text(strange)), None, "{strange}");
        }
        assert_eq!(writing("flags:\t01\n"), None);
    }

    #[test]
    fn this_process_has_a_root_with_room_and_writes_where_it_has_opened_a_file() {
        let pid = std::process::id();
        let path = std::env::temp_dir().join(format!("tracer-written-{pid}"));
        let file = File::create(&path).unwrap();
        let list = text(&format!("/proc/{pid}/mountinfo"), MOST_LIST).unwrap();
        let mounts: Vec<_> = list.lines().filter_map(mount).collect();
        let mount = holder(&mounts, path.to_str().unwrap()).unwrap();
        assert!(written(pid).contains(&mount.id));
        assert!(space(pid, mount).is_some_and(|space| space.total > 0 && space.left > 0));
        assert!(folders(pid, "nginx").len() > NGINX.len());
        drop(file);
        fs::remove_file(path).unwrap();
        assert_eq!(full(u32::MAX, "gone"), None);
    }
}
