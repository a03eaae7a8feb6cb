//! `tracer history`: what happened, counted from the events that were written.

mod table;
mod tally;
mod timeline;

use std::fmt::Write as _;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::past;
use crate::cli::HistoryArgs;
use crate::config::{By, HistoryConfig};
use crate::events::{Events, Filter, Kind, Notes};
use crate::exit::DONE;
use crate::sinks::past::json;
use tally::Tally;

/// What is counted by, unless told otherwise.
const BY: [By; 2] = [By::Cause, By::Status];

/// Counts the events that are asked for, and prints tables, or JSON.
///
/// # Errors
/// Wrong use, or events that can't be read.
pub fn run(args: &HistoryArgs) -> Result<u8> {
    let config = args.check()?;
    let (events, _) = past::events(&config.past)?;
    let filter = Filter {
        since: config.since,
        until: config.until,
        kind: None,
        causes: config.causes.clone(),
        hosts: config.hosts.clone(),
        processes: config.processes.clone(),
        ports: config.ports.clone(),
        ray: None,
    };
    let by = if config.by.is_empty() { BY.to_vec() } else { config.by.clone() };
    let (mut failures, mut origin_errors) = (Tally::new(&by), Tally::new(&by));
    let mut records = events.read(&filter);
    for record in records.by_ref() {
        let record = record?;
        match record.kind() {
            Kind::Failure => failures.add(&record),
            Kind::OriginError => origin_errors.add(&record),
        }
    }
    let mut notes = events.notes().clone();
    notes.add(records.notes());
    past::note(&notes.in_words());
    let history = History { config: &config, events: &events, notes: &notes, failures, origin_errors };
    past::print(&if config.json { json(&history.json())? + "\n" } else { history.text()? })?;
    Ok(DONE)
}

/// What was counted.
struct History<'a> {
    config: &'a HistoryConfig,
    events: &'a Events,
    notes: &'a Notes,
    failures: Tally,
    origin_errors: Tally,
}

impl History<'_> {
    fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let spans = [&self.failures, &self.origin_errors].map(Tally::span);
        spans.into_iter().flatten().reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
    }

    fn text(&self) -> Result<String> {
        let mut text = String::new();
        let Some((first, last)) = self.span() else {
            writeln!(text, "no such events in {}", self.events.names())?;
            if let Some(begins) = self.notes.begins {
                writeln!(text, "the records there begin at {begins}")?;
            }
            return Ok(text);
        };
        writeln!(text, "{first:.0} to {last:.0}, from {}", self.events.names())?;
        if let Some(begins) = self.notes.begins.filter(|begins| self.config.since.is_some_and(|since| since < *begins))
        {
            writeln!(text, "the records there begin at {begins:.0}, after --since")?;
        }
        let step = self.step(first, last);
        for (tally, what) in [(&self.failures, "failure"), (&self.origin_errors, "origin error")] {
            writeln!(text)?;
            table::write(&mut text, what, tally, (first, last), step, self.config.rows)?;
        }
        Ok(text)
    }

    /// The seconds of a column, the same in both tables.
    fn step(&self, first: Timestamp, last: Timestamp) -> i64 {
        let least = timeline::step(first, last);
        [&self.failures, &self.origin_errors].iter().map(|tally| tally.coarsest()).fold(least, i64::max)
    }

    fn json(&self) -> Value {
        let span = self.span();
        let step = span.map(|(first, last)| self.step(first, last));
        let kind = |tally: &Tally| {
            json!({
                "count": tally.total(),
                "by": tally.by().iter().map(|by| by.name()).collect::<Vec<_>>(),
                "groups": span.zip(step).map_or_else(Vec::new, |(span, step)| tally.json(span, step)),
            })
        };
        json!({
            "schema": 1,
            "from": self.events.names(),
            "since": self.config.since,
            "until": self.config.until,
            "begins": self.notes.begins,
            "first": span.map(|(first, _)| first),
            "last": span.map(|(_, last)| last),
            "step_seconds": step,
            "failures": kind(&self.failures),
            "origin_errors": kind(&self.origin_errors),
            "notes": self.notes.in_words(),
        })
    }
}
