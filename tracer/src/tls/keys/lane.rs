//! Records of one direction of which only parts were kept, in the middle of a connection: each is opened by its tag, or
//! by its place among others that were.

use std::time::Duration;

use tls_parser::TlsRecordType;
use zeroize::Zeroizing;

use super::chain::{Chain, is_tls13};
use super::look::Look;
use super::opened::Plaintext;
use super::reader::inner;
use super::secret::{Secrets, Side};
use super::trial::{Area, Work, by_tag};
use crate::tls::{alert::Alert, record::Record};

/// Numbers that are tried around the place of a record among those since the trail began.
const REACH: u64 = 4_096;

/// A part of a record's content that was kept.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Number of its record since an arbitrary one.
    pub record: u32,
    /// Length of that record's content.
    pub len: usize,
    /// Where the part begins in it.
    pub at: usize,
    pub bytes: &'a [u8],
    /// An unknown number of records is missing before its record.
    pub behind_gap: bool,
    /// When it passed, since the connection opened.
    pub time: Duration,
}

/// What lies between a run of text and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    None,
    /// So many bytes of text.
    Bytes(u64),
    /// It is not known what.
    Unknown,
}

/// Text that was opened. The first of all has an unknown gap before it, unless it is the first that the side said.
#[derive(Debug)]
pub struct Run {
    pub time: Duration,
    pub gap: Gap,
    pub text: Plaintext,
}

