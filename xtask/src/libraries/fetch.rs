//! Packages from their registries, by the registries' own clients, and unpacked; none is installed.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Package;
use crate::sh;
use crate::vm::apt::Apt;

/// The suites of Debian in which the pinned packages are.
const SUITES: [&str; 3] = ["bullseye", "bookworm", "trixie"];
/// What wheels are taken for: CPython 3.11 on glibc up to 2.36.
const WHEELS: [&str; 17] = [
    "--no-deps",
    "--only-binary=:all:",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--abi=abi3",
    "--abi=none",
    "--platform=manylinux_2_36_x86_64",
    "--platform=manylinux_2_34_x86_64",
    "--platform=manylinux_2_31_x86_64",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_17_x86_64",
    "--platform=manylinux2014_x86_64",
    "--platform=manylinux_2_12_x86_64",
    "--platform=manylinux2010_x86_64",
    "--platform=linux_x86_64",
    "--platform=any",
];

/// Where packages are unpacked.
pub(super) struct Registries {
    dir: PathBuf,
    apt: OnceCell<Apt>,
}

impl Registries {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, apt: OnceCell::new() }
    }

    /// An apt with new lists.
    fn apt(&self) -> Result<&Apt> {
        if let Some(apt) = self.apt.get() {
            return Ok(apt);
        }
        let apt = Apt::new(self.dir.join("apt"), &SUITES)?;
        apt.update()?;
        Ok(self.apt.get_or_init(|| apt))
    }

    /// Gets a package, and gives the folder that it is unpacked in.
    pub(super) fn get(&self, package: &Package) -> Result<PathBuf> {
        let dir = self.dir.join(package.folder());
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        match package {
            Package::Debian(pin) => {
                self.apt()?.get([pin], &dir)?;
                unpack(&dir, |archive| Command::new("dpkg-deb").arg("-x").arg(archive).arg(&dir).status())
            }
            Package::PyPi(pin) => {
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "download", "--quiet"]).args(WHEELS).arg("--dest").arg(&dir).arg(pin);
                sh::run(&mut pip)?;
                let zipfile = ["-m", "zipfile", "-e"];
                unpack(&dir, |archive| Command::new("python3").args(zipfile).arg(archive).arg(&dir).status())
            }
            Package::Npm(pin) => {
                // Debian's package of npm and others' exclude each other: whichever is there does.
                sh::run(Command::new("npm").args(["pack", "--silent", pin]).current_dir(&dir))?;
                unpack(&dir, |archive| Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&dir).status())
            }
        }
        .with_context(|| format!("unpacking {package}"))?;
        Ok(dir)
    }
}

/// Unpacks the archives in a folder, and removes them.
fn unpack(dir: &Path, with: impl Fn(&Path) -> std::io::Result<std::process::ExitStatus>) -> Result<()> {
    let archives: Vec<PathBuf> = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    for archive in archives {
        let status = with(&archive)?;
        anyhow::ensure!(status.success(), "{} can't be unpacked ({status})", archive.display());
        fs::remove_file(&archive)?;
    }
    Ok(())
}
