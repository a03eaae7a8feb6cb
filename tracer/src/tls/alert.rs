//! Alerts in the clear (RFC 8446 §6). An encrypted one is longer than its two bytes and is left out.

use std::fmt;

use tls_parser::{TlsAlertSeverity, TlsMessage, TlsRecordType, parse_tls_message_alert};

use super::record::{Record, Stream, records};

const CLOSE_NOTIFY: u8 = 0;
const FATAL: u8 = 2;
/// Bytes of an alert in the clear, with its record's header.
const ON_THE_WIRE: usize = 7;

/// What one side said before it gave up. Displays as its name in the registry, or as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alert {
    /// Fatal, or else a warning.
    pub fatal: bool,
    /// The number on the wire.
    pub description: u8,
}

impl Alert {
    /// By the two bytes of it.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let [level, description] = *text else { return None };
        Some(Self { fatal: level == FATAL, description })
    }

    /// The first fatal one.
    pub(super) fn fatal_in<'a>(records: impl Iterator<Item = Record<'a>>) -> Option<Self> {
        records.filter_map(|record| Self::of(&record)).find(|alert| alert.fatal)
    }

    /// The origin's fatal one, in what was kept or at the very end; or a warning that is all it said.
    pub(super) fn of_origin(origin: &Stream<'_>, tail: [u8; 8]) -> Option<Self> {
        let beyond = if origin.is_whole() { &[] } else { &tail[tail.len() - ON_THE_WIRE..] };
        Self::fatal_in(origin.records().chain(records(beyond))).or_else(|| {
            let alone = origin.is_whole() && origin.records().all(|record| record.kind == TlsRecordType::Alert);
            alone.then(|| origin.records().find_map(|record| Self::of(&record))).flatten()
        })
    }

    /// The alert that is the whole record, unless it is `close_notify`.
    fn of(record: &Record<'_>) -> Option<Self> {
        if record.kind != TlsRecordType::Alert || record.len != 2 {
            return None;
        }
        let Ok((_, TlsMessage::Alert(alert))) = parse_tls_message_alert(record.body) else { return None };
        let fatal = match alert.severity {
            TlsAlertSeverity::Fatal => true,
            TlsAlertSeverity::Warning => false,
            _ => return None,
        };
        (alert.code.0 != CLOSE_NOTIFY).then_some(Self { fatal, description: alert.code.0 })
    }

    /// As the registry spells it: <https://www.iana.org/assignments/tls-parameters#tls-parameters-6>.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.description {
            CLOSE_NOTIFY => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            52 => "too_many_cids_requested",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            111 => "certificate_unobtainable",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            114 => "bad_certificate_hash_value",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            117 => "general_error",
            120 => "no_application_protocol",
            121 => "ech_required",
            _ => return None,
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.description),
        }
    }
}
