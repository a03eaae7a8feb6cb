//! From the record of an answer of 5xx to evidence, and to its verdict; and from that of what lies behind a failure.

use std::{net::SocketAddr, time::Duration};

use tracer_common::{
    AnswerRecord, BehindRecord, Conn, OriginRecord, Upstream as Record, conn_flags, errno::ECONNREFUSED,
    upstream_flags as flag,
};

use super::{
    Clock, HOLD, MAX_HELD, Output, State,
    ends::{end, name},
    gather::addr,
    unwinding::{HeldOrigin, Unfinished},
};
use crate::{
    diagnose::{
        End, Process,
        origin::{OriginEvidence, origin_error},
        upstream::{Address, Behind, Connect, Hangup, Upstream},
    },
    http::{Request, UpstreamAnswer},
};

/// What the kernel says of an exchange, and of what happened behind it.
#[derive(Clone, Copy)]
pub(super) struct Exchanged<'a> {
    pub(super) time_ns: u64,
    pub(super) conn: &'a Conn,
    tries: u32,
    pub(super) upstream: Option<&'a Record>,
    behind: Option<&'a Record>,
}

/// `None` where there is no connection.
fn known(upstream: &Record) -> Option<&Record> {
    Some(upstream).filter(|upstream| upstream.key != 0)
}

impl<'a> From<&'a OriginRecord> for Exchanged<'a> {
    fn from(record: &'a OriginRecord) -> Self {
        let OriginRecord { header, tries, conn, upstream, behind, .. } = record;
        Self { time_ns: header.time_ns, conn, tries: *tries, upstream: known(upstream), behind: known(behind) }
    }
}

impl<'a> From<&'a AnswerRecord> for Exchanged<'a> {
    fn from(record: &'a AnswerRecord) -> Self {
        let AnswerRecord { header, tries, conn, upstream, behind, .. } = record;
        Self { time_ns: header.time_ns, conn, tries: *tries, upstream: known(upstream), behind: known(behind) }
    }
}

impl<'a> Exchanged<'a> {
    /// The same with what failed behind, in the place of what was used last.
    pub(super) fn failed(record: &'a AnswerRecord) -> Self {
        Self { tries: 1, upstream: known(&record.failed), behind: None, ..record.into() }
    }

    /// The same with nothing behind.
    pub(super) fn alone(record: &'a AnswerRecord) -> Self {
        Self { tries: 0, upstream: None, behind: None, ..record.into() }
    }
}

impl State {
    /// An answer of 5xx, seen by the kernel.
    pub(super) fn origin_error(&mut self, record: &OriginRecord, clock: &Clock) -> Vec<Output> {
        let exchanged = Exchanged::from(record);
        let have = usize::try_from(record.conn.request_have).unwrap_or(usize::MAX).min(record.request.len());
        let request = Request::read(&record.request[..have]).unwrap_or_default();
        let status = u16::try_from(record.status).unwrap_or(u16::MAX);
        let evidence = self.origin_evidence(exchanged, status, request, clock);
        self.conclude_origin(exchanged, evidence, None, clock)
    }

    /// Tells an answer of 5xx at once, or once it is known whether the process behind is ending. `unfinished`: how the
    /// exchange is named, where some of the answer has yet to come.
    pub(super) fn conclude_origin(
        &mut self,
        exchanged: Exchanged<'_>,
        evidence: OriginEvidence,
        unfinished: Option<Unfinished>,
        clock: &Clock,
    ) -> Vec<Output> {
        let hold = u64::try_from(HOLD.as_nanos()).unwrap_or(u64::MAX);
        let until_ns = clock.monotonic_ns.saturating_add(hold);
        let held = match HeldOrigin::new(exchanged.upstream, Box::new(evidence), unfinished, until_ns) {
            Ok(held) => held,
            Err(evidence) => return vec![self.tell_origin(&evidence)],
        };
        self.held_origins.push_back(held);
        if self.held_origins.len() <= MAX_HELD {
            return Vec::new();
        }
        self.held_origins.pop_front().map(|oldest| self.tell_origin(&oldest.evidence)).into_iter().collect()
    }

    pub(super) fn tell_origin(&self, evidence: &OriginEvidence) -> Output {
        let mut error = origin_error(evidence);
        error.edge_range = self.ranges.range_of(error.peer_addr).map(|range| range.to_string());
        Output::OriginError(Box::new(error))
    }

