//! The evidence in words: one short sentence per observation.

use std::time::Duration;

use super::{
    Attempt, End, Evidence, Missing, OomScope, Protocol, ResetBy, Sender, Stream, StreamEnd, Symptom, Taken, Trigger,
    behind::Part,
    context::{around, is_unaccepted, published},
    handshake::{Broken, left_by_origin},
    lost::Loss,
    outcome::request_age,
    rules::is_cut,
    signal,
    units::{many, named, span},
    upstream::connection,
};
use crate::{
    http::{Fault, Lacks, Progress, Unfinished, h2},
    tls::Answer,
};

/// The longest tick that a kernel counts times in.
const TICK: Duration = Duration::from_millis(10);

/// Observations, in the order in which they happened.
pub(super) fn evidence(e: &Evidence, loss: Loss, part: Option<Part<'_>>, by_end: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if e.seeded {
        lines.push("the connection was open before the tracer started: its history is unknown".to_owned());
    }
    lines.extend(published(e));
    if e.decrypted {
        lines.push("the exchange was read inside TLS, with the secrets of its session".to_owned());
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
            "nobody had accepted the connection: it waited in the accept queue with {} bytes of a request when its \
             listener was closed",
            e.bytes_received
        )),
        Loss::Late => lines.push(late(e)),
        Loss::Fresh => lines.push("the connection was reset before a byte of a request came".to_owned()),
        Loss::Attempt(attempt) => {
            lines.extend(went_missing(e, attempt));
            if matches!(attempt.taken, Taken::Queue { .. } | Taken::QueueReset) {
                lines.extend(around(e, loss));
            }
            return lines;
        }
        Loss::Handshake(broken) => {
            lines.extend(is_unaccepted(e).then(|| taken(e)));
            lines.extend(shaken(e, broken));
            lines.extend(e.is_unacknowledged().then(|| unacknowledged(e)));
        }
        _ => lines.push(taken(e)),
    }
    lines.extend(e.stream.and_then(|stream| ended(stream, loss)));
    match e.unfinished.filter(|_| matches!(loss, Loss::Unanswered | Loss::Head)) {
        Some(unfinished) => lines.push(lacking(e, unfinished)),
        None => lines.extend(age(e, loss)),
    }
    lines.extend(response(e, loss));
    match loss {
        Loss::Unanswered if e.response.interim => {
            lines.push("an interim response (1xx) was sent, and no byte of the final one was written".to_owned());
        }
        Loss::Unanswered if e.protocol == Protocol::Http => lines.push("no response byte was written".to_owned()),
        Loss::Unanswered => lines.push("nothing was written after the last bytes came in".to_owned()),
        Loss::Head if is_cut(e) => lines.push("of a response only interim ones (1xx) were written".to_owned()),
        Loss::Head => lines.push("the response ended inside its header section".to_owned()),
        Loss::Body => lines.push(body(e)),
        _ => {}
    }
    lines.extend(waiting(e, loss));
    lines.extend(part.into_iter().flat_map(|part| happened(e, part)));
    lines.extend(around(e, loss));
    if by_end {
        lines.extend(end(e));
    }
    lines.extend(close(e, loss));
    lines
}

/// What happened behind the process.
fn happened(e: &Evidence, part: Part<'_>) -> Vec<String> {
    let owner = e.process.as_ref().map_or_else(|| "the process".to_owned(), named);
    let Some(behind) = &e.behind else { return Vec::new() };
    let mut lines = Vec::new();
    if part.tries > 1 {
        lines.push(format!("{owner} tried {}; told is the last one", many(part.tries, "upstream connection")));
    }
    if behind.upstream.ambiguous {
        lines.push(format!("which of its connections {owner} had opened for this one is inferred"));
    }
    lines.extend(connection(&behind.upstream, &owner));
    if part.is_next {
        let server = behind.upstream.process.as_ref().map_or_else(|| behind.upstream.address.to_string(), named);
        lines.extend(connection(part.upstream, &server));
    }
    lines
}

/// An error code of HTTP/2, by its name where it has one.
pub(super) fn error_text(code: u32) -> String {
    h2::error_name(code).map_or_else(|| format!("{code:#x}"), str::to_owned)
}

/// What ended the stream.
fn ended(stream: Stream, loss: Loss) -> Option<String> {
    let who = |by: ResetBy| by.name();
    Some(match stream.end {
        StreamEnd::Connection => return None,
        StreamEnd::Reset { by, code } => {
            let code = code.map_or_else(String::new, |code| format!(" with {}", error_text(code)));
            format!("the {} reset stream {}{code} (RST_STREAM)", who(by), stream.id)
        }
        StreamEnd::GoAway { by, code } => {
            format!("the {} sent GOAWAY with {}: stream {} gets no answer", who(by), error_text(code), stream.id)
        }
        StreamEnd::NotHttp2 => "what the origin sent is no HTTP/2".to_owned(),
        StreamEnd::Short if loss == Loss::Body => {
            "the response ended before as many bytes had come as its content-length says".to_owned()
        }
        StreamEnd::Short => return None,
    })
}

