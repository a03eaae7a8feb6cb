//! A real systemd-journald in a mount namespace of its own, with an empty /run.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lab::wait;
use serde_json::Value;

use crate::runner::Skip;

const JOURNALD: &str = "/lib/systemd/systemd-journald";
/// Gives way to its arguments, in a mount namespace whose /run is empty.
pub(crate) const EMPTY_RUN: [&str; 6] = [
    "unshare",
    "--mount",
    "--propagation=private",
    "sh",
    "-c",
    r#"mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log && exec "$0" "$@""#,
];
const READY: Duration = Duration::from_secs(10);

/// A running journald; killed when it goes out of scope.
pub(crate) struct Journal {
    /// Holds the namespace, whatever becomes of journald.
    namespace: Child,
    child: Option<Child>,
}

impl Journal {
    /// [`Skip`] where there is none to run.
    pub(crate) fn start() -> Result<Self> {
        if !Path::new(JOURNALD).exists() {
            bail!(Skip("systemd-journald is not installed (`./dev setup test` installs it)"));
        }
        let [program, args @ ..] = EMPTY_RUN;
        let mut sleep = Command::new(program);
        let namespace = sleep.args(args).args(["sleep", "infinity"]).spawn().context("starting unshare")?;
        let mut journal = Self { namespace, child: None };
        journal.start_again()?;
        Ok(journal)
    }

    /// Starts it after [`Self::kill`].
    pub(crate) fn start_again(&mut self) -> Result<()> {
        wait::until("a namespace with an empty /run", READY, || {
            Ok(self.within("test", &["-d", "/run/log"]).status()?.success().then_some(()))
        })?;
        let child = self.within(JOURNALD, &[]).stderr(Stdio::null()).spawn().context("starting journald")?;
        self.child = Some(child);
        wait::until("journald to take entries", READY, || {
            Ok(self.within("test", &["-S", "/run/systemd/journal/socket"]).status()?.success().then_some(()))
        })
    }

    /// Kills journald; its socket stays, and nobody listens on it.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("journald was killed already")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// The program that becomes another one inside.
    pub(crate) fn door(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.namespace.id())]
    }

    /// The entries that match, by `journalctl -o json`.
    pub(crate) fn entries(&self, matches: &[&str]) -> Result<Vec<Value>> {
        let done = self.within("journalctl", &["--quiet", "--output=json"]).args(matches).output()?;
        ensure!(done.status.success(), "journalctl: {}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8(done.stdout)?;
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    fn within(&self, program: &str, args: &[&str]) -> Command {
        let [nsenter, namespace] = self.door();
        let mut command = Command::new(nsenter);
        command.args([namespace.as_str(), program]).args(args);
        command
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        for child in self.child.iter_mut().chain([&mut self.namespace]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