/// Opens what was kept of one direction, oldest parts first. `from_start`: record 0 is the first one that holds data.
/// A last run without text tells of what was sent behind all that was kept. Also says whether the last record was
/// `close_notify`. `None`: nothing could be opened.
#[must_use]
pub fn open_parts(
    side: Side,
    parts: &[Part<'_>],
    secrets: &Secrets,
    from_start: bool,
    look: Look,
) -> Option<(Vec<Run>, bool)> {
    let mut lane = Lane {
        chain: Chain::new(side, secrets),
        tls13: is_tls13(secrets),
        look,
        work: Work::new(),
        keys: None,
        last: from_start.then_some(Last { record: u32::MAX, at: 0, all: 0, missing: 0 }),
        runs: Vec::new(),
        is_closed: false,
    };
    if lane.chain.is_empty() {
        return None;
    }
    let records: Vec<_> = parts.chunk_by(|one, next| one.record == next.record).collect();
    for (number, record) in records.iter().enumerate() {
        if record[0].behind_gap {
            (lane.keys, lane.last) = (None, None);
        }
        if lane.keys.is_none() {
            lane.find_keys(&records[number..]);
        }
        lane.take(record);
    }
    let Some(end) = parts.last() else { return Some((Vec::new(), false)) };
    if lane.runs.is_empty() && lane.last.is_none() {
        return None;
    }
    let behind = lane.last.map(|last| last.to(last.record.wrapping_add(1), 0));
    let gap = match behind.flatten() {
        Some(0) => return Some((lane.runs, lane.is_closed)),
        Some(missing) => Gap::Bytes(missing),
        None => Gap::Unknown,
    };
    lane.runs.push(Run { time: end.time, gap, text: Plaintext::default() });
    Some((lane.runs, lane.is_closed))
}

/// How far the text is known.
#[derive(Clone, Copy)]
struct Last {
    record: u32,
    /// So much of that record's text was given, of so much in all.
    at: usize,
    all: usize,
    /// Text of records before it that was not kept, since the last run.
    missing: u64,
}

struct Lane {
    chain: Chain,
    tls13: bool,
    look: Look,
    work: Work,
    /// The keys, and what to add to a record's number to get its sequence number.
    keys: Option<(usize, u64)>,
    last: Option<Last>,
    runs: Vec<Run>,
    is_closed: bool,
}

impl Lane {
    /// Finds the keys by the first of these records that was kept whole.
    fn find_keys(&mut self, records: &[&[Part<'_>]]) {
        for parts in records {
            if parts[0].behind_gap && !std::ptr::eq(*parts, records[0]) {
                return;
            }
            let Some(body) = whole(parts) else { continue };
            let record = record(parts[0].len, &body);
            let area = Area { hint: parts[0].record.into(), reach: REACH };
            if let Some(found) = by_tag(&self.chain.protections(), &record, area, self.look, &mut self.work) {
                self.keys = Some((found.keys, found.sequence.wrapping_sub(parts[0].record.into())));
                return;
            }
        }
    }

    fn take(&mut self, parts: &[Part<'_>]) {
        let (number, len) = (parts[0].record, parts[0].len);
        let Some((keys, base)) = self.keys else { return self.lose() };
        let sequence = base.wrapping_add(number.into());
        self.is_closed = false;
        if let Some(body) = whole(parts) {
            let protection = &self.chain.get(keys).protection;
            let Some(text) = protection.open(sequence, &record(len, &body)) else {
                // The keys have changed, or records were missed.
                self.keys = None;
                return self.lose();
            };
            let (kind, content) = if self.tls13 { inner(&text) } else { (TlsRecordType::ApplicationData, &text[..]) };
            if kind == TlsRecordType::ApplicationData {
                self.put(number, 0, content, content.len(), parts[0].time);
            } else {
                let alert = Alert::read(content).filter(|_| kind == TlsRecordType::Alert);
                self.is_closed = alert.is_some_and(|alert| alert.name() == Some("close_notify"));
                self.pass(number);
            }
            return;
        }
        for part in parts {
            let protection = &self.chain.get(keys).protection;
            let [least, _] = protection.text_of(len, len);
            let prefix = protection.prefix();
            let explicit = parts[0].bytes.first_chunk().filter(|_| parts[0].at == 0).copied().map(u64::from_be_bytes);
            let number_of = if protection.is_numbered() { Some(sequence) } else { explicit };
            let (skipped, at) = (prefix.saturating_sub(part.at), part.at.saturating_sub(prefix));
            let sealed = part.bytes.get(skipped..).unwrap_or_default();
            let sealed = &sealed[..sealed.len().min(least.saturating_sub(at))];
            if sealed.is_empty() {
                continue;
            }
            let text = number_of.and_then(|number| protection.read_at(number, at, sealed));
            // CBC can be read from its start on.
            let text = text.or_else(|| (part.at == 0).then(|| protection.read(sequence, &record(len, part.bytes))));
            let Some(text) = text else { continue };
            self.put(number, at, &text, least, part.time);
        }
    }

    /// Text that begins at byte `at` of its record's, which has `all` bytes.
    fn put(&mut self, record: u32, at: usize, text: &[u8], all: usize, time: Duration) {
        let missing = self.last.and_then(|last| last.to(record, at));
        let gap = match missing {
            Some(0) => Gap::None,
            Some(missing) => Gap::Bytes(missing),
            None if at == 0 => Gap::Unknown,
            None => return self.lose(),
        };
        let mut missing = missing.unwrap_or_default();
        if !text.is_empty() {
            let mut copy = Plaintext::with_capacity(text.len());
            copy.push(text);
            self.runs.push(Run { time, gap, text: copy });
            missing = 0;
        }
        self.last = Some(Last { record, at: at + text.len(), all, missing });
    }

    /// A record without data.
    fn pass(&mut self, record: u32) {
        let missing = self.last.and_then(|last| last.to(record, 0));
        self.last = missing.map(|missing| Last { record, at: 0, all: 0, missing });
    }

    fn lose(&mut self) {
        self.last = None;
    }
}

impl Last {
    /// Text between here and byte `at` of the text of a record. `None`: not known.
    fn to(self, record: u32, at: usize) -> Option<u64> {
        if record == self.record {
            return Some(self.missing + at.checked_sub(self.at)? as u64);
        }
        let left = self.all.checked_sub(self.at)? as u64;
        (record == self.record.wrapping_add(1)).then_some(self.missing + left + at as u64)
    }
}

fn record(len: usize, body: &[u8]) -> Record<'_> {
    Record { kind: TlsRecordType::ApplicationData, len, body, end: 0 }
}

/// The content of a record of which every byte was kept.
fn whole(parts: &[Part<'_>]) -> Option<Zeroizing<Vec<u8>>> {
    let len = parts[0].len;
    let mut body = Zeroizing::new(Vec::with_capacity(len));
    for part in parts {
        if part.at != body.len() {
            return None;
        }
        body.extend_from_slice(part.bytes);
    }
    (body.len() == len).then_some(body)
}

#[cfg(test)]
mod tests;
