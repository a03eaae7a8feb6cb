//! `xtask dist`: everything that a release consists of, below `dist/` in cargo's target folder, and the proof that it
//! works.

mod boot;
mod kubernetes;
mod package;
mod root;
mod stage;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::architecture::Architecture;
use crate::setup::{self, For};
use crate::{build, sh};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only for these architectures: x86_64, aarch64; both if none is given
    #[arg(long = "arch", value_name = "ARCH")]
    architectures: Vec<Architecture>,
    /// Also validate the Kubernetes manifest, and install, start, upgrade and purge the packages in a Debian root of
    /// their own
    #[arg(long)]
    trial: bool,
    /// Also start the .deb's service under a real systemd, in a virtual machine
    #[arg(long)]
    boot: bool,
}

/// What a release is made from.
pub(crate) struct Release {
    version: String,
    /// Seconds since 1970 that every file and package bears: those of the commit.
    epoch: String,
    /// Where the results go.
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(For::Dist)?;
    if args.trial || args.boot {
        ensure!(sh::is_root(), "a trial makes a root of its own: run as root");
        setup::ensure(For::Trial)?;
    }
    let release = Release::new()?;
    if release.dir.exists() {
        fs::remove_dir_all(&release.dir).with_context(|| format!("removing {}", release.dir.display()))?;
    }
    fs::create_dir_all(&release.dir).with_context(|| format!("making {}", release.dir.display()))?;
    sh::heading("licences, sources, duplicates");
    // cargo-deny reads the manifests of every platform's crates; a build fetches only its own platform's.
    sh::run(&mut sh::command("cargo", &["fetch", "--quiet", "--locked"]))?;
    let rules = ["deny", "--offline", "--all-features", "check", "licenses", "bans", "sources"];
    sh::run(&mut sh::command("cargo", &rules))?;
    let mut files = Vec::new();
    let all = if args.architectures.is_empty() { Architecture::ALL.to_vec() } else { args.architectures.clone() };
    for architecture in all {
        sh::heading(&format!("{} {}", release.version, architecture.name()));
        let stage = stage::make(architecture, &release)?;
        files.extend(package::all(architecture, &stage, &release)?);
    }
    files.push(package::bill_of_materials(&release)?);
    package::checksums(&files, &release)?;
    sh::run(Command::new("ls").args(["-l", "--block-size=K"]).arg(&release.dir))?;
    if args.trial {
        kubernetes::validate(&release.dir.with_file_name("trial"))?;
        trial::run(&release)?;
    }
    if args.boot {
        boot::run(&release)?;
    }
    sh::heading(&format!("all in {}", release.dir.display()));
    Ok(())
}

impl Release {
    fn new() -> Result<Self> {
        let manifest = fs::read_to_string(sh::repo().join("Cargo.toml")).context("reading Cargo.toml")?;
        let manifest: toml::Table = manifest.parse().context("reading Cargo.toml")?;
        let version = manifest["workspace"]["package"]["version"].as_str().context("the workspace has no version")?;
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => sh::try_output(&mut sh::command("git", &["log", "-1", "--format=%ct"]))
                .context("the time of the release: neither SOURCE_DATE_EPOCH nor a commit tells it")?,
        };
        let dir = build::target_dir()?.join("dist");
        Ok(Self { version: version.to_owned(), epoch: epoch.trim().to_owned(), dir })
    }

    /// The one package of this kind for this machine.
    fn package(&self, extension: &str) -> Result<PathBuf> {
        find(&self.dir, |name| name.ends_with(extension) && (name.contains("amd64") || name.contains("x86_64")))
            .with_context(|| format!("no .{extension} for x86_64 in {}", self.dir.display()))
    }
}

/// The file in a folder whose name is wanted.
fn find(dir: &Path, is_wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let names = fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| is_wanted(name)).map(|name| dir.join(name)).next()
}
