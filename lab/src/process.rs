//! A process of the lab: started inside the origin's namespace, its output kept, killed when it goes out of scope.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::cgroup::MemoryGroup;
use super::netns::{Namespace, kill_all};
use super::{procs, wait};

/// A running process of the origin.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` inside the namespace, in the memory group if one is given; its output goes to `log`.
    pub(crate) fn spawn(
        namespace: &Namespace,
        group: Option<&MemoryGroup>,
        program: &Path,
        args: &[String],
        log: PathBuf,
    ) -> Result<Self> {
        let mut command = match group {
            None => Command::new(program),
            // The shell joins the group and then becomes the program: same pid, and the group holds from its first
            // page.
            Some(group) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(group.dir()).arg(program);
                shell
            }
        };
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.args(args).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // A group of its own, so that an interrupt at the terminal reaches the lab first, which then cleans up.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = namespace.inside(|| command.spawn())?.with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { child, log })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its running children (the workers of a master), oldest id first.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        procs::children(self.pid())
    }

    /// Waits until it has `count` children.
    pub fn wait_workers(&self, count: usize, limit: Duration) -> Result<Vec<u32>> {
        let what = format!("{count} workers of process {}", self.pid());
        wait::until(&what, limit, || {
            let found = self.workers();
            Ok((found.len() >= count).then_some(found))
        })
    }

    /// Waits until the lab's own origin has read so many requests for the path: sent is not yet read.
    pub fn wait_asked(&self, path: &str, count: usize, limit: Duration) -> Result<()> {
        let line = super::origin::asked_for(path);
        wait::until_true(&format!("{count} requests for {path} to be read"), limit, || {
            self.log().lines().filter(|&logged| logged == line).count() >= count
        })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        procs::signal(self.pid(), signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("process {} to end", self.child.id());
        wait::until(&what, limit, || Ok(self.child.try_wait()?))
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut workers = self.workers();
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Without their master they hold its listening socket: what follows must find the port closed.
        kill_all(|| {
            workers.retain(|&pid| procs::alive(pid));
            workers.clone()
        });
    }
}
