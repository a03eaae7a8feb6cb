//! The guests' user land: a small Debian 12 as a disk image, made once for each list of packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt::MIRROR;
use super::disk::Disk;
use super::image;
use crate::architecture::Architecture;
use crate::sh;

const SUITE: &str = "bookworm";
/// What the kernel tests run; the first three are for the guest itself.
const TESTS: [&str; 8] = ["kmod", "mount", "procps", "haproxy", "iproute2", "nftables", "nginx-light", "tar"];
/// What the zoo runs besides.
const ZOO: [&str; 9] =
    ["apache2", "gunicorn", "iptables", "nodejs", "openssl", "php-fpm", "python3", "tcpdump", "tshark"];
/// What is in any Debian, for a root that is put together package by package.
const BASE: [&str; 12] = [
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "libc-bin",
    "mawk",
    "passwd",
    "sed",
    "util-linux",
];
/// What nobody reads there.
const LEFT_OUT: [&str; 4] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

/// What a guest is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Tests,
    Zoo,
}

/// The image, from the cache or made anew.
pub(super) fn ready(purpose: Purpose, architecture: Architecture, cache: &Path) -> Result<PathBuf> {
    let packages = packages(purpose, architecture);
    let name = format!("{purpose:?}").to_lowercase();
    let image = cache.join(format!("{name}-{}-{:016x}.ext4", architecture.debian(), hash(&packages)));
    if !image.exists() {
        println!("making the guests' root of {SUITE} ({}) with {}", architecture.name(), packages.replace(',', " "));
        make(&packages, architecture, &image).context("making the guests' root")?;
    }
    Ok(image)
}

fn packages(purpose: Purpose, architecture: Architecture) -> String {
    let more: &[&str] = if purpose == Purpose::Zoo { &ZOO } else { &[] };
    let base: &[&str] = if can_run(architecture) { &[] } else { &BASE };
    [&TESTS[..], more, base].concat().join(",")
}

/// Whether this machine can run an architecture's programs. mmdebstrap itself asks for that where it installs packages,
/// and not merely unpacks them.
fn can_run(architecture: Architecture) -> bool {
    architecture.name() == std::env::consts::ARCH
}

fn make(packages: &str, architecture: Architecture, image: &Path) -> Result<()> {
    let dir = image.with_extension("dir");
    image::remove(&dir)?;
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--format=directory"]);
    if can_run(architecture) {
        command.arg("--variant=apt");
    } else {
        command.args(["--variant=extract", &format!("--architectures={}", architecture.debian()), MERGED]);
    }
    command.arg(format!("--include={packages}")).args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    sh::run(command.arg(SUITE).arg(&dir).arg(MIRROR))?;
    if !can_run(architecture) {
        settle(&dir).context("settling what was unpacked")?;
    }
    image::make(Disk::Root, &dir, image)
}

/// `/bin` and the like are links into `/usr`.
const MERGED: &str = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr";

/// Does what packages' scripts would have done, as far as the tests' servers want it.
fn settle(dir: &Path) -> Result<()> {
    let shared = dir.join("usr/share/base-passwd");
    for (name, from) in [("passwd", "passwd.master"), ("group", "group.master")] {
        let mut text = fs::read_to_string(shared.join(from)).with_context(|| format!("reading {from}"))?;
        text.push_str(if name == "passwd" {
            "haproxy:*:100:100::/var/lib/haproxy:/bin/sh\n"
        } else {
            "haproxy:*:100:\n"
        });
        fs::write(dir.join("etc").join(name), text).with_context(|| format!("writing {name}"))?;
    }
    for folder in ["var/log/nginx", "var/lib/nginx", "run"] {
        fs::create_dir_all(dir.join(folder)).with_context(|| format!("making {folder}"))?;
    }
    for (link, to) in [("usr/bin/awk", "mawk"), ("var/run", "/run")] {
        if fs::symlink_metadata(dir.join(link)).is_err() {
            std::os::unix::fs::symlink(to, dir.join(link)).with_context(|| format!("linking {link}"))?;
        }
    }
    Ok(())
}

/// FNV-1a: the same in every build.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zoos_root_has_what_the_tests_root_has() {
        assert!(
            packages(Purpose::Zoo, Architecture::X86_64).starts_with(&packages(Purpose::Tests, Architecture::X86_64))
        );
        assert_ne!(
            hash(&packages(Purpose::Zoo, Architecture::X86_64)),
            hash(&packages(Purpose::Tests, Architecture::X86_64))
        );
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
