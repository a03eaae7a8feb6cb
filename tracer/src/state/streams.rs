//! The streams of a connection that speaks HTTP/2: which of them failed, as far as its last records tell.

use std::time::Duration;

use tracer_common::{ConnRecord, conn_flags, triggers};

use super::{Clock, Output, State};
use crate::{
    diagnose::{Evidence, Protocol, ResetBy, Stream, StreamEnd, Trigger, diagnose},
    http::{
        Progress, Response,
        h2::{self, Connection, ConnectionError, StreamError},
    },
    tls::keys::Side,
};

/// One stream, with its number.
type Numbered<'a> = (u32, &'a h2::Stream);

impl State {
    /// Takes the record of a connection that speaks HTTP/2, with what was read of its streams. Gives the failures, and
    /// how many streams they are about: some verdicts wait. `says_goodbye`: the origin sent `close_notify`.
    pub fn handle_streams(
        &mut self,
        record: &ConnRecord,
        connection: &Connection,
        says_goodbye: bool,
        clock: &Clock,
    ) -> (Vec<Output>, usize) {
        let name = (record.conn.key, record.conn.opened_ns);
        let (mut outputs, mut found) = (Vec::new(), 0);
        for (&id, stream) in &connection.streams {
            if self.streams_told.has(name, id) {
                continue;
            }
            let Some(end) = end(record, connection, (id, stream)) else { continue };
            let mut evidence = self.evidence(record, clock);
            fill(&mut evidence, record, (id, stream), end);
            // An edge that leaves upon a goodbye does so because of it.
            if says_goodbye && matches!(evidence.trigger, Trigger::EdgeFin | Trigger::EdgeRst) {
                (evidence.trigger, evidence.close_notify) = (Trigger::Fin, true);
            }
            let reader = (record.conn.owner, record.conn.owner_start_ns);
            self.deaths.explain(&mut evidence, reader, record.header.time_ns);
            if diagnose(&evidence).is_none() {
                continue;
            }
            found += 1;
            self.streams_told.note(name, id);
            outputs.extend(self.conclude(evidence, record, None, clock));
        }
        (outputs, found)
    }
}

/// What may have ended a stream. `None`: nothing has, or it is not known whether its response is whole.
fn end(record: &ConnRecord, connection: &Connection, (id, stream): Numbered<'_>) -> Option<StreamEnd> {
    if let Some(reset) = stream.reset {
        let by = by(reset.by);
        return Some(StreamEnd::Reset { by, code: reset.code });
    }
    if stream.response.error == Some(StreamError::ContentLength) && stream.response.ended.is_some() {
        return Some(StreamEnd::Short);
    }
    if stream.response.ended.is_some() || stream.requested.is_none() || !(stream.is_known && stream.is_edge_known) {
        return None;
    }
    if let Some(broken) = connection.broken_by_origin {
        let is_http1 = broken.error == ConnectionError::Http1;
        return Some(match connection.goaway_by_edge {
            Some(goaway) if !is_http1 && goaway.code != 0 => StreamEnd::GoAway { by: ResetBy::Edge, code: goaway.code },
            _ => StreamEnd::NotHttp2,
        });
    }
    if let Some(goaway) = connection.goaway_by_origin.filter(|goaway| goaway.code != 0 || goaway.last < id) {
        return Some(StreamEnd::GoAway { by: ResetBy::Origin, code: goaway.code });
    }
    if let Some(goaway) = connection.goaway_by_edge.filter(|goaway| goaway.code != 0) {
        return Some(StreamEnd::GoAway { by: ResetBy::Edge, code: goaway.code });
    }
    let asks = matches!(record.trigger, triggers::HELLO | triggers::STREAM);
    let goes_on = asks && record.conn.flags & conn_flags::ORIGIN_FIN == 0;
    (!goes_on).then_some(StreamEnd::Connection)
}

const fn by(side: Side) -> ResetBy {
    match side {
        Side::Edge => ResetBy::Edge,
        Side::Origin => ResetBy::Origin,
    }
}

/// Puts what is known of the stream in the place of what is known of its connection.
fn fill(e: &mut Evidence, record: &ConnRecord, (id, stream): Numbered<'_>, end: StreamEnd) {
    let conn = &record.conn;
    let age = |ns: u64| Duration::from_nanos(ns.saturating_sub(conn.opened_ns));
    // The connection's end may be older than the record; a stream's own end is older than both.
    let now = match (end, conn.close.time_ns) {
        (StreamEnd::Reset { .. }, _) => stream.reset.map_or_else(|| age(record.header.time_ns), |reset| reset.time),
        (StreamEnd::Connection, closed) if closed != 0 && record.trigger != triggers::LATE => age(closed),
        _ => age(record.header.time_ns),
    };
    let asked = stream.request_ended.or(stream.requested).unwrap_or(now);
    let answer = &stream.response;
    e.stream = Some(Stream { id, end, block_bytes: answer.block_bytes });
    e.protocol = Protocol::Http;
    e.request = stream.request.clone().unwrap_or_default();
    e.request_head = None;
    e.unfinished = None;
    e.handshake = None;
    e.decrypted = true;
    e.exchanges = u64::from(id / 2 + 1);
    e.bodyless = matches!(e.request.method.as_deref(), Some("GET" | "HEAD"));
    e.waited = now.saturating_sub(asked);
    e.quiet = answer.last.map_or(e.waited, |last| now.saturating_sub(last.max(asked)));
    e.unacked = 0;
    e.unread = if end == StreamEnd::Connection { e.unread } else { 0 };
    e.response = Response {
        status: answer.status,
        header_bytes: answer.header_bytes,
        progress: match (answer.progress, answer.error) {
            (progress, Some(StreamError::ContentLength)) => progress,
            (_, Some(_)) => Progress::Malformed,
            (progress, None) => progress,
        },
        fault: None,
        interim: answer.interim,
    };
    // Its request met a connection that the origin had closed. Before the first request of all the origin had had the
    // edge's preface, so that it did not close an idle connection.
    let closed = age(conn.close.time_ns);
    let is_late = matches!(e.trigger, Trigger::Fin | Trigger::Late { .. } | Trigger::Stream)
        && stream.requested.is_some_and(|requested| requested > closed);
    if is_late && end == StreamEnd::Connection {
        e.trigger = if id == 1 { Trigger::Fin } else { Trigger::Late { bytes: conn.late_len } };
    }
}

#[cfg(test)]
mod tests;
