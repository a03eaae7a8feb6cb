//! How many of the origin's own answers of 5xx are told in detail: an origin that answers 503 to everybody costs
//! little.

use tracer_common::limits::ORIGIN_DETAILS;

/// Counts those of the current second.
#[derive(Default)]
pub(super) struct Details {
    second: i64,
    told: u64,
}

impl Details {
    /// Whether one more may be told that happened at this time.
    pub(super) fn allows(&mut self, time: jiff::Timestamp) -> bool {
        let second = time.as_second();
        // A verdict that had to wait belongs to an earlier second, and takes its part of this one.
        if second > self.second {
            (self.second, self.told) = (second, 0);
        }
        self.told += 1;
        self.told <= ORIGIN_DETAILS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_a_second_are_told() {
        let mut details = Details::default();
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let told = (0..250).filter(|_| details.allows(at(1_000))).count();
        assert_eq!(told, 100);
        assert!(!details.allows(at(999)));
        assert!(details.allows(at(1_001)));
    }
}
