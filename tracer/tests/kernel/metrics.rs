//! The agent's metrics, read from the text format.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

/// One scrape: the series as written, and their values.
#[derive(Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) =
                line.rsplit_once(' ').with_context(|| format!("a metric line without a value: {line}"))?;
            Ok((series.to_owned(), value.parse().with_context(|| format!("a value that is no number: {line}"))?))
        });
        series.collect::<Result<_>>().map(Self)
    }

    /// What was counted since an earlier scrape.
    pub(crate) fn since(mut self, earlier: &Self) -> Self {
        for (series, value) in &mut self.0 {
            *value -= earlier.0.get(series).copied().unwrap_or(0.0);
        }
        self
    }

    /// The sum over the series of this name that have all these labels; `None` if there is no such series.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let of_name = self.0.iter().filter_map(|(series, value)| {
            let rest = series.strip_prefix(name)?;
            let inside = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(rest);
            let labels: Vec<&str> = inside.split(',').collect();
            wanted.iter().all(|label| labels.contains(&label.as_str())).then_some(*value)
        });
        of_name.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// The series of this name that have counted something, as written.
    pub(crate) fn above_zero(&self, name: &str) -> Vec<String> {
        let counted = self.0.iter().filter(|(series, value)| series.starts_with(name) && **value > 0.0);
        counted.map(|(series, value)| format!("{series} {value}")).collect()
    }

    /// As [`Metrics::sum`], for a counter that may not have appeared yet.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels).unwrap_or(0.0) as u64
    }
}
