//! The verdict on an answer of 5xx as a record.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    super::{
        Certainty,
        units::ms,
        upstream::{Upstream, UpstreamFields},
    },
    advice::advice,
    cause::OriginCause,
    evidence::OriginEvidence,
    rules::{From, judge},
    words::evidence,
};

/// One answer of 5xx: the record of the outward contract, in its order. `None` is "not known", never a guess.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OriginError {
    pub schema: u32,
    /// Tells it from a failure: always `origin_error`.
    pub kind: &'static str,
    pub time: jiff::Timestamp,
    pub cause: OriginCause,
    /// The same as `response_status`.
    pub edge_status: u16,
    pub certainty: Certainty,
    /// Always `complete`.
    pub symptom: &'static str,
    pub peer_addr: IpAddr,
    pub peer_port: u16,
    pub local_addr: IpAddr,
    pub local_port: u16,
    pub edge_range: Option<String>,
    pub netns: Option<u32>,
    pub reused: Option<bool>,
    /// Exchanges on the connection, this one included.
    pub exchanges: Option<u64>,
    /// `2`, or `1.1`.
    pub http_version: &'static str,
    /// On HTTP/2.
    pub stream_id: Option<u32>,
    pub age_ms: Option<f64>,
    /// From the read of the request to the answer.
    pub response_ms: Option<f64>,
    pub ray: Option<String>,
    pub method: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
    pub response_status: u16,
    /// The owner of the edge's connection.
    pub process: Option<String>,
    pub pid: Option<u32>,
    pub ns_pid: Option<u32>,
    pub exe: Option<String>,
    pub unit: Option<String>,
    pub container: Option<String>,
    /// What it had opened or used behind it for this request.
    #[serde(flatten)]
    pub upstream: UpstreamFields,
    pub evidence: Vec<String>,
    pub advice: String,
}

/// The verdict on one answer of 5xx.
#[must_use]
pub fn origin_error(e: &OriginEvidence) -> OriginError {
    let (cause, certainty, from) = judge(e);
    let told: Option<&Upstream> = match from {
        From::Nowhere => None,
        From::Upstream => e.upstream.as_ref(),
        From::Behind => e.behind.as_ref(),
    };
    let process = e.process.as_ref();
    OriginError {
        schema: 1,
        kind: "origin_error",
        time: e.time,
        cause,
        edge_status: e.status,
        certainty,
        symptom: "complete",
        peer_addr: e.peer.0,
        peer_port: e.peer.1,
        local_addr: e.local.0,
        local_port: e.local.1,
        edge_range: None,
        netns: e.netns,
        reused: e.exchanges.map(|exchanges| exchanges > 1),
        exchanges: e.exchanges,
        http_version: if e.stream.is_some() { "2" } else { "1.1" },
        stream_id: e.stream,
        age_ms: e.age.map(ms),
        response_ms: e.took.map(ms),
        ray: e.request.ray.clone(),
        method: e.request.method.clone(),
        host: e.request.host.clone(),
        path: e.request.path.clone(),
        response_status: e.status,
        process: process.map(|process| process.name.clone()),
        pid: process.map(|process| process.pid),
        ns_pid: process.and_then(|process| process.ns_pid),
        exe: process.and_then(|process| process.exe.clone()),
        unit: process.and_then(|process| process.unit.clone()),
        container: process.and_then(|process| process.container.clone()),
        upstream: UpstreamFields::of(e.tries, told.map(|upstream| (upstream, cause))),
        evidence: evidence(e, cause, from),
        advice: advice(e, cause, told),
    }
}