/// How much of the request had yet to come, and for how long nothing came.
fn lacking(e: &Evidence, Unfinished { came, lacks }: Unfinished) -> String {
    let (announced, had) = match lacks {
        Lacks::Head => ("the request's header section had not ended".to_owned(), "bytes of it had come"),
        Lacks::Body { announced, at_least } => {
            let at_least = if at_least { "at least " } else { "" };
            (format!("the request announced {at_least}{announced} bytes"), "had come")
        }
        Lacks::Chunks => ("the last chunk of the request's body had not come".to_owned(), "bytes of the request had"),
    };
    let waited = if e.waited < TICK {
        format!("the last of them less than {} before the close", span(TICK))
    } else {
        format!("nothing came for {} before the close", span(e.waited))
    };
    format!("{announced}, {came} {had}, {waited}")
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
        (Loss::TooLarge, _) if e.response.header_bytes.is_none() => format!(
            "the response's header section has {} bytes as HPACK compresses it, and the edge takes {} uncompressed",
            e.stream.map_or(0, |stream| stream.block_bytes),
            e.limits.header
        ),
        (Loss::TooLarge, _) => format!(
            "the response's header section has {}{} bytes, and the edge takes {}",
            if e.response.progress == Progress::InHead { "at least " } else { "" },
            e.response.header_bytes.unwrap_or(0),
            e.limits.header
        ),
        _ => return None,
    })
}

/// A response that ended in its body. The count stands beside it only where it holds the header section at least.
fn body(e: &Evidence) -> String {
    if e.bytes_sent > 0 && e.bytes_sent >= e.response.header_bytes.unwrap_or(0) {
        format!("the response ended inside its body, {} bytes were sent in all", e.bytes_sent)
    } else {
        "the response ended inside its body".to_owned()
    }
}

