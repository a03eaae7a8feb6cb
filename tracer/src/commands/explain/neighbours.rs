//! What else happened within a minute of an event, to the same process or of the same cause.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::events::{Events, Filter, Record};

/// How far from the event others may be.
const NEAR: SignedDuration = SignedDuration::from_secs(60);

/// Similar events, and the nearest of them.
pub(super) struct Neighbours {
    same_cause: u64,
    same_process: u64,
    both: u64,
    /// By how much they share, then by how near they are.
    nearest: Vec<(Rank, Record)>,
}

/// The smaller, the nearer.
type Rank = (u8, SignedDuration);

impl Neighbours {
    /// Of the events that were found; the `most` nearest are kept.
    pub(super) fn find(events: &Events, found: &[Record], most: usize) -> Result<Self> {
        let mut neighbours = Self { same_cause: 0, same_process: 0, both: 0, nearest: Vec::new() };
        let Some(of) = found.first() else { return Ok(neighbours) };
        let filter = Filter {
            since: Some(of.time.checked_sub(NEAR).unwrap_or(Timestamp::MIN)),
            until: Some(of.time.checked_add(NEAR).unwrap_or(Timestamp::MAX)),
            ..Filter::default()
        };
        for record in events.read(&filter) {
            let record = record?;
            if !found.contains(&record) {
                neighbours.add(of, record, most);
            }
        }
        Ok(neighbours)
    }

    fn add(&mut self, of: &Record, record: Record, most: usize) {
        let cause = record.cause == of.cause && record.kind() == of.kind();
        let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
        let process = same(&record.process, &of.process) || same(&record.upstream_process, &of.upstream_process);
        let shared = match (cause, process) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => return,
        };
        self.same_cause += u64::from(cause);
        self.same_process += u64::from(process);
        self.both += u64::from(cause && process);
        let rank = (shared, record.time.duration_since(of.time).abs());
        let place = self.nearest.partition_point(|(other, _)| *other <= rank);
        if place < most {
            self.nearest.truncate(most - 1);
            self.nearest.insert(place, (rank, record));
        }
    }

    /// The nearest, by their time.
    pub(super) fn nearest(&self) -> impl Iterator<Item = &Record> {
        let mut nearest: Vec<_> = self.nearest.iter().map(|(_, record)| record).collect();
        nearest.sort_by_key(|record| record.time);
        nearest.into_iter()
    }

    /// How many there are; `None`: none.
    pub(super) fn in_words(&self) -> Option<String> {
        let all = self.same_cause + self.same_process - self.both;
        let shown = match self.nearest.len() as u64 {
            0 => return None,
            shown if shown == all => String::new(),
            shown => format!("; the nearest {shown}"),
        };
        Some(format!(
            "within a minute of it: {} of the same cause, {} of the same process, {} of both{shown}:",
            self.same_cause, self.same_process, self.both
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(second: u32, cause: &str, process: &str) -> Record {
        let text = format!(r#"{{"time":"2026-11-20T10:00:{second:02}Z","cause":"{cause}","process":"{process}"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_shares_more_and_is_nearer_comes_first_and_only_so_many_are_kept() {
        let of = record(30, "crash", "nginx");
        let mut found = Neighbours { same_cause: 0, same_process: 0, both: 0, nearest: Vec::new() };
        for (second, cause, process) in [
            (29, "empty_reply", "nginx"),
            (50, "crash", "nginx"),
            (10, "crash", "nginx"),
            (31, "crash", "httpd"),
            (33, "crash", "nginx"),
            (30, "empty_reply", "httpd"),
        ] {
            found.add(&of, record(second, cause, process), 3);
        }
        let seconds: Vec<_> = found.nearest().map(|record| record.time.as_second() % 60).collect();
        assert_eq!(seconds, [10, 33, 50]);
        let words = "within a minute of it: 4 of the same cause, 4 of the same process, 3 of both; the nearest 3:";
        assert_eq!(found.in_words().as_deref(), Some(words));
    }
}
