//! From a record of the kernel to evidence: names for numbers, durations for clocks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tracer_common::{
    AttemptConnRecord, AttemptRecord, Conn, ConnRecord, RefusedRecord, Tuple, attempt, conn_flags as flag,
    errno::ECONNABORTED, hook, limits, origin_flags, rst, taken, triggers,
};

use super::{
    Clock, State, TABLE_FULL,
    ends::{end, name},
    inside,
};
use crate::{
    diagnose::{Attempt, End, Evidence, FirewallHook, Missing, OomScope, Process, Protocol, Taken, Trigger},
    http::{Chunks, Exchange, Progress, Request, Response, Seen, Unfinished, without_proxy_header},
    tls::Handshake,
};

impl State {
    /// What the record of a connection says.
    pub(super) fn evidence(&self, record: &ConnRecord, clock: &Clock) -> Evidence {
        let (conn, close) = (&record.conn, &record.conn.close);
        let said = self.said.as_ref();
        let alert = said.and_then(inside::alert).filter(|_| conn.exchanges <= 1);
        let refused = alert.map(inside::refused).or_else(|| inside::without_certificate(conn, Some(said?)));
        let protocol = match said {
            Some(_) if refused.is_none() => Protocol::Http,
            _ => protocol(conn),
        };
        let late = record.trigger == triggers::LATE;
        let Exchange { request, response, unfinished } =
            said.map_or_else(|| exchange(record, protocol), |said| inside::exchange(record, said));
        let destroyed = close.err == ECONNABORTED;
        let (end, signal) = end(&conn.closer, &record.signal, close.time_ns);
        let seeded = conn.flags & flag::SEEDED != 0;
        let closed_for = Duration::from_nanos(record.header.time_ns.saturating_sub(close.time_ns));
        // Who left first: the edge, or the origin by saying that it says no more?
        let edge_first = said.is_some_and(|said| inside::edge_left_first(conn, said));
        let edge_left = matches!(record.trigger, triggers::EDGE_FIN | triggers::EDGE_RST);
        let close_notify = edge_left && !edge_first && said.is_some_and(inside::is_closed);
        Evidence {
            time: clock.at(record.header.time_ns),
            trigger: match trigger(record) {
                _ if close_notify => Trigger::Fin,
                Trigger::Fin | Trigger::Rst if edge_first => Trigger::EdgeFin,
                trigger => trigger,
            },
            peer: (addr(conn.tuple.peer_addr), conn.tuple.peer_port),
            local: (addr(conn.tuple.local_addr), conn.tuple.local_port),
            netns: Some(conn.tuple.netns).filter(|netns| *netns != 0),
            seeded,
            protocol,
            accepted: close.accepted != 0 || late || destroyed,
            exchanges: conn.exchanges.into(),
            turns: conn.turns.into(),
            age: (!seeded).then(|| Duration::from_nanos(record.header.time_ns.saturating_sub(conn.opened_ns))),
            idle: Some(idle(record, protocol, clock)),
            closed_for: late.then_some(closed_for),
            bytes_received: received(conn),
            bytes_sent: sent(conn),
            unread: close.unread,
            unacked: close.unacked,
            retransmits: close.retransmits,
            stuck: jiffies_of(close.stuck_jiffies, clock),
            acked: acked(conn).into(),
            window: close.window,
            waited: jiffies_of(close.received_jiffies_ago, clock),
            quiet: jiffies_of(close.sent_jiffies_ago, clock),
            since_read: close.since_read,
            turn_may_be_request: conn.turn_may_be_request(),
            was_left: conn.was_left(),
            turn_out: conn.turn_out,
            bodyless: conn.flags & flag::BODYLESS != 0
                || said.is_some() && matches!(request.method.as_deref(), Some("GET" | "HEAD")),
            request_head: if said.is_some() { None } else { request_head(record, protocol) },
            unfinished,
            request,
            response,
            stream: None,
            handshake: (protocol == Protocol::Tls && !late).then(|| refused.unwrap_or_else(|| shaken(record))),
            decrypted: said.is_some(),
            close_notify,
            limits: self.limits,
            process: self.owner(record, end),
            end: if destroyed { End::Running } else { end },
            oom: conn.closer.oom != 0 && !destroyed,
            oom_scope: self.scope(conn.closer.tgid),
            signal,
            reset_reason: reason(record.rst_reason, &self.rst_reasons),
            destroyed,
            outlived: false,
            behind: None,
            around: self.around.clone(),
        }
    }

