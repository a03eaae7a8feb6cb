//! The files of a release: packages, archives, their list of parts and their checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::Release;
use crate::architecture::Architecture;
use crate::sh;

/// What an archive holds beside what is staged.
const EXTRAS: [&str; 7] =
    ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-MIT", "LICENSE-APACHE", "docs", "tracer/dist"];

/// The .deb, the .rpm and the archive of an architecture.
pub(super) fn all(architecture: Architecture, stage: &Path, release: &Release) -> Result<Vec<PathBuf>> {
    Ok(vec![
        deb(architecture, &release.version, &release.dir, release)?,
        rpm(architecture, &release.version, &release.dir, release)?,
        archive(architecture, stage, release)?,
    ])
}

/// The .deb of this version, into a folder.
pub(super) fn deb(architecture: Architecture, version: &str, into: &Path, release: &Release) -> Result<PathBuf> {
    let file = into.join(format!("origin-tracer_{version}_{}.deb", architecture.debian()));
    let mut command = sh::command("cargo", &["deb", "--quiet", "--no-build", "--no-strip", "--package=tracer"]);
    command.args(["--target", architecture.target(), "--deb-version", version, "--output"]).arg(&file);
    let silent = command.env("SOURCE_DATE_EPOCH", &release.epoch).stdout(Stdio::null());
    sh::run(silent).context("making the .deb")?;
    Ok(file)
}

/// The .rpm of this version, into a folder.
pub(super) fn rpm(architecture: Architecture, version: &str, into: &Path, release: &Release) -> Result<PathBuf> {
    let file = into.join(format!("origin-tracer-{version}-1.{}.rpm", architecture.name()));
    let mut command = sh::command("cargo", &["generate-rpm", "--package=tracer", "--payload-compress=gzip"]);
    command.args(["--target", architecture.target(), "--arch", architecture.name()]);
    command.args(["--set-metadata", &format!("version = \"{version}\"")]).arg("--output").arg(&file);
    sh::run(command.env("SOURCE_DATE_EPOCH", &release.epoch)).context("making the .rpm")?;
    Ok(file)
}

/// The same bytes for the same commit: sorted, of nobody, at the commit's time.
fn archive(architecture: Architecture, stage: &Path, release: &Release) -> Result<PathBuf> {
    let name = format!("tracer-{}-{}-linux", release.version, architecture.name());
    let file = release.dir.join(format!("{name}.tar.gz"));
    let mut command = sh::command("tar", &["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    command.args(["--use-compress-program=gzip -9n", "--mode=go+rX,go-w"]);
    command.arg(format!("--mtime=@{}", release.epoch)).arg("--file").arg(&file);
    command.args([
        format!("--transform=s,^tracer/dist,{name}/dist,"),
        format!("--transform=s,^docs,{name}/docs,"),
        format!("--transform=s,^[.]/,{name}/,"),
    ]);
    command.arg(format!("--transform=s,^\\([A-Z]\\),{name}/\\1,"));
    command.args(EXTRAS).arg("-C").arg(stage).args(["./tracer", "./man", "./completions"]);
    sh::run(&mut command).context("making the archive")?;
    Ok(file)
}

/// Every crate in the binary, as CycloneDX.
pub(super) fn bill_of_materials(release: &Release) -> Result<PathBuf> {
    // It writes beside each manifest of the workspace, whatever it is told.
    let name = format!("tracer-{}.cdx", release.version);
    let mut command = sh::command("cargo", &["cyclonedx", "--quiet", "--format=json", "--spec-version=1.5"]);
    command.args(["--target", Architecture::X86_64.target(), "--override-filename", &name]);
    let made = sh::run(command.env("SOURCE_DATE_EPOCH", &release.epoch)).context("listing the parts");
    let file = release.dir.join(format!("{name}.json"));
    let moved = fs::copy(sh::repo().join(format!("tracer/{name}.json")), &file);
    for member in ["tracer", "tracer-common", "tracer-ebpf", "xtask"] {
        let _not_there = fs::remove_file(sh::repo().join(format!("{member}/{name}.json")));
    }
    made?;
    moved.context("cargo-cyclonedx made no list")?;
    Ok(file)
}

/// `SHA256SUMS`, as `sha256sum --check` reads it.
pub(super) fn checksums(files: &[PathBuf], release: &Release) -> Result<()> {
    let mut names: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
    names.sort();
    let done =
        Command::new("sha256sum").args(names).current_dir(&release.dir).output().context("starting sha256sum")?;
    ensure!(done.status.success(), "sha256sum failed: {}", String::from_utf8_lossy(&done.stderr));
    fs::write(release.dir.join("SHA256SUMS"), done.stdout).context("writing SHA256SUMS")
}
