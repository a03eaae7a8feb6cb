//! The end of a direction of which more was sent than was kept: how much text it had, and the last bytes of that.
//!
//! The records in between were counted, not kept. Each adds the same to its text, so that their number and their bytes
//! give the bytes of text; and each has the number after that of the one before.

use tls_parser::TlsRecordType;

use super::opened::{Opened, Plaintext};
use super::protection::Protection;
use crate::tls::alert::Alert;
use crate::tls::record::Record;

/// Bytes of a record's header.
const HEADER: u64 = 5;

/// Where the records of a direction are, of which more was sent than was kept. All positions are in bytes from the
/// start of what was kept.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Records that have begun.
    pub records: u64,
    /// Where the last but one begins, and the last.
    pub before_at: u64,
    pub record_at: u64,
    /// Where the next one would begin.
    pub next_at: u64,
    /// The last bytes, and where they begin.
    pub tail_at: u64,
    pub tail: &'a [u8],
}

/// What is known of the records whose header was kept.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// How many, and where the last of them ends.
    pub(super) records: u64,
    pub(super) end: u64,
    /// Number of the one after them.
    pub(super) next: u64,
    /// The nonce that the last of them had at its start, where it has one there.
    pub(super) explicit: Option<u64>,
}

/// A record near the end.
struct Last<'a> {
    /// Bytes of its body, as its header says, and of those that were sent.
    len: u64,
    sent: u64,
    /// Where the body begins.
    body_at: u64,
    /// How many come behind the ones that were kept, itself included; 0: it was kept.
    behind: u64,
    end: &'a End<'a>,
}

impl End<'_> {
    /// Adds to what was `opened` what the records behind the `known` ones tell. `len`: bytes sent in all. `false`: they
    /// tell nothing, because the numbers contradict each other.
    pub(super) fn read(&self, known: &Known, protection: &Protection, len: u64, opened: &mut Opened) -> bool {
        let Some(behind) = self.records.checked_sub(known.records).filter(|_| self.is_sound(len)) else { return false };
        let last = Last {
            len: self.next_at - self.record_at - HEADER,
            sent: len.min(self.next_at).saturating_sub(self.record_at + HEADER),
            body_at: self.record_at + HEADER,
            behind,
            end: self,
        };
        opened.cut = Some(len != self.next_at);
        let [least, most] = protection.text_of(usize_of(last.len), usize_of(last.sent)).map(|text| text as u64);
        if behind > 0 {
            let between = self.record_at.saturating_sub(known.end);
            let between = between.saturating_sub((behind - 1) * (HEADER + protection.overhead() as u64));
            opened.data.most += between + most;
            // What CBC adds to a text differs from record to record.
            opened.data.least += least + if protection.is_exact() { between } else { 0 };
        }
        match last.other_than_data(known, protection) {
            None => last.tell(known, protection, opened),
            Some((kind, content)) => {
                if behind > 0 {
                    opened.data.least = opened.data.least.saturating_sub(least);
                    opened.data.most = opened.data.most.saturating_sub(most);
                }
                if kind == TlsRecordType::Alert && behind > 0 {
                    opened.alerts.extend(Alert::read(&content));
                }
                self.before(behind).tell(known, protection, opened);
            }
        }
        true
    }

    fn is_sound(&self, len: u64) -> bool {
        let in_order = self.before_at <= self.record_at && self.record_at + HEADER <= self.next_at;
        self.records > 0 && in_order && self.record_at <= len
    }

    /// The record before the last one.
    fn before(&self, behind: u64) -> Last<'_> {
        let len = self.record_at.saturating_sub(self.before_at + HEADER);
        Last { len, sent: len, body_at: self.before_at + HEADER, behind: behind.saturating_sub(1), end: self }
    }
}

impl Last<'_> {
    /// What was kept of the end of its body, and where in it that begins.
    fn kept(&self) -> (u64, &[u8]) {
        let from = self.body_at.max(self.end.tail_at);
        let to = self.body_at + self.sent;
        let at = |position: u64| usize_of(position.saturating_sub(self.end.tail_at));
        (from - self.body_at, self.end.tail.get(at(from)..at(to)).unwrap_or_default())
    }

    /// The number that goes into its nonce.
    fn number(&self, known: &Known, protection: &Protection) -> Option<u64> {
        if protection.is_numbered() {
            return (known.next + self.behind).checked_sub(1);
        }
        match self.kept() {
            // It stands at the start of the body.
            (0, kept) => kept.first_chunk().map(|number| u64::from_be_bytes(*number)),
            // rustls makes it of the number, which is not known for sure; others count on.
            _ if protection.is_bare => None,
            _ => known.explicit.map(|number| number.wrapping_add(self.behind)),
        }
    }

    /// Its text from the first byte that was kept on, unproved, with what follows it in TLS 1.3; and where it begins in
    /// the body.
    fn read(&self, known: &Known, protection: &Protection) -> Option<(u64, Plaintext)> {
        let (from, kept) = self.kept();
        if protection.lacks_iv() && from == 0 && kept.len() as u64 == self.len {
            let record = Record { kind: TlsRecordType::ApplicationData, len: kept.len(), body: kept, end: 0 };
            return protection.open(0, &record).map(|text| (0, text.into()));
        }
        let start = protection.prefix() as u64;
        let skipped = usize_of(start.saturating_sub(from));
        let from = from.max(start);
        let end = self.len.saturating_sub(protection.suffix() as u64);
        let sealed = kept.get(skipped..)?;
        let sealed = &sealed[..sealed.len().min(usize_of(end.saturating_sub(from)))];
        let at = usize_of(from - start);
        let text = self.number(known, protection).and_then(|number| protection.read_at(number, at, sealed));
        let text = text.or_else(|| {
            let explicit = known.explicit.map(|explicit| (explicit, self.behind));
            let number = (known.next + self.behind).checked_sub(1)?;
            protection.search(number, explicit, at, sealed, self.sent >= self.len)
        })?;
        Some((from, text.into()))
    }

    /// The type and the content of a short record that holds no application data.
    fn other_than_data(&self, known: &Known, protection: &Protection) -> Option<(TlsRecordType, Vec<u8>)> {
        if self.sent < self.len {
            return None;
        }
        if protection.suite.tls13 {
            let (_, text) = self.read(known, protection)?;
            let at = text.iter().rposition(|byte| *byte != 0)?;
            let kind = TlsRecordType(text[at]);
            return (kind != TlsRecordType::ApplicationData).then(|| (kind, text[..at].to_vec()));
        }
        let at = (self.body_at - HEADER).checked_sub(self.end.tail_at)?;
        let kind = TlsRecordType(*self.end.tail.get(usize_of(at))?);
        let (_, text) = self.read(known, protection)?;
        (kind != TlsRecordType::ApplicationData).then(|| (kind, text.to_vec()))
    }

    /// Tells its text as the last one.
    fn tell(&self, known: &Known, protection: &Protection, opened: &mut Opened) {
        let text = self.text(known, protection);
        opened.tail_unread = text.is_none() && protection.is_bare;
        opened.tail = text.unwrap_or_default();
    }

    /// The last bytes of its text.
    fn text(&self, known: &Known, protection: &Protection) -> Option<Plaintext> {
        let (_, text) = self.read(known, protection)?;
        if !protection.suite.tls13 || self.sent < self.len {
            return Some(text);
        }
        // The type stands behind it, and padding.
        let end = text.iter().rposition(|byte| *byte != 0).unwrap_or_default();
        let mut content = Plaintext::with_capacity(end);
        content.push(&text[..end]);
        Some(content)
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
