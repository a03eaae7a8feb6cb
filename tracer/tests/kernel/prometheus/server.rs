//! The server: a child process on loopback with a folder of its own, asked through its HTTP API.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lab::wait;
use serde_json::Value;

use crate::agent::free_address;
use crate::http;
use crate::runner::Skip;

/// Replaying an empty database and reading a configuration may take so long.
const READY: Duration = Duration::from_secs(20);
/// What is changed of the shipped configuration: it is meant for a quarter of a minute, and for the default address.
const HASTE: [(&str, &str); 2] =
    [("scrape_interval: 15s", "scrape_interval: 250ms"), ("evaluation_interval: 15s", "evaluation_interval: 500ms")];
const TARGET: &str = "127.0.0.1:9520";

/// The folder with the shipped configuration, the rules and their tests.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/prometheus")
}

/// Whether there is something to run: [`Skip`] if not.
pub(crate) fn installed() -> Result<()> {
    let there = |program| Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
    if there("prometheus") && there("promtool") {
        Ok(())
    } else {
        bail!(Skip("prometheus is not installed (`./dev setup test` installs it)"))
    }
}

/// Runs promtool in the folder of the rules; its output if it is content.
pub(crate) fn promtool(args: &[&str]) -> Result<String> {
    let done = Command::new("promtool").args(args).current_dir(shipped()).output().context("starting promtool")?;
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(done.status.success(), "promtool {}: {said}", args.join(" "));
    Ok(said)
}

/// A running Prometheus; killed when it goes out of scope.
pub(crate) struct Prometheus {
    child: Child,
    listen: SocketAddr,
    dir: PathBuf,
}

impl Prometheus {
    /// Starts it on the agent that listens there, and waits until it is ready.
    pub(crate) fn start(agent: SocketAddr) -> Result<Self> {
        Self::start_with(agent, str::to_owned)
    }

    /// The same with its configuration changed.
    pub(crate) fn start_with(agent: SocketAddr, change: impl Fn(&str) -> String) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("tracer-prometheus-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let started = Self::spawn(&dir, agent, change);
        let mut server = match started {
            Ok((child, listen)) => Self { child, listen, dir },
            Err(error) => {
                let _ = fs::remove_dir_all(&dir);
                return Err(error);
            }
        };
        let ready = server.wait_ready();
        ready.with_context(|| format!("starting prometheus: {}", server.log()))?;
        Ok(server)
    }

    fn spawn(dir: &Path, agent: SocketAddr, change: impl Fn(&str) -> String) -> Result<(Child, SocketAddr)> {
        configure(dir, agent, change)?;
        let listen = free_address()?;
        let log = File::create(dir.join("log"))?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={listen}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=warn"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting prometheus")?;
        Ok((child, listen))
    }

    fn wait_ready(&mut self) -> Result<()> {
        wait::until("prometheus to be ready", READY, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("prometheus ended ({status})");
            }
            Ok(http::get(self.listen, "/-/ready").is_ok_and(|(status, _)| status == 200).then_some(()))
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Asks the API: the `data` of its answer. An answer that is no success is an error.
    pub(crate) fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let (status, body) = http::get(self.listen, &format!("/api/v1/{path}?{}", http::query(parameters)))?;
        let mut answer: Value = serde_json::from_str(&body).with_context(|| format!("{path}: {status}: {body}"))?;
        ensure!(answer["status"] == "success", "{path} {parameters:?}: {body}");
        Ok(answer["data"].take())
    }

    /// The version that it gives.
    pub(crate) fn version(&self) -> Result<String> {
        let info = self.ask("status/buildinfo", &[])?;
        Ok(info["version"].as_str().context("no version")?.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Puts the shipped files into the folder, with the agent's address and in a hurry.
fn configure(dir: &Path, agent: SocketAddr, change: impl Fn(&str) -> String) -> Result<()> {
    for rules in ["tracer.rules.yml", "tracer.alerts.yml"] {
        fs::copy(shipped().join(rules), dir.join(rules)).with_context(|| format!("copying {rules}"))?;
    }
    let mut text = fs::read_to_string(shipped().join("prometheus.yml"))?;
    let target = agent.to_string();
    for (from, to) in HASTE.into_iter().chain([(TARGET, target.as_str())]) {
        ensure!(text.contains(from), "prometheus.yml does not say {from}");
        text = text.replace(from, to);
    }
    Ok(fs::write(dir.join("prometheus.yml"), change(&text))?)
}
