//! How many records healthy load makes: `tracer watch` writes down each one that it gets.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::agent::command;
use super::load::Bed;
use super::{Level, Workload};
use lab::{procs, wait};

/// Loading and attaching may take so long.
const READY: Duration = Duration::from_secs(15);
/// Detaching may take so long.
const END: Duration = Duration::from_secs(5);
/// Before the first record of a file.
const MAGIC: usize = 8;

/// Runs the load under `tracer watch --record` and counts the records.
pub(super) fn count(bed: &Bed<'_>, tracer: &Path, workload: Workload, level: Level, seconds: u32) -> Result<u64> {
    let file = bed.dir().join("records");
    let _ = fs::remove_file(&file);
    let mut command = command(tracer, "watch", level, bed)?;
    command.args(["--for", "600s", "--record"]).arg(&file);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("starting tracer watch")?;
    let mut watch = Killed(child);
    // The file is made once everything is attached.
    wait::until("tracer watch to record", READY, || {
        if let Some(status) = watch.0.try_wait()? {
            bail!("tracer watch ended before it was ready ({status})");
        }
        Ok(fs::metadata(&file).is_ok_and(|file| file.len() >= MAGIC as u64).then_some(()))
    })?;
    bed.load(workload, seconds)?;
    procs::signal(watch.0.id(), Signal::INT);
    let status = wait::until("tracer watch to end", END, || Ok(watch.0.try_wait()?))?;
    ensure!(status.success(), "tracer watch ended with {status}");
    let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    records(&bytes).with_context(|| format!("{} is cut short", file.display()))
}

/// Kills the process when it goes out of scope.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Counts the records of a recording: each is preceded by its length.
fn records(bytes: &[u8]) -> Option<u64> {
    let mut rest = bytes.get(MAGIC..)?;
    let mut count = 0;
    while let Some((length, record)) = rest.split_first_chunk() {
        rest = record.get(u32::from_le_bytes(*length) as usize..)?;
        count += 1;
    }
    rest.is_empty().then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_by_their_lengths() {
        let file = [&b"tracer\x002"[..], &[2, 0, 0, 0, 9, 9], &[1, 0, 0, 0, 9]].concat();
        assert_eq!(records(&file), Some(2));
        assert_eq!(records(&file[..MAGIC]), Some(0));
        for end in [0, MAGIC - 1, MAGIC + 1, MAGIC + 5, file.len() - 1] {
            assert_eq!(records(&file[..end]), None, "prefix of {end}");
        }
    }
}
