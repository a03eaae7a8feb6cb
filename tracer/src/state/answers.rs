//! Answers inside TLS that the kernel handed over to be read: those of 5xx are told.

use std::time::Duration;

use tracer_common::{AnswerRecord, Close, Conn, ConnRecord, LastSignal, Upstream, triggers};

use super::{Clock, Output, State, inside, origin::Exchanged, unwinding::Unfinished};
use crate::{
    http::{
        Progress, Request,
        h2::{Connection, Stream},
    },
    tls::Said,
};

/// The statuses of an origin error.
const ERRORS: std::ops::RangeInclusive<u16> = 500..=599;

/// The record of an answer is made right after the packet that holds it was seen.
const AT_ONCE: Duration = Duration::from_millis(1);

/// An answer as a record of its connection, for those who read what was said on one.
#[must_use]
pub fn as_conn_record(answer: &AnswerRecord) -> ConnRecord {
    ConnRecord {
        header: answer.header,
        trigger: triggers::ANSWER,
        rst_reason: tracer_common::rst::UNKNOWN,
        signal: LastSignal::default(),
        // The socket was not looked at: what stands here is older.
        conn: Conn { close: Close::default(), ..answer.conn },
        heads: answer.heads,
    }
}

/// One answer of 5xx.
struct Found<'a> {
    stream: Option<u32>,
    request: Request,
    status: u16,
    /// On HTTP/2: from the request to the answer.
    took: Option<Duration>,
    is_whole: bool,
    exchanged: Exchanged<'a>,
    /// What was seen behind may belong to another stream.
    is_shared: bool,
    /// Others were open on the same connection.
    has_neighbours: bool,
}

impl State {
    /// Takes an answer in HTTP/1 with what was said. Gives what is told of it, and whether it was an error.
    pub fn handle_answer(
        &mut self,
        record: &AnswerRecord,
        as_conn: &ConnRecord,
        said: &Said,
        clock: &Clock,
    ) -> (Vec<Output>, bool) {
        let exchange = inside::exchange(as_conn, said);
        let (Some(status), Some(is_whole)) = (exchange.response.status, is_whole(exchange.response.progress)) else {
            return (Vec::new(), false);
        };
        if !ERRORS.contains(&status) {
            return (Vec::new(), false);
        }
        let is_its = record.failed.key != 0 && record.failed.exchange == record.conn.exchanges;
        let has_failed = record.upstream.key == 0 && is_its;
        let found = Found {
            stream: None,
            request: exchange.request,
            status,
            took: None,
            is_whole,
            exchanged: if has_failed { Exchanged::failed(record) } else { record.into() },
            is_shared: false,
            has_neighbours: false,
        };
        (self.found(found, clock), true)
    }

