//! What a reading passed over, and how far back what was read goes.

use jiff::Timestamp;

use super::record::{NoRecord, Record};

/// What was passed over, and how far back what was read goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// Bytes read, unpacked.
    pub bytes: u64,
    /// Lines seen, or entries of a journal.
    pub lines: u64,
    /// The oldest event that was found, wanted or not.
    pub begins: Option<Timestamp>,
    /// Lines that are no event, and the first of them in words.
    pub bad: u64,
    pub first_bad: Option<String>,
    /// Lines that are too long to be one.
    pub too_long: u64,
    /// Events of a kind that only a later version knows.
    pub unknown_kind: u64,
    /// Events of a later schema, and the highest.
    pub newer: u64,
    pub newest: u32,
    /// Files that were passed over, in words; the first few.
    pub files: Vec<String>,
}

impl Notes {
    /// Files that are named.
    const NAMED: usize = 10;

    pub(super) fn began(&mut self, time: Timestamp) {
        self.begins = Some(self.begins.map_or(time, |begins| begins.min(time)));
    }

    pub(super) fn read(&mut self, record: &Record) {
        self.began(record.time);
        if record.is_newer() {
            self.newer += 1;
            self.newest = self.newest.max(record.schema);
        }
    }

    /// `place`: the file and the line, or the entry.
    pub(super) fn refused(&mut self, why: NoRecord, place: impl FnOnce() -> String) {
        if why == NoRecord::Kind {
            self.unknown_kind += 1;
            return;
        }
        self.bad += 1;
        if self.first_bad.is_none() {
            self.first_bad = Some(format!("{}: {why}", place()));
        }
    }

    pub(super) fn passed_over(&mut self, why: String) {
        if self.files.len() < Self::NAMED {
            self.files.push(why);
        }
    }

    /// Takes in what another reading says.
    pub fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.lines += other.lines;
        if let Some(time) = other.begins {
            self.began(time);
        }
        self.bad += other.bad;
        self.first_bad = self.first_bad.take().or(other.first_bad);
        self.too_long += other.too_long;
        self.unknown_kind += other.unknown_kind;
        self.newer += other.newer;
        self.newest = self.newest.max(other.newest);
        other.files.into_iter().for_each(|file| self.passed_over(file));
    }

    /// What a reader of the records should know, a sentence each; none: all was read.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let mut words = self.files.clone();
        if let Some(first) = &self.first_bad {
            words.push(format!("{} lines are no events and were passed over; the first: {first}", self.bad));
        }
        if self.too_long > 0 {
            words.push(format!("{} lines are too long for an event and were passed over", self.too_long));
        }
        if self.unknown_kind > 0 {
            let count = self.unknown_kind;
            words
                .push(format!("{count} events are of a kind that a later version of tracer writes; they are left out"));
        }
        if self.newer > 0 {
            words.push(format!(
                "{} events have schema {}, which a later version of tracer writes: fields may be missing here",
                self.newer, self.newest
            ));
        }
        words
    }
}
