//! From the record of an answer of 5xx, or of what lies behind a failure, to evidence.

use std::{net::SocketAddr, time::Duration};

use tracer_common::{
    BehindRecord, Conn, OriginRecord, Upstream as Record, conn_flags, errno::ECONNREFUSED, upstream_flags as flag,
};

use super::{
    Clock, State,
    ends::{end, name},
    gather::addr,
};
use crate::{
    diagnose::{
        End, Process,
        origin::OriginEvidence,
        upstream::{Address, Behind, Connect, Hangup, Upstream},
    },
    http::{Request, UpstreamAnswer},
};

impl State {
    /// What the record of an answer of 5xx says.
    pub(super) fn origin_evidence(&self, record: &OriginRecord, clock: &Clock) -> OriginEvidence {
        let conn = &record.conn;
        let since = |from_ns: u64| Duration::from_nanos(record.header.time_ns.saturating_sub(from_ns));
        let seeded = conn.flags & conn_flags::SEEDED != 0;
        let have = usize::try_from(conn.request_have).unwrap_or(usize::MAX).min(record.request.len());
        let upstream = |of| self.upstream(of, record.header.time_ns);
        OriginEvidence {
            time: clock.at(record.header.time_ns),
            status: u16::try_from(record.status).unwrap_or(u16::MAX),
            peer: (addr(conn.tuple.peer_addr), conn.tuple.peer_port),
            local: (addr(conn.tuple.local_addr), conn.tuple.local_port),
            netns: Some(conn.tuple.netns).filter(|netns| *netns != 0),
            exchanges: (!seeded).then_some(conn.exchanges.into()),
            age: (!seeded).then(|| since(conn.opened_ns)),
            request: Request::read(&record.request[..have]).unwrap_or_default(),
            took: (conn.read_ns != 0).then(|| since(conn.read_ns)),
            process: self.reader(conn),
            tries: record.tries,
            upstream: upstream(&record.upstream),
            behind: upstream(&record.behind),
            sees_unix: self.sees_unix,
        }
    }

    /// What is known behind a connection that failed.
    pub(super) fn what_is_behind(&self, record: &BehindRecord, conn: &Conn) -> Option<Behind> {
        let upstream = |of| self.upstream(of, record.header.time_ns);
        Some(Behind {
            tries: record.tries,
            upstream: upstream(&record.upstream)?,
            next: upstream(&record.behind),
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

    /// One upstream connection, as it stood at that time. `None`: none is known.
    pub(super) fn upstream(&self, record: &Record, now_ns: u64) -> Option<Upstream> {
        if record.key == 0 {
            return None;
        }
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
        Some(Upstream {
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
        })
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
