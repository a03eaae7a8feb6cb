//! What happened at which listener: failures and answers of 5xx by port and process.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{input::Listening, record::Record};

/// Listeners that are told apart; what happens at others is counted in one row.
const MOST: usize = 64;

/// A port and the process there, where it is known.
type Key = (u16, Option<String>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) failures: u64,
    pub(super) origin_errors: u64,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// `None`: all listeners that are not told apart.
    pub(super) port: Option<u16>,
    /// Not escaped.
    pub(super) process: Option<&'a str>,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
pub(super) struct Listeners {
    rows: BTreeMap<Key, Counts>,
    others: Counts,
}

impl Listeners {
    pub(super) fn count(&mut self, record: &Record) {
        let key = (record.port(), record.process().map(str::to_owned));
        let has_room = self.rows.len() < MOST || self.rows.contains_key(&key);
        let counts = if has_room { self.rows.entry(key).or_default() } else { &mut self.others };
        if record.is_failure() {
            counts.failures += 1;
        } else {
            counts.origin_errors += 1;
        }
    }

    /// Makes room for those that are listened on now.
    pub(super) fn list(&mut self, listening: Vec<Listening>) {
        self.rows.retain(|_, counts| *counts != Counts::default());
        for Listening { port, process } in listening {
            if self.rows.len() >= MOST {
                break;
            }
            self.rows.entry((port, Some(process))).or_default();
        }
    }

    /// Those with the most failures first.
    pub(super) fn ranked(&self) -> Vec<Row<'_>> {
        let named = self.rows.iter().map(|((port, process), counts)| Row {
            port: Some(*port),
            process: process.as_deref(),
            counts: *counts,
        });
        let mut rows: Vec<_> = named.collect();
        rows.sort_by_key(|row| (Reverse(row.counts.failures), Reverse(row.counts.origin_errors), row.port));
        if self.others != Counts::default() {
            rows.push(Row { port: None, process: None, counts: self.others });
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnose::Diagnosis,
        sinks::sample::{diagnosis, origin_error},
    };

    fn on(port: u16) -> Record {
        Record::Failure(Box::new(Diagnosis { local_port: port, ..diagnosis() }))
    }

    #[test]
    fn failures_and_answers_are_counted_apart_and_idle_listeners_come_last() {
        let mut listeners = Listeners::default();
        listeners.count(&on(80));
        listeners.count(&Record::Origin(Box::new(origin_error())));
        listeners.list(vec![Listening { port: 22, process: "sshd".into() }]);
        let row = |port, process, failures, origin_errors| Row {
            port: Some(port),
            process: Some(process),
            counts: Counts { failures, origin_errors },
        };
        assert_eq!(listeners.ranked(), [row(80, "nginx", 1, 1), row(22, "sshd", 0, 0)]);
        listeners.list(Vec::new());
        assert_eq!(listeners.ranked(), [row(80, "nginx", 1, 1)]);
    }

    #[test]
    fn many_listeners_share_one_row() {
        let mut listeners = Listeners::default();
        for port in 1..=100 {
            listeners.count(&on(port));
        }
        listeners.list(vec![Listening { port: 200, process: "late".into() }]);
        let rows = listeners.ranked();
        assert_eq!(rows.len(), MOST + 1);
        assert_eq!(rows[MOST], Row { port: None, process: None, counts: Counts { failures: 36, origin_errors: 0 } });
    }
}
