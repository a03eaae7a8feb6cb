//! Counters of failures and process ends, and the exposition of everything that is counted.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

pub use super::families::Source;
use super::families::{FAILURES, FAILURES_HELP, ORIGIN_ERRORS, ORIGIN_ERRORS_HELP, SnapshotCollector};
use super::labels::{FirstFew, UNKNOWN, lock, process_label, status_label};
use super::openmetrics;
use crate::counts::Snapshot;
use crate::diagnose::origin::{OriginCause, OriginError};
use crate::diagnose::{Cause, Diagnosis, EndHow};

/// Process names that a metric keeps apart.
const MAX_PROCESSES: usize = 64;

/// Statuses of the origin's own errors whose series are there from the start.
const COMMON_STATUSES: [&str; 4] = ["500", "502", "503", "504"];

/// Ports that the failures by listener keep apart.
const MAX_PORTS: usize = 256;

/// All metrics of the agent.
pub struct Metrics {
    source: Source,
    registry: Registry,
    failures: IntCounterVec,
    listener_failures: IntCounterVec,
    origin_errors: IntCounterVec,
    upstream_failures: IntCounterVec,
    process_ends: IntCounterVec,
    oom_kills: IntCounterVec,
    listener_ports: FirstFew<u16>,
    listener_processes: FirstFew<String>,
    upstreams: FirstFew<String>,
    ended_processes: FirstFew<String>,
    oom_processes: FirstFew<String>,
    /// Latest ray of each series of [`FAILURES`].
    rays: Mutex<BTreeMap<(&'static str, String), String>>,
}

impl Metrics {
    /// Registers everything; `source` is asked once a scrape.
    ///
    /// # Errors
    /// A name is taken twice, which is a mistake in this program.
    pub fn new(source: Source) -> Result<Self> {
        let metrics = Self {
            source: source.clone(),
            registry: Registry::new(),
            failures: counter(FAILURES, FAILURES_HELP, &["cause", "edge_status"])?,
            listener_failures: counter(
                "tracer_listener_failures_total",
                "The failures of tracer_failures_total by local port, process that owned the socket and cause; a \
                    series appears when first seen.",
                &["port", "process", "cause"],
            )?,
            origin_errors: counter(ORIGIN_ERRORS, ORIGIN_ERRORS_HELP, &["status", "cause"])?,
            upstream_failures: counter(
                "tracer_upstream_failures_total",
                "The answers of tracer_origin_errors_total that an upstream caused, by the name of its process \
                    (unknown: none stood there) and cause; a series appears when first seen.",
                &["upstream", "cause"],
            )?,
            process_ends: counter(
                "tracer_process_ends_total",
                "Ends of processes that held edge connections, by how: taken by the OOM killer, crashed, killed by \
                    a signal from outside, exited.",
                &["process", "how"],
            )?,
            oom_kills: counter(
                "tracer_oom_kills_total",
                "Processes that the OOM killer took on this host, whether or not they held edge connections.",
                &["process"],
            )?,
            listener_ports: FirstFew::new(MAX_PORTS),
            listener_processes: FirstFew::new(MAX_PROCESSES),
            upstreams: FirstFew::new(MAX_PROCESSES),
            ended_processes: FirstFew::new(MAX_PROCESSES),
            oom_processes: FirstFew::new(MAX_PROCESSES),
            rays: Mutex::default(),
        };
        metrics.register(source).context("registering the metrics")?;
        // Those without a cause come from the snapshot.
        for &cause in Cause::ALL.iter().filter(|cause| **cause != Cause::Unexplained) {
            for &status in cause.edge_statuses() {
                metrics.failures.with_label_values(&[cause.name(), &status_label(status)]);
            }
        }
        for status in COMMON_STATUSES {
            for cause in OriginCause::ALL.iter().filter(|cause| **cause != OriginCause::Unexplained) {
                metrics.origin_errors.with_label_values(&[status, cause.name()]);
            }
        }
        Ok(metrics)
    }

