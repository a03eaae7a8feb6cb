//! The verdict as a record.

use super::{
    Attempt, Cause, Certainty, Diagnosis, End, Evidence, Protocol, ResetBy, Stream, Taken, Trigger,
    advice::advice,
    behind::Part,
    lost::Loss,
    outcome::{edge_status, end_how, end_signal, request_age, symptom},
    units::ms,
    upstream::UpstreamFields,
    words::{error_text, evidence},
};

/// Puts the record together. `part`: what happened behind; `by_end`: the end of the process that held the connection
/// is the cause.
pub(super) fn record(
    e: &Evidence,
    loss: Loss,
    (cause, certainty): (Cause, Certainty),
    part: Option<Part<'_>>,
    by_end: bool,
) -> Diagnosis {
    let process = e.process.as_ref().filter(|_| loss != Loss::Refused);
    let attempt = match loss {
        Loss::Attempt(attempt) => Some(attempt),
        _ => None,
    };
    let connection = loss != Loss::Refused && attempt.is_none();
    let counted = connection && !e.seeded || attempt.is_some() && e.exchanges > 0;
    let handshake = e.handshake.as_ref();
    let alert = handshake.and_then(|h| h.origin_alert.or(h.edge_alert)).filter(|_| matches!(loss, Loss::Handshake(_)));
    let h2_error = e.stream.and_then(Stream::error);
    Diagnosis {
        schema: 1,
        time: e.time,
        cause,
        edge_status: edge_status(e, loss),
        certainty,
        symptom: symptom(e, loss),
        peer_addr: e.peer.0,
        peer_port: e.peer.1,
        local_addr: e.local.0,
        local_port: e.local.1,
        published_addr: e.around.published.map(|published| published.ip()),
        published_port: e.around.published.map(|published| published.port()),
        edge_range: None,
        netns: e.netns,
        reused: counted.then_some(e.exchanges > 1 || (loss == Loss::Late && e.exchanges > 0)),
        exchanges: counted.then_some(e.exchanges + u64::from(loss == Loss::Late)),
        age_ms: e.age.map(ms),
        idle_ms: e.idle.filter(|_| connection).map(ms),
        request_age_ms: request_age(e, loss).map(ms),
        bytes_received: connection.then_some(e.bytes_received),
        bytes_sent: connection.then_some(e.bytes_sent),
        ray: e.request.ray.clone(),
        method: e.request.method.clone(),
        host: e.request.host.clone(),
        path: e.request.path.clone(),
        http_version: http_version(e),
        stream_id: e.stream.map(|stream| stream.id),
        h2_error_code: h2_error.map(|(code, _)| error_text(code)),
        h2_error_by: h2_error.map(|(_, by)| by),
        response_status: e.response.status.filter(|_| loss != Loss::Late),
        response_header_bytes: e.response.header_bytes.filter(|_| loss != Loss::Late),
        tls_sni: handshake.and_then(|h| h.sni.clone()),
        tls_alert: alert.map(|alert| alert.to_string()),
        firewall_hook: attempt.and_then(|attempt| attempt.hook),
        process: process.map(|process| process.name.clone()),
        pid: process.map(|process| process.pid),
        ns_pid: process.and_then(|process| process.ns_pid),
        exe: process.and_then(|process| process.exe.clone()),
        unit: process.and_then(|process| process.unit.clone()),
        container: process.and_then(|process| process.container.clone()),
        end_how: by_end.then(|| end_how(cause)),
        end_signal: end_signal(e.end).filter(|_| by_end),
        end_code: end_code(e.end).filter(|_| by_end),
        oom_victim: process.filter(|_| e.oom).map(|process| format!("{}[{}]", process.name, process.pid)),
        oom_scope: e.oom_scope.filter(|_| e.oom),
        reset_by: reset_by(e, attempt),
        reset_reason: e.reset_reason.clone(),
        upstream: part.map_or_else(UpstreamFields::default, |part| {
            UpstreamFields::of(part.tries, Some((part.upstream, part.cause)))
        }),
        evidence: evidence(e, loss, part, by_end),
        advice: advice(cause, e, loss, part),
        inside_tls: is_inside_tls(e, loss),
    }
}

/// The version in which the request was read.
fn http_version(e: &Evidence) -> Option<&'static str> {
    match e.stream {
        Some(_) => Some("2"),
        None => e.request.method.is_some().then_some("1.1"),
    }
}

/// Whether there was a request that only its session's secrets would have shown.
fn is_inside_tls(e: &Evidence, loss: Loss) -> bool {
    let had_request =
        !matches!(loss, Loss::Refused | Loss::Unaccepted | Loss::Fresh | Loss::Handshake(_) | Loss::Attempt(_));
    had_request && e.protocol == Protocol::Tls && !e.decrypted && (e.exchanges > 0 || loss == Loss::Late)
}

/// The status that a process exited with.
fn end_code(end: End) -> Option<i32> {
    match end {
        End::Exited(code) | End::ExitedAfter(code) => Some(i32::from(code)),
        End::Running | End::Signaled(_) => None,
    }
}

/// Who sent the RST that ended it, if one did.
fn reset_by(e: &Evidence, attempt: Option<Attempt>) -> Option<ResetBy> {
    match (e.trigger, attempt.map(|attempt| attempt.taken)) {
        (_, Some(Taken::Reset)) => Some(ResetBy::Firewall),
        (Trigger::Rst | Trigger::Refused { .. }, _) | (_, Some(Taken::QueueReset)) => Some(ResetBy::Origin),
        (Trigger::EdgeRst, _) => Some(ResetBy::Edge),
        _ => None,
    }
}
