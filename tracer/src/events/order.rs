//! The records of several series as one, by their time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::Result;
use jiff::Timestamp;

use super::notes::Notes;
use super::record::Record;
use super::stream::Stream;

/// Records of one series that are held to be put in order: a verdict may be written seconds after its time, behind
/// later ones.
const WINDOW: usize = 512;

/// Records by their time. Within a series, one that was written more than 512 records too late stays late.
pub struct InTimeOrder {
    series: Vec<Series>,
}

struct Series {
    stream: Stream,
    held: BinaryHeap<Reverse<Held>>,
    count: u64,
    has_ended: bool,
}

/// A record by its time, then by its place.
struct Held(Timestamp, u64, Box<Record>);

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

impl Series {
    /// Holds as many as are held, or all that there are.
    fn fill(&mut self) -> Result<()> {
        while !self.has_ended && self.held.len() < WINDOW {
            match self.stream.next()? {
                Some(record) => self.held.push(Reverse(Held(record.time, self.count, Box::new(record)))),
                None => self.has_ended = true,
            }
            self.count += 1;
        }
        Ok(())
    }

    fn first(&self) -> Option<Timestamp> {
        self.held.peek().map(|Reverse(held)| held.0)
    }
}

impl InTimeOrder {
    pub(super) fn new(streams: Vec<Stream>) -> Self {
        let series = |stream| Series { stream, held: BinaryHeap::new(), count: 0, has_ended: false };
        Self { series: streams.into_iter().map(series).collect() }
    }

    /// What was passed over so far.
    #[must_use]
    pub fn notes(&self) -> Notes {
        let mut notes = Notes::default();
        self.series.iter().for_each(|series| notes.add(series.stream.notes.clone()));
        notes
    }
}

impl Iterator for InTimeOrder {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        for series in &mut self.series {
            if let Err(error) = series.fill() {
                return Some(Err(error));
            }
        }
        let first =
            self.series.iter_mut().filter(|series| series.first().is_some()).min_by_key(|series| series.first())?;
        first.held.pop().map(|Reverse(held)| Ok(*held.2))
    }
}
