//! One event as it was written, by this version or another: a failure, or an origin error.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The format of events that this version writes, and knows whole.
pub const SCHEMA: u32 = 1;

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The edge could not complete an exchange.
    Failure,
    /// The origin itself answered 500 to 599.
    OriginError,
}

impl Kind {
    /// The spelling in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::OriginError => "origin_error",
        }
    }
}

/// Why a line is no record. Holds nothing of the line itself, which may be anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRecord {
    /// Not JSON from this column on.
    Json(usize),
    /// JSON, and no event: no time, no cause, or a field of another type, at this column.
    Event(usize),
    /// It ends too early: cut off as it was written.
    Cut,
    /// An entry of the journal that tells of something else.
    Other,
    /// An event of a kind that only a later version knows.
    Kind,
}

impl fmt::Display for NoRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(column) => write!(f, "column {column}: not JSON"),
            Self::Event(column) => write!(f, "column {column}: JSON, but no event of tracer's"),
            Self::Cut => f.write_str("the line is cut off"),
            Self::Other => f.write_str("no event"),
            Self::Kind => f.write_str("an event of a kind that this version does not know"),
        }
    }
}

/// One event. `None` is "not known" or "does not apply"; fields that this version does not know are left out. Foreign
/// text is as it was written: escape it before it reaches a terminal.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Record {
    #[serde(default)]
    pub schema: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    pub time: Timestamp,
    pub cause: String,
    pub edge_status: Option<u16>,
    #[serde(default)]
    pub certainty: String,
    #[serde(default)]
    pub symptom: String,
    pub peer_addr: Option<IpAddr>,
    pub peer_port: Option<u16>,
    pub local_addr: Option<IpAddr>,
    pub local_port: Option<u16>,
    pub published_addr: Option<IpAddr>,
    pub published_port: Option<u16>,
    pub edge_range: Option<String>,
    pub netns: Option<u32>,
    pub reused: Option<bool>,
    pub exchanges: Option<u64>,
    pub age_ms: Option<f64>,
    pub idle_ms: Option<f64>,
    pub request_age_ms: Option<f64>,
    /// Of an origin error only.
    pub response_ms: Option<f64>,
    pub bytes_received: Option<u64>,
    pub bytes_sent: Option<u64>,
    pub ray: Option<String>,
    pub method: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
    pub http_version: Option<String>,
    pub stream_id: Option<u32>,
    pub h2_error_code: Option<String>,
    pub h2_error_by: Option<String>,
    pub response_status: Option<u16>,
    pub response_header_bytes: Option<u64>,
    pub tls_sni: Option<String>,
    pub tls_alert: Option<String>,
    pub firewall_hook: Option<String>,
    pub process: Option<String>,
    pub pid: Option<u32>,
    pub ns_pid: Option<u32>,
    pub exe: Option<String>,
    pub unit: Option<String>,
    pub container: Option<String>,
    pub end_how: Option<String>,
    pub end_signal: Option<String>,
    pub end_code: Option<i32>,
    pub oom_victim: Option<String>,
    pub oom_scope: Option<String>,
    pub reset_by: Option<String>,
    pub reset_reason: Option<String>,
    pub upstream_tries: Option<u32>,
    pub upstream_addr: Option<String>,
    pub upstream_process: Option<String>,
    pub upstream_pid: Option<u32>,
    pub upstream_unit: Option<String>,
    pub upstream_container: Option<String>,
    pub upstream_end_how: Option<String>,
    pub upstream_end_signal: Option<String>,
    pub upstream_end_code: Option<i32>,
    pub upstream_oom_scope: Option<String>,
    pub upstream_bytes_sent: Option<u64>,
    pub upstream_bytes_received: Option<u64>,
    pub upstream_status: Option<u16>,
    #[serde(default)]
    pub evidence: Vec<String>,
    #[serde(default)]
    pub advice: String,
}

impl Record {
    /// The same of JSON that was read already.
    pub(super) fn from_value(value: serde_json::Value) -> Result<Self, NoRecord> {
        serde_json::from_value(value).map_err(|error| no_record(&error)).and_then(Self::checked)
    }

    /// Whatever wrote it: a query never gets further than this.
    fn checked(mut self) -> Result<Self, NoRecord> {
        if self.kind.as_deref().is_some_and(|kind| ![Kind::Failure, Kind::OriginError].map(Kind::name).contains(&kind))
        {
            return Err(NoRecord::Kind);
        }
        if let Some(path) = &mut self.path
            && let Some(query) = path.find('?')
        {
            path.truncate(query);
        }
        Ok(self)
    }

    /// What it tells of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.kind.as_deref() == Some(Kind::OriginError.name()) { Kind::OriginError } else { Kind::Failure }
    }

    /// Whether a later version wrote it: fields may be missing, or mean something else.
    #[must_use]
    pub const fn is_newer(&self) -> bool {
        self.schema > SCHEMA
    }
}

/// The event of a line.
///
/// # Errors
/// Why it is none.
pub fn event(line: &[u8]) -> Result<Record, NoRecord> {
    serde_json::from_slice(line).map_err(|error| no_record(&error)).and_then(Record::checked)
}

fn no_record(error: &serde_json::Error) -> NoRecord {
    match error.classify() {
        serde_json::error::Category::Eof => NoRecord::Cut,
        serde_json::error::Category::Data => NoRecord::Event(error.column()),
        _ => NoRecord::Json(error.column()),
    }
}
