//! A Debian 12 in a folder of its own, in which packages are tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::sh;

const MIRROR: &str = "http://deb.debian.org/debian";
/// systemd and a kernel for it to boot; what the .deb depends on; what asks the service.
const PACKAGES: &str = "systemd-sysv,linux-image-cloud-amd64,procps,curl";
/// What the package managers keep for themselves.
const THEIRS: [&str; 5] =
    ["./var/lib/dpkg", "./var/lib/rpm", "./var/lib/systemd/deb-systemd-helper", "./var/log", "./proc"];

/// Goes when it goes out of scope.
pub(super) struct Root(PathBuf);

impl Root {
    /// A fresh one. Debian is asked once; what it gave is kept in `cache`.
    pub(super) fn new(cache: &Path) -> Result<Self> {
        fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
        let base = cache.join(format!("bookworm,{PACKAGES}.tar"));
        if !base.exists() {
            println!("making a Debian 12 with {}", PACKAGES.replace(',', " "));
            let unfinished = cache.join("bookworm.new.tar");
            let mut command = Command::new("mmdebstrap");
            command.args(["--quiet", "--mode=root", "--variant=apt", "--include", PACKAGES, "bookworm"]);
            sh::run(command.arg(&unfinished).arg(MIRROR))?;
            fs::rename(&unfinished, &base).with_context(|| format!("making {}", base.display()))?;
        }
        let root = Self(cache.join(format!("root-{}", std::process::id())));
        fs::create_dir(root.path()).with_context(|| format!("making {}", root.path().display()))?;
        sh::run(Command::new("tar").arg("-xpf").arg(&base).arg("-C").arg(root.path()))?;
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A place in it.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// Runs a shell's words in it.
    pub(super) fn run(&self, words: &str) -> Result<()> {
        let done =
            Command::new("chroot").arg(&self.0).args(["/bin/sh", "-ec", words]).output().context("starting chroot")?;
        let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(done.status.success(), "`{words}` failed ({}): {said}", done.status);
        Ok(())
    }

    /// A command line in it that sees the host's /proc, /sys and /dev, from a mount namespace that ends with it.
    pub(super) fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "/bin/sh", "-ec"]);
        command.arg(r#"for dir in proc sys dev; do mount --rbind /$dir "$0/$dir"; done; exec chroot "$0" "$@""#);
        command.arg(&self.0).args(words);
        command
    }

    /// Every file and folder but what the package managers keep for themselves.
    pub(super) fn files(&self) -> Result<BTreeSet<String>> {
        let done = Command::new("find").args([".", "-xdev"]).current_dir(&self.0).output().context("starting find")?;
        ensure!(done.status.success(), "find failed");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let is_ours = |line: &&str| !THEIRS.iter().any(|place| line.starts_with(place));
        Ok(text.lines().filter(is_ours).map(str::to_owned).collect())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Nothing of what might still be mounted in it.
        let _ = Command::new("rm").args(["-rf", "--one-file-system", "--"]).arg(&self.0).status();
    }
}
