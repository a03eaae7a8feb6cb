//! The numbers that the kernel holds, as values: probes read them, sinks show them.

use std::collections::BTreeMap;

/// The kernel-held numbers, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub ports: Vec<PortCounters>,
    /// RSTs that this host sent on edge connections, by the kernel's name of the reason.
    pub resets_sent: Vec<(String, u64)>,
    /// RSTs that came from the edge.
    pub resets_received: u64,
    /// Records lost, by where.
    pub lost: Vec<(&'static str, u64)>,
    /// Failures among them, by the status that the visitor most likely saw.
    pub lost_failures: Vec<(Option<u16>, u64)>,
    /// The origin's own answers of 5xx of which no cause is known, by status.
    pub unexplained_origin_errors: BTreeMap<u16, u64>,
    pub probes: Vec<ProbeCounters>,
    pub tables: Vec<TableUse>,
    /// IPv4 ranges in force.
    pub ranges_ipv4: u64,
    /// IPv6 ranges in force.
    pub ranges_ipv6: u64,
    /// When their list was published or written, in seconds since 1970; `None`: not known.
    pub ranges_date_s: Option<i64>,
    /// The last reading of the configuration failed.
    pub reload_failed: bool,
    /// When the configuration in force was read, in seconds since 1970.
    pub reloaded_s: i64,
    /// Sight inside TLS; `None`: it is off.
    pub tls: Option<TlsCounters>,
}

/// What is counted of sight inside TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsCounters {
    /// Connections whose first request came with their secrets known, and without.
    pub with_keys: u64,
    pub without_keys: u64,
    /// Hits of the probes.
    pub hits: u64,
    /// The probes are away for a while, because they were hit too often.
    pub paused: bool,
    /// Records of sealed exchanges that could be decrypted, and that could not.
    pub opened: u64,
    pub unopened: u64,
    /// The servers' files that hold a TLS library, in the order of their paths.
    pub files: Vec<TlsFile>,
}

/// A file with a TLS library that a server has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFile {
    /// As the process names it.
    pub path: String,
    /// Name and version of the library; `None`: the file was not understood.
    pub library: Option<String>,
    /// Why there is no probe in it. `None`: there is one.
    pub refused: Option<String>,
}

impl TlsCounters {
    /// Files with a probe in place now.
    #[must_use]
    pub fn probes(&self) -> u64 {
        self.files.iter().filter(|file| file.refused.is_none()).count() as u64
    }
}

/// What is counted for one local port.
#[derive(Clone, Debug, Default)]
pub struct PortCounters {
    /// `None`: the ports that are not counted one by one.
    pub port: Option<u16>,
    pub connections_ipv4: u64,
    pub connections_ipv6: u64,
    pub exchanges: u64,
    /// Connections open now.
    pub open: u64,
    /// Last byte of the request to first byte of the response, over
    /// [`tracer_common::limits::FIRST_BYTE_BOUNDS_NS`]; its sum is in seconds.
    pub first_byte: Distribution,
    /// Size of the response's header section, over [`tracer_common::limits::HEADER_BOUNDS`]; its sum is in
    /// bytes.
    pub header_bytes: Distribution,
    /// Connections that a full accept queue turned away.
    pub accept_queue_overflows: u64,
    /// Packets from the edge that netfilter dropped or rejected.
    pub firewall_drops: u64,
}

/// Observations by bucket.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    /// Observations in each bucket (not cumulative), the last being what is above every bound. Empty: none yet.
    pub counts: Vec<u64>,
    /// Sum of all observations, in the metric's unit.
    pub sum: f64,
}

/// One BPF program.
#[derive(Clone, Debug, Default)]
pub struct ProbeCounters {
    pub name: String,
    pub attached: bool,
    /// `None`: the kernel does not measure it.
    pub runs: Option<u64>,
    /// Time in the program, in nanoseconds; `None`: the kernel does not measure it.
    pub nanos: Option<u64>,
    /// Runs that the kernel skipped and that nothing made good; `None`: it is no program, or the kernel does not say.
    pub skipped: Option<u64>,
}

/// How full one bounded table is.
#[derive(Clone, Debug, Default)]
pub struct TableUse {
    pub name: &'static str,
    pub entries: u64,
    pub capacity: u64,
}

impl Distribution {
    /// Adds the other's observations to these.
    pub fn add(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }
}
