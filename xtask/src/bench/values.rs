//! Medians and spread, and how they are written.

/// The middle of some measurements and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// Of at least one value; all zero for none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (values.first(), values.last()) else {
            return Self { median: 0.0, least: 0.0, most: 0.0 };
        };
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Self { median, least, most }
    }

    /// As a change in percent, for ratios: `-1.2 % (-3.0 … +0.4)`.
    pub(super) fn as_change(self) -> String {
        let percent = |ratio: f64| (ratio - 1.0) * 100.0;
        format!("{:+.1} % ({:+.1} … {:+.1})", percent(self.median), percent(self.least), percent(self.most))
    }

    pub(super) fn json(self) -> serde_json::Value {
        serde_json::json!({ "median": self.median, "min": self.least, "max": self.most })
    }
}

/// A number with a blank between thousands.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(String::from_utf8_lossy);
    let mut words: Vec<_> = std::iter::once(digits[..first].into()).chain(groups).collect();
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([]).median, 0.0);
    }

    #[test]
    fn ratios_read_as_changes() {
        let ratios = Spread::of([0.97, 0.988, 1.004]);
        assert_eq!(ratios.as_change(), "-1.2 % (-3.0 … +0.4)");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(7.0), "7");
        assert_eq!(thousands(1234.0), "1 234");
        assert_eq!(thousands(123_456_789.4), "123 456 789");
    }
}
