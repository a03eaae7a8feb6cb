//! The outside of a TLS handshake: what edge and origin said in the clear, and what the sizes of the records give away
//! after that. From the first bytes of each side, cut anywhere; nothing is decrypted. Hostile input: bounded, no panic.

mod alert;
mod certificate;
mod flight;
mod hello;
mod keylog;
pub mod keys;
mod record;
mod said;
#[cfg(test)]
pub(crate) mod samples;
mod session;
mod trail;

use tls_parser::TlsHandshakeType;

pub use alert::Alert;
pub use certificate::{Certificate, distinguished_name};
use flight::Flight;
use hello::ClientHello;
pub use hello::Version;
pub use keylog::KeyLog;
use record::{Stream, messages};
pub use said::{Answered, Said};
pub use session::Session;
pub use trail::Talk;

/// What is known of a handshake. What can't be read is `None`, `false` or empty, never a guess.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The edge began a ClientHello.
    pub hello: bool,
    /// Of a ClientHello that has not come whole: how many bytes came, and how many it has.
    pub hello_cut: Option<(u64, u64)>,
    /// The host that the edge asked for: letters, digits, `-`, `.` and `_` only.
    pub sni: Option<String>,
    /// Versions that the edge offered, newest first.
    pub offered: Vec<Version>,
    /// Application protocols that the edge offered (RFC 7301), printable ones only.
    pub alpn: Vec<String>,
    /// The version in the origin's ServerHello or HelloRetryRequest.
    pub agreed: Option<Version>,
    /// The origin's alert in the clear: a fatal one, or a warning that is all it ever sent; never `close_notify`.
    pub origin_alert: Option<Alert>,
    /// The origin ended a TLS 1.3 handshake, after the edge's part of it, with what has the size of an encrypted alert.
    /// A `close_notify` has it too; only one that follows a ticket or data is known as such.
    pub origin_alert_encrypted: bool,
    /// The edge's fatal alert in the clear: in TLS 1.2, or in TLS 1.3 from a client that hasn't changed keys yet.
    pub edge_alert: Option<Alert>,
    /// TLS 1.3: where its Finished should be, the edge sent what has the size of an encrypted alert.
    pub edge_alert_encrypted: bool,
    /// The edge has done its part of the handshake. Most clients have then accepted the certificate; some check it
    /// later.
    pub edge_finished: bool,
    /// TLS 1.2 and before: an earlier session goes on, so that the origin has done its part of the handshake first.
    pub resumed: bool,
    /// Whether the origin asked for a client certificate.
    pub certificate_requested: Option<bool>,
    /// The edge answered that with no certificate.
    pub edge_certificate_empty: bool,
    /// What the origin answers with.
    pub answer: Answer,
}

/// What the origin's first bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Too few bytes were kept.
    #[default]
    Unknown,
    /// No byte was sent.
    Nothing,
    Tls,
    /// A status line, or an error page without one.
    PlainHttp,
    Garbage,
}

impl Handshake {
    /// Reads the first bytes of each side of a connection. `edge_len` and `origin_len`: how many each sent in all;
    /// `origin_tail`: the last ones that the origin sent.
    #[must_use]
    pub fn read(edge: &[u8], origin: &[u8], edge_len: u64, origin_len: u64, origin_tail: [u8; 8]) -> Self {
        let (edge, origin) = (Stream::new(edge, edge_len), Stream::new(origin, origin_len));
        let answer = Answer::of(&origin);
        let (edge_clear, origin_clear) = (edge.plaintext(), origin.plaintext());

        let hello = messages(&edge_clear).next().filter(|first| first.kind == TlsHandshakeType::ClientHello);
        let client = hello.as_ref().map(ClientHello::read).unwrap_or_default();
        let server = messages(&origin_clear).find(|message| message.kind == TlsHandshakeType::ServerHello);
        let agreed = server.as_ref().and_then(hello::agreed);
        let flight = match agreed {
            // Early data comes first, and in any size.
            Some(Version::Tls13) if client.early_data => Flight::default(),
            Some(Version::Tls13) => Flight::sealed(&edge),
            Some(version) if version < Version::Tls13 => Flight::clear(&edge, &edge_clear, &origin, &origin_clear),
            _ => Flight::default(),
        };
        Self {
            hello: hello.is_some(),
            hello_cut: edge.first_message_end().map(|end| (edge.len, end)).filter(|(came, end)| came < end),
            sni: client.sni,
            offered: client.offered,
            alpn: client.alpn,
            agreed,
            origin_alert: match answer {
                Answer::Tls | Answer::Unknown => Alert::of_origin(&origin, origin_tail),
                Answer::Nothing | Answer::PlainHttp | Answer::Garbage => None,
            },
            origin_alert_encrypted: agreed == Some(Version::Tls13)
                && flight.finished
                && flight::ends_in_sealed_alert(&origin),
            edge_alert: Alert::fatal_in(edge.records()),
            edge_alert_encrypted: flight.alert,
            edge_finished: flight.finished,
            resumed: flight.resumed,
            certificate_requested: flight.certificate_requested,
            edge_certificate_empty: flight.certificate_empty,
            answer,
        }
    }
}

impl Answer {
    fn of(origin: &Stream<'_>) -> Self {
        let text = origin.kept.trim_ascii_start();
        match origin.kept {
            [] if origin.len == 0 => Self::Nothing,
            // A record of type alert or handshake, of SSL 3.0 or later.
            [0x15 | 0x16, 3, ..] => Self::Tls,
            [0x15 | 0x16] => Self::Unknown,
            _ if text.starts_with(b"HTTP/") || text.starts_with(b"<") => Self::PlainHttp,
            _ if b"HTTP/".starts_with(text) => Self::Unknown,
            _ => Self::Garbage,
        }
    }
}

#[cfg(test)]
mod tests;