    /// The process that held the socket: the one that closed it, unless that was a mere helper of the owner.
    fn owner(&self, record: &ConnRecord, end: End) -> Option<Process> {
        let (conn, closer) = (&record.conn, &record.conn.closer);
        let destroyed = conn.close.err == ECONNABORTED;
        if closer.tgid != 0 && !destroyed && (end != End::Running || conn.owner == 0 || conn.owner == closer.tgid) {
            return Some(self.process(closer.tgid, closer.start_ns, name(&closer.comm)));
        }
        self.reader(conn)
    }

    /// The process that last read from the connection; of one that was open at the start, the one that held it then.
    pub(super) fn reader(&self, conn: &Conn) -> Option<Process> {
        if conn.owner != 0 {
            return Some(self.process(conn.owner, conn.owner_start_ns, name(&conn.owner_comm)));
        }
        let (pid, comm) = self.seeded_owners.get(&conn.inode.into())?;
        Some(self.process(*pid, 0, comm.clone()))
    }

    pub(super) fn process(&self, pid: u32, start_ns: u64, name: String) -> Process {
        let facts = self.processes.get((pid, start_ns), &name).unwrap_or_default();
        Process { name, pid, exe: facts.exe, unit: facts.unit, container: facts.container, ns_pid: facts.ns_pid }
    }

    pub(super) fn scope(&self, pid: u32) -> Option<OomScope> {
        self.oom_scopes.iter().rev().find(|(victim, _)| *victim == pid).map(|(_, scope)| *scope)
    }
}

/// The handshake. A request that comes while the origin closes may have taken the place of its first bytes.
fn shaken(record: &ConnRecord) -> Handshake {
    let kept = handshake(record);
    if kept.hello { kept } else { inside::without_certificate(&record.conn, None).unwrap_or(kept) }
}

/// What the connection speaks, by the kernel's look at its first bytes.
fn protocol(conn: &Conn) -> Protocol {
    if conn.flags & flag::HTTP != 0 {
        Protocol::Http
    } else if conn.flags & flag::TLS != 0 {
        Protocol::Tls
    } else if conn.flags & flag::SNIFFED != 0 {
        Protocol::Other
    } else {
        Protocol::Opaque
    }
}

/// Bytes that came from the edge. The kernel counts the edge's FIN as one: it is known as such where nobody has read,
/// and on the first request of a connection whose bytes are looked at.
fn received(conn: &Conn) -> u64 {
    let (close, has) = (&conn.close, |bit| conn.flags & bit != 0);
    let bytes = if conn.turns == 0 && close.unread > 0 {
        close.unread
    } else if has(flag::HTTP) && conn.exchanges == 1 && !has(flag::SEEDED | flag::PIPELINED) {
        conn.request_len
    } else {
        return close.bytes_received;
    };
    if close.bytes_received == u64::from(bytes) + 1 { bytes.into() } else { close.bytes_received }
}

/// Bytes that went to the edge. What a process had written and the kernel not yet sent at the close goes out after it:
/// of the current response as much as was seen on the wire had been sent.
fn sent(conn: &Conn) -> u64 {
    let response = if conn.is_awaited() { 0 } else { conn.response_len };
    conn.close.bytes_sent.max(response.into())
}

/// Bytes of the response that the edge acknowledged.
fn acked(conn: &Conn) -> u32 {
    let close = &conn.close;
    let written = if conn.flags & flag::HTTP != 0 { close.response_bytes } else { close.since_read };
    written.saturating_sub(close.unacked)
}

fn trigger(record: &ConnRecord) -> Trigger {
    match record.trigger {
        triggers::FIN => Trigger::Fin,
        triggers::LATE => Trigger::Late { bytes: record.conn.late_len },
        triggers::EDGE_FIN => Trigger::EdgeFin,
        triggers::EDGE_RST => Trigger::EdgeRst,
        triggers::OVERDUE => Trigger::Overdue,
        triggers::SILENT => Trigger::Silent,
        triggers::HELLO | triggers::STREAM => Trigger::Stream,
        _ => Trigger::Rst,
    }
}

/// Since the last data in either direction, up to the origin's close.
///
/// A TLS origin sends an alert (close_notify) before it closes. If what the edge had not acknowledged fits into an
/// alert, nothing else can have gone out since the edge's last data, and the alert does not count as data.
fn idle(record: &ConnRecord, protocol: Protocol, clock: &Clock) -> Duration {
    let close = &record.conn.close;
    let is_alert = record.trigger == triggers::LATE
        && match protocol {
            Protocol::Tls => close.unacked <= limits::MAX_TLS_ALERT,
            Protocol::Opaque => (1..=limits::MAX_TLS_ALERT).contains(&close.unacked),
            Protocol::Http | Protocol::Other => false,
        };
    let (received, sent) = (close.received_jiffies_ago, close.sent_jiffies_ago);
    jiffies_of(if is_alert { received } else { received.min(sent) }, clock)
}

