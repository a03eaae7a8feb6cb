//! Debian packages by name and version, fetched by an apt of our own that knows nothing of this host's packages and can
//! install none. apt checks each package against the signed lists.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::kernels::{KERNELS, Kernel};
use crate::sh;

/// Whose signatures count.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where the suites are.
pub(super) const MIRROR: &str = "http://deb.debian.org/debian";

/// An apt with lists of its own.
pub(crate) struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Sets it up in a folder for these suites, without lists.
    pub(crate) fn new(dir: PathBuf, suites: &[&str]) -> Result<Self> {
        for part in ["lists/partial", "archives/partial", "etc/preferences.d"] {
            fs::create_dir_all(dir.join(part)).with_context(|| format!("making {part} in {}", dir.display()))?;
        }
        let place = dir.display().to_string();
        for (name, text) in
            [("apt.conf", configuration(&place)), ("sources.list", sources(suites)), ("status", String::new())]
        {
            fs::write(dir.join(name), text).with_context(|| format!("writing {name} in {}", dir.display()))?;
        }
        Ok(Self { dir })
    }

    /// Gets the lists anew.
    pub(crate) fn update(&self) -> Result<()> {
        let mut command = self.command("apt-get", &["-qq", "update"]);
        sh::run(&mut command).with_context(|| format!("getting Debian's package lists from {MIRROR}"))
    }

    /// Gets a kernel's packages into a folder.
    pub(super) fn download(&self, kernel: &Kernel, to: &Path) -> Result<()> {
        let Err(told) = self.get(kernel.pins(), to) else { return Ok(()) };
        bail!(
            "apt can't get the pinned kernel {}: {told:#}\nIt has:\n{}Renew the pin in xtask/src/vm/kernels.rs",
            kernel.name,
            self.offers(kernel)?
        )
    }

    /// Gets packages, each a name and a version (`name=version`), into a folder.
    pub(crate) fn get(&self, pins: impl IntoIterator<Item = impl AsRef<OsStr>>, to: &Path) -> Result<()> {
        fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
        let mut command = self.command("apt-get", &["-qq", "download"]);
        let done = command.args(pins).current_dir(to).output().context("starting apt-get")?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr).trim());
        Ok(())
    }

    /// The pins, and what there is for each, in words.
    pub(super) fn pins(&self) -> Result<String> {
        let mut text = String::new();
        for kernel in &KERNELS {
            text += &format!("{}: {}\n{}", kernel.name, kernel.pins().join(" "), self.offers(kernel)?);
        }
        Ok(text)
    }

    /// What there is of a kernel's line, a package and a version per line.
    fn offers(&self, kernel: &Kernel) -> Result<String> {
        let found = self.ask(&["search", "--names-only", &kernel.pattern()])?;
        let names: Vec<&str> = found.lines().filter_map(|line| line.split(' ').next()).collect();
        if names.is_empty() {
            return Ok("  nothing\n".into());
        }
        Ok(offers(&self.ask(&[&["madison"][..], &names].concat())?))
    }

    fn ask(&self, args: &[&str]) -> Result<String> {
        let done = self.command("apt-cache", args).stderr(Stdio::inherit()).output().context("starting apt-cache")?;
        ensure!(done.status.success(), "`apt-cache {}` failed ({})", args.join(" "), done.status);
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = sh::command(program, args);
        command.env("APT_CONFIG", self.dir.join("apt.conf")).stdin(Stdio::null());
        command
    }
}

/// Everything below one folder, and a dpkg that refuses, so that nothing of the host's can be read or changed.
fn configuration(dir: &str) -> String {
    format!(
        "Dir \"{dir}\";\n\
         Dir::State \"{dir}\";\n\
         Dir::State::lists \"{dir}/lists\";\n\
         Dir::State::status \"{dir}/status\";\n\
         Dir::Cache \"{dir}\";\n\
         Dir::Cache::pkgcache \"\";\n\
         Dir::Cache::srcpkgcache \"\";\n\
         Dir::Etc \"{dir}/etc\";\n\
         Dir::Etc::sourcelist \"{dir}/sources.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::main \"/dev/null\";\n\
         Dir::Etc::parts \"/dev/null\";\n\
         Dir::Bin::dpkg \"/bin/false\";\n\
         APT::Architecture \"amd64\";\n\
         APT::Architectures {{ \"amd64\"; \"arm64\"; }};\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         // What is wanted is pinned: an old list can lack it, but can't put another in its place.\n\
         Acquire::Check-Valid-Until \"false\";\n"
    )
}

fn sources(suites: &[&str]) -> String {
    suites.iter().map(|suite| format!("deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")).collect()
}

/// Package and version of each line that `apt-cache madison` writes.
fn offers(madison: &str) -> String {
    let pairs = madison.lines().filter_map(|line| {
        let mut fields = line.split('|').map(str::trim);
        Some((fields.next()?, fields.next()?))
    });
    let mut lines: Vec<String> = pairs.map(|(package, version)| format!("  {package}={version}\n")).collect();
    lines.sort();
    lines.dedup();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_package_and_version_once() {
        let madison = "linux-image-x | 6.1.2-1 | http://deb.debian.org/debian bookworm/main amd64 Packages\n\
                       linux-image-x | 6.1.2-1 | http://deb.debian.org/debian sid/main amd64 Packages\n\
                       linux-image-y |  6.1.1-1 | http://deb.debian.org/debian bookworm/main amd64 Packages\n";
        assert_eq!(offers(madison), "  linux-image-x=6.1.2-1\n  linux-image-y=6.1.1-1\n");
    }

    #[test]
    fn the_hosts_packages_are_out_of_reach() {
        let text = configuration("/c");
        for line in text.lines().filter(|line| line.starts_with("Dir::")) {
            assert!(
                line.ends_with("\"\";")
                    || ["/c", "/dev/null", "/bin/false"].iter().any(|place| line.contains(&format!("\"{place}"))),
                "{line}"
            );
        }
        assert!(sources(&["sid"]).lines().all(|line| line.contains("signed-by=")));
    }
}