/// For how long the edge waited, and for what.
fn waiting(e: &Evidence, loss: Loss) -> Option<String> {
    let read = span(e.limits.read);
    Some(match loss {
        Loss::Waited if e.response.interim => format!(
            "an interim response (1xx) was sent, and no byte of the final one in {} (the edge waits for {read})",
            span(e.waited.min(e.quiet))
        ),
        Loss::Waited => format!("no response byte was sent in {} (the edge's read timeout is {read})", span(e.waited)),
        Loss::StalledHead | Loss::StalledBody => format!(
            "the response stopped inside its {}, {} before (the edge's read timeout is {read})",
            if loss == Loss::StalledHead { "header section" } else { "body" },
            span(e.quiet)
        ),
        Loss::Reply => unacknowledged(e),
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

/// What got lost on its way to the edge. The window is named because one that reads slowly shuts it.
fn unacknowledged(e: &Evidence) -> String {
    let before = if e.acked == 0 { String::new() } else { format!(", after {} bytes of the response", e.acked) };
    format!(
        "{} bytes to the edge stood unacknowledged for {}{before}: the first of them were sent again {}, and its \
         window was open",
        e.unacked,
        span(e.stuck),
        many(e.retransmits.into(), "time")
    )
}

/// What the handshake shows.
fn shaken(e: &Evidence, broken: Broken) -> Vec<String> {
    let Some(h) = &e.handshake else { return Vec::new() };
    let mut lines = Vec::new();
    let sni = h.sni.as_ref().map_or_else(String::new, |sni| format!(" for {sni}"));
    let offered: Vec<_> = h.offered.iter().map(ToString::to_string).collect();
    let offered = if offered.is_empty() { String::new() } else { format!(", offering {}", offered.join(", ")) };
    lines.push(format!("the edge began a TLS handshake{sni}{offered}"));
    if let Some((came, all)) = h.hello_cut {
        lines.push(if left_by_origin(e) {
            format!("the origin closed after {came} of {all} bytes of the ClientHello")
        } else {
            format!("only {came} of {all} bytes of the ClientHello came")
        });
    }
    match (h.answer, h.agreed) {
        (Answer::PlainHttp, _) => lines.push("the origin answered in plain HTTP".to_owned()),
        (Answer::Garbage, _) => lines.push("the origin answered with bytes that are no TLS".to_owned()),
        (Answer::Nothing, _) if h.hello_cut.is_some() && left_by_origin(e) => {}
        (Answer::Nothing, _) => lines.push(format!("the origin did not answer for {}", span(e.waited))),
        (_, Some(version)) => lines.push(format!("they agreed on {version}")),
        _ => {}
    }
    if broken.symptom == Symptom::TlsNoAnswer && h.answer != Answer::Nothing {
        let what = if e.unread > 0 { "left the edge's answer unread" } else { "did not answer the edge" };
        lines.push(format!("after its first messages the origin {what} for {}", span(e.waited)));
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
    let packets = many(attempt.packets, "packet");
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
        Taken::SynQueue { length, limit } => format!(
            "the SYN queue of port {} was full ({length} half-open connections, limit {limit}) and SYN cookies are \
             off: the kernel dropped {packets}",
            e.local.1
        ),
        Taken::Lost => format!(
            "the SYN-ACK from port {} was sent again {}, and nothing in this host took it",
            e.local.1,
            many(attempt.packets, "time")
        ),
        Taken::QueueReset => {
            format!("the accept queue of port {} was full, and the kernel answered with RST", e.local.1)
        }
    }];
    if !matches!(attempt.taken, Taken::Reset | Taken::QueueReset) {
        let none = if attempt.taken == Taken::Lost { "no answer to it came" } else { "none got through" };
        lines.push(format!("{none} in {}", span(attempt.for_)));
    }
    if attempt.table_full {
        lines.push("the kernel logged that the table of tracked connections (nf_conntrack) is full".to_owned());
    }
    lines
}

fn taken(e: &Evidence) -> String {
    if is_unaccepted(e) {
        return format!(
            "nobody has accepted the connection: it waits in the accept queue with {} bytes of a request",
            e.bytes_received
        );
    }
    if let Some(stream) = e.stream {
        let who = e.process.as_ref().map_or_else(|| "the process".to_owned(), named);
        return format!("{who} had the request on stream {} of a connection that speaks HTTP/2", stream.id);
    }
    match (e.unread, &e.process) {
        (0, process) => {
            let who = process.as_ref().map_or_else(|| "the process".to_owned(), named);
            let what = if e.unfinished.is_some() { "what came of the request" } else { "the request" };
            format!("{who} read {what} ({} bytes received)", e.bytes_received)
        }
        (unread, _) => format!("{unread} of {} bytes received were never read", e.bytes_received),
    }
}

/// How old the request was: what a timeout of the server's is compared with. Where the edge waited in vain, its own
/// sentence says it.
fn age(e: &Evidence, loss: Loss) -> Option<String> {
    let age = request_age(e, loss).filter(|_| !matches!(loss, Loss::Waited | Loss::NotRead))?;
    let what = if e.bodyless { "the request's last byte" } else { "the last byte from the edge" };
    let before = if age < TICK { format!("less than {}", span(TICK)) } else { span(age) };
    Some(format!("{what} had come {before} before"))
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
            Some(OomScope::Memcg) => " at its control group's memory limit",
            Some(OomScope::Global) => " because the host ran out of memory",
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
    if e.outlived {
        lines
            .push("its socket stayed open in another process, a child perhaps: so the edge went on waiting".to_owned());
    }
    if let Some(sent) = &e.signal {
        let name = signal::name(sent.number);
        let before = if sent.before.is_zero() { "right after".to_owned() } else { span(sent.before) + " before" };
        lines.push(match &sent.sender {
            Sender::Own => format!("it had raised {name} itself"),
            Sender::Kernel => format!("the kernel raised {name}: a fault of its own, or a limit"),
            Sender::Master { pid, name: by } => format!("its master {by}[{pid}] had sent {name} {before}"),
            Sender::OrderedMaster { pid, name: by, by: orderer, with } => {
                let with = signal::name(*with);
                format!("its master {by}[{pid}] had sent {name} {before}, told to by {with} from {orderer}")
            }
            Sender::MasterTold { pid, name: by, by: orderer } => {
                format!("its master {by}[{pid}] had been told to stop or reload, by {name} from {orderer}, {before}")
            }
            Sender::Other { pid, name: by } => format!("{by}[{pid}] had sent {name} {before}"),
        });
    }
    lines
}

fn close(e: &Evidence, loss: Loss) -> Option<String> {
    let reason = e.reset_reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let by = e.process.as_ref().map_or_else(String::new, |process| format!(" in {}", named(process)));
    Some(match e.trigger {
        Trigger::Fin if e.close_notify => {
            format!("close_notify (the end of a TLS connection) sent{by}; then the edge closed the connection")
        }
        Trigger::Fin => format!("FIN sent by the close{by}"),
        Trigger::Rst if e.destroyed => "RST sent because a tool destroyed the socket (ss -K)".to_owned(),
        Trigger::Rst if loss == Loss::Unaccepted => format!("RST sent{reason}"),
        Trigger::Rst => format!("RST sent by the close{by}{reason}"),
        Trigger::Late { .. } => format!("FIN had been sent by the close{by}"),
        Trigger::EdgeFin => "the edge gave up: it sent FIN".to_owned(),
        Trigger::EdgeRst => "the edge gave up: it sent RST".to_owned(),
        Trigger::Refused { .. } | Trigger::Overdue | Trigger::Silent | Trigger::Stream | Trigger::Attempt(_) => {
            return None;
        }
    })
}
