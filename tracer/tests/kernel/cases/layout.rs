//! The running kernel against what was recorded of its release.

use anyhow::{Result, anyhow, ensure};
use tracer::probes::{BTF_PATH, Layout, btf::Btf};

use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![the_kernels_layout_is_the_recorded_one]
}

macro_rules! recorded {
    ($($release:literal),+ $(,)?) => {
        [$(($release, include_str!(concat!("../../layouts/", $release, ".txt")))),+]
    };
}

/// The kernels that are recorded, and what their type information says.
const RECORDED: [(&str, &str); 7] = recorded![
    "5.10.0-32-cloud-amd64",
    "6.1.0-50-cloud-amd64",
    "6.12.95+deb12-cloud-amd64",
    "6.12.95+deb12-cloud-arm64",
    "6.12.95+deb12-rt-amd64",
    "6.18.44-fc-v657",
    "7.2.13+deb14-cloud-amd64",
];

fn the_kernels_layout_is_the_recorded_one() -> Result<()> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let refuse = |error: String| anyhow!(error);
    let btf = Btf::parse(std::fs::read(BTF_PATH)?, &Layout::names()).map_err(refuse)?;
    let found = Layout::resolve(&btf).map_err(refuse)?.text();
    let Some((_, recorded)) = RECORDED.iter().find(|(recorded, _)| *recorded == release) else {
        println!("{release} is not recorded; all that is needed of it is there");
        return Ok(());
    };
    let missing = |of: &str, from: &str| {
        let lines = of.lines().filter(|line| !from.lines().any(|other| other == *line));
        lines.map(str::to_owned).collect::<Vec<_>>().join(", ")
    };
    ensure!(
        found == **recorded,
        "recorded of {release}: {}; found: {}",
        missing(recorded, &found),
        missing(&found, recorded)
    );
    Ok(())
}
