//! Opens the very file that a process maps, never one that only has its name.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::{ffi::OsStr, io::ErrorKind, path::Path};

use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, major, minor, open, openat2};

use super::maps::Mapping;

/// Which file, in which state: what was found in one holds for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub changed_ns: i128,
}

/// The file behind a mapping: through the kernel's own link to it, which leads to removed files, too; without the
/// privilege for that (`CAP_CHECKPOINT_RESTORE`, `CAP_SYS_ADMIN`), by its path below the root of the process, if device
/// and inode are the mapping's. May block as long as the file's file system does.
pub(super) fn mapped(pid: u32, mapping: &Mapping) -> io::Result<(File, Identity)> {
    let (start, end) = mapping.range;
    let link = format!("/proc/{pid}/map_files/{start:x}-{end:x}");
    let found = match open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(error) if matches!(io::Error::from(error).kind(), ErrorKind::PermissionDenied) => by_path(pid, mapping)?,
        found => found?,
    };
    regular(&found)
}

/// The file at a path of this host's.
pub(super) fn regular_at(path: &Path) -> io::Result<(File, Identity)> {
    regular(&open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The root of this host's first process, whatever namespace the agent runs in; without the privilege for that
/// (`CAP_SYS_PTRACE`), the agent's own.
pub(super) fn root() -> Option<OwnedFd> {
    let root = |path: &str| open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    root("/proc/1/root").or_else(|_| root("/")).ok()
}

/// The file at a path below a root, which no link leads out of.
pub(super) fn regular_below(root: &OwnedFd, path: &Path) -> io::Result<(File, Identity)> {
    regular(&below(root, path)?)
}

fn below(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// Opens what was found to be read. Only now: to open a device or a pipe can do something.
fn regular(found: &OwnedFd) -> io::Result<(File, Identity)> {
    let stat = fstat(found)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(format!("/proc/self/fd/{}", found.as_raw_fd()), flags, Mode::empty())?;
    Ok((file.into(), identity(&stat)))
}

fn by_path(pid: u32, mapping: &Mapping) -> io::Result<OwnedFd> {
    let root = open(format!("/proc/{pid}/root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let found = below(&root, Path::new(OsStr::from_bytes(&mapping.path)))?;
    let stat = fstat(&found)?;
    if ((major(stat.st_dev), minor(stat.st_dev)), stat.st_ino) != (mapping.device, mapping.inode) {
        return Err(io::Error::new(ErrorKind::NotFound, "another file is at its path"));
    }
    Ok(found)
}

fn identity(stat: &Stat) -> Identity {
    let changed_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    Identity { device: stat.st_dev, inode: stat.st_ino, size: u64::try_from(stat.st_size).unwrap_or(0), changed_ns }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;
    use std::{env, fs, process};

    use super::*;

    /// This process, and a mapping of what lies at a path.
    fn mapping(path: &Path) -> Mapping {
        let stat = fs::metadata(path).unwrap();
        Mapping {
            range: (1, 2),
            device: (major(stat.dev()), minor(stat.dev())),
            inode: stat.ino(),
            path: path.as_os_str().as_bytes().to_vec(),
        }
    }

    fn temporary(name: &str) -> PathBuf {
        env::temp_dir().join(format!("tracer-open-{}-{name}", process::id()))
    }

    #[test]
    fn by_its_path_only_the_mapped_file_is_opened() {
        let path = temporary("file");
        fs::write(&path, "x").unwrap();
        let mapped = mapping(&path);
        let (file, identity) = regular(&by_path(process::id(), &mapped).unwrap()).unwrap();
        assert_eq!((file.metadata().unwrap().ino(), identity.size), (mapped.inode, 1));
        let other = Mapping { inode: mapped.inode + 1, ..mapped.clone() };
        let error = by_path(process::id(), &other).unwrap_err();
        assert_eq!(error.to_string(), "another file is at its path");
        fs::remove_file(&path).unwrap();
        assert_eq!(by_path(process::id(), &mapped).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_is_not_opened() {
        let path = temporary("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR).unwrap();
        let found = by_path(process::id(), &mapping(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(regular(&found).unwrap_err().to_string(), "not a regular file");
    }
}
