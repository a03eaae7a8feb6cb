//! Hosts that can't be traced say so, and why.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::agent::tracer;
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![a_kernel_without_type_information_ends_with_three, a_host_that_can_be_traced_ends_with_zero]
}

/// Exit status where the host can't be traced.
const UNTRACEABLE: i32 = 3;
/// Runs a program where the kernel shows no type information, for all that it can see.
const WITHOUT: &str = r#"mount -t tmpfs none /sys/kernel/btf && exec "$0" "$@""#;

fn a_kernel_without_type_information_ends_with_three() -> Result<()> {
    for command in ["doctor", "run", "watch"] {
        let mut hidden = Command::new("unshare");
        hidden.args(["--mount", "sh", "-c", WITHOUT]).arg(tracer()).arg(command);
        let done = hidden.output().context("starting unshare")?;
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        ensure!(done.status.code() == Some(UNTRACEABLE), "{command} ended with {}: {said}", done.status);
        for part in ["/sys/kernel/btf/vmlinux: No such file", "CONFIG_DEBUG_INFO_BTF"] {
            ensure!(said.contains(part), "{command} does not say {part}: {said}");
        }
    }
    Ok(())
}

fn a_host_that_can_be_traced_ends_with_zero() -> Result<()> {
    let done = Command::new(tracer()).arg("doctor").output().context("starting tracer doctor")?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(done.status.success(), "doctor ended with {}: {said}", done.status);
    ensure!(said.lines().all(|line| !line.starts_with('✗')), "something is missing: {said}");
    ensure!(!said.contains("not among the tested ones"), "this kernel is of the matrix: {said}");
    Ok(())
}
