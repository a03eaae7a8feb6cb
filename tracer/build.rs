//! Builds the kernel programs and leaves the object in `OUT_DIR`, from where `probes` embeds it.

use anyhow::{Context as _, Result, anyhow};
use aya_build::{Package, Toolchain};

const TOOLCHAIN_FILE: &str = "../tracer-ebpf/rust-toolchain.toml";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={TOOLCHAIN_FILE}");
    println!("cargo::rerun-if-changed=../tracer-common/src");
    let file = std::fs::read_to_string(TOOLCHAIN_FILE).with_context(|| format!("reading {TOOLCHAIN_FILE}"))?;
    let channel = file
        .lines()
        .find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'))
        .ok_or_else(|| anyhow!("{TOOLCHAIN_FILE} has no line `channel = \"…\"`"))?;
    let package = Package { name: "tracer-ebpf", root_dir: "../tracer-ebpf", ..Package::default() };
    aya_build::build_ebpf([package], Toolchain::Custom(channel)).with_context(|| {
        format!("building the kernel programs needs toolchain {channel} and bpf-linker: ./dev setup")
    })?;
    revision();
    Ok(())
}

/// `TRACER_REVISION`: the commit, where there is one.
fn revision() {
    // A work tree has its HEAD elsewhere, and a file that is not there would be taken for a change each time.
    if let Some(head) = git(&["rev-parse", "--git-path", "HEAD"]) {
        println!("cargo::rerun-if-changed={head}");
    }
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=TRACER_REVISION={revision}");
}

/// What git says; `None` where it or its repository is not there.
fn git(args: &[&str]) -> Option<String> {
    let output = std::process::Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim().to_owned())
}
