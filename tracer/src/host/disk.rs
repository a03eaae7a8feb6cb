//! File systems that servers write to: space and inodes.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::finding::Finding;
use super::number::{bytes, percent};

/// What every host writes to.
const FOLDERS: [&str; 4] = ["/", "/var", "/var/log", "/tmp"];
/// Where nginx keeps bodies and responses that don't fit into memory, unless its configuration says otherwise.
pub(crate) const NGINX: [&str; 5] =
    ["/var/lib/nginx", "/var/cache/nginx", "/var/spool/nginx", "/usr/local/nginx", "/usr/local/openresty/nginx"];
/// Below this a file system counts as nearly full, if little of it is left in proportion, too.
const ROOM: u64 = 2 << 30;

/// How full a file system is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Space {
    path: PathBuf,
    total: u64,
    left: u64,
    inodes: u64,
    inodes_left: u64,
}

/// The file systems of the usual folders and of `more`, each once.
pub(super) fn space(more: &[PathBuf]) -> Finding {
    let folders = FOLDERS.iter().chain(&NGINX).map(PathBuf::from).chain(more.iter().cloned());
    let mut devices = BTreeSet::new();
    let spaces: Vec<_> = folders
        .filter_map(|path| devices.insert(path.metadata().ok()?.dev()).then_some(path))
        .filter_map(|path| {
            let found = rustix::fs::statvfs(&path).ok()?;
            Some(Space {
                path,
                total: found.f_blocks.saturating_mul(found.f_frsize),
                left: found.f_bavail.saturating_mul(found.f_frsize),
                inodes: found.f_files,
                inodes_left: found.f_favail,
            })
        })
        .collect();
    judge(&spaces)
}

fn judge(spaces: &[Space]) -> Finding {
    let name = "disk space";
    let mut full = Vec::new();
    let mut fine = Vec::new();
    // A pseudo file system has no size.
    for space in spaces.iter().filter(|space| space.total > 0) {
        let path = space.path.display();
        let left = percent(space.left, space.total);
        if left < 5 && space.left < ROOM {
            full.push(format!("{path} has {} left of {}", bytes(space.left), bytes(space.total)));
        } else if space.inodes > 0 && percent(space.inodes_left, space.inodes) < 5 {
            full.push(format!("{path} has {} inodes left of {}", space.inodes_left, space.inodes));
        } else {
            fine.push(format!("{path} {left} % free"));
        }
    }
    match (&full[..], &fine[..]) {
        ([], []) => Finding::unknown(name, "no file system could be looked at", "see `df -h` and `df -i`"),
        ([], fine) => Finding::ok(name, fine.join(", ")),
        (full, _) => {
            let advice = "make room (old logs, caches, `du -xh`): a server that can't buffer a request or write its \
                          log fails in mid-answer";
            Finding::warn(name, full.join(", "), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    #[test]
    fn space_and_inodes_that_run_out_are_warned_of() {
        let fine = Space { path: "/var".into(), total: 100 << 30, left: 50 << 30, inodes: 1000, inodes_left: 500 };
        let judged = |space: Space| judge(&[space]);
        assert_eq!(judged(fine.clone()).seen, "/var 50 % free");
        let full = judged(Space { left: 1 << 30, ..fine.clone() });
        assert_eq!((full.status, full.seen.as_str()), (Status::Warn, "/var has 1.0 GiB left of 100 GiB"));
        assert_eq!(judged(Space { left: 4 << 30, ..fine.clone() }).status, Status::Ok);
        let inodes = judged(Space { inodes_left: 3, ..fine.clone() });
        assert_eq!((inodes.status, inodes.seen.as_str()), (Status::Warn, "/var has 3 inodes left of 1000"));
        assert_eq!(judged(Space { inodes: 0, inodes_left: 0, ..fine.clone() }).status, Status::Ok);
        assert_eq!(judged(Space { total: 0, left: 0, ..fine }).status, Status::Unknown);
    }

    #[test]
    fn this_host_has_a_root() {
        assert!(space(&[]).seen.contains('/'));
    }
}
