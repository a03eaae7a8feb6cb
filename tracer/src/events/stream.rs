//! The records of one series, one after the other as they lie.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use memchr::memmem::Finder;

use super::entry;
use super::filter::{Filter, Span};
use super::input;
use super::journal;
use super::lines::Lines;
use super::notes::Notes;
use super::record::{NoRecord, Record, event};

/// What unpacking a file gives where that is not whole.
const DAMAGED: [io::ErrorKind; 3] =
    [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];

/// Where a part of a series lies.
#[derive(Clone, Debug)]
pub(super) enum Part {
    File(PathBuf),
    /// The journal of this unit.
    Journal(String),
    /// In memory, the oldest first.
    Held(Arc<Vec<Record>>),
}

/// What is wanted, made ready for the search.
#[derive(Debug)]
pub(super) struct Wanted {
    filter: Filter,
    span: Span,
    needle: Option<Finder<'static>>,
}

impl Wanted {
    pub(super) fn new(filter: &Filter) -> Self {
        let needle = filter.ray.map(|ray| Finder::new(ray.digits()).into_owned());
        Self { span: filter.span(), needle, filter: filter.clone() }
    }
}

/// What is open.
enum Open {
    Lines { lines: Lines<Box<dyn Read>>, name: String, read: fn(&[u8]) -> Result<Record, NoRecord> },
    Held { records: Arc<Vec<Record>>, next: usize },
}

/// One series.
pub(super) struct Stream {
    parts: VecDeque<Part>,
    open: Option<Open>,
    wanted: Arc<Wanted>,
    pub(super) notes: Notes,
}

impl Stream {
    pub(super) fn new(parts: &[Part], wanted: &Arc<Wanted>) -> Self {
        let parts = parts.iter().cloned().collect();
        Self { parts, open: None, wanted: Arc::clone(wanted), notes: Notes::default() }
    }

    /// The next record that is wanted.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        loop {
            let found = match &mut self.open {
                Some(Open::Lines { lines, name, read }) => {
                    match next_line(lines, name, *read, &self.wanted, &mut self.notes) {
                        // Packed, and cut off or damaged.
                        Err(error) if DAMAGED.contains(&error.kind()) => {
                            self.notes.passed_over(format!("{name}: {error}: the rest of it was passed over"));
                            None
                        }
                        found => found.with_context(|| format!("reading {name}"))?,
                    }
                }
                Some(Open::Held { records, next }) => {
                    let found = records.get(*next).cloned();
                    *next += 1;
                    found.inspect(|record| self.notes.read(record))
                }
                None => {
                    let Some(part) = self.parts.pop_front() else { return Ok(None) };
                    self.open = self.opened(part)?;
                    continue;
                }
            };
            match found {
                None => self.close(),
                Some(record) if self.wanted.filter.admits(&record) => return Ok(Some(record)),
                Some(_) => {}
            }
        }
    }

    fn opened(&mut self, part: Part) -> Result<Option<Open>> {
        let lines = |input, name, read| Some(Open::Lines { lines: Lines::new(input), name, read });
        Ok(match part {
            Part::File(path) => {
                let name = path.display().to_string();
                match input::open(&path) {
                    Ok(input) => lines(input, name, event),
                    // Rotated away since it was listed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.notes.passed_over(format!("{name}: gone as it was to be read"));
                        None
                    }
                    Err(error) => return Err(error).with_context(|| format!("opening {name}")),
                }
            }
            Part::Journal(unit) => {
                let filter = &self.wanted.filter;
                let input = journal::open(&unit, filter.since, filter.until)?;
                lines(Box::new(input), format!("the journal of {unit}"), entry::record)
            }
            Part::Held(records) => Some(Open::Held { records, next: 0 }),
        })
    }

    fn close(&mut self) {
        match self.open.take() {
            Some(Open::Lines { lines, .. }) => {
                self.notes.bytes += lines.read();
                self.notes.lines += lines.seen();
                self.notes.too_long += lines.too_long();
            }
            Some(Open::Held { records, .. }) => self.notes.lines += records.len() as u64,
            None => {}
        }
    }
}

/// How many events of a part have no ray, by their text alone.
pub(super) fn without_ray(part: &Part) -> Result<u64> {
    match part {
        Part::File(path) => count(path, b"\"ray\":null").with_context(|| format!("reading {}", path.display())),
        Part::Journal(_) => Ok(0),
        Part::Held(records) => Ok(records.iter().filter(|record| record.ray.is_none()).count() as u64),
    }
}

fn count(path: &Path, needle: &[u8]) -> io::Result<u64> {
    let input = match input::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        input => input?,
    };
    let (mut lines, finder) = (Lines::new(input), Finder::new(needle));
    let mut found = 0;
    loop {
        match lines.next(Some(&finder)) {
            Ok(Some(_)) => found += 1,
            Ok(None) => return Ok(found),
            Err(error) if DAMAGED.contains(&error.kind()) => return Ok(found),
            Err(error) => return Err(error),
        }
    }
}

/// The next record of some lines that may be wanted.
fn next_line(
    lines: &mut Lines<Box<dyn Read>>,
    name: &str,
    read: fn(&[u8]) -> Result<Record, NoRecord>,
    wanted: &Wanted,
    notes: &mut Notes,
) -> io::Result<Option<Record>> {
    while let Some(line) = lines.next(wanted.needle.as_ref())? {
        if wanted.span.excludes(line.bytes) {
            continue;
        }
        match read(line.bytes) {
            Ok(record) => {
                notes.read(&record);
                return Ok(Some(record));
            }
            // The daemon is about to write the rest of it.
            Err(_) if line.is_open => {}
            Err(NoRecord::Other) => {}
            Err(why) => notes.refused(why, || format!("{name}:{}", line.number)),
        }
    }
    Ok(None)
}
