//! `tracer explain`: what became of one request, by its ray.

mod input;
mod neighbours;
mod unseen;

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::past;
use crate::cli::ExplainArgs;
use crate::config::ExplainConfig;
use crate::events::{Events, Filter, Ray, Record};
use crate::exit::{DONE, NOT_SEEN};
use crate::sinks::past::{json, line, lines, takes_colour};
use neighbours::Neighbours;

/// Most events of one ray that are shown: a request has one, seldom a few.
const MOST: usize = 20;

/// What is told, as JSON.
#[derive(Serialize)]
struct Explained<'a> {
    schema: u32,
    ray: String,
    records: &'a [Record],
    neighbours: &'a [Record],
    /// Why it may not have been seen, where it was not.
    reasons: &'a [String],
}

/// Tells what the events say of a ray, on standard output.
///
/// # Errors
/// Wrong use, or events that can't be read.
pub fn run(args: &ExplainArgs) -> Result<u8> {
    let config = args.check()?;
    let ray = input::ray(&args.ray)?;
    let (events, answer) = past::events(&config.past)?;
    let mut records = events.read(&Filter { ray: Some(ray), ..Filter::default() });
    let found = records.by_ref().take(MOST).collect::<Result<Vec<_>>>()?;
    let more = records.by_ref().count();
    let mut notes = events.notes().clone();
    notes.add(records.notes());
    if found.is_empty() {
        let reasons = unseen::reasons(&config.past, &events, answer, &notes)?;
        past::note(&notes.in_words());
        past::print(&unseen_text(&config, ray, &events, &reasons)?)?;
        return Ok(NOT_SEEN);
    }
    let neighbours = Neighbours::find(&events, &found, config.neighbours)?;
    past::note(&notes.in_words());
    past::print(&seen_text(&config, ray, &events, &found, more, &neighbours)?)?;
    Ok(DONE)
}

fn seen_text(
    config: &ExplainConfig,
    ray: Ray,
    events: &Events,
    found: &[Record],
    more: usize,
    neighbours: &Neighbours,
) -> Result<String> {
    if config.json {
        let nearest: Vec<_> = neighbours.nearest().cloned().collect();
        let told = Explained { schema: 1, ray: ray.to_string(), records: found, neighbours: &nearest, reasons: &[] };
        return Ok(json(&told)? + "\n");
    }
    let colour = takes_colour();
    let mut text = String::new();
    for record in found {
        writeln!(text, "{}, from {}", record.time.strftime("%F"), events.names())?;
        text.push_str(&lines(record, colour));
    }
    if more > 0 {
        writeln!(text, "{more} more events have this ray")?;
    }
    if let Some(counted) = neighbours.in_words() {
        writeln!(text, "{counted}")?;
        neighbours.nearest().try_for_each(|record| writeln!(text, "  {}", line(record)))?;
    }
    Ok(text)
}

fn unseen_text(config: &ExplainConfig, ray: Ray, events: &Events, reasons: &[String]) -> Result<String> {
    if config.json {
        let told = Explained { schema: 1, ray: ray.to_string(), records: &[], neighbours: &[], reasons };
        return Ok(json(&told)? + "\n");
    }
    let mut text = format!("ray {ray}: not seen in {}. Why that may be:\n", events.names());
    reasons.iter().try_for_each(|reason| writeln!(text, "  · {reason}"))?;
    Ok(text)
}
