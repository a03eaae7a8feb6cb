//! The tracer under test: `tracer run` with short timeouts for the whole soak, its memory, its counters, its events.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::edge::TIMEOUT;
use super::memory::Tenths;
use super::server;
use crate::scrape::{Metrics, free_address, get, memory};
use lab::{procs, wait};

/// Loading and attaching may take so long.
const READY: Duration = Duration::from_secs(15);
/// The contract's limit for the way out.
const END: Duration = Duration::from_secs(2);
/// The ranges of all of the lab's edges but one, which is an extra range.
const RANGES: &str = "# the soak's edges\n173.245.48.0/20\n162.158.0.0/15\n2606:4700::/32\n";
const EXTRA_RANGE: &str = "104.16.0.0/13";

/// A running `tracer run`.
pub(super) struct Agent {
    child: Child,
    address: SocketAddr,
    dir: PathBuf,
    netns: u64,
    /// Resident memory so far, in bytes.
    samples: Vec<f64>,
}

impl Agent {
    /// Starts it with its files in `dir`, to watch over a network namespace, and waits until it is ready.
    pub(super) fn start(tracer: &Path, dir: &Path, netns: u64) -> Result<Self> {
        let address = free_address()?;
        let ranges = dir.join("ranges");
        fs::write(&ranges, RANGES).with_context(|| format!("writing {}", ranges.display()))?;
        // Ends with the soak, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(tracer);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TRACER_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        command
            .args(["run", "--tls-sight", "--listen", &address.to_string(), "--extra-range", EXTRA_RANGE, "--ranges"])
            .arg(ranges);
        command.arg("--events").arg(dir.join("events.ndjson"));
        for timeout in ["--connect-timeout", "--ack-timeout", "--read-timeout", "--write-timeout"] {
            command.args([timeout, &format!("{}s", TIMEOUT.as_secs())]);
        }
        let log = File::create(dir.join("tracer.log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {} run", tracer.display()))?;
        let mut agent = Self { child, address, dir: dir.to_owned(), netns, samples: Vec::new() };
        agent.wait_ready()?;
        Ok(agent)
    }

    fn wait_ready(&mut self) -> Result<()> {
        wait::until("tracer to be ready", READY, || {
            self.check()?;
            Ok(get(self.address, "/-/ready").is_ok().then_some(()))
        })?;
        ensure!(self.log().lines().any(|line| line.contains("ready")), "no ready line: {}", self.log());
        Ok(())
    }

    /// An error if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("tracer ended ({status}): {}", self.log());
        }
        Ok(())
    }

    /// All its metrics, now.
    pub(super) fn scrape(&self) -> Result<Metrics> {
        Metrics::scrape(self.address)
    }

    /// Takes its resident memory, in bytes.
    pub(super) fn sample(&mut self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let rss = memory(&fs::read_to_string(path).context("reading tracer's status")?, "VmRSS")?;
        self.samples.push(rss);
        Ok(rss)
    }

    /// How its memory grew.
    pub(super) fn memory(&self) -> Option<Tenths> {
        Tenths::of(&self.samples)
    }

    /// Its log so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("tracer.log")).unwrap_or_default()
    }

    /// The failures that it told so far: those of this network namespace, and of those that name none, those on its
    /// ports.
    pub(super) fn events(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.dir.join("events.ndjson")).context("reading tracer's events")?;
        // The last line may still be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let events: Result<Vec<Value>> = whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("an event that is not JSON: {line}")))
            .collect();
        let ours = |event: &Value| {
            event["netns"].as_u64().map_or_else(|| server::name_in(event) != "?", |at| at == self.netns)
        };
        Ok(events?.into_iter().filter(ours).collect())
    }

    /// Whether a word is in anything that it wrote.
    pub(super) fn wrote(&self, word: &str) -> bool {
        let events = fs::read_to_string(self.dir.join("events.ndjson")).unwrap_or_default();
        events.contains(word) || self.log().contains(word)
    }

    /// Ends it as a service manager does.
    pub(super) fn stop(&mut self) -> Result<()> {
        let since = Instant::now();
        procs::signal(self.child.id(), Signal::TERM);
        let status = wait::until("tracer to end", END * 3, || Ok(self.child.try_wait()?))?;
        ensure!(status.success(), "SIGTERM ended tracer with {status}: {}", self.log());
        ensure!(since.elapsed() <= END, "tracer took {:?} to end", since.elapsed());
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