    /// What is counted outside of this, now.
    pub(super) fn snapshot(&self) -> Snapshot {
        (self.source)()
    }

    fn register(&self, source: Source) -> prometheus::Result<()> {
        for counters in [
            &self.failures,
            &self.listener_failures,
            &self.origin_errors,
            &self.upstream_failures,
            &self.process_ends,
            &self.oom_kills,
        ] {
            self.registry.register(Box::new(counters.clone()))?;
        }
        self.registry.register(Box::new(SnapshotCollector::new(source)?))?;
        self.registry.register(Box::new(ProcessCollector::for_self()))?;
        self.registry.register(Box::new(build_info()?))
    }

    /// Counts a failure, and keeps its ray for the exemplar.
    pub fn failure(&self, diagnosis: &Diagnosis) {
        let (cause, status) = (diagnosis.cause.name(), status_label(diagnosis.edge_status));
        self.failures.with_label_values(&[cause, &status]).inc();
        // A refused port has no listener: it keeps its number only if there was one before.
        let port = if diagnosis.cause == Cause::PortClosed {
            self.listener_ports.label_if_seen(&diagnosis.local_port)
        } else {
            self.listener_ports.label(&diagnosis.local_port)
        };
        let process = process_label(&self.listener_processes, diagnosis.process.as_deref().unwrap_or_default());
        self.listener_failures.with_label_values(&[port.as_str(), &process, cause]).inc();
        if let Some(ray) = &diagnosis.ray {
            lock(&self.rays).insert((cause, status), ray.clone());
        }
    }

    /// Counts one of the origin's own answers of 5xx. Those without a cause come from the snapshot.
    pub fn origin_error(&self, error: &OriginError) {
        let cause = error.cause.name();
        if error.cause != OriginCause::Unexplained {
            self.origin_errors.with_label_values(&[&error.response_status.to_string(), cause]).inc();
        }
        if !matches!(error.cause, OriginCause::ApplicationError | OriginCause::Unexplained) {
            let upstream =
                process_label(&self.upstreams, error.upstream.upstream_process.as_deref().unwrap_or_default());
            self.upstream_failures.with_label_values(&[upstream.as_str(), cause]).inc();
        }
    }

    /// Counts the end of a process that held edge connections.
    pub fn process_end(&self, process: &str, how: EndHow) {
        let process = process_label(&self.ended_processes, process);
        self.process_ends.with_label_values(&[process.as_str(), how.name()]).inc();
    }

    /// Counts an OOM kill, of any process of the host.
    pub fn oom_kill(&self, process: &str) {
        self.oom_kills.with_label_values(&[process_label(&self.oom_processes, process)]).inc();
    }

    /// The exposition in the text format 0.0.4.
    ///
    /// # Errors
    /// The metrics can't be encoded, which is a mistake in this program.
    pub fn text(&self) -> Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather()).context("encoding the metrics")
    }

    /// The exposition in OpenMetrics 1.0, with rays as exemplars.
    ///
    /// # Errors
    /// The metrics can't be encoded, which is a mistake in this program.
    pub fn openmetrics(&self) -> Result<String> {
        let families: Vec<MetricFamily> = self.registry.gather();
        let rays = lock(&self.rays);
        openmetrics::encode(&families, &|family, metric| {
            if family != FAILURES {
                return None;
            }
            let value = |name| metric.get_label().iter().find(|label| label.name() == name).map(|label| label.value());
            let (cause, status) = (value("cause")?, value("edge_status")?);
            rays.iter().find(|((c, s), _)| *c == cause && s == status).map(|(_, ray)| ("ray", ray.clone()))
        })
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels).with_context(|| format!("making {name}"))
}

fn build_info() -> prometheus::Result<IntGauge> {
    let opts = Opts::new("tracer_build_info", "The version of tracer and the commit that it was built from; always 1.")
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("revision", option_env!("TRACER_REVISION").unwrap_or(UNKNOWN));
    let info = IntGauge::with_opts(opts)?;
    info.set(1);
    Ok(info)
}

#[cfg(test)]
mod tests;
