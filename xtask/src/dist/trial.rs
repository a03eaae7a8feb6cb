//! A package's life in a root of its own: installed, its binary run with the unit's privileges, upgraded over a changed
//! configuration, removed with nothing left.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::root::Root;
use super::{Release, package};
use crate::architecture::Architecture;
use crate::{scrape, sh};
use lab::{procs, unit, wait};

/// The line by which an administrator's configuration is known.
const CHANGE: &str = "read-timeout = \"99s\"";
const CONFIG: &str = "/etc/tracer/tracer.toml";
/// What must be there once a package is installed.
const FILES: [&str; 9] = [
    "/usr/bin/tracer",
    "/usr/lib/systemd/system/tracer.service",
    CONFIG,
    "/usr/share/bash-completion/completions/tracer",
    "/usr/share/fish/vendor_completions.d/tracer.fish",
    "/usr/share/doc/origin-tracer/docs/events.md",
    "/usr/share/doc/origin-tracer/runbook/oom_kill.md",
    "/usr/share/origin-tracer/grafana/tracer.json",
    "/usr/share/origin-tracer/prometheus/tracer.alerts.yml",
];
const READY: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(5);

/// How a package manager does things to a root.
trait Manager {
    const NAME: &'static str;
    /// What a purge may leave.
    const LEAVES: &[&str];
    /// Installs a package, or upgrades to it; asks nothing.
    fn install(root: &Root, package: &Path) -> Result<()>;
    /// Removes it, configuration and all.
    fn purge(root: &Root) -> Result<()>;
    /// The version that is installed.
    fn version(root: &Root) -> Result<String>;
}

struct Dpkg;
struct Rpm;

impl Manager for Dpkg {
    const NAME: &'static str = "deb";
    const LEAVES: &[&str] = &[];

    fn install(root: &Root, package: &Path) -> Result<()> {
        fs::copy(package, root.at("/package")).context("copying the package")?;
        root.run("DEBIAN_FRONTEND=noninteractive dpkg --install /package </dev/null; rm /package")
    }

    fn purge(root: &Root) -> Result<()> {
        root.run("dpkg --purge origin-tracer")
    }

    fn version(root: &Root) -> Result<String> {
        let args = ["dpkg-query", "--show", "--showformat=${Version}", "origin-tracer"];
        sh::try_output(Command::new("chroot").arg(root.path()).args(args)).context("the package is not installed")
    }
}

impl Rpm {
    /// Debian's rpm wants to be told that it is meant.
    fn command(root: &Root) -> Command {
        let mut command = Command::new("rpm");
        command.args(["--quiet", "--force-debian", "--dbpath", "/var/lib/rpm", "--root"]).arg(root.path());
        command
    }
}

impl Manager for Rpm {
    const NAME: &'static str = "rpm";
    // What the service wrote, by custom; and folders that are other packages', which this root has not.
    const LEAVES: &[&str] = &[
        "./var/lib/private",
        "./var/lib/private/tracer",
        "./var/lib/private/tracer/events",
        "./usr/share/licenses",
        "./usr/share/fish",
        "./usr/share/fish/vendor_completions.d",
        "./usr/share/zsh/site-functions",
    ];

    fn install(root: &Root, package: &Path) -> Result<()> {
        sh::run(Self::command(root).args(["--upgrade", "--nodeps"]).arg(package))
    }

    fn purge(root: &Root) -> Result<()> {
        sh::run(Self::command(root).args(["--erase", "origin-tracer"]))?;
        // What an rpm leaves of a changed configuration, by design.
        fs::remove_file(root.at(CONFIG).with_extension("toml.rpmsave"))
            .context("looking for the saved configuration")?;
        let _not_empty = fs::remove_dir(root.at("/etc/tracer"));
        Ok(())
    }

