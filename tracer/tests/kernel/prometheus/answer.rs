//! Grafana's part: variables become values, and an answer has numbers to draw or has none.

use serde_json::Value;

/// Puts values in place of variables, longer names first: one may begin with another.
pub(crate) fn substitute(text: &str, values: &[(&str, &str)]) -> String {
    let mut values = values.to_vec();
    values.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
}

/// What came of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// No series, or none with a number.
    Nothing,
    /// Numbers, all of them zero.
    Flat,
    /// At least one number other than zero.
    Moves,
}

impl Answer {
    /// Of a query's `data`, over a range or of one moment.
    pub(crate) fn of(data: &Value) -> Self {
        let series = data["result"].as_array().into_iter().flatten();
        let points = series.flat_map(|one| match (one["values"].as_array(), one.get("value")) {
            (Some(points), _) => points.iter().collect(),
            (None, Some(point)) => vec![point],
            (None, None) => Vec::new(),
        });
        let numbers = points.filter_map(|point| point[1].as_str()?.parse::<f64>().ok());
        let finite = numbers.filter(|number| number.is_finite());
        finite.map(|number| if number == 0.0 { Self::Flat } else { Self::Moves }).max().unwrap_or(Self::Nothing)
    }
}
