//! How often each cause was told.

use std::{cmp::Reverse, collections::BTreeMap};

/// Counts by cause. Causes are a closed set, so that it stays small.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, cause: &'static str) {
        *self.counts.entry(cause).or_default() += 1;
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The most frequent first.
    pub(super) fn ranked(&self) -> Vec<(&'static str, u64)> {
        let mut ranked: Vec<_> = self.counts.iter().map(|(cause, count)| (*cause, *count)).collect();
        ranked.sort_by_key(|(cause, count)| (Reverse(*count), *cause));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_comes_first_and_equals_by_name() {
        let mut tally = Tally::default();
        ["crash", "app_reset", "oom_kill", "oom_kill"].into_iter().for_each(|cause| tally.add(cause));
        assert_eq!(tally.ranked(), [("oom_kill", 2), ("app_reset", 1), ("crash", 1)]);
        assert_eq!(tally.total(), 4);
    }
}
