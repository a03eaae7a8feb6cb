//! What was said inside TLS in the exchange that a record is about, opened with the connection's secrets.
//!
//! The kernel kept both directions as ciphertext, each from the header of a record on. What is opened here goes to the
//! parsers that read plaintext, and is wiped when dropped.

use tracer_common::{
    Conn, ConnRecord, SEALED_RESPONSE_LEN, SealedEnd, TlsKeys, conn_flags as flag, origin_flags, secret, triggers,
};
use zerocopy::FromBytes as _;

use super::{
    Alert, Session,
    keys::{self, Bounds, End, Label, Opened, Outcome, Plaintext, Sealed, Secrets, Side, Suite},
};

/// What was said. Has no bytes in its `Debug`.
#[derive(Debug, Default)]
pub struct Said {
    /// The requests, from the beginning of one on, as far as they were kept.
    pub requests: Plaintext,
    /// How many bytes came of them, at most.
    pub requested: u64,
    /// The same of the responses. `None`: they could not be opened.
    pub answer: Option<Answered>,
}

/// What the origin said.
#[derive(Debug, Default)]
pub struct Answered {
    /// The beginning of the response.
    pub head: Plaintext,
    /// Its last bytes, where they were not kept in `head`.
    pub tail: Plaintext,
    /// Those can't be read, whatever they are.
    pub tail_unread: bool,
    /// How many bytes of it went out.
    pub sent: Bounds,
    /// Its last record is cut.
    pub cut: bool,
    /// The fatal alert that it ended with.
    pub alert: Option<Alert>,
    /// It ended with `close_notify`: the origin says nothing more.
    pub closed: bool,
}

impl Said {
    /// Opens what was kept. `None`: there is neither a request of HTTP/1 that could be opened, nor an alert instead of
    /// an answer.
    #[must_use]
    pub fn read(record: &ConnRecord, session: &Session) -> Option<Self> {
        let conn = &record.conn;
        if conn.flags & flag::SEALED == 0 {
            return None;
        }
        let secrets = secrets(session.keys());
        let late = record.trigger == triggers::LATE;
        let requests = kept(&record.heads.request, conn.request_have);
        let len = if late { conn.late_len } else { conn.request_len };
        let sealed = Sealed { kept: requests, len: len.into(), sequence_hint: hint(conn), end: None };
        let opened = keys::open(Side::Edge, &sealed, &secrets, keys::http_request);
        let answer = if late { None } else { Answered::read(record, &secrets) };
        if is_open(&opened) && is_http1(&opened.text) {
            return Some(Self { requests: opened.text, requested: opened.data.most, answer });
        }
        // The origin refused the edge's part of the handshake: it never came to read a request.
        (conn.exchanges <= 1 && answer.as_ref().is_some_and(Answered::refuses))
            .then(|| Self { answer, ..Self::default() })
    }
}

impl Answered {
    fn read(record: &ConnRecord, secrets: &Secrets) -> Option<Self> {
        let conn = &record.conn;
        if conn.response_len == 0 {
            return Some(Self::default());
        }
        if conn.is_awaited() {
            // What was sent before the first request was read may be the alert that refuses the handshake.
            let before = if conn.exchanges <= 1 { Self::open(record, secrets) } else { None };
            return Some(before.filter(Self::refuses).unwrap_or_default());
        }
        Self::open(record, secrets)
    }

    /// Whether all that the origin said is a fatal alert.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.alert.is_some() && self.head.is_empty()
    }

    fn open(record: &ConnRecord, secrets: &Secrets) -> Option<Self> {
        let conn = &record.conn;
        let bytes = &record.heads.response;
        let head = &bytes[..SEALED_RESPONSE_LEN.min(conn.response_have as usize)];
        let (kept_end, _) = SealedEnd::read_from_prefix(&bytes[SEALED_RESPONSE_LEN..]).ok()?;
        let part = |bytes: &[u8], len: u32| bytes[..bytes.len().min(len as usize)].to_vec();
        let before = part(&kept_end.before, kept_end.before_len);
        let tail_at = u64::from(kept_end.tail_at).saturating_sub(before.len() as u64);
        let tail = [before, part(&kept_end.tail, kept_end.tail_len)].concat();
        let followed = conn.origin_flags & origin_flags::RECORDS_OUT != 0;
        let end = followed.then(|| End {
            records: kept_end.records.into(),
            before_at: kept_end.before_at.into(),
            record_at: kept_end.record_at.into(),
            next_at: conn.chunk_at.into(),
            tail_at,
            tail: &tail,
        });
        let sealed = Sealed { kept: head, len: conn.response_len.into(), sequence_hint: hint(conn), end };
        let opened = keys::open(Side::Origin, &sealed, secrets, keys::http_response);
        if !is_open(&opened) && opened.alerts.is_empty() {
            return None;
        }
        let cut = opened.cut == Some(true);
        let alert = opened.alerts.iter().copied().find(|alert| alert.fatal);
        let closed = opened.alerts.iter().any(|alert| alert.name() == Some("close_notify"));
        let (head, tail, tail_unread) = (opened.text, opened.tail, opened.tail_unread);
        Some(Self { head, tail, tail_unread, sent: opened.data, cut, alert, closed })
    }
}

/// The secrets as they were announced or logged.
pub(super) fn secrets(announced: &TlsKeys) -> Secrets {
    let suite = (announced.has_hellos != 0).then(|| Suite::from_wire(u16::from_be_bytes(announced.suite))).flatten();
    let mut secrets = Secrets::new(suite);
    let first = if announced.is_master != 0 { Label::Master } else { Label::HandshakeTraffic(Side::Edge) };
    for (slot, label) in [
        (secret::MASTER, first),
        (secret::SERVER_HANDSHAKE, Label::HandshakeTraffic(Side::Origin)),
        (secret::CLIENT_TRAFFIC, Label::Traffic(Side::Edge)),
        (secret::SERVER_TRAFFIC, Label::Traffic(Side::Origin)),
    ] {
        let bytes = &announced.secrets[slot];
        let len = usize::from(announced.lens[slot]).min(bytes.len());
        if len > 0 {
            let _of_no_use = secrets.hold(label, &bytes[..len]);
        }
    }
    for (key, len) in announced.aes.keys.iter().zip(announced.aes.lens).filter(|(_, len)| *len > 0) {
        let _of_no_use = secrets.hold(Label::AesKey, &key[..key.len().min(len.into())]);
    }
    if announced.has_hellos != 0 {
        secrets.randoms(announced.client_random, announced.server_random);
    }
    secrets
}

/// A record's number is about that of the exchange.
fn hint(conn: &Conn) -> u64 {
    u64::from(conn.exchanges.saturating_sub(1))
}

/// Whether a text begins with a request of HTTP/1. HTTP/2 begins with what looks like one (RFC 9113 §3.4), and then
/// with frames; a text may also be the middle of a body.
fn is_http1(text: &[u8]) -> bool {
    keys::http_request(text) > 0 && !text.starts_with(b"PRI ")
}

fn is_open(opened: &Opened) -> bool {
    matches!(opened.outcome, Outcome::ByTag | Outcome::ByLook)
}

fn kept(head: &[u8], have: u32) -> &[u8] {
    &head[..head.len().min(have as usize)]
}

#[cfg(test)]
mod tests;
