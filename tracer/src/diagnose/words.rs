//! The verdict in words: the record with its evidence, one short sentence per observation.

use std::time::Duration;

use super::{
    Cause, Certainty, Diagnosis, End, Evidence, Protocol, Sender, Trigger,
    rules::{Loss, edge_status, end_signal, end_word, symptom},
    signal,
};

/// Puts the record together.
pub(super) fn record(e: &Evidence, loss: Loss, cause: Cause, certainty: Certainty, advice: String) -> Diagnosis {
    let process = e.process.as_ref().filter(|_| loss != Loss::Refused);
    let by_end = matches!(
        cause,
        Cause::OomKill | Cause::Crash | Cause::ProcessKilled | Cause::SupervisorKill | Cause::ProcessExit
    );
    let connection = loss != Loss::Refused;
    Diagnosis {
        schema: 1,
        time: e.time,
        cause,
        edge_status: edge_status(loss),
        certainty,
        symptom: symptom(e, loss),
        peer_addr: e.peer.0,
        peer_port: e.peer.1,
        local_addr: e.local.0,
        local_port: e.local.1,
        edge_range: None,
        netns: e.netns,
        reused: (connection && !e.seeded).then_some(e.exchanges > 1 || (loss == Loss::Late && e.exchanges > 0)),
        exchanges: (connection && !e.seeded).then_some(e.exchanges + u64::from(loss == Loss::Late)),
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
        reset_by: matches!(e.trigger, Trigger::Rst | Trigger::Refused).then_some("origin"),
        reset_reason: e.reset_reason.clone(),
        evidence: evidence(e, loss, by_end),
        advice,
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
            lines.push(format!("a SYN to port {} was answered with RST: no socket listens there", e.local.1));
            return lines;
        }
        Loss::Unaccepted => lines.push(format!(
            "the connection waited in the accept queue with {} bytes of a request when its listener was closed",
            e.bytes_received
        )),
        Loss::Late => lines.push(late(e)),
        Loss::Fresh => lines.push("the connection was reset before a byte of a request came".to_owned()),
        Loss::Unanswered | Loss::Head | Loss::Body => lines.push(taken(e)),
    }
    match loss {
        Loss::Unanswered if e.protocol == Protocol::Http => lines.push("no response byte was written".to_owned()),
        Loss::Unanswered => lines.push("nothing was written after the last bytes came in".to_owned()),
        Loss::Head => lines.push("the response ended inside its header section".to_owned()),
        Loss::Body => {
            lines.push(format!("the response ended inside its body, {} bytes were sent in all", e.bytes_sent))
        }
        _ => {}
    }
    if by_end {
        lines.extend(end(e));
    }
    lines.extend(close(e, loss));
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
        Trigger::Refused => return None,
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
