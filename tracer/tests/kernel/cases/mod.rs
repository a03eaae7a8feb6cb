//! The cases, by what they are about.

mod aes_keys;
mod disk;
mod doctor;
mod events;
mod healthy;
mod host;
mod http2;
mod keylog;
mod layout;
mod life;
mod mechanism;
mod netfilter;
mod origin;
mod origin_inside;
mod page;
mod process;
mod programs;
mod prometheus;
mod published;
mod race;
mod reply;
mod session;
mod sight;
mod silence;
mod stage;
mod streams;
mod tcp_proxy;
mod tls;
mod tls_safety;
mod unit;
mod upload;
mod view;
mod wire;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::origin::Spec;
use lab::{Conn, Exchange, Lab, Process, Seen, procs, wait};
use rustix::process::Signal;

use crate::runner::Case;
use crate::want::Want;

/// Every case, in the order of running.
pub(crate) fn all() -> Vec<Case> {
    [
        stage::cases(),
        streams::cases(),
        layout::cases(),
        programs::cases(),
        host::cases(),
        life::cases(),
        view::cases(),
        events::cases(),
        doctor::cases(),
        healthy::cases(),
        http2::cases(),
        mechanism::cases(),
        race::cases(),
        process::cases(),
        origin::cases(),
        tcp_proxy::cases(),
        origin_inside::cases(),
        tls::cases(),
        sight::cases(),
        aes_keys::cases(),
        tls_safety::cases(),
        keylog::cases(),
        wire::cases(),
        upload::cases(),
        netfilter::cases(),
        published::cases(),
        reply::cases(),
        disk::cases(),
        unit::cases(),
        silence::cases(),
        prometheus::cases(),
        page::cases(),
    ]
    .concat()
}

/// The lab origin's name.
const ORIGIN: &str = "lab-origin";
const LIMIT: Duration = Duration::from_secs(5);

/// Long for the agent, short for a test.
const READ: &str = "--read-timeout=600ms";
const TIMEOUT: Duration = Duration::from_millis(600);

/// A lab whose own origin listens on port 80.
fn staged() -> Result<(Lab, Process)> {
    let lab = Lab::new()?;
    let origin = lab.start_origin(&Spec::new(80), None)?;
    Ok((lab, origin))
}

/// A failure that the origin's worker is named for, and the request by its ray.
fn want(
    exchange: &Exchange,
    cause: &'static str,
    status: Option<u16>,
    symptom: &str,
    origin: &Process,
) -> Result<Want> {
    let status = status.map_or(serde_json::Value::Null, Into::into);
    let want = Want::new(exchange, cause, status, symptom).process(ORIGIN, worker(origin)?);
    Ok(want.with("certainty", "certain").with("ray", exchange.ray.as_str()))
}

/// Whether the running kernel is older than this release.
fn is_older_than(major: u32, minor: u32) -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map_while(|part| part.parse().ok());
    (numbers.next(), numbers.next()) < (Some(major), Some(minor))
}

/// The edge must have seen this; a case whose failure did not happen says nothing about the agent.
fn saw(exchange: Exchange, outcomes: &[Seen]) -> Result<Exchange> {
    ensure!(outcomes.contains(&exchange.seen), "the edge saw {:?}, staged was {outcomes:?}", exchange.seen);
    Ok(exchange)
}

/// One answered request on an open connection.
fn answered(conn: &mut Conn) -> Result<()> {
    saw(conn.request("/ok")?, &[Seen::Complete(200)]).map(|_| ())
}

/// The only worker.
fn worker(origin: &Process) -> Result<u32> {
    Ok(origin.wait_workers(1, LIMIT)?[0])
}

/// The worker that took the place of `old`.
fn successor(origin: &Process, old: u32) -> Result<u32> {
    wait::until("a new worker", LIMIT, || Ok(origin.workers().first().copied().filter(|&pid| pid != old)))
}

/// A process that is stopped until this goes.
struct Stopped(u32);

impl Stopped {
    fn new(pid: u32) -> Result<Self> {
        ensure!(procs::signal(pid, Signal::STOP), "process {pid} is gone");
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        procs::signal(self.0, Signal::CONT);
    }
}

/// A haproxy with one frontend of these lines, once it listens.
fn haproxy(lab: &Lab, port: u16, frontend: &str) -> Result<Process> {
    let config = lab.dir().join("haproxy.cfg");
    let timeouts = "  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n";
    fs::write(&config, format!("defaults\n  mode http\n{timeouts}frontend f\n  {frontend}"))?;
    let args = ["-db", "-f", &config.display().to_string()].map(str::to_owned);
    let process = lab.origin_command(Path::new("haproxy"), &args, None)?;
    let listening = lab.origin().wait_listening(&[port], LIMIT);
    listening.with_context(|| format!("starting haproxy: {}", process.log()))?;
    Ok(process)
}
