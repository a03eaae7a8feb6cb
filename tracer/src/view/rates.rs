//! Counts per second, for as long as a line of bars can show.

use std::{collections::VecDeque, time::Duration};

/// Seconds that are kept.
const KEPT: usize = 240;
/// Seconds that a rate is the mean of.
const MEAN: usize = 10;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Exchanges,
    Failures,
    OriginErrors,
}

#[derive(Debug, Default)]
struct History {
    /// Whole seconds, the newest first.
    seconds: VecDeque<u64>,
    /// The one under way.
    now: u64,
}

/// Exchanges, failures and answers of 5xx by the second.
#[derive(Debug, Default)]
pub(super) struct Rates {
    histories: [History; 3],
    /// Seconds since the start.
    second: u64,
}

impl Rates {
    /// Begins a new second where one has begun; tells whether one has.
    pub(super) fn pass(&mut self, at: Duration) -> bool {
        let passed = at.as_secs().saturating_sub(self.second);
        self.second += passed;
        for history in &mut self.histories {
            for _ in 0..passed.min(KEPT as u64) {
                history.seconds.push_front(std::mem::take(&mut history.now));
            }
            history.seconds.truncate(KEPT);
        }
        passed > 0
    }

    pub(super) fn count(&mut self, what: Counted, more: u64) {
        self.histories[what as usize].now += more;
    }

    /// A second, over the last ten whole ones, or as many as there were.
    pub(super) fn per_second(&self, what: Counted) -> f64 {
        let seconds = &self.histories[what as usize].seconds;
        let taken = seconds.len().min(MEAN);
        let sum: u64 = seconds.iter().take(taken).sum();
        if taken == 0 { 0.0 } else { sum as f64 / taken as f64 }
    }

    /// Counts of whole seconds, the newest first.
    pub(super) fn seconds(&self, what: Counted) -> impl Iterator<Item = u64> + '_ {
        self.histories[what as usize].seconds.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_mean_of_whole_seconds() {
        let mut rates = Rates::default();
        rates.count(Counted::Failures, 3);
        assert_eq!(rates.per_second(Counted::Failures), 0.0);
        assert!(rates.pass(Duration::from_millis(1_100)));
        assert_eq!(rates.per_second(Counted::Failures), 3.0);
        assert!(!rates.pass(Duration::from_millis(1_900)));
        rates.pass(Duration::from_secs(3));
        assert_eq!(rates.seconds(Counted::Failures).collect::<Vec<_>>(), [0, 0, 3]);
        assert_eq!(rates.per_second(Counted::Failures), 1.0);
        rates.pass(Duration::from_secs(30));
        assert_eq!(rates.per_second(Counted::Failures), 0.0);
    }

    #[test]
    fn a_long_sleep_keeps_no_more_than_a_line_of_bars() {
        let mut rates = Rates::default();
        rates.count(Counted::Exchanges, 1);
        rates.pass(Duration::from_secs(u64::MAX));
        assert_eq!(rates.seconds(Counted::Exchanges).count(), KEPT);
        rates.pass(Duration::ZERO);
    }
}