/// The exchange that the record is about, as far as its bytes were kept.
fn exchange(record: &ConnRecord, protocol: Protocol) -> Exchange {
    let (conn, close) = (&record.conn, &record.conn.close);
    let requests = kept(&record.heads.request, conn.request_have);
    if protocol != Protocol::Http || record.trigger == triggers::LATE {
        let request = Request::read(requests).unwrap_or_default();
        // Behind a PROXY header, or in pieces: known of the first turn that was not answered.
        let first = conn.exchanges <= 1 && close.bytes_sent == 0 && record.trigger != triggers::LATE;
        let readable = protocol == Protocol::Other && first && conn.flags & flag::SEEDED == 0;
        let unfinished = readable.then(|| Unfinished::read(requests, conn.request_len.into(), false)).flatten();
        return Exchange { request, response: Response::default(), unfinished };
    }
    let unfinished = origin_flags::NOT_HTTP | origin_flags::IN_HEAD;
    // Of the response to this request no byte has been on the wire: what was kept is of the one before.
    let awaited = conn.is_awaited();
    let head = if awaited { &[] } else { kept(&record.heads.response, conn.response_have) };
    let sent = if awaited { 0 } else { conn.response_len };
    // What had not gone out by the time of a RST never does.
    let len =
        if record.trigger == triggers::RST && !awaited { sent.min(close.response_bytes) } else { close.response_bytes };
    let seen = Seen {
        head,
        section: (!awaited && conn.origin_flags & unfinished == 0).then_some(conn.head_len.into()),
        tail: &conn.response_tail,
        len: len.into(),
        sent: sent.into(),
        chunks: chunks(conn),
        ..Seen::default()
    };
    let interim = conn.flags & flag::INTERIM != 0;
    let mut exchange = Exchange::read_behind(interim, requests, conn.request_len.into(), &seen);
    // Written, and not on its way; or none of it was kept, because no buffer was left: nothing can be said of it.
    if close.response_bytes > 0 && head.is_empty() {
        exchange.response = Response::default();
    }
    exchange.response.interim |= interim;
    // With part of a final response the origin had taken as much of the request as it wanted.
    if exchange.response.progress != Progress::Nothing {
        exchange.unfinished = None;
    }
    exchange
}

/// Size of a request's header section of which more came than was kept.
fn request_head(record: &ConnRecord, protocol: Protocol) -> Option<u64> {
    let conn = &record.conn;
    let bodyless = conn.flags & (flag::BODYLESS | flag::PIPELINED) == flag::BODYLESS;
    if protocol != Protocol::Http || !bodyless || conn.request_len <= conn.request_have {
        return None;
    }
    // With its end among what was kept, the rest is a body all the same.
    let kept = kept(&record.heads.request, conn.request_have);
    (!kept.windows(4).any(|end| end == b"\r\n\r\n")).then_some(conn.request_len.into())
}

/// What the kernel found following the response's chunks.
fn chunks(conn: &Conn) -> Chunks {
    match conn.origin_flags & origin_flags::CHUNKS {
        origin_flags::IN_CHUNKS => Chunks::Next(conn.chunk_at.into()),
        origin_flags::LAST_CHUNK => Chunks::Last,
        origin_flags::NO_CHUNK => Chunks::Broken,
        _ => Chunks::Unknown,
    }
}

/// The outside of the handshake, from both sides' first bytes.
fn handshake(record: &ConnRecord) -> Handshake {
    let (conn, heads) = (&record.conn, &record.heads);
    // What was kept of it has made room for a request.
    if conn.flags & flag::SEALED != 0 {
        return Handshake::default();
    }
    let edge = kept(&heads.request, conn.request_have);
    let behind = without_proxy_header(edge).unwrap_or_default();
    let skipped = (edge.len() - behind.len()) as u64;
    Handshake::read(
        behind,
        kept(&heads.response, conn.response_have),
        u64::from(conn.request_len).saturating_sub(skipped),
        conn.response_len.into(),
        conn.response_tail,
    )
}

fn jiffies_of(jiffies: u32, clock: &Clock) -> Duration {
    Duration::from_nanos(u64::from(jiffies).saturating_mul(clock.tick_ns))
}

