//! Counts over time in bounded memory, and the line that shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Columns of a line.
const COLUMNS: i64 = 48;
/// Spans of time that are counted apart; more are counted in longer ones.
const MAX_SPANS: usize = 128;
/// Lengths of such spans in seconds, each a multiple of the one before.
const STEPS: [i64; 15] =
    [1, 5, 15, 60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 4_838_400, 38_707_200, 309_657_600];
/// From few to many.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Counts over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    /// Which of the lengths.
    step: usize,
    /// By the number of the span since 1970.
    counts: BTreeMap<i64, u64>,
}

impl Timeline {
    pub(super) fn add(&mut self, time: Timestamp) {
        *self.counts.entry(time.as_second().div_euclid(self.seconds())).or_default() += 1;
        while self.counts.len() > MAX_SPANS && self.step + 1 < STEPS.len() {
            let ratio = STEPS[self.step + 1] / STEPS[self.step];
            let finer = std::mem::take(&mut self.counts);
            self.step += 1;
            for (span, count) in finer {
                *self.counts.entry(span.div_euclid(ratio)).or_default() += count;
            }
        }
    }

    /// The length of its spans.
    pub(super) fn seconds(&self) -> i64 {
        STEPS[self.step]
    }

    /// The counts of so many seconds each, from the first moment to the last.
    pub(super) fn counts(&self, (first, last): (Timestamp, Timestamp), seconds: i64) -> Vec<u64> {
        let column = |second: i64| second.div_euclid(seconds);
        let (begin, end) = (column(first.as_second()), column(last.as_second()));
        let length = usize::try_from(end - begin + 1).unwrap_or(0).min(2 * COLUMNS as usize);
        let mut counts = vec![0; length];
        for (span, count) in &self.counts {
            let place = usize::try_from(column(span * self.seconds()) - begin).ok();
            if let Some(place) = place.and_then(|place| counts.get_mut(place)) {
                *place += count;
            }
        }
        counts
    }
}

/// The shortest length at which the span of time has a line's columns at most.
pub(super) fn step(first: Timestamp, last: Timestamp) -> i64 {
    let seconds = last.as_second().saturating_sub(first.as_second());
    STEPS.into_iter().find(|step| seconds / step < COLUMNS - 1).unwrap_or(STEPS[STEPS.len() - 1])
}

/// The counts as bars, the highest of them full; a blank is none.
pub(super) fn line(counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u64| match *count {
        0 => ' ',
        count => usize::try_from((count * 8).div_ceil(most))
            .ok()
            .and_then(|height| BARS.get(height - 1))
            .copied()
            .unwrap_or('█'),
    };
    counts.iter().map(bar).collect()
}

/// `1 s`, `15 min`, `3 h`, `7 d`.
pub(super) fn length(seconds: i64) -> String {
    match seconds {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", s / 60),
        s if s < 86_400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn no_count_is_lost_however_long_the_time_and_memory_stays_bounded() {
        for spread in [1, 7, 61, 3_601, 86_400, 6_000_000] {
            let mut timeline = Timeline::default();
            let times: Vec<_> = (0..1000).map(|n| at(1_700_000_000 + n * spread % 900_000_000)).collect();
            times.iter().for_each(|time| timeline.add(*time));
            let span = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
            let seconds = step(span.0, span.1).max(timeline.seconds());
            let counts = timeline.counts(span, seconds);
            assert_eq!(counts.iter().sum::<u64>(), 1000, "{spread}");
            assert!(counts.len() <= COLUMNS as usize && timeline.counts.len() <= MAX_SPANS, "{spread}: {counts:?}");
        }
    }

    #[test]
    fn each_step_is_a_multiple_of_the_one_before() {
        assert!(STEPS.windows(2).all(|pair| pair[1] % pair[0] == 0));
        assert_eq!([5, 900, 10_800, 604_800].map(length), ["5 s", "15 min", "3 h", "7 d"]);
    }

    #[test]
    fn bars_grow_with_the_counts() {
        assert_eq!(line(&[0, 1, 4, 8, 80]), " ▁▁▁█");
        assert_eq!(line(&[1, 2, 3, 4, 5, 6, 7, 8]), "▁▂▃▄▅▆▇█");
        assert_eq!(line(&[]), "");
    }
}
