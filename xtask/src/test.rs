//! `xtask test`: everything that must hold before a change goes in, cheapest first, stopping at the first failure.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, For};
use crate::{build, sh};

/// Tells the kernel tests what is wanted of them: `required`, `skip`, or (unset) run if root.
const KERNEL_TESTS: &str = "TRACER_KERNEL_TESTS";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the kernel tests out (they need root)
    #[arg(long)]
    no_kernel: bool,
    /// Run only the kernel tests whose name contains this
    #[arg(long, value_name = "NAME", conflicts_with = "no_kernel")]
    kernel_only: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.no_kernel && !sh::is_root() {
        bail!(
            "the kernel tests load BPF programs and make namespaces: run as root, or leave them out with --no-kernel"
        );
    }
    setup::ensure(if args.no_kernel { For::Build } else { For::Test })?;
    if let Some(name) = &args.kernel_only {
        return kernel_tests(Some(name));
    }
    step("format", &mut cargo(&["fmt", "--all", "--", "--check"]))?;
    step(
        "lint, userspace",
        &mut cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--exclude=tracer-ebpf",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    step(
        "documentation of the code",
        cargo(&["doc", "--quiet", "--workspace", "--exclude=tracer-ebpf", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    step("lint, kernel programs", build::kernel_crate("clippy")?.args(["--", "-D", "warnings"]))?;
    step(
        "unit and replay tests",
        cargo(&["test", "--quiet", "--workspace", "--exclude=tracer-ebpf"]).env(KERNEL_TESTS, "skip"),
    )?;
    if args.no_kernel {
        sh::heading("kernel tests: left out (--no-kernel)");
    } else {
        step("build for 64-bit ARM", &mut build::arm())?;
        kernel_tests(None)?;
    }
    sh::heading("all passed");
    Ok(())
}

fn kernel_tests(name: Option<&str>) -> Result<()> {
    let mut command = cargo(&["test", "--quiet", "--package=tracer", "--test=kernel", "--"]);
    step("kernel tests", command.args(name).env(KERNEL_TESTS, "required"))
}

fn cargo(args: &[&str]) -> Command {
    sh::command("cargo", args)
}

fn step(what: &str, command: &mut Command) -> Result<()> {
    sh::heading(what);
    sh::run(command).with_context(|| format!("{what}: failed"))
}
