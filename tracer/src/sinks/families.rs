//! What the kernel counts, turned into metrics at the moment of a scrape.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use tracer_common::limits;

use super::labels::{port_label, status_label};
use crate::counts::{Distribution, PortCounters, ProbeCounters, Snapshot, TlsCounters};
use crate::diagnose::Cause;
use crate::diagnose::origin::OriginCause;

/// Gives the numbers of this moment.
pub type Source = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// Label values and number of one series.
type Sample = (Vec<String>, f64);

/// Labels of what is counted for one local port.
const BY_PORT: &[&str] = &["port"];

/// The failures: those that were told are counted by `Metrics`, those whose records the kernel lost come from here.
pub(super) const FAILURES: &str = "tracer_failures_total";

pub(super) const FAILURES_HELP: &str = "Exchanges or attempted connections that the edge could not complete because of \
    this host, once per request, by best-evidenced cause and the status that the visitor most likely saw (none: a cut \
    body).";

/// The failures whose records were lost.
const UNEXPLAINED: Family = Family {
    name: FAILURES,
    help: FAILURES_HELP,
    kind: MetricType::COUNTER,
    labels: &["cause", "edge_status"],
    samples: |now| {
        let labels = |status| vec![Cause::Unexplained.name().to_owned(), status_label(status)];
        now.lost_failures.iter().map(|&(status, count)| (labels(status), float(count))).collect()
    },
};

/// The origin's own answers of 5xx: those with a cause are counted by `Metrics`, the others come from here.
pub(super) const ORIGIN_ERRORS: &str = "tracer_origin_errors_total";

pub(super) const ORIGIN_ERRORS_HELP: &str = "The origin's own complete answers of 500 to 599 to the edge, by status \
    and by what happened behind the process that answered; not among tracer_failures_total.";

/// The answers without a cause: of which no record was made, or whose evidence does not say.
const UNEXPLAINED_ORIGIN_ERRORS: Family = Family {
    name: ORIGIN_ERRORS,
    help: ORIGIN_ERRORS_HELP,
    kind: MetricType::COUNTER,
    labels: &["cause", "status"],
    samples: |now| {
        let labels = |status: &u16| vec![OriginCause::Unexplained.name().to_owned(), status.to_string()];
        now.unexplained_origin_errors.iter().map(|(status, count)| (labels(status), float(*count))).collect()
    },
};

