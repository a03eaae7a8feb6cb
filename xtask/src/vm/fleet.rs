//! One job on several kernels, some machines at a time.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::initramfs;
use super::job::{Job, Step};
use super::kernel::Ready;
use super::machine::{End, Machine};
use crate::architecture::Each;
use crate::build::Guest;

/// What the machines have in common.
pub(super) struct Fleet<'a> {
    pub(super) guests: &'a Each<Guest>,
    pub(super) cache: &'a Path,
    pub(super) at_once: usize,
    /// How long a machine may take.
    pub(super) limit: Duration,
    /// More words for the kernels' command line.
    pub(super) append: &'a str,
}

/// How a machine's job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The job came to its end, with this exit status.
    Ended(i32),
    /// It did not: why.
    Broken(String),
}

impl Fleet<'_> {
    /// Runs a job on each kernel. What it writes goes to `read`, line by line, together with what `read` makes of it.
    /// The results are in the kernels' order.
    pub(super) fn run<T: Default + Send>(
        &self,
        kernels: &[Ready],
        job: &Job,
        read: impl Fn(&Ready, &mut T, &str) + Sync,
    ) -> Result<Vec<(T, Fate)>> {
        let queue: Mutex<VecDeque<(usize, &Ready)>> = Mutex::new(kernels.iter().enumerate().collect());
        let next = || queue.lock().ok()?.pop_front();
        let work = || -> Result<Vec<(usize, (T, Fate))>> {
            std::iter::from_fn(next).map(|(at, ready)| Ok((at, self.run_one(ready, job, &read)?))).collect()
        };
        let mut all = thread::scope(|scope| -> Result<Vec<_>> {
            let keepers: Vec<_> = (0..self.at_once).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::new();
            for keeper in keepers {
                all.extend(keeper.join().map_err(|_| anyhow!("a machine's keeper panicked"))??);
            }
            Ok(all)
        })?;
        all.sort_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(_, result)| result).collect())
    }

    fn run_one<T: Default>(&self, ready: &Ready, job: &Job, read: impl Fn(&Ready, &mut T, &str)) -> Result<(T, Fate)> {
        let (name, architecture) = (ready.kernel.name, ready.kernel.architecture);
        let initramfs = self.cache.join(format!("{name}.initramfs"));
        fs::write(&initramfs, initramfs::pack(ready, self.guests.of(architecture)?, job)?)
            .with_context(|| format!("writing {}", initramfs.display()))?;
        let machine = Machine {
            architecture,
            kernel: &ready.image,
            initramfs: &initramfs,
            disks: &[job.roots.of(architecture)?, &ready.modules],
            console: &self.console(ready),
            memory_mib: job.memory_mib,
            append: self.append,
        };
        let mut log = File::create(self.log(ready)).context("making a machine's log")?;
        let (mut made, mut fate) = (T::default(), None);
        let end = machine.run(self.limit, |line| {
            // A log that can't be written is no reason to lose the run.
            let _ = writeln!(log, "{line}");
            match Step::read(line) {
                Some(Step::Started) => {}
                Some(Step::Ended(status)) => fate = Some(Fate::Ended(status)),
                Some(Step::Broken(why)) => fate = Some(Fate::Broken(why)),
                None => read(ready, &mut made, line),
            }
        });
        let end = end.with_context(|| format!("running Linux {name}"))?;
        fs::remove_file(&initramfs).context("removing an initramfs")?;
        Ok((made, fate.unwrap_or_else(|| self.without_end(end))))
    }

    fn without_end(&self, end: End) -> Fate {
        Fate::Broken(match end {
            End::OutOfTime => format!("stopped after {} minutes", self.limit.as_secs() / 60),
            End::Itself => "the machine ended before its job did".into(),
        })
    }

    /// Where a kernel's console is kept.
    pub(super) fn console(&self, ready: &Ready) -> PathBuf {
        self.cache.join(format!("{}.console", ready.kernel.name))
    }

    /// Where the job's whole output is kept.
    pub(super) fn log(&self, ready: &Ready) -> PathBuf {
        self.cache.join(format!("{}.log", ready.kernel.name))
    }
}
