//! The verdict in words: the record with its evidence, one short sentence per observation.

use std::time::Duration;

use super::{
    Attempt, Cause, Certainty, Diagnosis, End, Evidence, Missing, Protocol, Sender, Taken, Trigger,
    rules::{Loss, edge_status, end_signal, end_word, symptom},
    signal,
};
use crate::{
    http::{Fault, Progress},
    tls::Answer,
};

/// Puts the record together.
pub(super) fn record(e: &Evidence, loss: Loss, cause: Cause, certainty: Certainty, advice: String) -> Diagnosis {
    let process = e.process.as_ref().filter(|_| loss != Loss::Refused);
    let by_end = matches!(
        cause,
        Cause::OomKill | Cause::Crash | Cause::ProcessKilled | Cause::SupervisorKill | Cause::ProcessExit
    );
    let attempt = match loss {
        Loss::Attempt(attempt) => Some(attempt),
        _ => None,
    };
    let connection = loss != Loss::Refused && attempt.is_none();
    let counted = connection && !e.seeded || attempt.is_some() && e.exchanges > 0;
    let handshake = e.handshake.as_ref();
    let alert = handshake.and_then(|h| h.origin_alert.or(h.edge_alert)).filter(|_| matches!(loss, Loss::Handshake(_)));
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
        edge_range: None,
        netns: e.netns,
        reused: counted.then_some(e.exchanges > 1 || (loss == Loss::Late && e.exchanges > 0)),
        exchanges: counted.then_some(e.exchanges + u64::from(loss == Loss::Late)),
        age_ms: e.age.map(ms),
        idle_ms: e.idle.filter(|_| connection).map(ms),
        bytes_received: connection.then_some(e.bytes_received),
        bytes_sent: connection.then_some(e.bytes_sent),
        ray: e.request.ray.clone(),
        method: e.request.method.clone(),
        host: e.request.host.clone(),
        path: e.request.path.clone(),
        response_status: e.response.status.filter(|_| loss != Loss::Late),
        response_header_bytes: e.response.header_bytes.filter(|_| loss != Loss::Late),
        tls_sni: handshake.and_then(|h| h.sni.clone()),
        tls_alert: alert.map(|alert| alert.to_string()),
        firewall_hook: attempt.and_then(|attempt| attempt.hook).map(super::Hook::name),
        process: process.map(|process| process.name.clone()),
        pid: process.map(|process| process.pid),
        exe: process.and_then(|process| process.exe.clone()),
        unit: process.and_then(|process| process.unit.clone()),
        container: process.and_then(|process| process.container.clone()),
        end_how: by_end.then(|| end_word(cause)),
        end_signal: end_signal(e.end).filter(|_| by_end),
        end_code: match e.end {
            End::Exited(code) | End::ExitedAfter(code) if by_end => Some(i32::from(code)),
            _ => None,
        },
        oom_victim: process.filter(|_| e.oom).map(|process| format!("{}[{}]", process.name, process.pid)),
        oom_scope: e.oom_scope.filter(|_| e.oom).map(super::OomScope::name),
        reset_by: reset_by(e, attempt),
        reset_reason: e.reset_reason.clone(),
        evidence: evidence(e, loss, by_end),
        advice,
    }
}

/// Who sent the RST that ended it, if one did.
fn reset_by(e: &Evidence, attempt: Option<Attempt>) -> Option<&'static str> {
    match (e.trigger, attempt.map(|attempt| attempt.taken)) {
        (_, Some(Taken::Reset)) => Some("firewall"),
        (Trigger::Rst | Trigger::Refused { .. }, _) | (_, Some(Taken::QueueReset)) => Some("origin"),
        (Trigger::EdgeRst, _) => Some("edge"),
        _ => None,
    }
}

/// Observations, in the order in which they happened.
fn evidence(e: &Evidence, loss: Loss, by_end: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if e.seeded {
        lines.push("the connection was open before the tracer started: its history is unknown".to_owned());
    }
    match loss {
        Loss::Refused => {
            lines.push(if e.trigger == (Trigger::Refused { seen: true }) {
                format!("a SYN to port {} was answered with RST: no socket listens there", e.local.1)
            } else {
                format!("TCP threw away a SYN to port {}, as it does where no socket listens", e.local.1)
            });
            return lines;
        }
        Loss::Unaccepted => lines.push(format!(
            "the connection waited in the accept queue with {} bytes of a request when its listener was closed",
            e.bytes_received
        )),
        Loss::Late => lines.push(late(e)),
        Loss::Fresh => lines.push("the connection was reset before a byte of a request came".to_owned()),
        Loss::Attempt(attempt) => {
            lines.extend(went_missing(e, attempt));
            return lines;
        }
        Loss::Handshake(_) => lines.extend(shaken(e)),
        _ => lines.push(taken(e)),
    }
    lines.extend(response(e, loss));
    match loss {
        Loss::Unanswered if e.protocol == Protocol::Http => lines.push("no response byte was written".to_owned()),
        Loss::Unanswered => lines.push("nothing was written after the last bytes came in".to_owned()),
        Loss::Head => lines.push("the response ended inside its header section".to_owned()),
        Loss::Body => {
            lines.push(format!("the response ended inside its body, {} bytes were sent in all", e.bytes_sent))
        }
        _ => {}
    }
    lines.extend(waiting(e, loss));
    if by_end {
        lines.extend(end(e));
    }
    lines.extend(close(e, loss));
    lines
}

