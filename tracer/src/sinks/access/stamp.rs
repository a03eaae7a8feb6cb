//! Whether files are still those that were read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What changes when a file is written or replaced: device, inode, size, times of content and of the inode.
type Stamp = (u64, u64, u64, [i64; 4]);

/// Files and the stamps that they had. A file that is not there has none.
#[derive(Clone, Default)]
pub(super) struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

impl Stamps {
    /// Takes the file's stamp. To be called before the file is read.
    pub(super) fn take(&mut self, path: &Path) {
        self.0.push((path.to_owned(), stamp(path)));
    }

    pub(super) fn are_current(&self) -> bool {
        self.0.iter().all(|(path, known)| stamp(path) == *known)
    }
}

/// Follows links: secrets that are mounted are replaced by turning a link.
fn stamp(path: &Path) -> Option<Stamp> {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.size(), [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()]))
}
