use std::sync::Arc;

use super::*;
use crate::sinks::sample::diagnosis;

fn snapshot() -> Snapshot {
    let port = |port, exchanges| PortCounters { port, connections_ipv4: 5, connections_ipv6: 1, exchanges, open: 2 };
    Snapshot {
        ports: vec![port(Some(80), 7), port(Some(443), 8), port(None, 9), port(None, 1)],
        resets_sent: vec![("TCP_ABORT_ON_CLOSE".into(), 3), ("unknown".into(), 0)],
        resets_received: 4,
        lost: vec![("ring_buffer", 0)],
        probes: vec![
            ProbeCounters { name: "tcp_send_reset".into(), attached: true, runs: Some(10), nanos: Some(2_500) },
            ProbeCounters { name: "mark_victim".into(), ..ProbeCounters::default() },
        ],
        tables: vec![TableUse { name: "connections", entries: 8, capacity: 65_536 }],
        ranges_ipv4: 15,
        ranges_ipv6: 7,
    }
}

fn metrics() -> Metrics {
    Metrics::new(Arc::new(snapshot)).unwrap()
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

#[test]
fn every_pair_that_can_occur_is_there_from_the_start_with_zero() {
    let text = metrics().text().unwrap();
    let mut pairs = 0;
    for &cause in Cause::ALL {
        for &status in cause.edge_statuses() {
            let line = format!("tracer_failures_total{{cause=\"{cause}\",edge_status=\"{}\"}} 0", status_label(status));
            assert!(has(&text, &line), "{line}");
            pairs += 1;
        }
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("tracer_failures_total{")).count(), pairs);
}

#[test]
fn failure_counts_once_in_total_and_once_by_listener() {
    let metrics = metrics();
    metrics.failure(&diagnosis());
    metrics.failure(&Diagnosis { cause: Cause::OomKill, edge_status: None, process: None, ..diagnosis() });
    let text = metrics.text().unwrap();
    assert!(has(&text, r#"tracer_failures_total{cause="empty_reply",edge_status="520"} 1"#));
    assert!(has(&text, r#"tracer_failures_total{cause="oom_kill",edge_status="none"} 1"#));
    assert!(has(&text, r#"tracer_listener_failures_total{cause="empty_reply",port="80",process="nginx"} 1"#));
    assert!(has(&text, r#"tracer_listener_failures_total{cause="oom_kill",port="80",process="unknown"} 1"#));
}

#[test]
fn kernel_counters_are_read_at_the_scrape() {
    let text = metrics().text().unwrap();
    for line in [
        r#"tracer_exchanges_total{port="80"} 7"#,
        r#"tracer_exchanges_total{port="other"} 10"#,
        r#"tracer_connections_total{family="ipv6",port="443"} 1"#,
        r#"tracer_open_connections{port="443"} 2"#,
        r#"tracer_resets_sent_total{reason="TCP_ABORT_ON_CLOSE"} 3"#,
        "tracer_resets_received_total 4",
        r#"tracer_events_lost_total{where="ring_buffer"} 0"#,
        r#"tracer_probe_attached{probe="tcp_send_reset"} 1"#,
        r#"tracer_probe_attached{probe="mark_victim"} 0"#,
        r#"tracer_probe_runs_total{probe="tcp_send_reset"} 10"#,
        r#"tracer_probe_seconds_total{probe="tcp_send_reset"} 0.0000025"#,
        r#"tracer_table_entries{table="connections"} 8"#,
        r#"tracer_table_capacity{table="connections"} 65536"#,
        r#"tracer_edge_ranges{family="ipv4"} 15"#,
        r#"tracer_edge_ranges{family="ipv6"} 7"#,
    ] {
        let sorted = |line: &str| {
            let mut parts: Vec<_> = line.split(['{', ',', '}']).map(str::to_owned).collect();
            parts.sort_unstable();
            parts
        };
        assert!(text.lines().any(|found| sorted(found) == sorted(line)), "{line} not in\n{text}");
    }
    assert!(!text.contains(r#"tracer_probe_runs_total{probe="mark_victim"}"#), "not measured is not zero");
    assert!(text.contains("process_resident_memory_bytes ") && text.contains("tracer_build_info{"));
}

#[test]
fn metrics_that_nothing_feeds_are_absent() {
    let text = metrics().text().unwrap();
    for name in ["accept_queue_overflows", "firewall_drops", "first_byte", "response_header_bytes"] {
        assert!(!text.contains(name), "{name}");
    }
    assert!(!text.contains("tracer_listener_failures_total{") && !text.contains("tracer_oom_kills_total{"));
}

#[test]
fn process_names_and_ports_are_bounded() {
    let metrics = metrics();
    for n in 0..200 {
        metrics.process_end(&format!("p{n}"), "exit");
        metrics.oom_kill(&format!("p{n}"));
    }
    metrics.oom_kill("p0");
    for port in 1..=300 {
        metrics.failure(&Diagnosis { local_port: port, ..diagnosis() });
    }
    let text = metrics.text().unwrap();
    let series = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
    assert_eq!(series("tracer_process_ends_total"), MAX_PROCESSES + 1);
    assert!(has(&text, r#"tracer_process_ends_total{how="exit",process="other"} 136"#));
    assert!(has(&text, r#"tracer_oom_kills_total{process="p0"} 2"#));
    assert_eq!(series("tracer_listener_failures_total"), MAX_PORTS + 1);
    assert!(has(&text, r#"tracer_listener_failures_total{cause="empty_reply",port="other",process="nginx"} 44"#));
}

#[test]
fn latest_ray_is_the_exemplar_of_its_series() {
    let metrics = metrics();
    for ray in [Some("old-LAX".to_owned()), Some("7d1234567890abcd-LAX".to_owned()), None] {
        metrics.failure(&Diagnosis { ray, ..diagnosis() });
    }
    let text = metrics.openmetrics().unwrap();
    let line = r#"tracer_failures_total{cause="empty_reply",edge_status="520"} 3 # {ray="7d1234567890abcd-LAX"} 1"#;
    assert!(has(&text, line), "{text}");
    assert_eq!(text.matches("# {").count(), 1);
    assert!(has(&text, "# TYPE tracer_failures counter") && has(&text, "# TYPE process_cpu_seconds counter"));
    assert!(text.ends_with("\n# EOF\n"));
    assert!(!metrics.text().unwrap().contains("# {"), "the older format has no exemplars");
}

#[test]
fn every_line_of_the_openmetrics_text_belongs_to_the_family_above_it() {
    let metrics = metrics();
    metrics.failure(&diagnosis());
    metrics.process_end("nginx", "crash");
    let text = metrics.openmetrics().unwrap();
    let (mut family, mut kind, mut seen) = (String::new(), String::new(), HashSet::new());
    for line in text.lines().take_while(|line| *line != "# EOF") {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            (family, kind) = head.split_once(' ').map(|(name, kind)| (name.to_owned(), kind.to_owned())).unwrap();
            assert!(seen.insert(family.clone()), "{family} comes twice");
        } else if let Some(head) = line.strip_prefix("# HELP ").or(line.strip_prefix("# UNIT ")) {
            assert_eq!(head.split(' ').next(), Some(family.as_str()));
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let expected = if kind == "counter" { format!("{family}_total") } else { family.clone() };
            assert_eq!(name, expected);
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
}

#[test]
fn hostile_process_name_stays_one_label() {
    let metrics = metrics();
    metrics.process_end("x\"} 1\ny", "exit");
    for text in [metrics.text().unwrap(), metrics.openmetrics().unwrap()] {
        assert!(text.contains(r#"process="x\"} 1\ny""#), "{text}");
    }
}
