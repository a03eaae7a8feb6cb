//! What the view knows: the last records, the counts, and where the operator stands.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    filter::Filter,
    input::Numbers,
    listeners::Listeners,
    rates::{Counted, Rates},
    record::{Entry, Record},
    tally::Tally,
};
use crate::diagnose::{Diagnosis, origin::OriginError};

/// Records that are kept; older ones are counted only.
pub(super) const KEPT: usize = 1_000;
/// How long a note stands.
const NOTE: Duration = Duration::from_secs(10);

/// What fills the lower part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The list, and below it the chosen record.
    List,
    /// The chosen record alone.
    Detail,
    Help,
}

/// The live view.
#[derive(Debug)]
pub struct View {
    /// The newest last.
    kept: VecDeque<Arc<Entry>>,
    next: u64,
    /// The list as it was when it was paused.
    paused: Option<VecDeque<Arc<Entry>>>,
    pub(super) failures: Tally,
    pub(super) origin_errors: Tally,
    pub(super) listeners: Listeners,
    pub(super) rates: Rates,
    pub(super) exchanges: u64,
    pub(super) lost: u64,
    pub(super) filter: Filter,
    /// The filter that is being typed.
    pub(super) typing: Option<String>,
    pub(super) mode: Mode,
    /// `None`: the newest, whichever that is.
    pub(super) chosen: Option<Arc<Entry>>,
    /// Lines of the chosen record above the first one shown.
    pub(super) scroll: usize,
    note: Option<(String, Duration)>,
    /// Since the start.
    pub(super) at: Duration,
    changed: bool,
}

impl Default for View {
    fn default() -> Self {
        Self {
            kept: VecDeque::new(),
            next: 0,
            paused: None,
            failures: Tally::default(),
            origin_errors: Tally::default(),
            listeners: Listeners::default(),
            rates: Rates::default(),
            exchanges: 0,
            lost: 0,
            filter: Filter::default(),
            typing: None,
            mode: Mode::List,
            chosen: None,
            scroll: 0,
            note: None,
            at: Duration::ZERO,
            changed: true,
        }
    }
}

impl View {
    /// Whether anything shows that did not before; from now on it counts as drawn.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, at: Duration) {
        self.at = self.at.max(at);
        self.changed |= self.rates.pass(self.at);
        if self.note.as_ref().is_some_and(|(_, until)| *until <= self.at) {
            self.note = None;
            self.changed = true;
        }
    }

    pub(super) fn fail(&mut self, failure: &Diagnosis) {
        self.rates.count(Counted::Failures, 1);
        self.failures.add(failure.cause.name());
        self.keep(Record::Failure(Box::new(failure.clone())));
    }

    pub(super) fn answer(&mut self, error: &OriginError, in_detail: bool) {
        self.rates.count(Counted::OriginErrors, 1);
        self.origin_errors.add(error.cause.name());
        if in_detail {
            self.keep(Record::Origin(Box::new(error.clone())));
        }
        self.changed = true;
    }

    fn keep(&mut self, record: Record) {
        self.listeners.count(&record);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::new(Entry { number: self.next, record }));
        self.next += 1;
        self.changed = true;
    }

    pub(super) fn learn(&mut self, numbers: Numbers) {
        self.rates.count(Counted::Exchanges, numbers.exchanges.saturating_sub(self.exchanges));
        // A table that could not be read counts nothing for once.
        self.exchanges = self.exchanges.max(numbers.exchanges);
        self.lost = self.lost.max(numbers.lost);
        self.listeners.list(numbers.listening);
        self.changed = true;
    }

    pub(super) fn tell(&mut self, note: String) {
        self.note = Some((note, self.at + NOTE));
        self.changed = true;
    }

    pub(super) fn forget_note(&mut self) {
        self.note = None;
    }

    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_ref().map(|(note, _)| note.as_str())
    }

    /// Holds the list, or lets it move again.
    pub(super) fn pause(&mut self) {
        self.paused = if self.paused.is_some() { None } else { Some(self.kept.clone()) };
    }

    /// Records that came since the list was paused; `None`: it moves.
    pub(super) fn held_back(&self) -> Option<u64> {
        let newest = self.paused.as_ref()?.back().map_or(0, |entry| entry.number + 1);
        Some(self.next - newest)
    }

    /// What the list shows, the newest first.
    pub(super) fn listed(&self) -> Vec<&Arc<Entry>> {
        let all = self.paused.as_ref().unwrap_or(&self.kept).iter().rev();
        all.filter(|entry| self.filter.is_empty() || self.filter.takes(&entry.record)).collect()
    }

    /// The record whose evidence is shown.
    pub(super) fn shown<'a>(&'a self, listed: &[&'a Arc<Entry>]) -> Option<&'a Entry> {
        self.chosen.as_ref().or_else(|| listed.first().copied()).map(AsRef::as_ref)
    }

    /// Where the chosen record stands in the list, or would stand.
    pub(super) fn place(&self, listed: &[&Arc<Entry>]) -> usize {
        let Some(chosen) = &self.chosen else { return 0 };
        listed.iter().position(|entry| entry.number <= chosen.number).unwrap_or(listed.len().saturating_sub(1))
    }
}
