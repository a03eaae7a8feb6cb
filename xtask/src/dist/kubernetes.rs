//! The Kubernetes manifest against Kubernetes' own schema, which PyPI has: no cluster is at hand.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::sh;

/// Its version is that of the newest schema that it holds.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";

pub(super) fn validate(cache: &Path) -> Result<()> {
    sh::heading("the Kubernetes manifest");
    let tools = cache.join("kubernetes");
    let validator = tools.join("bin/kubernetes-validate");
    if !validator.exists() {
        sh::run(Command::new("python3").args(["-m", "venv"]).arg(&tools))?;
        let mut pip = Command::new(tools.join("bin/pip"));
        sh::run(pip.args(["install", "--quiet", "--disable-pip-version-check", VALIDATOR]))
            .with_context(|| format!("installing {VALIDATOR}"))?;
    }
    let manifest = sh::repo().join("tracer/dist/kubernetes/daemonset.yaml");
    sh::run(Command::new(validator).arg("--strict").arg(manifest))
}