/// What the response looked like.
fn response(e: &Evidence, loss: Loss) -> Option<String> {
    Some(match (loss, e.response.fault) {
        (Loss::Malformed, Some(Fault::StatusLine)) => "the response does not begin with a status line".to_owned(),
        (Loss::Malformed, Some(Fault::Field)) => {
            "a line of the response's header section is no field: no colon, a bad name or a forbidden byte".to_owned()
        }
        (Loss::Malformed, Some(Fault::ContentLength)) => {
            "the response's Content-Length is no number, or two of them differ".to_owned()
        }
        (Loss::Malformed, Some(Fault::ChunkSize)) => {
            "in the chunked body something else stands where the size of a chunk belongs".to_owned()
        }
        (Loss::TooLarge, _) => format!(
            "the response's header section has {}{} bytes, and the edge takes {}",
            if e.response.progress == Progress::InHead { "at least " } else { "" },
            e.response.header_bytes.unwrap_or(0),
            e.limits.header
        ),
        _ => return None,
    })
}

/// For how long the edge waited, and for what.
fn waiting(e: &Evidence, loss: Loss) -> Option<String> {
    let read = span(e.limits.read);
    Some(match loss {
        Loss::Waited => format!("no response byte was sent in {} (the edge's read timeout is {read})", span(e.waited)),
        Loss::StalledHead | Loss::StalledBody => format!(
            "the response stopped inside its {}, {} before (the edge's read timeout is {read})",
            if loss == Loss::StalledHead { "header section" } else { "body" },
            span(e.quiet)
        ),
        Loss::NotRead => format!(
            "the receive window has been shut for {} (the edge's write timeout is {})",
            span(e.waited),
            span(e.limits.write)
        ),
        Loss::Vanished | Loss::VanishedInBody => {
            "the socket was closed without a packet (TCP_REPAIR): the edge goes on waiting".to_owned()
        }
        _ => return None,
    })
}

/// What the handshake shows.
fn shaken(e: &Evidence) -> Vec<String> {
    let Some(h) = &e.handshake else { return Vec::new() };
    let mut lines = Vec::new();
    let sni = h.sni.as_ref().map_or_else(String::new, |sni| format!(" for {sni}"));
    let offered: Vec<_> = h.offered.iter().map(ToString::to_string).collect();
    let offered = if offered.is_empty() { String::new() } else { format!(", offering {}", offered.join(", ")) };
    lines.push(format!("the edge began a TLS handshake{sni}{offered}"));
    match (h.answer, h.agreed) {
        (Answer::PlainHttp, _) => lines.push("the origin answered in plain HTTP".to_owned()),
        (Answer::Garbage, _) => lines.push("the origin answered with bytes that are no TLS".to_owned()),
        (Answer::Nothing, _) => lines.push(format!("the origin did not answer for {}", span(e.waited))),
        (_, Some(version)) => lines.push(format!("they agreed on {version}")),
        _ => {}
    }
    if h.edge_certificate_empty {
        lines.push("the origin asked for a client certificate, and the edge sent none".to_owned());
    }
    if let Some(alert) = h.origin_alert {
        lines.push(format!("the origin sent the alert {alert}"));
    } else if h.origin_alert_encrypted {
        lines.push("the origin sent an encrypted alert, by its size".to_owned());
    }
    if let Some(alert) = h.edge_alert {
        lines.push(format!("the edge sent the alert {alert}"));
    } else if h.edge_alert_encrypted {
        lines.push("the edge sent an encrypted alert in place of its Finished, by its size".to_owned());
    }
    lines
}

