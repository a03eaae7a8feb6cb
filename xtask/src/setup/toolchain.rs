//! The kernel crate's toolchain: the pinned nightly, and bpf-linker with the LLVM that it links. For fuzzing,
//! cargo-fuzz too.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{For, Need, apt};
use crate::architecture::{Architecture, MUSL};
use crate::sh;

/// The linker for BPF objects; its LLVM must not be older than the nightly's.
const BPF_LINKER: &str = "0.13.0";
/// The LLVM that bpf-linker is built against.
const LLVM: &str = "22";
/// Builds and runs the targets in `tracer/fuzz`.
const CARGO_FUZZ: &str = "0.13.2";
/// What makes a release's files, what each is for.
const DIST_TOOLS: [(&str, &str, &str); 4] = [
    ("cargo-deb", "3.8.0", "it makes the .deb; some minutes to build"),
    ("cargo-generate-rpm", "0.21.1", "it makes the .rpm; some minutes to build"),
    ("cargo-cyclonedx", "0.5.9", "it lists the crates of which a binary is made; some minutes to build"),
    ("cargo-deny", "0.20.2", "it checks the crates' licences and sources; some minutes to build"),
];
/// What building bpf-linker takes.
const LLVM_PACKAGES: [&str; 6] = ["gcc", "g++", "libc6-dev", "llvm-22-dev", "libzstd-dev", "zlib1g-dev"];

/// The pinned toolchain of a folder.
pub(crate) struct Pinned {
    pub(crate) channel: String,
    components: Vec<String>,
}

impl Pinned {
    /// The kernel crate's nightly.
    pub(crate) fn nightly() -> Result<Self> {
        Self::read("tracer-ebpf/rust-toolchain.toml")
    }

    /// The workspace's stable toolchain.
    pub(crate) fn stable() -> Result<Self> {
        Self::read("rust-toolchain.toml")
    }

    fn read(file: &str) -> Result<Self> {
        let text = fs::read_to_string(sh::repo().join(file)).with_context(|| format!("reading {file}"))?;
        let table: toml::Table = text.parse().with_context(|| format!("reading {file}"))?;
        let toolchain = table.get("toolchain").with_context(|| format!("{file} has no [toolchain]"))?;
        let channel = toolchain.get("channel").and_then(toml::Value::as_str);
        let components = toolchain.get("components").and_then(toml::Value::as_array);
        Ok(Self {
            channel: channel.with_context(|| format!("{file} has no channel"))?.to_owned(),
            components: components.into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_owned).collect(),
        })
    }

    /// Whether rustup has it with all its components.
    fn installed(&self) -> bool {
        let args = ["component", "list", "--installed", "--toolchain", &self.channel];
        // With auto-install on, asking would be installing.
        let list = sh::try_output(Command::new("rustup").args(args).env("RUSTUP_AUTO_INSTALL", "0"));
        list.is_some_and(|list| {
            self.components.iter().all(|name| list.lines().any(|line| line.starts_with(name.as_str())))
        })
    }
}

/// What is missing of nightly, LLVM and bpf-linker, and of the tasks' own tools.
pub(super) fn missing(tasks: &[For]) -> Vec<Need> {
    let mut needs = Vec::new();
    needs.extend(compilers());
    match Pinned::nightly() {
        Ok(nightly) if !nightly.installed() => needs.push(nightly_need(&nightly)),
        Ok(_) => {}
        Err(error) => needs.push(unreadable(error)),
    }
    if version("bpf-linker").as_deref() != Some(BPF_LINKER) {
        needs.extend(apt::need(&LLVM_PACKAGES, "the LLVM that bpf-linker links, and a compiler to build it"));
        needs.push(bpf_linker_need());
    }
    if tasks.contains(&For::Vm) {
        let targets = Architecture::ALL.map(Architecture::target);
        let why = "what runs in the virtual machines brings its libraries along";
        needs.extend(targets.iter().filter_map(|target| musl_need(target, why)));
    }
    if tasks.contains(&For::Test) {
        needs.extend(musl_need(Architecture::Aarch64.target(), "tracer is built for 64-bit ARM, too"));
    }
    if tasks.contains(&For::Dist) {
        let targets = Architecture::ALL.map(Architecture::target);
        needs.extend(targets.iter().filter_map(|target| musl_need(target, "released binaries need no library")));
        needs.extend(DIST_TOOLS.iter().filter_map(dist_tool_need));
    }
    if tasks.contains(&For::Fuzz) && version("cargo-fuzz").as_deref() != Some(CARGO_FUZZ) {
        needs.push(cargo_fuzz_need());
    }
    needs
}

