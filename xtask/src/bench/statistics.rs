//! The kernel's own statistics of the BPF programs: how often each ran, and for how long.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};

use super::Workload;
use super::agent::Agent;
use super::load::Bed;

/// Programs of the connection level, then those that read bytes.
pub(super) const PROGRAMS: [&str; 12] = [
    "inet_sock_set_state",
    "tcp_rcv_space_adjust",
    "tcp_send_reset",
    "tcp_receive_reset",
    "tcp_retransmit_synack",
    "sched_process_exit",
    "signal_generate",
    "mark_victim",
    "kfree_skb",
    "net_dev_queue",
    "payload_in",
    "payload_out",
];

/// BPF statistics are on while it lives.
pub(super) struct Enabled(#[expect(dead_code, reason = "held: the kernel counts while it is open")] OwnedFd);

impl Enabled {
    pub(super) fn hold() -> Result<Self> {
        Ok(Self(enable_stats(Stats::RunTime).context("turning BPF statistics on")?))
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
    /// What a program that returns at once shows in each one's place, in nanoseconds per run.
    pub(super) empty: [f64; PROGRAMS.len()],
    /// Exchanges that the tracer counted for each request of the load: 1 for an edge, 0 for a stranger.
    pub(super) exchanges: f64,
    /// Connections that it counted for each request.
    pub(super) connections: f64,
    /// Hits of the probes in TLS libraries for each request, at both ends.
    pub(super) hits: f64,
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

    /// The same without what as many runs of programs that return at once would show.
    pub(super) fn net(&self) -> f64 {
        let empty: f64 = self.programs.iter().zip(self.empty).map(|(program, empty)| program.runs * empty).sum();
        self.gross() - empty
    }
}

/// Runs the load under statistics. `_enabled` is the proof that they are on; `empty` is what programs that return at
/// once have just shown.
pub(super) fn run(
    _enabled: &Enabled,
    bed: &Bed<'_>,
    agent: &Agent,
    workload: Workload,
    seconds: u32,
    empty: [f64; PROGRAMS.len()],
) -> Result<ProgramTimes> {
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
    let [exchanges, connections, hits] =
        ["tracer_exchanges_total", "tracer_connections_total", "tracer_tls_probe_hits_total"]
            .map(|name| per_request(name, ""));
    Ok(ProgramTimes { programs, empty, exchanges, connections, hits })
}
