//! The systemd journal of one unit, by way of `journalctl`: its files have no other stable form.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::host::child;

/// How long `journalctl` may print nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// An entry may be this much younger than its event, in seconds.
const LATER: i64 = 60;

/// `journalctl` at work; it ends with this value.
pub(super) struct Printed {
    child: Child,
    output: ChildStdout,
    has_printed: bool,
}

/// The entries of a unit, about in this span of time.
///
/// # Errors
/// There is no `journalctl`, or it can't be run.
pub(super) fn open(unit: &str, since: Option<Timestamp>, until: Option<Timestamp>) -> Result<Printed> {
    let Some(tool) = child::find("journalctl") else {
        bail!("this host has no journalctl: name an events file (--events)")
    };
    let mut args: Vec<_> = ["--output=json", "--all", "--quiet", "--no-pager"].map(str::to_owned).to_vec();
    args.extend(since.map(|since| format!("--since=@{}", since.as_second())));
    args.extend(until.map(|until| format!("--until=@{}", until.as_second().saturating_add(LATER))));
    args.push(format!("_SYSTEMD_UNIT={unit}"));
    start(&tool, &args)
}

fn start(tool: &Path, args: &[String]) -> Result<Printed> {
    let mut command = Command::new(tool);
    command.args(args).env_clear().env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("running {}", tool.display()))?;
    let output = child.stdout.take().context("journalctl prints nowhere")?;
    Ok(Printed { child, output, has_printed: false })
}

impl Read for Printed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let mut ready = [PollFd::new(&self.output, PollFlags::IN)];
        if poll(&mut ready, Some(&patience))? == 0 {
            return Err(io::Error::other(format!("journalctl printed nothing for {} s", PATIENCE.as_secs())));
        }
        let more = self.output.read(into)?;
        self.has_printed |= more > 0;
        if more == 0 && !self.has_printed {
            let status = self.child.wait()?;
            if !status.success() {
                let why = "is there a journal, and may this user read it (root, or the group systemd-journal)?";
                return Err(io::Error::other(format!("journalctl failed ({status}): {why}")));
            }
        }
        Ok(more)
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        // It has mostly ended by itself.
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(script: &str) -> io::Result<String> {
        let mut text = String::new();
        let args = ["-c", script].map(str::to_owned);
        start(&child::find("sh").unwrap(), &args).unwrap().read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn what_is_printed_is_read_and_a_failure_is_told() {
        assert_eq!(printed("echo a; echo b").unwrap(), "a\nb\n");
        assert_eq!(printed("exit 0").unwrap(), "");
        assert!(printed("exit 1").unwrap_err().to_string().contains("may this user read it"));
    }
}
