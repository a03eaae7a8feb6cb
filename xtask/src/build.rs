//! The release binary, and where cargo puts it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::architecture::Architecture;
use crate::setup::Pinned;
use crate::sh;

/// `cargo build` of `tracer` for 64-bit ARM.
pub(crate) fn arm() -> Command {
    let architecture = Architecture::Aarch64;
    let mut command =
        sh::command("cargo", &["build", "--quiet", "--package=tracer", "--target", architecture.target()]);
    architecture.compilers(&mut command);
    command
}

/// Builds `tracer` (its build script builds the kernel programs) and returns the binary's path.
pub(crate) fn release() -> Result<PathBuf> {
    sh::run(&mut sh::command("cargo", &["build", "--quiet", "--release", "--package", "tracer"]))
        .context("building the release binary")?;
    Ok(target_dir()?.join("release/tracer"))
}

/// Binaries that run without a library, so on any Linux of one architecture.
pub(crate) struct Guest {
    pub(crate) tracer: PathBuf,
    pub(crate) kernel_tests: PathBuf,
}

/// Builds `tracer` and its kernel tests for guests.
pub(crate) fn guest(architecture: Architecture) -> Result<Guest> {
    let args =
        ["test", "--quiet", "--release", "--package=tracer", "--test=kernel", "--no-run", "--message-format=json"];
    let mut command = sh::command("cargo", &args);
    architecture.compilers(&mut command);
    command.args(["--target", architecture.target()]).stderr(Stdio::inherit());
    let done = command.output().context("starting cargo")?;
    ensure!(done.status.success(), "`{}` failed ({})", sh::show(&command), done.status);
    let messages = String::from_utf8_lossy(&done.stdout).into_owned();
    let find = |kind, name| executable(&messages, kind, name).with_context(|| format!("cargo built no {kind} {name}"));
    Ok(Guest { tracer: find("bin", "tracer")?, kernel_tests: find("test", "kernel")? })
}

/// Builds the benchmark's programs that return at once and returns the object's path.
pub(crate) fn yardstick() -> Result<PathBuf> {
    let mut command = kernel_crate("build")?;
    sh::run(command.args(["--bin", "yardstick"])).context("building the programs that return at once")?;
    Ok(target_dir()?.join("kernel/bpfel-unknown-none/release/yardstick"))
}

/// Cargo on all of the kernel crate, as `tracer/build.rs` builds it: on its nightly, for BPF, with core from source.
pub(crate) fn kernel_crate(task: &str) -> Result<Command> {
    let nightly = Pinned::nightly()?.channel;
    let target = target_dir()?.join("kernel").display().to_string();
    let mut command = sh::command("rustup", &["run", &nightly, "cargo", task, "--quiet", "--package=tracer-ebpf"]);
    command.args(["--release", "--all-features", "--target=bpfel-unknown-none", "-Zbuild-std=core"]);
    command.args(["--target-dir", &target]);
    // The flag by which the BPF bindings pick the traced machine's registers; aya-build sets the same.
    command.env("CARGO_ENCODED_RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    for inherited in ["RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"] {
        command.env_remove(inherited);
    }
    Ok(command)
}

/// The path of an executable in cargo's messages.
fn executable(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|message| {
        let target = &message["target"];
        message["executable"].is_string() && target["kind"][0] == kind && target["name"] == name
    })?;
    Some(built["executable"].as_str()?.into())
}

/// Cargo's target folder, whatever environment and configuration make of it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = sh::try_output(&mut sh::command("cargo", &["metadata", "--no-deps", "--format-version=1"]))
        .context("`cargo metadata` failed")?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("reading cargo's metadata")?;
    metadata["target_directory"].as_str().map(PathBuf::from).context("cargo's metadata has no target_directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_is_found_by_kind_and_name() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"tracer"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"tracer"},"executable":"/t/tracer"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "bin", "tracer"), Some("/t/tracer".into()));
        assert_eq!(executable(messages, "test", "tracer"), None);
    }
}
