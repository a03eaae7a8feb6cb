//! Events of one kind, counted by what was asked for.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::timeline::Timeline;
use crate::config::By;
use crate::events::Record;

/// Groups that are counted apart; events of further ones are counted together.
const MAX_GROUPS: usize = 10_000;
/// Longest name of a group, in bytes.
const MAX_NAME: usize = 256;

/// What the events of a group have in common; `None`: not known.
pub(super) type Key = Vec<Option<String>>;

/// One group.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) count: u64,
    pub(super) timeline: Timeline,
}

/// The counts.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    by: Vec<By>,
    groups: HashMap<Key, Group>,
    /// Events of groups beyond the bound.
    others: u64,
    total: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Tally {
    pub(super) fn new(by: &[By]) -> Self {
        Self { by: by.to_vec(), groups: HashMap::new(), others: 0, total: 0, span: None }
    }

    pub(super) fn add(&mut self, record: &Record) {
        self.total += 1;
        let (first, last) = self.span.unwrap_or((record.time, record.time));
        self.span = Some((first.min(record.time), last.max(record.time)));
        let key: Key = self.by.iter().map(|by| value(*by, record)).collect();
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            self.others += 1;
            return;
        }
        let group = self.groups.entry(key).or_default();
        group.count += 1;
        group.timeline.add(record.time);
    }

    pub(super) fn by(&self) -> &[By] {
        &self.by
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    pub(super) const fn others(&self) -> u64 {
        self.others
    }

    pub(super) const fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.span
    }

    /// The longest of the spans of time that are counted as one, in seconds.
    pub(super) fn coarsest(&self) -> i64 {
        self.groups.values().map(|group| group.timeline.seconds()).max().unwrap_or(1)
    }

    /// The groups: by time where one was asked for, the largest first.
    pub(super) fn sorted(&self) -> Vec<(&Key, &Group)> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        let time = |key: &Key| -> Vec<Option<String>> {
            self.by.iter().zip(key).filter(|(by, _)| by.is_time()).map(|(_, name)| name.clone()).collect()
        };
        groups.sort_by_cached_key(|(key, group)| (time(key), std::cmp::Reverse(group.count), (*key).clone()));
        groups
    }

    pub(super) fn json(&self, span: (Timestamp, Timestamp), step: i64) -> Vec<Value> {
        let group = |(key, group): (&Key, &Group)| {
            let mut object: Map<_, _> =
                self.by.iter().zip(key).map(|(by, name)| (by.name().to_owned(), typed(*by, name.as_deref()))).collect();
            object.insert("count".to_owned(), group.count.into());
            object.insert("timeline".to_owned(), group.timeline.counts(span, step).into());
            Value::Object(object)
        };
        self.sorted().into_iter().map(group).collect()
    }
}

/// Numbers as numbers.
fn typed(by: By, name: Option<&str>) -> Value {
    match (by, name) {
        (_, None) => Value::Null,
        (By::Status | By::Port, Some(name)) => name.parse::<u64>().map_or(Value::Null, Value::from),
        (_, Some(name)) => name.into(),
    }
}

fn value(by: By, record: &Record) -> Option<String> {
    let time = |form: &str| Some(record.time.strftime(form).to_string());
    match by {
        By::Cause => Some(short(&record.cause)),
        By::Status => record.edge_status.map(|status| status.to_string()),
        By::Certainty => Some(short(&record.certainty)),
        By::Host => record.host.as_deref().map(|host| short(&host.to_ascii_lowercase())),
        By::Process => record.process.as_deref().map(short),
        By::Upstream => record.upstream_process.as_deref().or(record.upstream_addr.as_deref()).map(short),
        By::Port => record.local_port.map(|port| port.to_string()),
        By::Minute => time("%FT%H:%MZ"),
        By::Hour => time("%FT%H:00Z"),
        By::Day => time("%F"),
    }
}

fn short(name: &str) -> String {
    name[..name.floor_char_boundary(MAX_NAME)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: &str, more: &str) -> Record {
        serde_json::from_str(&format!(r#"{{"time":"{time}","cause":"crash"{more}}}"#)).unwrap()
    }

    #[test]
    fn groups_are_sorted_by_time_where_one_is_asked_for_then_by_size() {
        let mut tally = Tally::new(&[By::Host, By::Hour]);
        for (time, host) in [
            ("2026-11-20T11:00:00Z", r#","host":"a""#),
            ("2026-11-20T10:59:59Z", r#","host":"B""#),
            ("2026-11-20T10:00:00Z", r#","host":"b""#),
            ("2026-11-20T10:30:00Z", ""),
        ] {
            tally.add(&record(time, host));
        }
        let names = |key: &Key| key.iter().map(|name| name.clone().unwrap_or_default()).collect::<Vec<_>>().join(" ");
        let groups: Vec<_> = tally.sorted().iter().map(|(key, group)| (names(key), group.count)).collect();
        let expected = [("b 2026-11-20T10:00Z", 2), (" 2026-11-20T10:00Z", 1), ("a 2026-11-20T11:00Z", 1)];
        assert_eq!(groups, expected.map(|(name, count)| (name.to_owned(), count)));
        assert_eq!(tally.json(tally.span().unwrap(), 3600)[1]["host"], Value::Null);
    }

    #[test]
    fn groups_and_their_names_are_bounded_and_no_event_is_lost() {
        let mut tally = Tally::new(&[By::Host]);
        for number in 0..MAX_GROUPS + 5 {
            let long = "ü".repeat(MAX_NAME);
            tally.add(&record("2026-11-20T10:00:00Z", &format!(r#","host":"{number}{long}""#)));
        }
        assert_eq!((tally.groups.len(), tally.others(), tally.total()), (MAX_GROUPS, 5, MAX_GROUPS as u64 + 5));
        assert!(tally.groups.keys().all(|key| key[0].as_ref().unwrap().len() <= MAX_NAME));
    }
}
