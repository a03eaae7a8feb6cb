//! The kernels of the matrix, pinned.
//!
//! To renew a pin: run `cargo xtask vm --pins`, which lists what apt has for each, take the newest release of the same
//! line, write its release and version here, and run the whole matrix. A pin that apt no longer has fails with that
//! list: sid drops a release after some weeks, the others are the last of suites that get no more point releases.

use anyhow::{Result, bail};

use crate::architecture::Architecture;

/// A kernel of Debian's: its name in the matrix, and the packages that make it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// The line, as one asks for it; behind a hyphen, what else tells it from others of that line.
    pub(super) name: &'static str,
    pub(super) architecture: Architecture,
    /// What `release` ends with.
    pub(super) flavour: &'static str,
    /// `uname -r`.
    pub(super) release: &'static str,
    /// Of each of the packages.
    pub(super) version: &'static str,
    /// What the packages' names begin with; the release follows.
    pub(super) packages: &'static [&'static str],
}

/// The suites of Debian in which they are.
pub(super) const SUITES: [&str; 4] = ["bullseye", "bookworm", "bookworm-backports", "sid"];

/// Oldest first: Debian 11's, 12's, the one that Debian 12 gets from 13, and the development branch's. Of the third
/// also the build with PREEMPT_RT and the one for 64-bit ARM.
pub(super) const KERNELS: [Kernel; 6] = [
    Kernel { release: "5.10.0-32-cloud-amd64", version: "5.10.223-1", ..cloud("5.10") },
    Kernel { release: "6.1.0-50-cloud-amd64", version: "6.1.176-1", ..cloud("6.1") },
    Kernel { release: "6.12.95+deb12-cloud-amd64", version: "6.12.95-1~bpo12+1", ..cloud("6.12") },
    Kernel { flavour: "rt-amd64", release: "6.12.95+deb12-rt-amd64", version: "6.12.95-1~bpo12+1", ..cloud("6.12-rt") },
    Kernel {
        architecture: Architecture::Aarch64,
        flavour: "cloud-arm64",
        release: "6.12.95+deb12-cloud-arm64",
        version: "6.12.95-1~bpo12+1",
        ..cloud("6.12-arm64")
    },
    Kernel {
        release: "7.2.13+deb14-cloud-amd64",
        version: "7.2.13-1",
        packages: &["linux-binary-", "linux-modules-", "linux-base-"],
        ..cloud("7.2")
    },
];

/// What most of them have in common.
const fn cloud(name: &'static str) -> Kernel {
    Kernel {
        name,
        architecture: Architecture::X86_64,
        flavour: "cloud-amd64",
        release: "",
        version: "",
        packages: &["linux-image-"],
    }
}

impl Kernel {
    /// The packages as apt takes them.
    pub(super) fn pins(&self) -> Vec<String> {
        let Self { release, version, architecture, .. } = self;
        let pin = |package: &&str| format!("{package}{release}:{}={version}", architecture.debian());
        self.packages.iter().map(pin).collect()
    }

    /// The first two numbers.
    pub(super) fn line(&self) -> &'static str {
        self.name.split('-').next().unwrap_or(self.name)
    }

    /// A pattern for the names of the first package in all releases of the line.
    pub(super) fn pattern(&self) -> String {
        let (first, line) = (self.packages[0], self.line().replace('.', "[.]"));
        format!("^{first}{line}[.].*-{}$", self.flavour)
    }
}

/// The kernels of these names; all if none is given.
pub(super) fn choose(names: &[String]) -> Result<Vec<&'static Kernel>> {
    if let Some(stranger) = names.iter().find(|name| KERNELS.iter().all(|kernel| kernel.name != name.as_str())) {
        let known: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
        bail!("no kernel {stranger}: there are {}", known.join(", "));
    }
    let wanted = |kernel: &&Kernel| names.is_empty() || names.iter().any(|name| name == kernel.name);
    Ok(KERNELS.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_names_package_release_and_version() {
        let pins = KERNELS.iter().find(|kernel| kernel.name == "7.2").unwrap().pins();
        assert_eq!(pins.len(), 3);
        assert!(pins.iter().all(|pin| pin.starts_with("linux-") && pin.contains("-cloud-amd64:amd64=7.2")), "{pins:?}");
    }

    #[test]
    fn every_release_and_version_is_of_the_line_that_it_is_named_by() {
        for kernel @ Kernel { name, release, version, flavour, architecture, .. } in &KERNELS {
            for text in [release, version] {
                let rest = text.strip_prefix(kernel.line());
                assert!(rest.is_some_and(|rest| rest.starts_with('.')), "{name}: {text}");
            }
            assert!(release.ends_with(&format!("-{flavour}")) && flavour.ends_with(architecture.debian()), "{name}");
        }
    }

    /// The tests of tracer hold against these what each kernel's type information says; the host's own is recorded,
    /// too.
    #[test]
    fn every_pin_has_its_layout_and_every_layout_of_debian_its_pin() {
        let folder = crate::sh::repo().join("tracer/tests/layouts");
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: Vec<String> = names.collect();
        for extension in ["btf", "txt"] {
            for Kernel { release, .. } in &KERNELS {
                assert!(names.contains(&format!("{release}.{extension}")), "no {release}.{extension}");
            }
            let recorded = names.iter().filter_map(|name| name.strip_suffix(&format!(".{extension}")));
            let strangers: Vec<_> = recorded
                .filter(|release| release.contains("+deb") || release.ends_with("-cloud-amd64"))
                .filter(|release| KERNELS.iter().all(|kernel| kernel.release != *release))
                .collect();
            assert!(strangers.is_empty(), "recorded, but not pinned: {strangers:?}");
        }
    }

    #[test]
    fn kernels_are_chosen_by_name_in_their_own_order() {
        let names = |chosen: &[&str]| {
            let chosen: Vec<String> = chosen.iter().map(|&name| name.to_owned()).collect();
            choose(&chosen).map(|kernels| kernels.iter().map(|kernel| kernel.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["5.10", "6.1", "6.12", "6.12-rt", "6.12-arm64", "7.2"]);
        assert_eq!(names(&["6.12", "5.10"]).unwrap(), ["5.10", "6.12"]);
        assert_eq!(
            names(&["6.2"]).unwrap_err().to_string(),
            "no kernel 6.2: there are 5.10, 6.1, 6.12, 6.12-rt, 6.12-arm64, 7.2"
        );
    }
}
