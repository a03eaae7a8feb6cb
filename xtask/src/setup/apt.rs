//! Debian packages: which are missing, and their installation without a question and without a started service.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;

use anyhow::{Context as _, Result};

use super::{For, Need};
use crate::sh;

/// Debian's switch that keeps a package's installation from starting its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Whether packages can be installed here: `apt-get` is there and this is root.
pub(super) fn usable() -> bool {
    sh::is_root() && Command::new("apt-get").arg("--version").stdout(Stdio::null()).status().is_ok()
}

/// The packages that the tasks lack.
pub(super) fn missing(tasks: &[For]) -> Vec<Need> {
    tasks
        .iter()
        .filter_map(|task| {
            let (packages, why): (&[&str], _) = match task {
                For::Build => return None,
                For::Demo => (
                    &["iproute2", "nginx", "libnginx-mod-http-perl"],
                    "the demo's namespaces and its origin, whose Perl module makes a worker crash",
                ),
                For::Test => (
                    &[
                        "iproute2",
                        "nftables",
                        "nginx",
                        "haproxy",
                        "prometheus",
                        "chromium",
                        "chromium-driver",
                        "systemd",
                        "util-linux",
                        "gcc-aarch64-linux-gnu",
                        "libc6-dev-arm64-cross",
                    ],
                    "the kernel tests' namespaces and servers; the proof of the dashboard, the alert rules, the page, the unit; a \
                     journal; the build for 64-bit ARM",
                ),
                For::Zoo => (
                    &[
                        "tshark", "tcpdump", "nftables", "iptables", "nginx", "apache2", "haproxy", "gunicorn",
                        "php-fpm", "nodejs", "iproute2", "openssl", "python3",
                    ],
                    "the zoo's servers and witnesses",
                ),
                For::Bench => (&["iproute2", "nginx", "wrk", "openssl"], "the benchmark's server and load"),
                For::Vm => (
                    &[
                        "qemu-system-x86",
                        "qemu-system-arm",
                        "musl-tools",
                        "gcc-aarch64-linux-gnu",
                        "libc6-dev-arm64-cross",
                        "mmdebstrap",
                        "e2fsprogs",
                        "kmod",
                        "xz-utils",
                        "debian-archive-keyring",
                        "iproute2",
                        "nftables",
                        "nginx",
                        "haproxy",
                    ],
                    "the virtual machines, their kernels and their root; the kernel tests on the host",
                ),
                For::Dist => (
                    &["binutils", "musl-tools", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
                    "the compilers for static binaries of both architectures",
                ),
                For::Trial => (
                    &[
                        "mmdebstrap",
                        "debian-archive-keyring",
                        "rpm",
                        "util-linux",
                        "qemu-system-x86",
                        "e2fsprogs",
                        "python3-venv",
                    ],
                    "the roots in which packages are tried, the machine that boots one, the manifest's validator",
                ),
                For::Fuzz => (&["g++"], "the fuzzer's run-time library is C++"),
                For::Libraries => (
                    &["python3-pip", "debian-archive-keyring"],
                    "the libraries come from PyPI and from Debian",
                ),
                For::Clickhouse => (&["python3", "python3-venv"], "the engine is a Python module"),
                For::Soak => (
                    &["iproute2", "nginx", "apache2", "haproxy", "caddy", "nodejs", "gunicorn", "php-fpm"],
                    "the soak's namespaces and servers",
                ),
            };
            need(packages, why)
        })
        .collect()
}

/// The need for those of the packages that are not installed.
pub(super) fn need(packages: &[&str], why: &'static str) -> Option<Need> {
    let missing: Vec<String> =
        packages.iter().filter(|package| !installed(package)).map(|&package| package.into()).collect();
    (!missing.is_empty()).then(|| Need {
        what: format!("Debian packages {}", missing.join(" ")),
        why,
        how: format!("apt-get install {}", missing.join(" ")),
        get: Box::new(move || install(&missing)),
    })
}

fn installed(package: &str) -> bool {
    let query = sh::try_output(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}\n", package]));
    query.is_some_and(|text| text.lines().any(|line| line == "installed"))
}

fn install(packages: &[String]) -> Result<()> {
    static UPDATED: Once = Once::new();
    let mut updated = Ok(());
    UPDATED.call_once(|| updated = sh::run(apt().arg("update")));
    updated?;
    preseed()?;
    let _quiet = NoServices::hold()?;
    sh::run(apt().args(["-y", "--no-install-recommends", "install"]).args(packages))?;
    packages.iter().for_each(|package| disable(package));
    Ok(())
}

/// Keeps what was installed for a task from being started at the next boot.
fn disable(package: &str) {
    let Some(files) = sh::try_output(Command::new("dpkg-query").args(["-L", package])) else { return };
    let units: Vec<&str> = files.lines().filter_map(service).collect();
    if !units.is_empty() {
        // Without systemd there is nothing to disable.
        let _ = sh::try_output(Command::new("systemctl").args(["--quiet", "disable"]).args(units));
    }
}

/// The unit that a package's file is, unless it is a template.
fn service(file: &str) -> Option<&str> {
    let (folder, unit) = file.rsplit_once('/')?;
    (folder.ends_with("/systemd/system") && unit.ends_with(".service") && !unit.contains('@')).then_some(unit)
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o=Dpkg::Use-Pty=0"]).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

/// Answers the one question that these packages ask (may others than root capture? no).
fn preseed() -> Result<()> {
    let Ok(mut child) = Command::new("debconf-set-selections").stdin(Stdio::piped()).spawn() else { return Ok(()) };
    let input = b"wireshark-common wireshark-common/install-setuid boolean false\n";
    child.stdin.take().context("debconf-set-selections has no standard input")?.write_all(input)?;
    child.wait()?;
    Ok(())
}

/// Keeps freshly installed servers from being started on the host, where nobody asked for one, while it lives.
struct NoServices(bool);

impl NoServices {
    fn hold() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self(false));
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY)
            .with_context(|| format!("writing {POLICY}"))?;
        file.write_all(
            b"#!/bin/sh\n# Present only while packages are installed: start no service (101: forbidden).\nexit 101\n",
        )?;
        Ok(Self(true))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.0 {
            let _ = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::service;

    #[test]
    fn services_are_told_from_other_files() {
        assert_eq!(service("/lib/systemd/system/prometheus.service"), Some("prometheus.service"));
        assert_eq!(service("/usr/lib/systemd/system/nginx.service"), Some("nginx.service"));
        for other in
            ["/lib/systemd/system", "/lib/systemd/system/a@.service", "/lib/systemd/system/a.timer", "/a.service"]
        {
            assert_eq!(service(other), None, "{other}");
        }
    }
}
