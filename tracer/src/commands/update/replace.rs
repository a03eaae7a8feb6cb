//! A file replaced as a whole: whoever reads it finds the old content or the new one, after a crash too.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Mode of a file that was not there before.
const MODE: u32 = 0o644;

/// Replaces the file, or makes it; mode and owner stay. Where the path is a link, what it points at is replaced.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(path.to_owned()),
        _ => Err(error),
    })?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let new = Unfinished::create(&path)?;
    write(&new, &path, content)?;
    new.rename(&path)?;
    File::open(folder)?.sync_all()
}

fn write(new: &Unfinished, old: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = &new.file;
    let mode = match fs::metadata(old) {
        Ok(old) if !old.is_file() => return Err(io::Error::other("not a regular file")),
        Ok(old) => {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
                fchown(file, Some(old.uid()), Some(old.gid()))?;
            }
            old.mode() & 0o7777
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => MODE,
        Err(error) => return Err(error),
    };
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// The new file beside the old one; removed unless it took the old one's place.
struct Unfinished {
    path: PathBuf,
    file: File,
    is_done: bool,
}

impl Unfinished {
    fn create(beside: &Path) -> io::Result<Self> {
        let name = beside.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let name = format!(".{}.{}", name.to_string_lossy(), std::process::id());
        let path = beside.with_file_name(name);
        // Never an existing file, nor through a link that somebody put there.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file, is_done: false })
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.path);
        }
    }
}
