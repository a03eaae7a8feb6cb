//! What was said inside TLS: the records of a failed exchange, opened with the keys that the TLS library announced.
//!
//! Takes ciphertext as it stood on the wire, from a record's header on and cut anywhere, and gives the text of as many
//! records as the keys open. A whole record is accepted by its tag alone, one that was not kept whole by its look.
//! Hostile input: bounded, no panic. Secrets, keys and texts are wiped when dropped, and `Debug` shows none of them.

mod aead;
mod bare;
mod cbc;
mod chain;
mod end;
mod gcm;
mod lane;
mod look;
mod nonces;
mod opened;
mod protection;
mod reader;
mod schedule;
mod secret;
mod suite;
mod trial;

pub use end::End;
use end::Known;
pub use lane::{Gap, Part, Run, open_parts};
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
    /// Where the records behind those are; `None`: not known.
    pub end: Option<End<'a>>,
}

/// Opens what was kept of one direction. `look` judges the first bytes of a text that no tag proves.
#[must_use]
pub fn open(side: Side, sealed: &Sealed<'_>, secrets: &Secrets, look: Look) -> Opened {
    let kept = &sealed.kept[..sealed.kept.len().min(MAX_KEPT)];
    let len = sealed.len.max(kept.len() as u64);
    let mut reader = Reader::new(side, secrets, sealed.sequence_hint, look, kept.len());
    let (mut known, mut goes_on) = (Known { records: 0, end: 0, next: 0, explicit: None }, true);
    for (number, record) in records(kept).enumerate() {
        known.records += 1;
        known.end = record.end;
        known.explicit = record.body.first_chunk().map(|nonce| u64::from_be_bytes(*nonce));
        goes_on = goes_on && reader.take(&record, number == 0, len);
    }
    reader.opened.cut = is_cut(kept, known.end, len);
    let is_counted = goes_on && len > kept.len() as u64 && sealed.end.is_some_and(|end| reader.end(&end, known, len));
    if is_counted { reader.opened } else { reader.finish(len.saturating_sub(known.end)) }
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