    /// The same of a connection that speaks HTTP/2, with its streams.
    pub fn handle_answers(
        &mut self,
        record: &AnswerRecord,
        connection: &Connection,
        clock: &Clock,
    ) -> (Vec<Output>, bool) {
        let name = (record.conn.key, record.conn.opened_ns);
        let mut answered: Vec<_> =
            connection.streams.iter().filter(|(_, stream)| stream.response.status.is_some()).collect();
        answered.sort_by_key(|(id, stream)| (stream.response.last, **id));
        // The process had just dealt with what it answers in this packet.
        let now = age(record, record.header.time_ns);
        let is_now = |stream: &Stream| (now.saturating_sub(AT_ONCE)..=now).contains(&last(record, stream));
        let latest = answered.iter().rfind(|(_, stream)| is_now(stream)).map(|(id, _)| **id);
        answered.retain(|(id, stream)| {
            is_error(stream) && !self.answers_told.has(name, **id) && !self.streams_told.has(name, **id)
        });
        let has_errors = !answered.is_empty();
        let mut outputs = Vec::new();
        // The latest first: what failed belongs to it.
        for (id, stream) in answered.into_iter().rev() {
            let unfinished = Unfinished::new(&record.conn, Some(*id));
            let is_held = self.held_origins.iter().any(|held| held.unfinished == Some(unfinished));
            // One that was sent after this record was made comes with a record of its own, if with any.
            let is_later = last(record, stream) > now;
            if is_later && is_held {
                continue;
            }
            self.held_origins.retain(|held| held.unfinished != Some(unfinished));
            let failed = !is_later && began_within(record, &record.failed, stream);
            let is_new = failed && self.failed_told.insert((record.failed.key, record.failed.uses));
            let has_answered = !is_later && record.upstream.received > 0;
            let is_current = has_answered && Some(*id) == latest && began_within(record, &record.upstream, stream);
            let found = Found {
                stream: Some(*id),
                request: stream.request.clone().unwrap_or_default(),
                status: stream.response.status.unwrap_or_default(),
                took: stream.requested.map(|requested| last(record, stream).saturating_sub(requested)),
                is_whole: stream.response.ended.is_some() && !is_later,
                exchanged: match (is_new, is_current) {
                    (true, _) => Exchanged::failed(record),
                    (_, true) => record.into(),
                    _ => Exchanged::alone(record),
                },
                is_shared: failed && !is_new || is_later,
                has_neighbours: connection.streams.iter().any(|(other, it)| other != id && overlap(record, it, stream)),
            };
            if !is_later {
                self.answers_told.note(name, *id);
            }
            outputs.extend(self.found(found, clock));
        }
        (outputs, has_errors)
    }

    fn found(&mut self, found: Found<'_>, clock: &Clock) -> Vec<Output> {
        let Found { stream, request, status, took, is_whole, exchanged, is_shared, has_neighbours } = found;
        let mut evidence = self.origin_evidence(exchanged, status, request, clock);
        if let Some(id) = stream {
            (evidence.stream, evidence.exchanges, evidence.took) = (Some(id), Some(u64::from(id / 2 + 1)), took);
            evidence.is_shared = is_shared;
            if let Some(upstream) = &mut evidence.upstream {
                upstream.ambiguous |= has_neighbours;
            }
        }
        let unfinished = (!is_whole).then(|| Unfinished::new(exchanged.conn, stream));
        self.conclude_origin(exchanged, evidence, unfinished, clock)
    }
}

/// Time from the opening of the connection to this moment.
fn age(record: &AnswerRecord, ns: u64) -> Duration {
    Duration::from_nanos(ns.saturating_sub(record.conn.opened_ns))
}

/// When the last part of an answer was sent.
fn last(record: &AnswerRecord, stream: &Stream) -> Duration {
    stream.response.last.unwrap_or_else(|| age(record, record.header.time_ns))
}

/// Whether the upstream connection may have been used for this stream: not before its request came.
fn began_within(record: &AnswerRecord, upstream: &Upstream, stream: &Stream) -> bool {
    let began = if upstream.asked_ns == 0 { upstream.opened_ns } else { upstream.asked_ns };
    upstream.key != 0
        && began >= record.conn.opened_ns
        && stream.requested.is_none_or(|requested| age(record, began) >= requested)
}

/// Whether the other stream was open when this one was answered.
fn overlap(record: &AnswerRecord, other: &Stream, stream: &Stream) -> bool {
    let answered = stream.response.first.unwrap_or_else(|| last(record, stream));
    other.requested.is_some_and(|requested| requested <= answered)
        && other.response.ended.is_none_or(|ended| ended >= answered)
}

/// Whether a stream was answered with 5xx, as far as it came.
fn is_error(stream: &Stream) -> bool {
    stream.response.status.is_some_and(|status| ERRORS.contains(&status))
        && stream.response.error.is_none()
        && stream.reset.is_none()
}

/// Whether all of an answer has come. `None`: it is none.
const fn is_whole(progress: Progress) -> Option<bool> {
    match progress {
        Progress::Whole => Some(true),
        Progress::InHead | Progress::InBody | Progress::UntilClose => Some(false),
        Progress::Unknown | Progress::Nothing | Progress::Upgraded | Progress::Malformed => None,
    }
}

#[cfg(test)]
mod tests;
