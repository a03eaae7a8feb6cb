//! From record to record: which are in the clear, which keys open the next one, and what it holds.

use tls_parser::{TlsHandshakeType, TlsRecordType};
use zeroize::Zeroizing;

use super::chain::{Chain, is_tls13};
use super::end::{End, Known};
use super::look::Look;
use super::nonces::Sureness;
use super::opened::{Messages, Opened, Outcome, Plaintext};
use super::protection::Text;
use super::secret::{Label, Secrets, Side};
use super::trial::{Area, Found, NEEDED_ONCE, REACH, Work, by_look, by_tag};
use crate::tls::alert::Alert;
use crate::tls::hello::ClientHello;
use crate::tls::record::{Record, inner, messages};

/// Numbers that are tried where keys have just come into use: tickets and alerts may have been first.
const REACH_AT_START: u64 = 64;
/// The same for derived keys.
const REACH_DERIVED: u64 = 1 << 14;
/// Bytes of a record's header.
const HEADER: u64 = 5;
/// Most bytes of a record behind its header.
const MAX_RECORD: u64 = (1 << 14) + 256;
/// Types of handshake messages that keys protect; others show that what was kept began within a message.
const KNOWN_MESSAGES: [u8; 10] = [2, 4, 5, 8, 11, 13, 15, 20, 24, 25];

pub(super) struct Reader {
    side: Side,
    chain: Chain,
    tls13: bool,
    hint: u64,
    look: Look,
    work: Work,
    /// Records are in the clear until keys come into use.
    in_clear: bool,
    /// The keys came into use within what was kept, so that numbers begin at 0.
    from_start: bool,
    /// Keys and number of the next record, once known.
    next: Option<(usize, u64)>,
    has_data: bool,
    /// A handshake message of which the rest is in the next record.
    message: Text,
    pub(super) opened: Opened,
}

impl Reader {
    pub(super) fn new(side: Side, secrets: &Secrets, hint: u64, look: Look, kept: usize) -> Self {
        let opened = Opened {
            text: Plaintext::with_capacity(kept),
            early_data: side == Side::Edge && secrets.of(Label::EarlyTraffic).next().is_some(),
            ..Opened::default()
        };
        Self {
            side,
            chain: Chain::new(side, secrets),
            tls13: is_tls13(secrets),
            hint,
            look,
            work: Work::new(),
            in_clear: false,
            from_start: false,
            next: None,
            has_data: false,
            message: Zeroizing::new(Vec::with_capacity(kept)),
            opened,
        }
    }

    /// Reads one record; `is_first` of what was kept. `false`: no further one can be read.
    pub(super) fn take(&mut self, record: &Record<'_>, is_first: bool, len: u64) -> bool {
        if self.is_clear(record, is_first) {
            self.clear(record);
            return true;
        }
        if record.body.is_empty() {
            return true;
        }
        if self.chain.is_empty() {
            self.opened.outcome = Outcome::NoSecret;
            self.opened.unopened += 1;
            return true;
        }
        let is_whole = record.body.len() == record.len;
        let found = if is_whole { self.whole(record) } else { self.part(record) };
        let Some(found) = found else { return self.unopened(record, is_whole, len) };
        self.accept(record, &found, len);
        true
    }

    /// `unread`: bytes on the wire behind the last record whose header was kept.
    pub(super) fn finish(mut self, unread: u64) -> Opened {
        if let Some((keys, _)) = self.next {
            let overhead = HEADER + self.chain.get(keys).protection.overhead() as u64;
            self.opened.data.most += unread.saturating_sub(overhead * unread.div_ceil(HEADER + MAX_RECORD));
        }
        self.opened
    }

    /// Reads what is known of the records behind those that were kept. `false`: nothing is.
    pub(super) fn end(&mut self, end: &End<'_>, known: Known, len: u64) -> bool {
        let has_text = self.has_data || self.opened.messages.tickets > 0;
        let Some((keys, next)) = self.next.filter(|_| has_text) else { return false };
        end.read(&Known { next, ..known }, &self.chain.get(keys).protection, len, &mut self.opened)
    }

