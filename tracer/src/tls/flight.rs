//! How the edge answered the origin's hello: read in TLS 1.2, inferred from the sizes of the records in TLS 1.3.
//!
//! The sizes assume an authentication tag of 16 bytes, which all suites in use have, and no record padding, which no
//! common client adds to a handshake. OpenSSL and Go send a record for each message; BoringSSL and rustls put all
//! messages into one.

use tls_parser::{TlsHandshakeType, TlsRecordType};

use super::record::{Message, Record, Stream, messages};

/// What TLS 1.3 adds to a message: its type and the tag (RFC 8446 §5.2).
const SEAL: usize = 1 + 16;
/// Level and description. A `close_notify` has this size too.
const ALERT: usize = 2 + SEAL;
/// A Certificate message with an empty context and an empty list.
const EMPTY_CERTIFICATE: usize = 4 + 1 + 3 + SEAL;
/// Finished, with SHA-256 or SHA-384.
const FINISHED: [usize; 2] = [4 + 32 + SEAL, 4 + 48 + SEAL];
/// Both in one record.
const EMPTY_CERTIFICATE_AND_FINISHED: [usize; 2] = [8 + FINISHED[0], 8 + FINISHED[1]];

/// The edge's second flight.
#[derive(Default)]
pub(super) struct Flight {
    pub(super) alert: bool,
    pub(super) finished: bool,
    pub(super) certificate_requested: Option<bool>,
    pub(super) certificate_empty: bool,
    pub(super) resumed: bool,
}

impl Flight {
    /// TLS 1.3.
    pub(super) fn sealed(edge: &Stream<'_>) -> Self {
        let mut sizes = edge.sent().filter(is_sealed).map(|record| record.len);
        let Some(first) = sizes.next() else { return Self::default() };
        let empty = first == EMPTY_CERTIFICATE || EMPTY_CERTIFICATE_AND_FINISHED.contains(&first);
        Self {
            alert: first == ALERT,
            // A client that sends its certificate sends its Finished with it, in the same record or behind it.
            finished: first >= FINISHED[0]
                || first == EMPTY_CERTIFICATE && sizes.next().is_some_and(|size| size >= FINISHED[0]),
            certificate_requested: if FINISHED.contains(&first) {
                Some(false)
            } else {
                // Larger than a Finished can be: a certificate is in it.
                (empty || first > EMPTY_CERTIFICATE_AND_FINISHED[1]).then_some(true)
            },
            certificate_empty: empty,
            resumed: false,
        }
    }

    /// TLS 1.2 and before, where all but Finished is in the clear.
    pub(super) fn clear(edge: &Stream<'_>, edge_clear: &[u8], origin: &Stream<'_>, origin_clear: &[u8]) -> Self {
        let given = first_of(edge_clear, TlsHandshakeType::Certificate, TlsHandshakeType::ClientKeyExchange);
        let asked = first_of(origin_clear, TlsHandshakeType::CertificateRequest, TlsHandshakeType::ServerDone);
        let changed = |record: Record<'_>| record.kind == TlsRecordType::ChangeCipherSpec;
        let done = messages(origin_clear).any(|message| message.kind == TlsHandshakeType::ServerDone);
        let mut after_change = edge.sent().skip_while(|record| record.kind != TlsRecordType::ChangeCipherSpec).skip(1);
        let finished = after_change.next().is_some_and(|record| record.kind == TlsRecordType::Handshake);
        Self {
            alert: false,
            finished,
            // Finished without any of these: an earlier session goes on.
            certificate_requested: given.as_ref().or(asked.as_ref()).map(|(yes, _)| *yes).or(finished.then_some(false)),
            certificate_empty: given.is_some_and(|(yes, message)| yes && message.whole && message.body == [0, 0, 0]),
            resumed: !done && origin.sent().any(changed),
        }
    }
}

/// The first message of either type, and whether it is `yes`.
fn first_of(clear: &[u8], yes: TlsHandshakeType, no: TlsHandshakeType) -> Option<(bool, Message<'_>)> {
    let message = messages(clear).find(|message| message.kind == yes || message.kind == no)?;
    Some((message.kind == yes, message))
}

/// Whether a TLS 1.3 origin's last record has the size of an alert and follows its Finished: tickets or data between
/// them mean that it had accepted the edge and that the record is a `close_notify`. Known only where every byte was
/// kept.
pub(super) fn ends_in_sealed_alert(origin: &Stream<'_>) -> bool {
    let mut sealed = origin.sent().filter(is_sealed);
    let Some(first) = sealed.next() else { return false };
    let (mut before, mut last) = (None, first);
    for record in sealed {
        before = Some(std::mem::replace(&mut last, record));
    }
    origin.is_whole()
        && last.end == origin.len
        && last.len == ALERT
        // The Finished has a record of its own, or the whole flight is in one.
        && before.is_some_and(|before| FINISHED.contains(&before.len) || before.end == first.end && before.len > ALERT)
}

fn is_sealed(record: &Record<'_>) -> bool {
    record.kind == TlsRecordType::ApplicationData
}
