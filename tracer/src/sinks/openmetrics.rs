//! OpenMetrics 1.0 text: what the `prometheus` crate gathers, in the format that carries exemplars.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use prometheus::proto::{Metric, MetricFamily, MetricType};

/// Most characters of an exemplar's labels, names included.
const MAX_EXEMPLAR: usize = 128;

/// Units that a family's name may end in, and must then declare.
const UNITS: &[&str] = &["seconds", "bytes"];

/// Label and value of the exemplar of a counter's series (by the family's name), if there is one.
pub(super) type Exemplars<'a> = &'a dyn Fn(&str, &Metric) -> Option<(&'static str, String)>;

/// The whole exposition, `# EOF` included.
pub(super) fn encode(families: &[MetricFamily], exemplars: Exemplars<'_>) -> Result<String> {
    let mut out = String::with_capacity(16 * 1024);
    for family in families {
        encode_family(&mut out, family, exemplars)?;
    }
    out.push_str("# EOF\n");
    Ok(out)
}

fn encode_family(out: &mut String, family: &MetricFamily, exemplars: Exemplars<'_>) -> Result<()> {
    let full = family.name();
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => match full.strip_suffix("_total") {
            Some(name) => (name, "counter"),
            None => bail!("counter {full} does not end in _total"),
        },
        MetricType::GAUGE => (full, "gauge"),
        MetricType::HISTOGRAM => (full, "histogram"),
        other => bail!("{full} is a {other:?}, which has no place in OpenMetrics here"),
    };
    writeln!(out, "# TYPE {name} {kind}")?;
    if let Some(unit) = UNITS.iter().find(|unit| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_'))) {
        writeln!(out, "# UNIT {name} {unit}")?;
    }
    writeln!(out, "# HELP {name} {}", escape(family.help()))?;
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => {
                sample(out, full, metric, None, metric.get_counter().get_value())?;
                exemplar(out, exemplars(full, metric))?;
                out.push('\n');
            }
            MetricType::HISTOGRAM => histogram(out, name, metric)?,
            _ => {
                sample(out, name, metric, None, metric.get_gauge().get_value())?;
                out.push('\n');
            }
        }
    }
    Ok(())
}

fn histogram(out: &mut String, name: &str, metric: &Metric) -> Result<()> {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count() as f64;
    let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let buckets = finite.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count() as f64));
    for (bound, below) in buckets.chain([(f64::INFINITY, count)]) {
        sample(out, &format!("{name}_bucket"), metric, Some(&le(bound)), below)?;
        out.push('\n');
    }
    for (suffix, value) in [("count", count), ("sum", histogram.get_sample_sum())] {
        sample(out, &format!("{name}_{suffix}"), metric, None, value)?;
        out.push('\n');
    }
    Ok(())
}

/// One sample without its line end, so that an exemplar can follow.
fn sample(out: &mut String, name: &str, metric: &Metric, le: Option<&str>, value: f64) -> Result<()> {
    let labels = metric.get_label().iter().map(|label| (label.name(), label.value()));
    let labels: Vec<String> =
        labels.chain(le.map(|le| ("le", le))).map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    out.push_str(name);
    if !labels.is_empty() {
        write!(out, "{{{}}}", labels.join(","))?;
    }
    write!(out, " {}", number(value))?;
    Ok(())
}

fn exemplar(out: &mut String, exemplar: Option<(&'static str, String)>) -> Result<()> {
    match exemplar {
        Some((name, value)) if name.chars().count() + value.chars().count() <= MAX_EXEMPLAR => {
            write!(out, " # {{{name}=\"{}\"}} 1", escape(&value))?;
        }
        _ => {}
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

/// A bucket's bound, with a point even where it is whole: one spelling of the label across exposers. It is Go's `%g`
/// for bounds from 0.0001 to below a million.
fn le(bound: f64) -> String {
    if bound.is_finite() { format!("{bound:?}") } else { number(bound) }
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector as _;
    use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};

    use super::*;

    fn none(_: &str, _: &Metric) -> Option<(&'static str, String)> {
        None
    }

    #[test]
    fn counter_family_loses_its_suffix_and_keeps_its_unit_and_exemplar() {
        let counter =
            IntCounterVec::new(Opts::new("a_seconds_total", "Help with \\ and \"quotes\"\nin two lines."), &["x"])
                .unwrap();
        counter.with_label_values(&["q\"\\\n"]).inc_by(3);
        let text = encode(&counter.collect(), &|name, _| (name == "a_seconds_total").then(|| ("ray", "7d-LAX".into())))
            .unwrap();
        let expected = r##"# TYPE a_seconds counter
# UNIT a_seconds seconds
# HELP a_seconds Help with \\ and \"quotes\"\nin two lines.
a_seconds_total{x="q\"\\\n"} 3 # {ray="7d-LAX"} 1
# EOF
"##;
        assert_eq!(text, expected);
    }

    #[test]
    fn exemplar_that_is_too_long_is_left_out() {
        let counter = IntCounter::new("a_total", "A.").unwrap();
        let long = |length: usize| encode(&counter.collect(), &|_, _| Some(("ray", "é".repeat(length)))).unwrap();
        assert!(long(125).contains("# {ray="));
        assert!(!long(126).contains("# {ray="));
    }

    #[test]
    fn gauge_has_no_exemplar_and_nothing_is_still_a_whole_exposition() {
        let gauge = IntGauge::new("size_bytes", "Size.").unwrap();
        gauge.set(-4);
        let text = encode(&gauge.collect(), &|_, _| Some(("ray", "x".into()))).unwrap();
        assert_eq!(
            text,
            "# TYPE size_bytes gauge\n# UNIT size_bytes bytes\n# HELP size_bytes Size.\nsize_bytes -4\n# EOF\n"
        );
        assert_eq!(encode(&[], &none).unwrap(), "# EOF\n");
    }

    #[test]
    fn histogram_has_bounds_with_a_point_and_ends_in_an_infinite_bucket() {
        let histogram =
            Histogram::with_opts(HistogramOpts::new("wait_seconds", "Wait.").buckets(vec![0.0005, 0.5, 125.0]))
                .unwrap();
        histogram.observe(0.25);
        histogram.observe(200.0);
        let text = encode(&histogram.collect(), &none).unwrap();
        let expected = r##"# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
# HELP wait_seconds Wait.
wait_seconds_bucket{le="0.0005"} 0
wait_seconds_bucket{le="0.5"} 1
wait_seconds_bucket{le="125.0"} 1
wait_seconds_bucket{le="+Inf"} 2
wait_seconds_count 2
wait_seconds_sum 200.25
# EOF
"##;
        assert_eq!(text, expected);
    }

    #[test]
    fn counter_with_a_wrong_name_is_an_error_not_a_broken_page() {
        let counter = IntCounter::new("failures", "F.").unwrap();
        assert_eq!(
            encode(&counter.collect(), &none).unwrap_err().to_string(),
            "counter failures does not end in _total"
        );
    }
}