    fn is_clear(&mut self, record: &Record<'_>, is_first: bool) -> bool {
        let is_change = record.kind == TlsRecordType::ChangeCipherSpec && record.len == 1;
        if self.tls13 {
            self.from_start |= is_first && record.kind == TlsRecordType::Handshake;
            return record.kind != TlsRecordType::ApplicationData;
        }
        self.in_clear |= is_first && (is_change || is_message_in_clear(record) || is_alert_in_clear(record));
        let is_clear = self.in_clear;
        if is_change && is_clear {
            (self.in_clear, self.from_start) = (false, true);
        }
        is_clear
    }

    fn clear(&mut self, record: &Record<'_>) {
        match record.kind {
            TlsRecordType::Alert => self.alert(record.body),
            TlsRecordType::Handshake => {
                let hello =
                    messages(record.body).next().filter(|message| message.kind == TlsHandshakeType::ClientHello);
                self.opened.early_data |= hello.is_some_and(|message| ClientHello::read(&message).early_data);
            }
            _ => {}
        }
    }

    /// Opens a record by its tag.
    fn whole(&mut self, record: &Record<'_>) -> Option<Found> {
        if let Some((keys, sequence)) = self.next {
            let protection = &self.chain.get(keys).protection;
            let text = protection.open(sequence, record);
            if text.is_some() || !protection.lacks_iv() {
                return text.map(|text| Found { keys, sequence, text, by_tag: true });
            }
            // Nothing tells when other keys come into use than that these do not fit.
            self.from_start = true;
        }
        let area = self.area();
        let found = by_tag(&self.chain.protections(), record, area, self.look, &mut self.work);
        if found.is_some() {
            return found;
        }
        if self.tls13 {
            self.chain.derive();
            let area = Area { hint: 0, reach: area.reach.min(REACH_DERIVED) };
            return by_tag(&self.chain.protections(), record, area, self.look, &mut Work::for_derived());
        }
        let is_cbc = self.chain.protections().iter().any(|protection| protection.is_cbc());
        is_cbc.then(|| self.part(record)).flatten()
    }

    /// Reads a record that was not kept whole, if its text looks right or goes on from what was opened.
    fn part(&mut self, record: &Record<'_>) -> Option<Found> {
        if record.kind != TlsRecordType::ApplicationData {
            return None;
        }
        let Some((keys, sequence)) = self.next else {
            let area = self.area();
            let guessed = self.chain.guess(record, self.side, area.hint);
            let guessed = guessed
                .map(|(keys, text)| Found { keys, sequence: area.hint, text, by_tag: false })
                .filter(self.looks());
            return guessed.or_else(|| by_look(&self.chain.protections(), record, area, self.look, &mut self.work));
        };
        let key = self.chain.get(keys);
        if let Some(text) = key.protection.read(sequence, record) {
            let is_right = !key.is_handshake && (self.has_data || (self.look)(&text) >= NEEDED_ONCE);
            return is_right.then_some(Found { keys, sequence, text, by_tag: false });
        }
        // A response may follow upon another one that was kept.
        let guessed = self.chain.guess(record, self.side, sequence);
        match guessed.filter(|(guessed, _)| *guessed == keys) {
            Some((_, text)) => Some(Found { keys, sequence, text, by_tag: false }).filter(self.looks()),
            // Of what goes on it is known how much it is.
            None => self.has_data.then(|| Found { keys, sequence, text: Text::default(), by_tag: false }),
        }
    }

    /// Whether a text looks right for a number that is known by other means.
    fn looks(&self) -> impl Fn(&Found) -> bool {
        let look = self.look;
        move |found| look(&found.text) >= NEEDED_ONCE
    }

    fn area(&self) -> Area {
        if self.from_start { Area { hint: 0, reach: REACH_AT_START } } else { Area { hint: self.hint, reach: REACH } }
    }

