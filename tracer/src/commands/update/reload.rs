//! SIGHUP to a running `tracer`, and to nothing else: most programs end on that signal.

use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::config::{Invalid, Reload, read_text};

/// A running `tracer`; holds on to the process, whatever becomes of its number.
pub(super) struct Daemon {
    pid: i32,
    process: OwnedFd,
}

impl Daemon {
    pub(super) fn find(reload: &Reload) -> Result<Self> {
        let pid = match reload {
            Reload::Pid(pid) => *pid,
            Reload::PidFile(path) => {
                let name = path.display();
                let text = read_text(path).map_err(|why| Invalid::new(format!("--reload-pid: {name}: {why}")))?;
                let pid = text.trim().parse().ok().filter(|&pid: &i32| pid > 0);
                pid.ok_or_else(|| Invalid::new(format!("--reload-pid: {name} holds no process id")))?
            }
        };
        let number = Pid::from_raw(pid).context("no process has this id")?;
        let process = pidfd_open(number, PidfdFlags::empty()).with_context(|| format!("no process {pid}"))?;
        let (own, other) = (name("self")?, name(&pid.to_string())?);
        if own != other || u32::try_from(pid) == Ok(std::process::id()) {
            bail!("process {pid} is {other:?}, not a running {own}: SIGHUP could end it, so it is not sent");
        }
        Ok(Self { pid, process })
    }

    pub(super) fn reload(&self) -> Result<()> {
        pidfd_send_signal(&self.process, Signal::HUP).with_context(|| format!("sending SIGHUP to process {}", self.pid))
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

fn name(pid: &str) -> Result<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).with_context(|| format!("reading the name of {pid}"))?;
    Ok(name.trim_end().to_owned())
}
