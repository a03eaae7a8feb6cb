//! What packages hold that is not a file of this repository: the binary, the man pages, the completions.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Release;
use crate::architecture::Architecture;
use crate::{build, sh};

/// Makes all of it, below `release/dist` of the target's folder: where the packages' lists of files look for it.
pub(super) fn make(architecture: Architecture, release: &Release) -> Result<PathBuf> {
    let built = build::target_dir()?.join(architecture.target()).join("release");
    let stage = built.join("dist");
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| format!("removing {}", stage.display()))?;
    }
    fs::create_dir_all(&stage).with_context(|| format!("making {}", stage.display()))?;
    binary(architecture, &built.join("tracer"), &stage.join("tracer"), release)?;
    let mut manual = sh::command("cargo", &["run", "--quiet", "--package=tracer", "--example=packaging_manual", "--"]);
    sh::run(manual.arg(&stage)).context("writing the man pages and completions")?;
    Ok(stage)
}

fn binary(architecture: Architecture, built: &Path, to: &Path, release: &Release) -> Result<()> {
    let mut command = sh::command("cargo", &["build", "--quiet", "--release", "--locked", "--package=tracer"]);
    architecture.compilers(command.args(["--target", architecture.target()]));
    sh::run(command.env("SOURCE_DATE_EPOCH", &release.epoch)).context("building the binary")?;
    let mut strip = sh::command(architecture.strip(), &["--strip-all", "-o"]);
    sh::run(strip.arg(to).arg(built)).context("stripping the binary")
}
