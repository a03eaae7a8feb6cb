//! The guests' user land: a small Debian 12 as a disk image, made once for each list of packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt::MIRROR;
use super::disk::Disk;
use super::image;
use crate::sh;

const SUITE: &str = "bookworm";
/// What the kernel tests run; the first three are for the guest itself.
const TESTS: [&str; 8] = ["kmod", "mount", "procps", "haproxy", "iproute2", "nftables", "nginx-light", "tar"];
/// What the zoo runs besides.
const ZOO: [&str; 9] =
    ["apache2", "gunicorn", "iptables", "nodejs", "openssl", "php-fpm", "python3", "tcpdump", "tshark"];
/// What nobody reads there.
const LEFT_OUT: [&str; 4] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

/// What a guest is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Tests,
    Zoo,
}

/// The image, from the cache or made anew.
pub(super) fn ready(purpose: Purpose, cache: &Path) -> Result<PathBuf> {
    let packages = packages(purpose);
    let image = cache.join(format!("{}-{:016x}.ext4", format!("{purpose:?}").to_lowercase(), hash(&packages)));
    if !image.exists() {
        println!("making the guests' root of {SUITE} with {}", packages.replace(',', " "));
        make(&packages, &image).context("making the guests' root")?;
    }
    Ok(image)
}

fn packages(purpose: Purpose) -> String {
    let more: &[&str] = if purpose == Purpose::Zoo { &ZOO } else { &[] };
    [&TESTS[..], more].concat().join(",")
}

fn make(packages: &str, image: &Path) -> Result<()> {
    let dir = image.with_extension("dir");
    image::remove(&dir)?;
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--format=directory", "--variant=apt"]);
    command.arg(format!("--include={packages}")).args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    sh::run(command.arg(SUITE).arg(&dir).arg(MIRROR))?;
    image::make(Disk::Root, &dir, image)
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
        assert!(packages(Purpose::Zoo).starts_with(&packages(Purpose::Tests)));
        assert_ne!(hash(&packages(Purpose::Zoo)), hash(&packages(Purpose::Tests)));
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
