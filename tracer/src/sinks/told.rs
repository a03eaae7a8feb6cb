//! What an event says to the eyes, whichever kind it is and whether it was just judged or read again.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::style::Style;
use crate::diagnose::{Diagnosis, origin::OriginError};
use crate::events::{Kind, Record};

/// What is shown of an event. Foreign text is not escaped yet.
pub(crate) struct Told<'a> {
    pub(super) time: Timestamp,
    pub(super) style: Style,
    /// `520 empty_reply`, `origin's own 502: oom_kill`.
    pub(super) headline: String,
    pub(super) certainty: &'a str,
    pub(super) method: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    pub(super) ray: Option<&'a str>,
    pub(super) process: Option<&'a str>,
    pub(super) pid: Option<u32>,
    /// The unit or container of that process.
    pub(super) home: Option<&'a str>,
    pub(super) local_port: Option<u16>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) upstream_process: Option<&'a str>,
    pub(super) upstream_pid: Option<u32>,
    pub(super) upstream_addr: Option<&'a str>,
    pub(super) evidence: &'a [String],
    pub(super) advice: &'a str,
}

fn of_failure(edge_status: Option<u16>, cause: &str) -> String {
    let status = edge_status.map_or_else(|| "cut".to_owned(), |status| status.to_string());
    format!("{status} {cause}")
}

fn of_answer(status: Option<u16>, cause: &str) -> String {
    let status = status.map_or_else(|| "5xx".to_owned(), |status| status.to_string());
    format!("origin's own {status}: {cause}")
}

impl<'a> From<&'a Diagnosis> for Told<'a> {
    fn from(d: &'a Diagnosis) -> Self {
        Self {
            time: d.time,
            style: Style::Failure,
            headline: of_failure(d.edge_status, d.cause.name()),
            certainty: d.certainty.name(),
            method: d.method.as_deref(),
            host: d.host.as_deref(),
            path: d.path.as_deref(),
            ray: d.ray.as_deref(),
            process: d.process.as_deref(),
            pid: d.pid,
            home: d.unit.as_deref().or(d.container.as_deref()),
            local_port: Some(d.local_port),
            peer: Some(SocketAddr::new(d.peer_addr.to_canonical(), d.peer_port)),
            upstream_process: d.upstream.upstream_process.as_deref(),
            upstream_pid: d.upstream.upstream_pid,
            upstream_addr: d.upstream.upstream_addr.as_deref(),
            evidence: &d.evidence,
            advice: &d.advice,
        }
    }
}

impl<'a> From<&'a OriginError> for Told<'a> {
    fn from(e: &'a OriginError) -> Self {
        Self {
            time: e.time,
            style: Style::Answer,
            headline: of_answer(Some(e.response_status), e.cause.name()),
            certainty: e.certainty.name(),
            method: e.method.as_deref(),
            host: e.host.as_deref(),
            path: e.path.as_deref(),
            ray: e.ray.as_deref(),
            process: e.process.as_deref(),
            pid: e.pid,
            home: None,
            local_port: Some(e.local_port),
            peer: Some(SocketAddr::new(e.peer_addr.to_canonical(), e.peer_port)),
            upstream_process: e.upstream.upstream_process.as_deref(),
            upstream_pid: e.upstream.upstream_pid,
            upstream_addr: e.upstream.upstream_addr.as_deref(),
            evidence: &e.evidence,
            advice: &e.advice,
        }
    }
}

impl<'a> From<&'a Record> for Told<'a> {
    fn from(r: &'a Record) -> Self {
        let is_failure = r.kind() == Kind::Failure;
        let peer = r.peer_addr.zip(r.peer_port);
        Self {
            time: r.time,
            style: if is_failure { Style::Failure } else { Style::Answer },
            headline: if is_failure {
                of_failure(r.edge_status, &r.cause)
            } else {
                of_answer(r.response_status, &r.cause)
            },
            certainty: &r.certainty,
            method: r.method.as_deref(),
            host: r.host.as_deref(),
            path: r.path.as_deref(),
            ray: r.ray.as_deref(),
            process: r.process.as_deref(),
            pid: r.pid,
            home: r.unit.as_deref().or(r.container.as_deref()).filter(|_| is_failure),
            local_port: r.local_port,
            peer: peer.map(|(address, port)| SocketAddr::new(address.to_canonical(), port)),
            upstream_process: r.upstream_process.as_deref(),
            upstream_pid: r.upstream_pid,
            upstream_addr: r.upstream_addr.as_deref(),
            evidence: &r.evidence,
            advice: &r.advice,
        }
    }
}
