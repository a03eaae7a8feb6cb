//! The tracer under test: started as a user would, asked over HTTP, watched through `/proc`.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::Level;
use super::load::{Bed, PORTS, cpu_seconds};
use crate::scrape::{Metrics, free_address, get, memory};
use lab::{procs, wait};

/// Loading and attaching may take so long.
const READY: Duration = Duration::from_secs(15);
/// Detaching may take so long.
const END: Duration = Duration::from_secs(5);
/// Between two looks at `/-/ready`.
const STEP: Duration = Duration::from_millis(1);

/// What a tracer used of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// From its start to the first 200 of `/-/ready`, in seconds.
    pub(super) ready: f64,
    /// CPU time until then, in seconds.
    pub(super) start_cpu: f64,
    /// CPU seconds per second since then.
    pub(super) load: f64,
    /// Resident memory now and at its most, in bytes.
    pub(super) rss: f64,
    pub(super) rss_peak: f64,
    /// Failures that it told, and records that it lost. Of questions inside TLS only so many a second are asked.
    pub(super) failures: f64,
    pub(super) lost: f64,
    /// Whether the probes of sight inside TLS were hit too often to stay.
    pub(super) paused: bool,
}

/// A running `tracer run`.
pub(super) struct Agent {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    ready: Duration,
    start_cpu: f64,
    since: Instant,
}

impl Agent {
    /// Starts it and waits until it is ready.
    pub(super) fn start(tracer: &Path, level: Level, bed: &Bed<'_>) -> Result<Self> {
        let address = free_address()?;
        let log = bed.dir().join("tracer.log");
        let mut command = command(tracer, "run", level, bed)?;
        command.args(["--listen", &address.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let since = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {} run", tracer.display()))?;
        let mut agent = Self { child, address, log, ready: Duration::ZERO, start_cpu: 0.0, since };
        agent.wait_ready()?;
        agent.ready = since.elapsed();
        agent.start_cpu = cpu_seconds(agent.child.id())?;
        agent.since = Instant::now();
        Ok(agent)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let end = Instant::now() + READY;
        while get(self.address, "/-/ready").is_err() {
            let log = || fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(status) = self.child.try_wait()? {
                bail!("tracer ended before it was ready ({status}): {}", log());
            }
            ensure!(Instant::now() < end, "tracer is not ready after {} s: {}", READY.as_secs(), log());
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    /// All its metrics, now.
    pub(super) fn scrape(&self) -> Result<Metrics> {
        Metrics::scrape(self.address)
    }

    /// Takes its figures and stops it.
    pub(super) fn finish(mut self) -> Result<Usage> {
        let pid = self.child.id();
        let load = (cpu_seconds(pid)? - self.start_cpu) / self.since.elapsed().as_secs_f64();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading tracer's status")?;
        let metrics = self.scrape()?;
        procs::signal(pid, Signal::INT);
        let ended = wait::until("tracer to end", END, || Ok(self.child.try_wait()?))?;
        ensure!(ended.success(), "tracer ended with {ended}");
        Ok(Usage {
            ready: self.ready.as_secs_f64(),
            start_cpu: self.start_cpu,
            load,
            rss: memory(&status, "VmRSS")?,
            rss_peak: memory(&status, "VmHWM")?,
            failures: metrics.sum("tracer_failures_total", &[]),
            lost: metrics.sum("tracer_events_lost_total", &[])
                - metrics.sum("tracer_events_lost_total", &["where=\"tls_questions\""]),
            paused: metrics.sum("tracer_tls_sight_paused", &[]) > 0.0,
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `tracer COMMAND` with the options that make loopback an edge, or leave it a stranger.
pub(super) fn command(tracer: &Path, task: &str, level: Level, bed: &Bed<'_>) -> Result<Command> {
    let mut command = Command::new(tracer);
    command.args([task, "--log-level", "warn"]);
    for port in PORTS {
        command.args(["--port", &port.to_string()]);
    }
    if level.is_edge() {
        let ranges = bed.dir().join("ranges");
        fs::write(&ranges, "127.0.0.0/8\n").with_context(|| format!("writing {}", ranges.display()))?;
        command.arg("--ranges").arg(ranges);
    }
    if !level.reads_payload() {
        command.arg("--no-payload");
    }
    if level == Level::Sight {
        command.arg("--tls-sight");
    }
    Ok(command)
}
