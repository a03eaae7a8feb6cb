//! Disk images that a guest maps as memory: ext4, made of a folder and never written to again.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::disk::Disk;
use crate::sh;

/// The guest's memory controller takes whole units of this.
const UNIT: u64 = 2 << 20;
/// What a file takes beside its contents, and at most of its last block.
const PER_FILE: u64 = 4096 + 256;
/// What an empty file system takes.
const EMPTY: u64 = 8 << 20;

/// Makes an image of a folder, which is removed afterwards. `image` is there when it is whole.
pub(super) fn make(disk: Disk, dir: &Path, image: &Path) -> Result<()> {
    let unfinished = image.with_extension("new");
    let _ = fs::remove_file(&unfinished);
    let size = size(content(dir)?);
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-t", "ext4", "-O", "^has_journal,^resize_inode", "-m", "0", "-i", "4096"]);
    command.args(["-L", disk.name(), "-d"]).arg(dir).arg(&unfinished).arg(format!("{}k", size >> 10));
    // It tells on standard output that it makes a file.
    sh::run(command.stdout(Stdio::null())).with_context(|| format!("making {}", image.display()))?;
    fs::rename(&unfinished, image).with_context(|| format!("making {}", image.display()))?;
    remove(dir)
}

/// Removes a folder, but nothing of what might still be mounted in it.
pub(super) fn remove(dir: &Path) -> Result<()> {
    sh::run(Command::new("rm").args(["-rf", "--one-file-system", "--"]).arg(dir))
}

/// The bytes that an image must have for so many bytes of content.
fn size(content: u64) -> u64 {
    // Inodes take a sixteenth at one for every 4 KiB.
    (content + content / 12 + EMPTY).next_multiple_of(UNIT)
}

/// What a folder holds, each file at its most expensive.
fn content(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += PER_FILE + meta.size();
        if meta.is_dir() {
            total += content(&entry.path())?;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_whole_units_and_larger_than_its_content() {
        for content in [0, 1, UNIT, 300 << 20] {
            let size = size(content);
            assert_eq!(size % UNIT, 0);
            assert!(size > content + content / 16);
        }
    }
}
