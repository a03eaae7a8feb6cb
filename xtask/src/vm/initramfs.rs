//! What a guest starts with: process 1, the modules that its root needs, and the job.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::cpio::Archive;
use super::job::{GUEST, JOB, Job, MODULES};
use super::kernel::Ready;
use crate::build::Guest;

/// The archive for one kernel and one job.
pub(super) fn pack(ready: &Ready, guest: &Guest, job: &Job) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    let mut list = String::new();
    for path in &ready.early {
        let name = name(path);
        archive.copy(&name, path)?;
        list += &format!("/{name}\n");
    }
    archive.file(MODULES, list.as_bytes());
    archive.copy("/init", &guest.kernel_tests)?;
    archive.folder(GUEST);
    archive.file(JOB, job.script.as_bytes());
    archive.copy(&format!("{GUEST}/kernel"), &guest.kernel_tests)?;
    archive.copy(&format!("{GUEST}/tracer"), &guest.tracer)?;
    if let Some(folder) = job.folder {
        copy_all(&mut archive, &format!("{GUEST}/{}", name(folder)), folder)?;
    }
    Ok(archive.finish())
}

fn copy_all(archive: &mut Archive, to: &str, from: &Path) -> Result<()> {
    archive.folder(to);
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let path = entry?.path();
        let to = format!("{to}/{}", name(&path));
        if path.is_dir() {
            copy_all(archive, &to, &path)?;
        } else {
            archive.copy(&to, &path)?;
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