    /// What is known of an answer of 5xx.
    pub(super) fn origin_evidence(
        &self,
        exchanged: Exchanged<'_>,
        status: u16,
        request: Request,
        clock: &Clock,
    ) -> OriginEvidence {
        let Exchanged { time_ns, conn, tries, behind, .. } = exchanged;
        let since = |from_ns: u64| Duration::from_nanos(time_ns.saturating_sub(from_ns));
        let seeded = conn.flags & conn_flags::SEEDED != 0;
        let upstream = |record: Option<&Record>| record.map(|record| self.upstream(record, time_ns));
        OriginEvidence {
            time: clock.at(time_ns),
            status,
            peer: (addr(conn.tuple.peer_addr), conn.tuple.peer_port),
            local: (addr(conn.tuple.local_addr), conn.tuple.local_port),
            netns: Some(conn.tuple.netns).filter(|netns| *netns != 0),
            exchanges: (!seeded).then_some(conn.exchanges.into()),
            age: (!seeded).then(|| since(conn.opened_ns)),
            request,
            took: (conn.read_ns != 0).then(|| since(conn.read_ns)),
            process: self.reader(conn),
            tries,
            upstream: upstream(exchanged.upstream),
            behind: upstream(behind),
            sees_unix: self.sees_unix,
            stream: None,
            is_shared: false,
        }
    }

    /// What is known behind a connection that failed.
    pub(super) fn what_is_behind(&self, record: &BehindRecord, conn: &Conn) -> Option<Behind> {
        let upstream = |of: &Record| self.upstream(of, record.header.time_ns);
        Some(Behind {
            tries: record.tries,
            upstream: upstream(known(&record.upstream)?),
            next: known(&record.behind).map(upstream),
            is_current: record.upstream.exchange == conn.exchanges,
        })
    }

    /// The process at the other end; of one that nobody has read from, the name of the one that listens.
    fn server(&self, record: &Record) -> Option<Process> {
        let name = name(&record.server.comm);
        match record.server.tgid {
            0 if name.is_empty() => None,
            0 => Some(Process { name, ..Process::default() }),
            tgid => Some(self.process(tgid, record.server.start_ns, name)),
        }
    }

    /// One upstream connection, as it stood at that time.
    fn upstream(&self, record: &Record, now_ns: u64) -> Upstream {
        let has = |bit| record.flags & bit != 0;
        let is_unix = has(flag::UNIX);
        let server = (record.server.tgid, record.server.start_ns);
        let peer = SocketAddr::new(addr(record.tuple.peer_addr), record.tuple.peer_port);
        let (mut ended, mut signal) = if has(flag::CLOSED_BY) {
            end(&record.server, &record.signal, record.ended_ns)
        } else {
            (End::Running, None)
        };
        let (mut oom, mut oom_scope) = (has(flag::CLOSED_BY) && record.server.oom != 0, self.scope(record.server.tgid));
        // On a unix socket the end of the process is seen, and that the connection is closed after it.
        if is_unix
            && has(flag::SERVER_FIN | flag::SERVER_RST)
            && let Some(death) = self.deaths.of(server)
            && death.time_ns <= record.ended_ns
            && death.time_ns >= record.asked_ns
        {
            (ended, signal) = (death.end, death.signal.clone());
            (oom, oom_scope) = (death.oom, death.oom_scope);
        }
        let hangup = if has(flag::SERVER_RST) {
            Hangup::Reset
        } else if has(flag::SERVER_FIN) {
            Hangup::Closed
        } else if has(flag::OWNER_LEFT) {
            Hangup::Owner
        } else {
            Hangup::Nobody
        };
        let have = usize::try_from(record.head_len).unwrap_or(usize::MAX);
        let head = record.head.as_flattened();
        Upstream {
            address: if is_unix { Address::Unix(path(record)) } else { Address::Tcp(peer) },
            is_local: is_unix || peer.ip().is_loopback() || record.tuple.peer_addr == record.tuple.local_addr,
            connect: match record.err {
                _ if has(flag::CONNECTED) => Connect::Established,
                ECONNREFUSED => Connect::Refused,
                0 => Connect::Unanswered,
                number => Connect::Unreachable(number),
            },
            hangup,
            reused: has(flag::REUSED),
            ambiguous: has(flag::AMBIGUOUS),
            paired: has(flag::PAIRED),
            sent: record.sent.into(),
            received: record.received.into(),
            sent_in_all: record.sent_before.wrapping_add(record.sent).into(),
            received_in_all: record.received_before.wrapping_add(record.received).into(),
            answer: (!is_unix).then(|| UpstreamAnswer::read(&head[..have.min(head.len())])),
            waited: (record.asked_ns != 0).then(|| Duration::from_nanos(now_ns.saturating_sub(record.asked_ns))),
            process: self.server(record),
            end: ended,
            oom,
            oom_scope,
            signal,
        }
    }
}

/// The path of a unix socket.
fn path(record: &Record) -> Option<String> {
    let bytes = record.path.as_flattened();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (end > 0).then(|| String::from_utf8_lossy(&bytes[..end]).into_owned())
}

#[cfg(test)]
mod tests;
