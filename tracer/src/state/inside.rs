//! The exchange that a record is about, where it was inside TLS and could be decrypted.

use tracer_common::{Conn, ConnRecord, conn_flags, limits::MAX_TLS_ALERT, triggers};

use crate::{
    http::{Exchange, Progress, Request, Seen},
    tls::{Alert, Answer, Handshake, Said, Version},
};

/// Size of the shortest record with an encrypted alert, that of TLS 1.3, with its header.
const SHORTEST_ALERT: u32 = 24;

/// What was said, as the parsers of plaintext read it.
pub(super) fn exchange(record: &ConnRecord, said: &Said) -> Exchange {
    if record.trigger == triggers::LATE {
        return Exchange { request: Request::read(&said.requests).unwrap_or_default(), ..Exchange::default() };
    }
    let Some(answer) = &said.answer else {
        return Exchange { request: Request::read(&said.requests).unwrap_or_default(), ..Exchange::default() };
    };
    let Some(sent) = answer.sent.exact() else {
        return Exchange { request: Request::read(&said.requests).unwrap_or_default(), ..Exchange::default() };
    };
    let seen = Seen {
        head: &answer.head,
        unsearched: true,
        tail: &answer.tail,
        unread: answer.tail_unread,
        len: sent + unsent(record),
        sent,
        ..Seen::default()
    };
    let mut exchange = Exchange::read(&said.requests, said.requested, &seen);
    if exchange.response.progress != Progress::Nothing {
        exchange.unfinished = None;
    }
    if exchange.response.progress == Progress::UntilClose {
        // `close_notify` ends it as well as a FIN does.
        if answer.closed {
            exchange.response.progress = Progress::Whole;
        } else if answer.cut {
            exchange.response.progress = Progress::InBody;
        }
    }
    exchange
}

/// The fatal alert that is all the origin said.
pub(super) fn alert(said: &Said) -> Option<Alert> {
    let answer = said.answer.as_ref()?;
    answer.alert.filter(|_| answer.head.is_empty() && answer.sent.exact() == Some(0))
}

/// Whether the origin ended its side with `close_notify`, after which an edge expects nothing more.
pub(super) fn is_closed(said: &Said) -> bool {
    said.answer.as_ref().is_some_and(|answer| answer.closed)
}

/// Whether the edge had sent `close_notify` before the origin did, or closed the connection.
pub(super) fn edge_left_first(conn: &Conn, said: &Said) -> bool {
    let Some(sent) = conn.sent_at_close_notify() else { return false };
    !is_closed(said) || conn.response_len.saturating_sub(sent) >= SHORTEST_ALERT
}

/// A handshake that the edge had finished, and that the origin refused with an alert.
pub(super) fn refused(alert: Alert) -> Handshake {
    Handshake {
        hello: true,
        origin_alert: Some(alert),
        edge_finished: true,
        answer: Answer::Tls,
        ..Handshake::default()
    }
}

/// A handshake in TLS 1.3 that the edge had finished without a certificate: before the origin read a request, its last
/// words had the size of an alert. (Which alert it was is not kept, once the request has come.)
pub(super) fn without_certificate(conn: &Conn, said: Option<&Said>) -> Option<Handshake> {
    let last = if conn.close.since_read > 0 { conn.close.since_read } else { conn.turn_out };
    let is_answered = said.and_then(|said| said.answer.as_ref()).is_some_and(|answer| answer.sent.exact() != Some(0));
    let is_refused = conn.flags & conn_flags::NO_CERTIFICATE != 0
        && conn.exchanges <= 2
        && !is_answered
        && (1..=MAX_TLS_ALERT).contains(&last);
    is_refused.then(|| Handshake {
        hello: true,
        agreed: Some(Version::Tls13),
        origin_alert_encrypted: true,
        edge_finished: true,
        certificate_requested: Some(true),
        edge_certificate_empty: true,
        answer: Answer::Tls,
        ..Handshake::default()
    })
}

/// What the origin had written and not sent.
fn unsent(record: &ConnRecord) -> u64 {
    let conn = &record.conn;
    // What had not gone out by the time of a RST never does.
    if record.trigger == triggers::RST {
        return 0;
    }
    let sent = if conn.is_awaited() { 0 } else { conn.response_len };
    conn.close.response_bytes.saturating_sub(sent).into()
}

#[cfg(test)]
mod tests;