    fn version(root: &Root) -> Result<String> {
        let query = ["--query", "--queryformat=%{VERSION}", "origin-tracer"];
        let mut command = Command::new("rpm");
        command.args(["--dbpath", "/var/lib/rpm", "--root"]).arg(root.path()).args(query);
        sh::try_output(&mut command).context("the package is not installed")
    }
}

/// Tries the .deb and the .rpm.
pub(super) fn run(release: &Release) -> Result<()> {
    let cache = release.dir.with_file_name("trial");
    let next = format!("{}.1", release.version);
    let upgrades = tempdir(&cache, "upgrade")?;
    let newer = package::deb(Architecture::X86_64, &next, &upgrades, release)?;
    life::<Dpkg>(&cache, &release.package("deb")?, &newer, &next)?;
    let newer = package::rpm(Architecture::X86_64, &next, &upgrades, release)?;
    life::<Rpm>(&cache, &release.package("rpm")?, &newer, &next)?;
    fs::remove_dir_all(&upgrades).context("removing the newer packages")
}

fn tempdir(cache: &Path, name: &str) -> Result<std::path::PathBuf> {
    let dir = cache.join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    Ok(dir)
}

fn life<M: Manager>(cache: &Path, package: &Path, newer: &Path, next: &str) -> Result<()> {
    sh::heading(&format!("trial of the .{} in a Debian 12 of its own", M::NAME));
    let root = Root::new(cache)?;
    let before = root.files()?;
    M::install(&root, package).context("installing")?;
    for file in FILES {
        ensure!(root.at(file).is_file(), "{file} is not there");
    }
    println!("installed: {}", M::version(&root)?);
    println!("{}", start(&root).context("starting")?);
    let mut config = fs::read_to_string(root.at(CONFIG)).context("reading the configuration")?;
    config += CHANGE;
    fs::write(root.at(CONFIG), &config).context("changing the configuration")?;
    M::install(&root, newer).context("upgrading")?;
    ensure!(M::version(&root)?.starts_with(next), "upgraded to {}", M::version(&root)?);
    ensure!(fs::read_to_string(root.at(CONFIG))? == config, "the upgrade changed the administrator's configuration");
    println!("upgraded: {}, the changed configuration stays", M::version(&root)?);
    // As the running service would.
    fs::create_dir_all(root.at("/var/lib/private/tracer"))?;
    fs::write(root.at("/var/lib/private/tracer/events"), "")?;
    M::purge(&root).context("purging")?;
    let after = root.files()?;
    let left: Vec<&String> = after.difference(&before).filter(|path| !M::LEAVES.contains(&path.as_str())).collect();
    ensure!(left.is_empty(), "the purge left {left:?}");
    println!("purged: nothing is left");
    Ok(())
}

/// Runs the installed binary as the unit does, but for systemd, until it is ready. What it has attached.
fn start(root: &Root) -> Result<String> {
    let listen = scrape::free_address()?;
    let exec = unit::exec_start().context("the unit starts nothing")?;
    let mut words = unit::prefix()?;
    words.extend(exec.split_whitespace().map(str::to_owned));
    words.extend(["--listen".to_owned(), listen.to_string()]);
    let mut child = Running(root.command(&words).stdin(Stdio::null()).spawn().context("starting tracer")?);
    wait::until("/-/ready to say 200", READY, || {
        if let Some(status) = child.0.try_wait()? {
            bail!("tracer ended ({status})");
        }
        Ok(scrape::get(listen, "/-/ready").ok())
    })?;
    let attached = scrape::Metrics::scrape(listen)?.sum("tracer_probe_attached", &[]);
    procs::signal(child.0.id(), rustix::process::Signal::TERM);
    let status = wait::until("the end", END, || Ok(child.0.try_wait()?))?;
    ensure!(status.success() && attached > 0.0, "{attached} probes attached; SIGTERM ended tracer with {status}");
    Ok(format!("started with the unit's privileges: ready, {attached} probes attached, ended in order"))
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
