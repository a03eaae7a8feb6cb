//! The architectures that are released, and the tools for each.

use std::process::Command;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

/// The target of binaries that need no library.
pub(crate) const MUSL: &str = "x86_64-unknown-linux-musl";

/// Something that there is once for each architecture.
pub(crate) struct Each<T>(Vec<(Architecture, T)>);

impl<T> Each<T> {
    /// Makes it for these, once each.
    pub(crate) fn make(of: &[Architecture], mut make: impl FnMut(Architecture) -> Result<T>) -> Result<Self> {
        let wanted = Architecture::ALL.into_iter().filter(|architecture| of.contains(architecture));
        Ok(Self(wanted.map(|architecture| Ok((architecture, make(architecture)?))).collect::<Result<_>>()?))
    }

    /// An architecture's; an error if it was not made.
    pub(crate) fn of(&self, architecture: Architecture) -> Result<&T> {
        let found = self.0.iter().find(|(known, _)| *known == architecture);
        found.map(|(_, made)| made).with_context(|| format!("nothing was made for {}", architecture.name()))
    }
}

/// What a binary is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    #[value(name = "x86_64")]
    X86_64,
    #[value(name = "aarch64")]
    Aarch64,
}

impl Architecture {
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// As `uname -m` says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Debian says it.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Rust's name for binaries that need no library.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::X86_64 => MUSL,
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// What takes the symbols out of a binary.
    pub(crate) fn strip(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu-strip",
            Self::Aarch64 => "aarch64-linux-gnu-strip",
        }
    }

    /// Tells cargo, and the C in its crates, which compiler to use. x86_64 has musl's own; for aarch64 Debian has one
    /// for glibc, which does: Rust brings musl along, and the C (ring's) calls no library.
    pub(crate) fn compilers(self, command: &mut Command) {
        if self == Self::Aarch64 {
            command.env("CC_aarch64_unknown_linux_musl", "aarch64-linux-gnu-gcc");
            command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "aarch64-linux-gnu-gcc");
        }
    }
}