/// One metric: how a snapshot becomes its samples.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    samples: fn(&Snapshot) -> Vec<Sample>,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "tracer_exchanges_total",
        help: "Exchanges (a request and its response) seen on connections from the edge, by local port: the \
            denominator of tracer_failures_total.",
        kind: MetricType::COUNTER,
        labels: BY_PORT,
        samples: |now| now.ports.iter().map(|port| (vec![port_label(port.port)], float(port.exchanges))).collect(),
    },
    Family {
        name: "tracer_connections_total",
        help: "Connections that the edge opened, by local port and address family.",
        kind: MetricType::COUNTER,
        labels: &["port", "family"],
        samples: |now| {
            let families = |port: &PortCounters| [("ipv4", port.connections_ipv4), ("ipv6", port.connections_ipv6)];
            let sample = |port: &PortCounters, (family, count): (&str, u64)| {
                (vec![port_label(port.port), family.into()], float(count))
            };
            now.ports.iter().flat_map(|port| families(port).map(|family| sample(port, family))).collect()
        },
    },
    Family {
        name: "tracer_open_connections",
        help: "Connections from the edge that are open now, by local port.",
        kind: MetricType::GAUGE,
        labels: BY_PORT,
        samples: |now| now.ports.iter().map(|port| (vec![port_label(port.port)], float(port.open))).collect(),
    },
    Family {
        name: "tracer_accept_queue_overflows_total",
        help: "Connections that a full accept queue turned away, by local port.",
        kind: MetricType::COUNTER,
        labels: BY_PORT,
        samples: |now| {
            now.ports.iter().map(|port| (vec![port_label(port.port)], float(port.accept_queue_overflows))).collect()
        },
    },
    Family {
        name: "tracer_firewall_drops_total",
        help: "Packets from the edge that netfilter dropped or rejected, by local port.",
        kind: MetricType::COUNTER,
        labels: BY_PORT,
        samples: |now| now.ports.iter().map(|port| (vec![port_label(port.port)], float(port.firewall_drops))).collect(),
    },
    Family {
        name: "tracer_resets_sent_total",
        help: "RSTs that this host sent on connections from the edge, by the reason as the running kernel names \
            it; a reset is not yet a failure.",
        kind: MetricType::COUNTER,
        labels: &["reason"],
        samples: |now| now.resets_sent.iter().map(|(reason, count)| (vec![reason.clone()], float(*count))).collect(),
    },
    Family {
        name: "tracer_resets_received_total",
        help: "RSTs that came from the edge.",
        kind: MetricType::COUNTER,
        labels: &[],
        samples: |now| vec![(vec![], float(now.resets_received))],
    },
    Family {
        name: "tracer_events_lost_total",
        help: "Records that the kernel could not hand over or that userspace had to shed, by where: failures may \
            be missing or unexplained.",
        kind: MetricType::COUNTER,
        labels: &["where"],
        samples: |now| now.lost.iter().map(|&(place, count)| (vec![place.into()], float(count))).collect(),
    },
    Family {
        name: "tracer_probe_attached",
        help: "Whether the probe is attached (1) or not available here (0); with a colon: whether its hook has that \
               argument.",
        kind: MetricType::GAUGE,
        labels: &["probe"],
        samples: |now| {
            now.probes.iter().map(|probe| (vec![probe.name.clone()], f64::from(u8::from(probe.attached)))).collect()
        },
    },
    Family {
        name: "tracer_probe_runs_total",
        help: "Runs of the probe's program, where the kernel measures them (kernel.bpf_stats_enabled).",
        kind: MetricType::COUNTER,
        labels: &["probe"],
        samples: |now| measured(now, |probe| probe.runs.map(float)),
    },
    Family {
        name: "tracer_probe_seconds_total",
        help: "Time spent in the probe's program, where the kernel measures it (kernel.bpf_stats_enabled).",
        kind: MetricType::COUNTER,
        labels: &["probe"],
        samples: |now| measured(now, |probe| probe.nanos.map(|nanos| float(nanos) / 1e9)),
    },
    Family {
        name: "tracer_probe_runs_skipped_total",
        help: "Runs of the probe's program that the kernel skipped, since the program was under way on that CPU: what \
            tracer_events_lost_total counts as recursion, by probe.",
        kind: MetricType::COUNTER,
        labels: &["probe"],
        samples: |now| measured(now, |probe| probe.skipped.map(float)),
    },
    Family {
        name: "tracer_tls_connections_total",
        help: "Connections inside TLS whose first request came, by whether their secrets were known by then \
            (tls-sight).",
        kind: MetricType::COUNTER,
        labels: &["keys"],
        samples: |now| inside_tls(now, |tls| yes_no(tls.with_keys, tls.without_keys)),
    },
    Family {
        name: "tracer_tls_exchanges_total",
        help: "Exchanges inside TLS that the kernel handed over with their secrets, for they may have failed, by \
            whether they could be decrypted (tls-sight).",
        kind: MetricType::COUNTER,
        labels: &["decrypted"],
        samples: |now| inside_tls(now, |tls| yes_no(tls.opened, tls.unopened)),
    },
    Family {
        name: "tracer_tls_probe_hits_total",
        help: "Hits of the probes in TLS libraries: one to five for each handshake of any process that has loaded a \
            probed file (tls-sight).",
        kind: MetricType::COUNTER,
        labels: &[],
        samples: |now| inside_tls(now, |tls| vec![(vec![], float(tls.hits))]),
    },
    Family {
        name: "tracer_tls_probed_files",
        help: "Files with a TLS library that have a probe in place now (tls-sight).",
        kind: MetricType::GAUGE,
        labels: &[],
        samples: |now| inside_tls(now, |tls| vec![(vec![], float(tls.probes()))]),
    },
    Family {
        name: "tracer_tls_sight_paused",
        help: "Whether the probes in TLS libraries are away for a minute because they were hit too often (1) or not \
            (0) (tls-sight).",
        kind: MetricType::GAUGE,
        labels: &[],
        samples: |now| inside_tls(now, |tls| vec![(vec![], f64::from(u8::from(tls.paused)))]),
    },
    Family {
        name: "tracer_table_entries",
        help: "Entries of a bounded table.",
        kind: MetricType::GAUGE,
        labels: &["table"],
        samples: |now| now.tables.iter().map(|table| (vec![table.name.into()], float(table.entries))).collect(),
    },
    Family {
        name: "tracer_table_capacity",
        help: "Entries that a bounded table can take.",
        kind: MetricType::GAUGE,
        labels: &["table"],
        samples: |now| now.tables.iter().map(|table| (vec![table.name.into()], float(table.capacity))).collect(),
    },
    Family {
        name: "tracer_edge_ranges",
        help: "Address ranges that count as the edge, in force now.",
        kind: MetricType::GAUGE,
        labels: &["family"],
        samples: |now| {
            vec![(vec!["ipv4".into()], float(now.ranges_ipv4)), (vec!["ipv6".into()], float(now.ranges_ipv6))]
        },
    },
    Family {
        name: "tracer_edge_ranges_timestamp_seconds",
        help: "When the list of ranges in force was published (the built-in one) or last written (a file).",
        kind: MetricType::GAUGE,
        labels: &[],
        samples: |now| now.ranges_date_s.map(|seconds| (vec![], seconds as f64)).into_iter().collect(),
    },
    Family {
        name: "tracer_config_last_reload_successful",
        help: "Whether the configuration and the ranges could be read when that was last asked for (1), or the old \
            ones stay (0).",
        kind: MetricType::GAUGE,
        labels: &[],
        samples: |now| vec![(vec![], f64::from(u8::from(!now.reload_failed)))],
    },
    Family {
        name: "tracer_config_last_reload_success_timestamp_seconds",
        help: "When the configuration in force was read.",
        kind: MetricType::GAUGE,
        labels: &[],
        samples: |now| vec![(vec![], now.reloaded_s as f64)],
    },
];

