//! What was said inside TLS: the records of a failed exchange, opened with the keys that the TLS library announced.
//!
//! Takes ciphertext as it stood on the wire, from a record's header on and cut anywhere, and gives the text of as many
//! records as the keys open. A whole record is accepted by its tag alone, one that was not kept whole by its look.
//! Hostile input: bounded, no panic. Secrets, keys and texts are wiped when dropped, and `Debug` shows none of them.

mod aead;
mod cbc;
mod chain;
mod gcm;
mod look;
mod opened;
mod protection;
mod reader;
mod schedule;
mod secret;
mod suite;
mod trial;

pub use look::{Look, http_request, http_response};
pub use opened::{Bounds, Messages, Opened, Outcome, Plaintext};
use reader::Reader;
pub use secret::{Label, Secrets, Side};
pub use suite::Suite;

use super::record::records;

/// Bytes that are read of what was kept.
const MAX_KEPT: usize = 1 << 16;
/// Bytes of a record's header.
const HEADER: u64 = 5;

/// One direction of a connection, from the header of a record on.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// The first bytes.
    pub kept: &'a [u8],
    /// How many were sent in all.
    pub len: u64,
    /// The number that the first record may have among the encrypted ones of this direction.
    pub sequence_hint: u64,
}

/// Opens what was kept of one direction. `look` judges the first bytes of a text that no tag proves.
#[must_use]
pub fn open(side: Side, sealed: &Sealed<'_>, secrets: &Secrets, look: Look) -> Opened {
    let kept = &sealed.kept[..sealed.kept.len().min(MAX_KEPT)];
    let len = sealed.len.max(kept.len() as u64);
    let mut reader = Reader::new(side, secrets, sealed.sequence_hint, look, kept.len());
    let (mut end, mut goes_on) = (0, true);
    for (number, record) in records(kept).enumerate() {
        end = record.end;
        goes_on = goes_on && reader.take(&record, number == 0, len);
    }
    let mut opened = reader.finish(len.saturating_sub(end));
    opened.cut = is_cut(kept, end, len);
    opened
}

/// Whether the last record is cut, if what was kept leads to it; `end`: where the last one ends whose header was kept.
fn is_cut(kept: &[u8], end: u64, len: u64) -> Option<bool> {
    let in_header = kept.len() as u64 == len && (1..HEADER).contains(&len.saturating_sub(end));
    if end == 0 && !in_header {
        return None;
    }
    (end >= len || in_header).then_some(end != len)
}

#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;
