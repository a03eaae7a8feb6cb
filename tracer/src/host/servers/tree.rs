//! The files that a process sees: below its own root, never outside of it, and never more than a bounded amount.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

/// Files, and bytes of all of them, that are read of one server's configuration.
const FILES: u32 = 2_000;
const BYTES: u64 = 16 << 20;
/// Entries of a folder that are looked at.
const ENTRIES: usize = 10_000;

/// A root folder, and what may still be read below it.
#[derive(Debug)]
pub(in super::super) struct Tree {
    root: OwnedFd,
    files: Cell<u32>,
    bytes: Cell<u64>,
}

impl Tree {
    /// The tree below `root`, such as `/proc/123/root`.
    pub(in super::super) fn open(root: &Path) -> io::Result<Self> {
        let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root, files: Cell::new(FILES), bytes: Cell::new(BYTES) })
    }

    /// Links are resolved within the tree, so that none leads out of a container.
    fn at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// A regular file's text. An error of kind `FileTooLarge`: the bounds are reached.
    pub(in super::super) fn read(&self, path: &str) -> io::Result<String> {
        let fd = self.at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (files, left) = (self.files.get(), self.bytes.get());
        if files == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        let len = File::from(fd).take(left + 1).read_to_end(&mut bytes)? as u64;
        if len > left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.files.set(files - 1);
        self.bytes.set(left - len);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether there is a file or folder.
    pub(in super::super) fn exists(&self, path: &str) -> bool {
        self.at(path, OFlags::PATH).is_ok()
    }

    /// The names in a folder, sorted; none where it can't be listed.
    pub(in super::super) fn list(&self, folder: &str) -> Vec<String> {
        let Ok(fd) = self.at(folder, OFlags::DIRECTORY) else { return Vec::new() };
        let entries = Dir::new(fd).into_iter().flatten().take(ENTRIES).flatten();
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned)).collect();
        names.retain(|name| name != "." && name != "..");
        names.sort_unstable();
        names
    }

    /// The paths that a shell's pattern names, sorted. One without a wildcard names itself, there or not.
    pub(in super::super) fn glob(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let wild = part.contains(['*', '?', '[']);
            let next = |folder: &String| {
                if !wild {
                    return vec![format!("{folder}/{part}")];
                }
                let names = self.list(if folder.is_empty() { "/" } else { folder });
                // A hidden file is named by its dot.
                let fits = |name: &String| (part.starts_with('.') || !name.starts_with('.')) && matches(part, name);
                names.into_iter().filter(fits).map(|name| format!("{folder}/{name}")).collect()
            };
            found = found.iter().flat_map(next).take(FILES as usize).collect();
        }
        found
    }
}

/// A path, taken from `folder` unless it is absolute.
pub(in super::super) fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder.trim_end_matches('/')) }
}

/// The folder that a path lies in.
pub(in super::super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a pattern of `*`, `?` and `[…]` fits the whole name; in time of their lengths multiplied.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => class(&pattern, p, name[n]),
            Some(c) if *c == name[n] => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => (p, n) = (next, n + 1),
            // The last star takes one more.
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The place behind the class that begins at `at`, if it holds `c`.
fn class(pattern: &[char], at: usize, c: char) -> Option<usize> {
    let not = matches!(pattern.get(at + 1), Some('!' | '^'));
    let first = at + 1 + usize::from(not);
    let end = (first + 1..pattern.len()).find(|&end| pattern[end] == ']')?;
    let (mut i, mut holds) = (first, false);
    while i < end {
        if i + 2 < end && pattern[i + 1] == '-' {
            holds |= (pattern[i]..=pattern[i + 2]).contains(&c);
            i += 3;
        } else {
            holds |= pattern[i] == c;
            i += 1;
        }
    }
    (holds != not).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name) in
            [("*.conf", "a.conf"), ("*", ""), ("a?c", "abc"), ("[a-c]x", "bx"), ("[!a]x", "bx"), ("*a*b", "xaab")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.conf", "a.conf~"), ("a?c", "ac"), ("[a-c]x", "dx"), ("[!a]x", "ax"), ("[a", "a"), ("", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(500), &"a".repeat(499)));
    }

    #[test]
    fn links_do_not_lead_out_of_the_tree_and_pipes_do_not_block() {
        let root = std::env::temp_dir().join(format!("tracer-tree-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("etc/sites")).unwrap();
        fs::write(root.join("etc/passwd"), "inside").unwrap();
        fs::write(root.join("etc/sites/.hidden"), "").unwrap();
        symlink("/etc/passwd", root.join("etc/sites/one")).unwrap();
        symlink("../../../../../../etc/passwd", root.join("etc/sites/two")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("etc/pipe"), Mode::RUSR).unwrap();
        let tree = Tree::open(&root).unwrap();
        assert_eq!(tree.read("/etc/sites/one").unwrap(), "inside");
        assert_eq!(tree.read("/etc/sites/two").unwrap(), "inside");
        assert!(tree.read("/etc/pipe").is_err());
        assert!(tree.read("/etc").is_err());
        assert_eq!(tree.glob("/etc/s*/*"), ["/etc/sites/one", "/etc/sites/two"]);
        assert_eq!(tree.glob("/etc/none"), ["/etc/none"]);
        assert!(tree.exists("/etc/sites") && !tree.exists("/etc/none"));
        tree.bytes.set(3);
        assert_eq!(tree.read("/etc/passwd").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::remove_dir_all(&root).unwrap();
    }
}
