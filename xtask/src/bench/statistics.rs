//! The kernel's own statistics of the BPF programs: how often each ran, and for how long.
//!
//! The kernel reads its clock twice for every run, and one reading is inside the interval that it measures: even a program
//! that returns at once shows tens of nanoseconds. What that comes to here is measured by `signal_generate`, which
//! returns after one comparison for a harmless signal; it is taken off every run.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, getpid, kill_process};

use super::Workload;
use super::agent::Agent;
use super::load::Bed;
use crate::lab::wait;
use crate::scrape::Metrics;

const SYSCTL: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// Harmless signals that this process sends itself.
const SIGNALS: u32 = 20_000;
/// The shell may take so long.
const LIMIT: Duration = Duration::from_secs(5);
/// Turns the statistics on, and back to what they were when its standard input closes: also when the bench is killed.
const HOLD: &str = r#"old=$(cat "$0") && echo 1 > "$0" && read -r _; echo "$old" > "$0""#;
/// Programs of the connection level, then those that read bytes.
pub(super) const PROGRAMS: [&str; 11] = [
    "inet_sock_set_state",
    "tcp_rcv_space_adjust",
    "tcp_send_reset",
    "tcp_receive_reset",
    "sched_process_exit",
    "signal_generate",
    "mark_victim",
    "kfree_skb",
    "net_dev_queue",
    "payload_in",
    "payload_out",
];

/// BPF statistics are on while it lives.
pub(super) struct Enabled(Child);

impl Enabled {
    pub(super) fn hold() -> Result<Self> {
        let mut command = Command::new("/bin/sh");
        // A group of its own, so that an interrupt at the terminal does not keep it from switching back.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.args(["-c", HOLD, SYSCTL]).stdin(Stdio::piped()).spawn().context("starting a shell")?;
        let held = Self(child);
        wait::until_true(&format!("{SYSCTL} to be 1"), LIMIT, || {
            fs::read_to_string(SYSCTL).is_ok_and(|value| value.trim() == "1")
        })?;
        Ok(held)
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        if let Some(mut input) = self.0.stdin.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.0.wait();
    }
}

/// One program's share of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Program {
    /// Runs per request.
    pub(super) runs: f64,
    /// Nanoseconds per request, as the kernel shows them.
    pub(super) nanos: f64,
}

/// What one run under statistics came to.
pub(super) struct ProgramTimes {
    /// In the order of [`PROGRAMS`].
    pub(super) programs: [Program; PROGRAMS.len()],
    /// What a program that returns at once shows, in nanoseconds per run.
    pub(super) empty: f64,
    /// Exchanges that the tracer counted for each request of the load: 1 for an edge, 0 for a stranger.
    pub(super) exchanges: f64,
    /// Connections that it counted for each request.
    pub(super) connections: f64,
}

impl ProgramTimes {
    /// Runs per request, all programs together.
    pub(super) fn runs(&self) -> f64 {
        self.programs.iter().map(|program| program.runs).sum()
    }

    /// Nanoseconds per request as the kernel shows them, all programs together.
    pub(super) fn gross(&self) -> f64 {
        self.programs.iter().map(|program| program.nanos).sum()
    }

    /// The same without what the statistics themselves take.
    pub(super) fn net(&self) -> f64 {
        self.gross() - self.runs() * self.empty
    }
}

/// Runs the load under statistics. `_enabled` is the proof that they are on.
pub(super) fn run(
    _enabled: &Enabled,
    bed: &Bed<'_>,
    agent: &Agent,
    workload: Workload,
    seconds: u32,
) -> Result<ProgramTimes> {
    let empty = empty_program(agent)?;
    let before = agent.scrape()?;
    let requests = bed.load(workload, seconds)?.requests as f64;
    let after = agent.scrape()?;
    let per_request = |name: &str, label: &str| (after.sum(name, &[label]) - before.sum(name, &[label])) / requests;
    let programs = PROGRAMS.map(|name| {
        let label = format!("probe=\"{name}\"");
        Program {
            runs: per_request("tracer_probe_runs_total", &label),
            nanos: per_request("tracer_probe_seconds_total", &label) * 1e9,
        }
    });
    let [exchanges, connections] =
        ["tracer_exchanges_total", "tracer_connections_total"].map(|name| per_request(name, ""));
    Ok(ProgramTimes { programs, empty, exchanges, connections })
}

/// Nanoseconds that a program which returns at once shows per run.
fn empty_program(agent: &Agent) -> Result<f64> {
    let figures = |metrics: &Metrics| {
        ["tracer_probe_runs_total", "tracer_probe_seconds_total"]
            .map(|name| metrics.sum(name, &["probe=\"signal_generate\""]))
    };
    let [runs, seconds] = figures(&agent.scrape()?);
    for _ in 0..SIGNALS {
        // Ignored unless a process asks for it.
        kill_process(getpid(), Signal::WINCH).context("sending SIGWINCH to this process")?;
    }
    let [runs_after, seconds_after] = figures(&agent.scrape()?);
    let runs = runs_after - runs;
    ensure!(runs >= f64::from(SIGNALS), "signal_generate is not attached, or the kernel keeps no statistics");
    Ok((seconds_after - seconds) * 1e9 / runs)
}
