//! What was kept of the plaintext of one side.

use std::time::Duration;

/// A run of text that one side sent. A last one without text tells of a gap behind all that was kept, up to its time.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Since the connection opened.
    pub time: Duration,
    pub gap: Gap,
    pub text: &'a [u8],
}

/// What lies between the piece before, or the beginning of the connection, and this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    None,
    /// So many bytes were not kept.
    Bytes(u64),
    /// Records are missing, or could not be opened; this piece begins where a record of TLS begins.
    Unknown,
}

impl Gap {
    /// Its length in bytes, where that is known.
    pub(super) const fn len(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Bytes(len) => Some(len),
            Self::Unknown => None,
        }
    }
}
