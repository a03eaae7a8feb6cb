//! The verdict as sinks get it.

use std::net::IpAddr;

use serde::Serialize;

use super::{Cause, Certainty, EndHow, FirewallHook, OomScope, ResetBy, Symptom, upstream::UpstreamFields};

/// One failure: the record of the outward contract, in its order. `None` is "not known", never a guess.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    pub schema: u32,
    pub time: jiff::Timestamp,
    pub cause: Cause,
    pub edge_status: Option<u16>,
    pub certainty: Certainty,
    pub symptom: Symptom,
    pub peer_addr: IpAddr,
    pub peer_port: u16,
    pub local_addr: IpAddr,
    pub local_port: u16,
    /// What the edge had connected to, where NAT led it elsewhere.
    pub published_addr: Option<IpAddr>,
    pub published_port: Option<u16>,
    pub edge_range: Option<String>,
    pub netns: Option<u32>,
    pub reused: Option<bool>,
    /// Exchanges on the connection, the failed one included.
    pub exchanges: Option<u64>,
    pub age_ms: Option<f64>,
    pub idle_ms: Option<f64>,
    /// Since the last byte of the request came.
    pub request_age_ms: Option<f64>,
    pub bytes_received: Option<u64>,
    pub bytes_sent: Option<u64>,
    pub ray: Option<String>,
    pub method: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
    /// `1.1`, or `2`. `None`: the exchange could not be read.
    pub http_version: Option<&'static str>,
    /// The stream of HTTP/2.
    pub stream_id: Option<u32>,
    /// The error code with which it was reset or refused, by its name in RFC 9113; another one as a number.
    pub h2_error_code: Option<String>,
    /// Who sent that.
    pub h2_error_by: Option<ResetBy>,
    pub response_status: Option<u16>,
    pub response_header_bytes: Option<u64>,
    /// What the edge asked for in its ClientHello.
    pub tls_sni: Option<String>,
    /// The TLS alert that ended the handshake, where it was in the clear.
    pub tls_alert: Option<String>,
    /// netfilter's hook, where a firewall was the cause.
    pub firewall_hook: Option<FirewallHook>,
    pub process: Option<String>,
    pub pid: Option<u32>,
    /// The same in the process's own pid namespace, where that is not the host's.
    pub ns_pid: Option<u32>,
    pub exe: Option<String>,
    pub unit: Option<String>,
    pub container: Option<String>,
    pub end_how: Option<EndHow>,
    pub end_signal: Option<String>,
    pub end_code: Option<i32>,
    pub oom_victim: Option<String>,
    pub oom_scope: Option<OomScope>,
    pub reset_by: Option<ResetBy>,
    pub reset_reason: Option<String>,
    /// What happened behind the process, where that has a part in the failure.
    #[serde(flatten)]
    pub upstream: UpstreamFields,
    pub evidence: Vec<String>,
    pub advice: String,
    /// It came without its request because that was inside TLS. For a summary's hint; no part of the record.
    #[serde(skip)]
    pub(crate) inside_tls: bool,
}