impl State {
    /// Evidence of a refused SYN.
    pub(super) fn refused(&self, record: &RefusedRecord, clock: &Clock) -> Evidence {
        let reset_reason = reason(record.rst_reason, &self.rst_reasons);
        let trigger = Trigger::Refused { seen: record.rst_reason != rst::UNKNOWN };
        Evidence { reset_reason, ..self.no_connection(&record.tuple, record.header.time_ns, trigger, clock) }
    }

    /// Evidence of packets that went missing.
    pub(super) fn attempt(&self, record: &AttemptRecord, clock: &Clock) -> Evidence {
        let seen = &record.attempt;
        let [kind, code, v6, _] = seen.icmp.to_le_bytes();
        let attempt = Attempt {
            missing: match seen.kind {
                attempt::SYN => Missing::Syn,
                attempt::SYN_ACK => Missing::SynAck,
                _ if seen.outward != 0 => Missing::Answer,
                _ => Missing::Data,
            },
            taken: match seen.cause {
                taken::RESET => Taken::Reset,
                taken::ICMP => Taken::Icmp { v6: v6 != 0, kind, code },
                taken::QUEUE => Taken::Queue { length: seen.queue, limit: seen.queue_limit },
                taken::QUEUE_RESET => Taken::QueueReset,
                taken::SYN_QUEUE => Taken::SynQueue { length: seen.queue, limit: seen.queue_limit },
                taken::LOST => Taken::Lost,
                _ => Taken::Dropped,
            },
            packets: seen.packets,
            for_: Duration::from_nanos(record.header.time_ns.saturating_sub(seen.first_ns)),
            hook: match seen.hook {
                hook::BEFORE_ROUTING => Some(FirewallHook::BeforeRouting),
                hook::INPUT => Some(FirewallHook::Input),
                hook::OUTPUT => Some(FirewallHook::Output),
                hook::FORWARD => Some(FirewallHook::Forward),
                _ => None,
            },
            table_full: self.table_full_ns.is_some_and(|full| {
                full.abs_diff(record.header.time_ns) < u64::try_from(TABLE_FULL.as_nanos()).unwrap_or(u64::MAX)
            }),
        };
        let trigger = Trigger::Attempt(attempt);
        // Who listens on that port of the host has no part in what was on its way to a container.
        let listener = (record.listener_pid != 0 && seen.hook != hook::FORWARD)
            .then(|| self.process(record.listener_pid, record.listener.start_ns, name(&record.listener.comm)));
        Evidence { process: listener, ..self.no_connection(&record.tuple, record.header.time_ns, trigger, clock) }
    }

    /// The same with what is known of their connection. Its counters are not: they are read where it ends.
    pub(super) fn attempt_of(&self, record: &AttemptConnRecord, clock: &Clock) -> Evidence {
        let (conn, attempt) = (&record.conn, &record.attempt);
        let evidence = self.attempt(attempt, clock);
        let has = |bit| conn.flags & bit != 0;
        let (http, seeded) = (has(flag::HTTP), has(flag::SEEDED));
        // What comes from the edge after a response has begun is the next request, which nobody has seen.
        let next = attempt.attempt.outward == 0 && !conn.is_awaited();
        let known = http && !next && !has(flag::PIPELINED);
        let request = known.then(|| Request::read(kept(&record.request, conn.request_have))).flatten();
        Evidence {
            exchanges: if http && !seeded { u64::from(conn.exchanges) + u64::from(next) } else { 0 },
            age: (!seeded).then(|| Duration::from_nanos(attempt.header.time_ns.saturating_sub(conn.opened_ns))),
            request: request.unwrap_or_default(),
            process: self.reader(conn).or(evidence.process),
            ..evidence
        }
    }

    /// What is known where no connection came about.
    fn no_connection(&self, tuple: &Tuple, time_ns: u64, trigger: Trigger, clock: &Clock) -> Evidence {
        Evidence {
            netns: Some(tuple.netns).filter(|netns| *netns != 0),
            around: self.around.clone(),
            ..Evidence::nothing_of(
                (clock.at(time_ns), trigger),
                (addr(tuple.peer_addr), tuple.peer_port),
                (addr(tuple.local_addr), tuple.local_port),
                self.limits,
            )
        }
    }
}

fn kept(head: &[u8], have: u32) -> &[u8] {
    &head[..head.len().min(have as usize)]
}

fn reason(reason: u32, names: &BTreeMap<u32, String>) -> Option<String> {
    if reason == rst::UNKNOWN { None } else { names.get(&reason).cloned() }
}

pub(super) fn addr(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}