/// One histogram by local port.
struct HistogramFamily {
    name: &'static str,
    help: &'static str,
    /// Upper bounds of the buckets, in the metric's unit.
    bounds: fn() -> Vec<f64>,
    of: fn(&PortCounters) -> &Distribution,
}

const HISTOGRAMS: &[HistogramFamily] = &[
    HistogramFamily {
        name: "tracer_first_byte_seconds",
        help: "Time from the last byte of the request to the first byte of the response, by local port.",
        bounds: || limits::FIRST_BYTE_BOUNDS_NS.map(|nanos| float(nanos) / 1e9).to_vec(),
        of: |port| &port.first_byte,
    },
    HistogramFamily {
        name: "tracer_response_header_bytes",
        help: "Size of the response's header section, by local port.",
        bounds: || limits::HEADER_BOUNDS.map(f64::from).to_vec(),
        of: |port| &port.header_bytes,
    },
];

/// Takes one snapshot a scrape.
pub(super) struct SnapshotCollector {
    source: Source,
    descs: Vec<Desc>,
}

impl SnapshotCollector {
    pub(super) fn new(source: Source) -> prometheus::Result<Self> {
        let numbers = FAMILIES.iter().map(|family| (family.name, family.help, family.labels));
        let histograms = HISTOGRAMS.iter().map(|family| (family.name, family.help, BY_PORT));
        let desc = |(name, help, labels): (&str, &str, &[&str])| {
            let labels = labels.iter().map(|&label| label.to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
        };
        Ok(Self { source, descs: numbers.chain(histograms).map(desc).collect::<Result<_, _>>()? })
    }
}

impl Collector for SnapshotCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = (self.source)();
        let numbers =
            FAMILIES.iter().chain([&UNEXPLAINED, &UNEXPLAINED_ORIGIN_ERRORS]).map(|family| family.collect(&now));
        let histograms = HISTOGRAMS.iter().map(|family| family.collect(&now));
        numbers.chain(histograms).filter(|family| !family.get_metric().is_empty()).collect()
    }
}

impl Family {
    fn collect(&self, now: &Snapshot) -> MetricFamily {
        // One series per set of labels, whatever the snapshot repeats.
        let mut series = BTreeMap::<Vec<String>, f64>::new();
        for (values, number) in (self.samples)(now) {
            *series.entry(values).or_default() += number;
        }
        let metrics = series.into_iter().map(|(values, number)| self.metric(values, number)).collect();
        family(self.name, self.help, self.kind, metrics)
    }

    fn metric(&self, values: Vec<String>, number: f64) -> Metric {
        let mut metric = labelled(self.labels, values);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(number);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(number);
            metric.set_gauge(gauge);
        }
        metric
    }
}

impl HistogramFamily {
    /// A port without observations has all its buckets too, so that the first one is an increase.
    fn collect(&self, now: &Snapshot) -> MetricFamily {
        let mut series = BTreeMap::<String, Distribution>::new();
        for port in &now.ports {
            series.entry(port_label(port.port)).or_default().add((self.of)(port));
        }
        let bounds = (self.bounds)();
        let metric = |(port, observed): (String, Distribution)| {
            let mut metric = labelled(BY_PORT, vec![port]);
            metric.set_histogram(histogram(&observed, &bounds));
            metric
        };
        family(self.name, self.help, MetricType::HISTOGRAM, series.into_iter().map(metric).collect())
    }
}

/// Cumulative; the infinite bucket is the count of all, which both encoders write themselves.
fn histogram(observed: &Distribution, bounds: &[f64]) -> Histogram {
    let mut below = 0;
    let counts = observed.counts.iter().copied().chain(std::iter::repeat(0));
    let bucket = |(&bound, count): (&f64, u64)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(below);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(bounds.iter().zip(counts).map(bucket).collect());
    histogram.set_sample_count(observed.counts.iter().sum());
    histogram.set_sample_sum(observed.sum);
    histogram
}
fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(names: &[&str], values: Vec<String>) -> Metric {
    let label = |(&name, value): (&&str, String)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value);
        label
    };
    Metric::from_label(names.iter().zip(values).map(label).collect())
}

fn measured(now: &Snapshot, number: fn(&ProbeCounters) -> Option<f64>) -> Vec<Sample> {
    now.probes.iter().filter_map(|probe| Some((vec![probe.name.clone()], number(probe)?))).collect()
}

/// Nothing where sight inside TLS is off.
fn inside_tls(now: &Snapshot, samples: fn(&TlsCounters) -> Vec<Sample>) -> Vec<Sample> {
    now.tls.as_ref().map(samples).unwrap_or_default()
}

fn yes_no(yes: u64, no: u64) -> Vec<Sample> {
    vec![(vec!["yes".into()], float(yes)), (vec!["no".into()], float(no))]
}

/// Metrics are floating-point: exact up to 2^53.
fn float(count: u64) -> f64 {
    count as f64
}