    /// Behind one that stays closed, another one opens only where keys may yet come into use.
    fn unopened(&mut self, record: &Record<'_>, is_whole: bool, len: u64) -> bool {
        self.opened.unopened += 1;
        match self.opened.outcome {
            Outcome::ByTag | Outcome::ByLook => {
                let most = record.len.min(on_wire(record, len));
                self.opened.data.most += most as u64;
            }
            _ if is_whole => self.opened.outcome = Outcome::NoKeyFits,
            Outcome::Nothing => self.opened.outcome = Outcome::Undecided,
            _ => {}
        }
        self.from_start && self.next.is_none()
    }

    fn accept(&mut self, record: &Record<'_>, found: &Found, len: u64) {
        let protection = &self.chain.get(found.keys).protection;
        let tls13 = self.tls13;
        if self.next.is_none() {
            self.opened.suite = Some(protection.suite);
            // By its look, a text tells its number only if it depends on that.
            if found.by_tag || protection.is_numbered() {
                self.opened.sequence.get_or_insert(found.sequence);
            }
            self.opened.outcome = if found.by_tag { Outcome::ByTag } else { Outcome::ByLook };
        }
        let [least, most] = protection.text_of(record.len, on_wire(record, len));
        if found.by_tag {
            let is_first = self.side == Side::Edge && self.hint == 0;
            let sureness = if self.from_start || is_first { Sureness::Sure } else { Sureness::Unsure };
            self.chain.learn(found.keys, found.sequence, record, sureness);
        }
        self.next = Some((found.keys, found.sequence.saturating_add(1)));
        if !found.by_tag {
            return self.data(&found.text, [least, most]);
        }
        let (kind, text) = if tls13 { inner(&found.text) } else { (record.kind, &found.text[..]) };
        match kind {
            TlsRecordType::ApplicationData => self.data(text, [text.len(); 2]),
            TlsRecordType::Alert => self.alert(text),
            TlsRecordType::Handshake => self.handshake(text),
            _ => {}
        }
    }

    fn data(&mut self, text: &[u8], [least, most]: [usize; 2]) {
        self.has_data = true;
        self.opened.text.push(text);
        self.opened.data.least += least as u64;
        self.opened.data.most += most as u64;
    }

    fn alert(&mut self, text: &[u8]) {
        self.opened.alerts.extend(Alert::read(text));
    }

    fn handshake(&mut self, text: &[u8]) {
        self.message.extend_from_slice(text);
        let mut done = 0;
        let mut told = Messages::default();
        for message in messages(&self.message) {
            if !message.whole {
                break;
            }
            done += 4 + message.body.len();
            told.add(message.kind, message.body);
        }
        self.message.drain(..done);
        if self.message.first().is_some_and(|kind| !KNOWN_MESSAGES.contains(kind)) {
            self.message.clear();
        }
        self.opened.messages.merge(told);
        self.change_keys(told);
    }

    /// Keys change at the end of a record only (RFC 8446 §5.1).
    fn change_keys(&mut self, told: Messages) {
        let Some((keys, _)) = self.next.filter(|_| self.tls13) else { return };
        let is_handshake = self.chain.get(keys).is_handshake;
        if is_handshake && told.finished {
            self.next = self.chain.after_handshake(keys).map(|keys| (keys, 0));
            self.from_start = true;
        } else if !is_handshake && told.key_updates > 0 {
            self.next = self.chain.after_update(keys).map(|keys| (keys, 0));
        }
    }
}

/// Bytes of a record's body that were sent.
fn on_wire(record: &Record<'_>, len: u64) -> usize {
    let missing = usize::try_from(record.end.saturating_sub(len)).unwrap_or(usize::MAX);
    record.len.saturating_sub(missing)
}

/// Whether a record of TLS 1.2 holds a handshake message in the clear: one of less than 64 KiB, of a type that comes
/// before ChangeCipherSpec. A ciphertext looks so with a chance of 2^-12.
fn is_message_in_clear(record: &Record<'_>) -> bool {
    let is_known = |kind| matches!(kind, 0 | 1 | 2 | 4 | 11 | 12 | 13 | 14 | 15 | 16 | 22);
    record.kind == TlsRecordType::Handshake && matches!(record.body, [kind, 0, ..] if is_known(*kind))
}

fn is_alert_in_clear(record: &Record<'_>) -> bool {
    record.kind == TlsRecordType::Alert && record.len == 2
}
