//! What a record says of an upstream.

use serde::Serialize;

use super::{
    super::{End, EndHow, OomScope, origin::OriginCause, outcome::end_signal},
    seen::Upstream,
};

/// The fields of a record that are about an upstream. `None` is "not known", or that there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UpstreamFields {
    /// Connections that the process in front opened or used behind it for this request.
    pub upstream_tries: Option<u32>,
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
}

impl UpstreamFields {
    /// Of a request for which so many connections were tried; `told`: the one that says why it came out so, and what
    /// happened on it.
    pub(in crate::diagnose) fn of(tries: u32, told: Option<(&Upstream, OriginCause)>) -> Self {
        let tries = Some(tries);
        let Some((upstream, cause)) = told else { return Self { upstream_tries: tries, ..Self::default() } };
        // Where nobody took the connection, nobody stands behind it.
        let behind = upstream.process.as_ref().filter(|_| cause != OriginCause::UpstreamRefused);
        let how = how(cause);
        let end = how.map(|_| upstream.end);
        Self {
            upstream_tries: tries,
            upstream_addr: Some(upstream.address.to_string()),
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
            upstream_oom_scope: upstream.oom_scope.filter(|_| cause == OriginCause::OomKill),
            upstream_bytes_sent: Some(upstream.sent),
            upstream_bytes_received: Some(upstream.received),
            upstream_status: upstream.answer.and_then(|answer| answer.status),
        }
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
