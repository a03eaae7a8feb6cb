//! The verdict on an answer of 5xx as a record.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    super::{Certainty, EndHow, OomScope, outcome::end_signal, units::ms},
    advice::advice,
    cause::OriginCause,
    evidence::{OriginEvidence, Upstream},
    rules::{From, judge},
    words::evidence,
};
use crate::diagnose::End;

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
    /// Connections that it opened or used behind it for this request.
    pub upstream_tries: u32,
    pub upstream_addr: Option<String>,
    pub upstream_process: Option<String>,
    pub upstream_pid: Option<u32>,
    pub upstream_unit: Option<String>,
    pub upstream_container: Option<String>,
    pub upstream_end_how: Option<EndHow>,
    pub upstream_end_signal: Option<String>,
    pub upstream_end_code: Option<i32>,
    pub upstream_oom_scope: Option<OomScope>,
    pub upstream_bytes_sent: Option<u64>,
    pub upstream_bytes_received: Option<u64>,
    /// Status of the upstream's own answer.
    pub upstream_status: Option<u16>,
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
    // Where nobody took the connection, nobody stands behind it.
    let behind = told.and_then(|upstream| upstream.process.as_ref()).filter(|_| cause != OriginCause::UpstreamRefused);
    let how = how(cause);
    let end = told.filter(|_| how.is_some()).map(|upstream| upstream.end);
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
        upstream_tries: e.tries,
        upstream_addr: told.map(|upstream| upstream.address.to_string()),
        upstream_process: behind.map(|process| process.name.clone()),
        upstream_pid: behind.map(|process| process.pid).filter(|pid| *pid != 0),
        upstream_unit: behind.and_then(|process| process.unit.clone()),
        upstream_container: behind.and_then(|process| process.container.clone()),
        upstream_end_how: how,
        upstream_end_signal: end.and_then(end_signal),
        upstream_end_code: match end {
            Some(End::Exited(code) | End::ExitedAfter(code)) => Some(i32::from(code)),
            _ => None,
        },
        upstream_oom_scope: told.filter(|_| cause == OriginCause::OomKill).and_then(|upstream| upstream.oom_scope),
        upstream_bytes_sent: told.map(|upstream| upstream.sent),
        upstream_bytes_received: told.map(|upstream| upstream.received),
        upstream_status: told.and_then(|upstream| upstream.answer).and_then(|answer| answer.status),
        evidence: evidence(e, cause, from),
        advice: advice(e, cause, told),
    }
}

/// How the upstream's process ended, where that is the cause.
const fn how(cause: OriginCause) -> Option<EndHow> {
    match cause {
        OriginCause::OomKill => Some(EndHow::Oom),
        OriginCause::Crash => Some(EndHow::Crash),
        OriginCause::SupervisorKill | OriginCause::ProcessKilled => Some(EndHow::Killed),
        OriginCause::ProcessExit => Some(EndHow::Exit),
        _ => None,
    }
}
