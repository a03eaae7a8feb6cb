//! Records, and the handshake messages in those that are not encrypted.

use std::iter;

use tls_parser::{MAX_RECORD_LEN, TlsHandshakeType, TlsRecordType, parse_tls_record_header};

/// Bytes of a record's header.
const HEADER: usize = 5;

/// One side of a connection: its first bytes, and how many it sent in all.
pub(super) struct Stream<'a> {
    pub(super) kept: &'a [u8],
    /// Never less than was kept.
    pub(super) len: u64,
}

/// A record whose header was kept.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) kind: TlsRecordType,
    /// As the header says.
    pub(super) len: usize,
    /// What was kept of it.
    pub(super) body: &'a [u8],
    /// Where it ends in the stream.
    pub(super) end: u64,
}

impl<'a> Stream<'a> {
    pub(super) fn new(kept: &'a [u8], len: u64) -> Self {
        Self { kept, len: len.max(kept.len() as u64) }
    }

    /// Whether every byte was kept.
    pub(super) fn is_whole(&self) -> bool {
        self.kept.len() as u64 == self.len
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        records(self.kept)
    }

    /// Records that were sent to their end, kept or not.
    pub(super) fn sent(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let len = self.len;
        self.records().take_while(move |record| record.end <= len)
    }

    /// Where the handshake message ends that the stream begins with, by its header. One that is longer than its record
    /// goes on in others of the same size, as far as can be told.
    pub(super) fn first_message_end(&self) -> Option<u64> {
        let first = self.records().next().filter(|record| record.kind == TlsRecordType::Handshake)?;
        let [_, a, b, c, ..] = *first.body else { return None };
        let message = 4 + u64::from(u32::from_be_bytes([0, a, b, c]));
        let records = message.div_ceil((first.len as u64).max(1));
        Some(message + records * HEADER as u64)
    }

    /// The bytes of the handshake messages that precede the first encrypted record or ChangeCipherSpec.
    pub(super) fn plaintext(&self) -> Vec<u8> {
        let clear = |record: &Record<'_>| matches!(record.kind, TlsRecordType::Handshake | TlsRecordType::Alert);
        let handshake = |record: &Record<'_>| record.kind == TlsRecordType::Handshake;
        self.records().take_while(clear).filter(handshake).flat_map(|record| record.body).copied().collect()
    }
}

/// The records in `bytes`, up to what is none.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut at = 0;
    iter::from_fn(move || {
        let (body, header) = parse_tls_record_header(bytes.get(at..)?).ok()?;
        let known = (TlsRecordType::ChangeCipherSpec.0..=TlsRecordType::Heartbeat.0).contains(&header.record_type.0);
        if !known || header.version.0 >> 8 != 3 || header.len > MAX_RECORD_LEN {
            return None;
        }
        let len = usize::from(header.len);
        at += HEADER + len;
        Some(Record { kind: header.record_type, len, body: &body[..len.min(body.len())], end: at as u64 })
    })
}

/// The type and the content of a record of TLS 1.3, without its padding (RFC 8446 §5.4).
pub(super) fn inner(text: &[u8]) -> (TlsRecordType, &[u8]) {
    let end = text.iter().rposition(|byte| *byte != 0).unwrap_or_default();
    (TlsRecordType(text.get(end).copied().unwrap_or_default()), &text[..end])
}

/// A handshake message whose header was kept.
pub(super) struct Message<'a> {
    pub(super) kind: TlsHandshakeType,
    /// What was kept of it.
    pub(super) body: &'a [u8],
    pub(super) whole: bool,
}

/// The messages in the concatenated bodies of handshake records: one may span several.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    iter::from_fn(move || {
        let [kind, a, b, c, rest @ ..] = bytes else { return None };
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (body, next) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        bytes = next;
        Some(Message { kind: TlsHandshakeType(*kind), body, whole: body.len() == len })
    })
}
