//! The alert rules: each says how bad it is, what it means and where to read on, and has its tests.
//!
//! Whether Prometheus takes them is for the kernel tests, which start one.

use tracer::diagnose::{Cause, origin::OriginCause};

use crate::runbook::page_of;

const RULES: &str = include_str!("../../dist/prometheus/tracer.alerts.yml");
const TESTS: [&str; 3] = [
    include_str!("../../dist/prometheus/tests/failures.yml"),
    include_str!("../../dist/prometheus/tests/origin_errors.yml"),
    include_str!("../../dist/prometheus/tests/itself.yml"),
];

/// Each alert: its name and its lines.
fn alerts() -> Vec<(&'static str, &'static str)> {
    RULES.split("- alert: ").skip(1).map(|text| text.split_once('\n').expect("lines")).collect()
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on() {
    assert!(!alerts().is_empty());
    for (name, lines) in alerts() {
        let severity = lines.split("severity: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        assert!(lines.contains("        summary: ") && lines.contains("        description: "), "{name}");
        let url = lines.split("runbook_url: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let causes: Vec<&str> = if url.contains("origin_errors") {
            OriginCause::ALL.iter().map(|cause| cause.name()).collect()
        } else {
            Cause::ALL.iter().map(|cause| cause.name()).collect()
        };
        for cause in causes {
            assert!(page_of(&url.replace("{{ $labels.cause }}", cause)).is_some(), "{name}: no page at {url}");
        }
    }
}

#[test]
fn every_alert_is_tested_firing_and_silent() {
    for (name, _) in alerts() {
        let after = format!("alertname: {name}\n        exp_alerts:");
        let tests: Vec<&str> = TESTS.iter().flat_map(|text| text.split(after.as_str()).skip(1)).collect();
        assert!(tests.iter().any(|rest| rest.starts_with(" []")), "{name}: no test in which it is silent");
        assert!(
            tests.iter().any(|rest| rest.starts_with("\n          - exp_labels:")),
            "{name}: no test in which it fires"
        );
    }
}

#[test]
fn every_cause_in_the_rules_is_one() {
    let quoted = ["cause=\"", "cause!~\"", "cause=~\""].iter().flat_map(|matcher| RULES.split(matcher).skip(1));
    let quoted = quoted.filter_map(|rest| rest.split('"').next());
    let names: Vec<&str> = quoted.flat_map(|names| names.split('|')).collect();
    assert!(!names.is_empty());
    for name in names {
        let of_failure = Cause::ALL.iter().any(|cause| cause.name() == name);
        assert!(of_failure || OriginCause::ALL.iter().any(|cause| cause.name() == name), "{name}");
    }
}

#[test]
fn failures_are_counted_where_the_first_one_is_an_increase() {
    let recordings = include_str!("../../dist/prometheus/tracer.rules.yml");
    for late in [
        "tracer_listener_failures_total",
        "tracer_process_ends_total",
        "tracer_oom_kills_total",
        "tracer_resets_sent_total",
        "tracer_upstream_failures_total",
    ] {
        assert!(!RULES.contains(late) && !recordings.contains(late), "{late} appears with its first failure, as 1");
    }
}
