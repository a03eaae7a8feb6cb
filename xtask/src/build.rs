//! The release binary, and where cargo puts it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::sh;

/// Builds `tracer` (its build script builds the kernel programs) and returns the binary's path.
pub(crate) fn release() -> Result<PathBuf> {
    sh::run(&mut sh::command("cargo", &["build", "--quiet", "--release", "--package", "tracer"]))
        .context("building the release binary")?;
    Ok(target_dir()?.join("release/tracer"))
}

/// Cargo's target folder, whatever environment and configuration make of it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = sh::try_output(&mut sh::command("cargo", &["metadata", "--no-deps", "--format-version=1"]))
        .context("`cargo metadata` failed")?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("reading cargo's metadata")?;
    metadata["target_directory"].as_str().map(PathBuf::from).context("cargo's metadata has no target_directory")
}
