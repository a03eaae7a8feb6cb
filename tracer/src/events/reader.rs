//! The events of one or more sources, found once and read as often as is wanted.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use super::daemon::Answer;
use super::files;
use super::filter::Filter;
use super::notes::Notes;
use super::order::InTimeOrder;
use super::record::Record;
use super::stream::{self, Part, Stream, Wanted};
use crate::config::Invalid;

/// Most sources at once.
const MAX_SOURCES: usize = 64;

/// Where events are.
#[derive(Clone, Debug)]
pub enum Source {
    /// An events file with what it was rotated to (`FILE.1`, `FILE.2.gz`), or a folder of such files.
    Path(PathBuf),
    /// The journal of this systemd unit.
    Journal(String),
    /// What a running daemon answered.
    Daemon(Answer),
}

/// The events of some sources.
#[derive(Debug)]
pub struct Events {
    series: Vec<Vec<Part>>,
    names: Vec<String>,
    notes: Notes,
}

impl Events {
    /// Looks at what is there; reads the beginnings of files.
    ///
    /// # Errors
    /// [`Invalid`]: a path that is not there, can't be read or is no file.
    pub fn find(sources: Vec<Source>) -> Result<Self, Invalid> {
        if sources.len() > MAX_SOURCES {
            return Err(Invalid::new(format!("{} sources of events are more than {MAX_SOURCES}", sources.len())));
        }
        let mut found = Self { series: Vec::new(), names: Vec::new(), notes: Notes::default() };
        let mut seen = BTreeSet::new();
        for source in sources {
            match source {
                Source::Path(path) => {
                    let series = files::series(&path, &mut seen, &mut found.notes)?;
                    let count: usize = series.iter().map(Vec::len).sum();
                    let more = if count > 1 { format!(" ({count} files)") } else { String::new() };
                    found.names.push(format!("{}{more}", path.display()));
                    found.series.extend(series.into_iter().map(|files| files.into_iter().map(Part::File).collect()));
                }
                Source::Journal(unit) => {
                    found.names.push(format!("the journal of {unit}"));
                    found.series.push(vec![Part::Journal(unit)]);
                }
                Source::Daemon(answer) => {
                    found.names.push(format!("the daemon at {}", answer.address));
                    found.notes.began(answer.begins);
                    found.series.push(vec![Part::Held(Arc::new(answer.records))]);
                }
            }
        }
        Ok(found)
    }

    /// The sources by name, as messages name them.
    #[must_use]
    pub fn names(&self) -> String {
        self.names.join(", ")
    }

    /// What was passed over when the sources were found, and the oldest event where that is known without reading on.
    #[must_use]
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    fn streams(&self, filter: &Filter) -> impl Iterator<Item = Stream> {
        let wanted = Arc::new(Wanted::new(filter));
        self.series.iter().map(move |parts| Stream::new(parts, &wanted))
    }

    /// The records that are wanted, as they lie: one source after the other, each from its oldest file on.
    #[must_use]
    pub fn read(&self, filter: &Filter) -> Records {
        Records { streams: self.streams(filter).collect(), notes: Notes::default() }
    }

    /// How many events have no ray: the request was not read. `None`: a journal does not tell without reading all.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn without_ray(&self) -> Result<Option<u64>> {
        if self.has_journal() {
            return Ok(None);
        }
        self.series.iter().flatten().map(stream::without_ray).sum::<Result<u64>>().map(Some)
    }

    /// Whether a journal is among the sources.
    #[must_use]
    pub fn has_journal(&self) -> bool {
        self.series.iter().flatten().any(|part| matches!(part, Part::Journal(_)))
    }

    /// The records that are wanted, of all sources together, by their time.
    #[must_use]
    pub fn in_time_order(&self, filter: &Filter) -> InTimeOrder {
        InTimeOrder::new(self.streams(filter).collect())
    }
}

/// Records as they lie.
pub struct Records {
    streams: VecDeque<Stream>,
    notes: Notes,
}

impl Records {
    /// What was passed over so far.
    #[must_use]
    pub fn notes(&self) -> Notes {
        let mut notes = self.notes.clone();
        self.streams.iter().for_each(|stream| notes.add(stream.notes.clone()));
        notes
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.streams.front_mut()?.next().transpose() {
                return Some(found);
            }
            if let Some(done) = self.streams.pop_front() {
                self.notes.add(done.notes);
            }
        }
    }
}