/// The C compilers that ring takes: it holds C and assembly. musl's, where Rust's musl target is installed.
fn compilers() -> impl Iterator<Item = Need> {
    let host = (!runs("cc")).then(|| apt::need(&["gcc", "libc6-dev"], "TLS (ring) is partly C and assembly"));
    let is_musl =
        apt::usable() && !runs("musl-gcc") && Pinned::stable().is_ok_and(|stable| has_target(&stable.channel, MUSL));
    let musl = is_musl.then(|| apt::need(&["musl-tools"], "the same for the binary that needs no library"));
    [host, musl].into_iter().flatten().flatten()
}

fn runs(compiler: &str) -> bool {
    sh::try_output(Command::new(compiler).arg("--version")).is_some()
}

fn has_target(channel: &str, target: &str) -> bool {
    let args = ["target", "list", "--installed", "--toolchain", channel];
    let list = sh::try_output(Command::new("rustup").args(args).env("RUSTUP_AUTO_INSTALL", "0"));
    list.is_some_and(|list| list.lines().any(|line| line == target))
}

fn nightly_need(nightly: &Pinned) -> Need {
    let mut command = Command::new("rustup");
    command.args(["toolchain", "install", &nightly.channel, "--profile", "minimal", "--no-self-update"]);
    command.args(["--component", &nightly.components.join(",")]);
    let how = sh::show(&command);
    let channel = nightly.channel.clone();
    let components = nightly.components.join(",");
    Need {
        what: format!("Rust {channel}"),
        why: "the kernel programs need core built from source, which stable Rust does not offer",
        how,
        get: Box::new(move || {
            let args = [
                "toolchain",
                "install",
                &channel,
                "--profile",
                "minimal",
                "--no-self-update",
                "--component",
                &components,
            ];
            sh::run(Command::new("rustup").args(args))
        }),
    }
}

fn bpf_linker_need() -> Need {
    let path = format!("/usr/lib/llvm-{LLVM}/bin");
    let feature = format!("llvm-{LLVM}");
    Need {
        what: format!("bpf-linker {BPF_LINKER}"),
        why: "it links the kernel programs; some minutes to build",
        how: format!(
            "PATH={path}:$PATH cargo install bpf-linker --version {BPF_LINKER} --no-default-features --features {feature}"
        ),
        get: Box::new(move || {
            let search = format!("{path}:{}", std::env::var("PATH").unwrap_or_default());
            let mut command = install("bpf-linker", BPF_LINKER)?;
            sh::run(command.args(["--no-default-features", "--features", &feature]).env("PATH", search))
        }),
    }
}

/// The standard library for binaries that need no library.
fn musl_need(target: &'static str, why: &'static str) -> Option<Need> {
    let stable = Pinned::stable().ok()?.channel;
    (!has_target(&stable, target)).then(|| Need {
        what: format!("Rust {stable} for {target}"),
        why,
        how: format!("rustup target add --toolchain {stable} {target}"),
        get: Box::new(move || sh::run(Command::new("rustup").args(["target", "add", "--toolchain", &stable, target]))),
    })
}

/// A subcommand of cargo's that releases take, if it is not there in the pinned version.
fn dist_tool_need(&(tool, version, why): &(&'static str, &'static str, &'static str)) -> Option<Need> {
    let said = sh::try_output(Command::new(tool).args([tool.trim_start_matches("cargo-"), "--version"]));
    let is_there = said.is_some_and(|said| said.split_whitespace().any(|word| word == version));
    (!is_there).then(|| Need {
        what: format!("{tool} {version}"),
        why,
        how: format!("cargo install {tool} --version {version} --locked"),
        get: Box::new(move || sh::run(install(tool, version)?.arg("--locked"))),
    })
}

fn cargo_fuzz_need() -> Need {
    Need {
        what: format!("cargo-fuzz {CARGO_FUZZ}"),
        why: "it builds and runs the fuzz targets; some minutes to build",
        how: format!("cargo install cargo-fuzz --version {CARGO_FUZZ}"),
        get: Box::new(|| sh::run(&mut install("cargo-fuzz", CARGO_FUZZ)?)),
    }
}

/// `cargo install` on the pinned stable toolchain.
fn install(tool: &str, version: &str) -> Result<Command> {
    let stable = Pinned::stable()?.channel;
    let mut command = Command::new("rustup");
    command.args(["run", &stable, "cargo", "install", "--quiet", "--force", tool, "--version", version]);
    // The workspace's own target folder is not the place for a tool's build.
    command.env_remove("CARGO_TARGET_DIR");
    Ok(command)
}

/// The version that a tool says it has.
fn version(tool: &str) -> Option<String> {
    sh::try_output(Command::new(tool).arg("--version"))?.split_whitespace().nth(1).map(str::to_owned)
}

fn unreadable(error: anyhow::Error) -> Need {
    let text = format!("{error:#}");
    Need {
        what: "the kernel crate's toolchain file".into(),
        why: "it pins the nightly",
        how: format!("restore it ({text})"),
        get: Box::new(move || anyhow::bail!("{text}")),
    }
}
