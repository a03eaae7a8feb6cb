//! An initramfs: files in the "newc" form that the kernel unpacks.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const FOLDER: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;
/// What ends an archive.
const END: &str = "TRAILER!!!";

/// An archive in the making.
pub(super) struct Archive {
    bytes: Vec<u8>,
    inode: usize,
}

impl Archive {
    /// Empty but for what the kernel needs before it starts process 1: a console.
    pub(super) fn new() -> Self {
        let mut archive = Self { bytes: Vec::new(), inode: 0 };
        archive.folder("dev");
        archive.entry("dev/console", DEVICE, (5, 1), &[]);
        archive
    }

    /// A folder; its parents must be there.
    pub(super) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, (0, 0), &[]);
    }

    /// A file that everybody may run; its folder must be there.
    pub(super) fn file(&mut self, path: &str, contents: &[u8]) {
        self.entry(path, EXECUTABLE, (0, 0), contents);
    }

    /// As [`Archive::file`], with the contents of a file.
    pub(super) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        self.file(path, &fs::read(from).with_context(|| format!("reading {}", from.display()))?);
        Ok(())
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(END, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), contents: &[u8]) {
        let path = path.trim_start_matches('/');
        self.inode += 1;
        let (inode, size, name) = (self.inode, contents.len(), path.len() + 1);
        // inode, mode, owner, group, links, time, size, device of the archive, device, length of the name, checksum
        self.bytes.extend_from_slice(
            format!("070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{major:08x}{minor:08x}{name:08x}{0:08x}", 0, 1)
                .as_bytes(),
        );
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_begins_at_a_multiple_of_four() {
        let mut archive = Archive { bytes: Vec::new(), inode: 0 };
        archive.file("a", b"hello");
        let header = "070701".len() + 13 * 8;
        assert_eq!(header, 110);
        assert_eq!(&archive.bytes[..14], b"07070100000001");
        assert_eq!(&archive.bytes[header..header + 2], b"a\0");
        assert_eq!(&archive.bytes[112..117], b"hello");
        assert_eq!(archive.bytes.len(), 120);
        let whole = archive.finish();
        assert_eq!(&whole[120 + header..120 + header + END.len()], END.as_bytes());
        assert_eq!(whole.len() % 4, 0);
    }
}
