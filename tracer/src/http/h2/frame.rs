//! The header of a frame (RFC 9113 §4.1), and what it must and may say.

use super::error::ConnectionError;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITIZED: u8 = 0x20;

/// Longest frame unless the other side takes longer ones, in bytes (SETTINGS_MAX_FRAME_SIZE).
pub(super) const MAX_LEN: u32 = 16_384;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes behind the header.
    pub(super) len: u32,
    pub(super) kind: u8,
    flags: u8,
    is_reserved_set: bool,
    pub(super) stream: u32,
}

impl Header {
    pub(super) const SIZE: usize = 9;

    pub(super) fn read(bytes: &[u8; Self::SIZE]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes;
        let stream = u32::from_be_bytes([d, e, f, g]);
        Self {
            len: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            is_reserved_set: stream >> 31 != 0,
            stream: stream & 0x7fff_ffff,
        }
    }

    pub(super) const fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    pub(super) const fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    pub(super) const fn is_ack(&self) -> bool {
        matches!(self.kind, SETTINGS | PING) && self.flags & ACK != 0
    }

    pub(super) const fn is_padded(&self) -> bool {
        matches!(self.kind, DATA | HEADERS | PUSH_PROMISE) && self.flags & PADDED != 0
    }

    /// Bytes in front of the fragment of a header block: what a priority or a promise takes.
    pub(super) const fn before_fragment(&self) -> usize {
        match self.kind {
            HEADERS if self.flags & PRIORITIZED != 0 => 5,
            PUSH_PROMISE => 4,
            _ => 0,
        }
    }

    /// What the type of the frame forbids, whoever sent it.
    pub(super) const fn check(&self) -> Result<(), ConnectionError> {
        let has_len = match self.kind {
            RST_STREAM | WINDOW_UPDATE => self.len == 4,
            SETTINGS => self.len.is_multiple_of(6) && (self.len == 0 || !self.is_ack()),
            PING => self.len == 8,
            GOAWAY => self.len >= 8,
            _ => true,
        };
        let has_stream = match self.kind {
            DATA | HEADERS | PRIORITY | RST_STREAM | PUSH_PROMISE | CONTINUATION => self.stream != 0,
            SETTINGS | PING | GOAWAY => self.stream == 0,
            _ => true,
        };
        match (has_len, has_stream) {
            (true, true) => Ok(()),
            (false, _) => Err(ConnectionError::FrameSize),
            (true, false) => Err(ConnectionError::StreamId),
        }
    }

    /// Whether this may be the header of a frame: random bytes are taken for one with a chance of 2^-n at most, where n
    /// is what this gives. 0: it does not look like one.
    pub(super) fn look(&self) -> u32 {
        let (flags, bits) = match self.kind {
            // The type has 8 bits, a length up to 16,384 at least 9, the flags up to 8; the stream is odd, and its
            // reserved bit is not set.
            DATA => (END_STREAM | PADDED, 23),
            HEADERS => (END_STREAM | END_HEADERS | PADDED | PRIORITIZED, 21),
            CONTINUATION => (END_HEADERS, 24),
            // Those of one length have 24 bits for it.
            PRIORITY | RST_STREAM | WINDOW_UPDATE => (0, 40),
            // And these have 32 for the stream, which is 0.
            SETTINGS | PING => (ACK, 55),
            GOAWAY => (0, 55),
            _ => return 0,
        };
        let has_stream = self.stream % 2 == 1 || self.stream == 0 && matches!(self.kind, SETTINGS..=WINDOW_UPDATE);
        // Nobody sends a part of a block, or of a body that goes on, without a byte.
        let is_off = match self.kind {
            DATA => self.len == 0 && !self.ends_stream(),
            HEADERS | CONTINUATION => self.len == 0,
            // For its own stream alone, this is an error.
            PRIORITY => self.len != 5,
            _ => false,
        };
        let is_one = self.check().is_ok()
            && self.flags & !flags == 0
            && !self.is_reserved_set
            && self.len <= MAX_LEN
            && has_stream
            && !is_off;
        if is_one { bits } else { 0 }
    }
}