/// Which packets went missing, and how.
fn went_missing(e: &Evidence, attempt: Attempt) -> Vec<String> {
    let packets = if attempt.packets == 1 { "1 packet".to_owned() } else { format!("{} packets", attempt.packets) };
    let hook = attempt.hook.map_or_else(String::new, |hook| format!(" in its {} hook", hook.name()));
    let what = match attempt.missing {
        Missing::Syn => "SYN",
        Missing::SynAck => "SYN-ACK",
        Missing::Data => "data of an established connection",
        Missing::Answer => "data to the edge",
    };
    let mut lines = vec![match attempt.taken {
        Taken::Dropped => format!("netfilter dropped {packets}{hook}: {what}, port {}", e.local.1),
        Taken::Reset => format!("netfilter answered with RST and dropped {packets}{hook}: {what}, port {}", e.local.1),
        Taken::Icmp { v6, kind, code } => format!(
            "netfilter answered with ICMP{} type {kind} code {code} and dropped {packets}{hook}: {what}, port {}",
            if v6 { "v6" } else { "" },
            e.local.1
        ),
        Taken::Queue { length, limit } => format!(
            "the accept queue of port {} was full ({length} connections, limit {limit}): the kernel dropped {packets}",
            e.local.1
        ),
        Taken::QueueReset => {
            format!("the accept queue of port {} was full, and the kernel answered with RST", e.local.1)
        }
    }];
    if !matches!(attempt.taken, Taken::Reset | Taken::QueueReset) {
        lines.push(format!("none got through in {}", span(attempt.for_)));
    }
    if attempt.table_full {
        lines.push("the kernel logged that the table of tracked connections (nf_conntrack) is full".to_owned());
    }
    lines
}

fn taken(e: &Evidence) -> String {
    match (e.unread, &e.process) {
        (0, Some(process)) => format!("{} read the request ({} bytes received)", named(process), e.bytes_received),
        (0, None) => format!("the request was read ({} bytes received)", e.bytes_received),
        (unread, _) => format!("{unread} of {} bytes received were never read", e.bytes_received),
    }
}

fn late(e: &Evidence) -> String {
    let after = e.closed_for.map_or_else(String::new, |closed| format!(" {} after the close", span(closed)));
    let bytes = match e.trigger {
        Trigger::Late { bytes } => bytes,
        _ => 0,
    };
    match (e.exchanges, e.idle) {
        (0, _) => format!("the origin closed the fresh connection; {bytes} bytes of a request came{after}"),
        (_, Some(idle)) => {
            format!(
                "the origin closed the connection after {} idle; {bytes} bytes of the next request came{after}",
                span(idle)
            )
        }
        (_, None) => format!("the origin closed the idle connection; {bytes} bytes of the next request came{after}"),
    }
}

/// How the process ended, and who saw to it.
fn end(e: &Evidence) -> Vec<String> {
    let who = e.process.as_ref().map_or_else(|| "the process".to_owned(), named);
    let mut lines = Vec::new();
    if e.oom {
        let scope = match e.oom_scope {
            Some(super::OomScope::Memcg) => " at its control group's memory limit",
            Some(super::OomScope::Global) => " because the host ran out of memory",
            None => "",
        };
        lines.push(format!("the OOM killer chose {who}{scope}"));
        return lines;
    }
    match e.end {
        End::Signaled(number) => lines.push(format!("{who} died of {}", signal::name(number))),
        End::Exited(code) => lines.push(format!("{who} exited with status {code}")),
        End::ExitedAfter(code) => {
            lines.push(format!("{who} closed the connection and exited right after, with status {code}"));
        }
        End::Running => {}
    }
    if let Some(sent) = &e.signal {
        let name = signal::name(sent.number);
        let before = span(sent.before);
        lines.push(match &sent.sender {
            Sender::Own => format!("it had raised {name} itself"),
            Sender::Kernel => format!("the kernel raised {name}: a fault of its own, or a limit"),
            Sender::Master { pid, name: by } => format!("its master {by}[{pid}] had sent {name} {before} before"),
            Sender::OrderedMaster { pid, name: by, by: orderer, with } => {
                let with = signal::name(*with);
                format!("its master {by}[{pid}] had sent {name} {before} before, told to by {with} from {orderer}")
            }
            Sender::MasterTold { pid, name: by, by: orderer } => {
                format!(
                    "its master {by}[{pid}] had been told to stop or reload, by {name} from {orderer}, {before} before"
                )
            }
            Sender::Other { pid, name: by } => format!("{by}[{pid}] had sent {name} {before} before"),
        });
    }
    lines
}

fn close(e: &Evidence, loss: Loss) -> Option<String> {
    let reason = e.reset_reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let by = e.process.as_ref().map_or_else(String::new, |process| format!(" in {}", named(process)));
    Some(match e.trigger {
        Trigger::Fin => format!("FIN sent by the close{by}"),
        Trigger::Rst if e.destroyed => "RST sent because a tool destroyed the socket (ss -K)".to_owned(),
        Trigger::Rst if loss == Loss::Unaccepted => format!("RST sent{reason}"),
        Trigger::Rst => format!("RST sent by the close{by}{reason}"),
        Trigger::Late { .. } => format!("FIN had been sent by the close{by}"),
        Trigger::EdgeFin => "the edge gave up: it sent FIN".to_owned(),
        Trigger::EdgeRst => "the edge gave up: it sent RST".to_owned(),
        Trigger::Refused { .. } | Trigger::Overdue | Trigger::Silent | Trigger::Attempt(_) => return None,
    })
}

fn named(process: &super::Process) -> String {
    format!("{}[{}]", process.name, process.pid)
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// `12 ms`, `5.0 s`, `3.2 min`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.1} min", s / 60.0),
    }
}
