//! Go binaries of several versions, built here: as the compiler leaves them, stripped, and position-independent.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::sh;

/// The ways to build, each by its name and flags.
const WAYS: [(&str, &[&str]); 3] =
    [("plain", &[]), ("stripped", &["-ldflags=-s -w"]), ("pie", &["-buildmode=pie", "-ldflags=-s -w"])];
const SERVER: &str = include_str!("server.go");

/// What a binary of this version, built this way, is called.
pub(super) fn name(version: &str, way: &str) -> String {
    format!("go-{version}-{way}")
}

pub(super) fn is_built(files: &Path, version: &str) -> bool {
    WAYS.iter().all(|(way, _)| files.join(name(version, way)).exists())
}

/// Builds them with the toolchain that is unpacked in `root`.
pub(super) fn build(root: &Path, work: &Path, files: &Path, version: &str) -> Result<()> {
    let source = work.join("server.go");
    fs::write(&source, SERVER).with_context(|| format!("writing {}", source.display()))?;
    let cache = work.join("go-cache");
    make_executable(&root.join("bin"))?;
    for platform in fs::read_dir(root.join("pkg/tool")).context("no tools in Go's toolchain")? {
        make_executable(&platform?.path())?;
    }
    for (way, flags) in WAYS {
        let mut go = Command::new(root.join("bin/go"));
        go.current_dir(work).env("GOROOT", root).env("GOCACHE", &cache).env("GO111MODULE", "off");
        go.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
        go.args(["build", "-trimpath"]).args(flags).arg("-o").arg(files.join(name(version, way))).arg("server.go");
        sh::run(&mut go)?;
    }
    fs::remove_dir_all(&cache).with_context(|| format!("removing {}", cache.display()))
}

/// Wheels do not keep the mode of their files.
fn make_executable(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        if path.is_file() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}
