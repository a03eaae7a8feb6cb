use std::collections::HashSet;
use std::sync::Arc;

use tracer_common::unexplained;

use super::*;
use crate::counts::{Distribution, PortCounters, ProbeCounters, TableUse, TlsCounters, TlsFile};
use crate::sinks::sample::{diagnosis, origin_error};

fn snapshot() -> Snapshot {
    let port = |port, exchanges| PortCounters {
        port,
        connections_ipv4: 5,
        connections_ipv6: 1,
        exchanges,
        open: 2,
        accept_queue_overflows: 3,
        ..PortCounters::default()
    };
    Snapshot {
        tls: None,
        ports: vec![port(Some(80), 7), port(Some(443), 8), port(None, 9), port(None, 1)],
        resets_sent: vec![("TCP_ABORT_ON_CLOSE".into(), 3), ("unknown".into(), 0)],
        resets_received: 4,
        lost: vec![("ring_buffer", 0)],
        unexplained_origin_errors: [(502, 2)].into(),
        lost_failures: unexplained::STATUSES.map(|status| (status, 0)).to_vec(),
        probes: vec![
            ProbeCounters {
                name: "tcp_send_reset".into(),
                attached: true,
                runs: Some(10),
                nanos: Some(2_500),
                skipped: Some(1),
            },
            ProbeCounters { name: "mark_victim".into(), ..ProbeCounters::default() },
        ],
        tables: vec![TableUse { name: "connections", entries: 8, capacity: 65_536 }],
        ranges_ipv4: 15,
        ranges_ipv6: 7,
        ranges_date_s: Some(1_791_936_000),
        reload_failed: true,
        reloaded_s: 1_792_022_400,
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
fn a_failure_whose_record_was_lost_counts_without_a_cause() {
    let lost = || Snapshot { lost_failures: vec![(Some(524), 7), (None, 2)], ..snapshot() };
    let text = Metrics::new(Arc::new(lost)).unwrap().text().unwrap();
    assert!(has(&text, r#"tracer_failures_total{cause="unexplained",edge_status="524"} 7"#), "{text}");
    assert!(has(&text, r#"tracer_failures_total{cause="unexplained",edge_status="none"} 2"#));
    assert_eq!(text.matches("# TYPE tracer_failures_total ").count(), 1);
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
        r#"tracer_accept_queue_overflows_total{port="80"} 3"#,
        r#"tracer_accept_queue_overflows_total{port="other"} 6"#,
        r#"tracer_firewall_drops_total{port="443"} 0"#,
        r#"tracer_resets_sent_total{reason="TCP_ABORT_ON_CLOSE"} 3"#,
        "tracer_resets_received_total 4",
        r#"tracer_events_lost_total{where="ring_buffer"} 0"#,
        r#"tracer_probe_attached{probe="tcp_send_reset"} 1"#,
        r#"tracer_probe_attached{probe="mark_victim"} 0"#,
        r#"tracer_probe_runs_total{probe="tcp_send_reset"} 10"#,
        r#"tracer_probe_seconds_total{probe="tcp_send_reset"} 0.0000025"#,
        r#"tracer_probe_runs_skipped_total{probe="tcp_send_reset"} 1"#,
        r#"tracer_table_entries{table="connections"} 8"#,
        r#"tracer_table_capacity{table="connections"} 65536"#,
        r#"tracer_edge_ranges{family="ipv4"} 15"#,
        r#"tracer_edge_ranges{family="ipv6"} 7"#,
        "tracer_edge_ranges_timestamp_seconds 1791936000",
        "tracer_config_last_reload_successful 0",
        "tracer_config_last_reload_success_timestamp_seconds 1792022400",
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
fn what_never_happened_has_no_series() {
    let text = metrics().text().unwrap();
    assert!(!text.contains("tracer_listener_failures_total{") && !text.contains("tracer_oom_kills_total{"));
}

#[test]
fn sight_inside_tls_is_counted_where_it_is_on_and_absent_where_it_is_off() {
    let text = metrics().text().unwrap();
    assert!(!text.contains("tracer_tls_"), "{text}");
    let refused = Some("of another machine".to_owned());
    let files = vec![TlsFile::default(), TlsFile { refused, ..TlsFile::default() }];
    let tls = TlsCounters { with_keys: 8, without_keys: 2, hits: 40, paused: true, opened: 3, unopened: 1, files };
    let on = Metrics::new(Arc::new(move || Snapshot { tls: Some(tls.clone()), ..snapshot() })).unwrap();
    for text in [on.text().unwrap(), on.openmetrics().unwrap()] {
        for line in [
            r#"tracer_tls_connections_total{keys="yes"} 8"#,
            r#"tracer_tls_connections_total{keys="no"} 2"#,
            r#"tracer_tls_exchanges_total{decrypted="yes"} 3"#,
            r#"tracer_tls_exchanges_total{decrypted="no"} 1"#,
            "tracer_tls_probe_hits_total 40",
            "tracer_tls_probed_files 1",
            "tracer_tls_sight_paused 1",
        ] {
            assert!(has(&text, line), "{line} not in\n{text}");
        }
    }
    let idle = Metrics::new(Arc::new(|| Snapshot { tls: Some(TlsCounters::default()), ..snapshot() })).unwrap();
    let text = idle.text().unwrap();
    assert!(has(&text, r#"tracer_tls_connections_total{keys="no"} 0"#) && has(&text, "tracer_tls_sight_paused 0"));
}

/// The families of `names` in the text of `metrics`, as they are written.
fn families(text: &str, names: &[&str]) -> String {
    let about = |line: &&str| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").trim_start_matches("# UNIT ");
        names.iter().any(|&wanted| name.starts_with(wanted))
    };
    text.lines().filter(about).map(|line| format!("{line}\n")).collect()
}

/// One port: answers after 4 ms, 0.75 s, 1 s and 200 s, header sections of 128, 131072 and 200000 bytes, some drops.
fn busy_port() -> Metrics {
    let (mut first_byte, mut header_bytes) = (vec![0; 18], vec![0; 11]);
    (first_byte[3], first_byte[10], first_byte[17]) = (1, 2, 1);
    (header_bytes[0], header_bytes[9], header_bytes[10]) = (1, 1, 1);
    let port = PortCounters {
        port: Some(80),
        first_byte: Distribution { counts: first_byte, sum: 201.754 },
        header_bytes: Distribution { counts: header_bytes, sum: 331_200.0 },
        accept_queue_overflows: 5,
        firewall_drops: 6,
        ..PortCounters::default()
    };
    Metrics::new(Arc::new(move || Snapshot { ports: vec![port.clone()], ..Snapshot::default() })).unwrap()
}

const BY_PORT: &[&str] =
    &["tracer_accept_queue_overflows", "tracer_firewall_drops", "tracer_first_byte", "tracer_response_header"];

/// Puts in the two helps that are too long for a line here.
fn with_help(expected: &str) -> String {
    let overflows = "Connections that a full accept queue turned away, by local port.";
    let first_byte = "Time from the last byte of the request to the first byte of the response, by local port.";
    expected.replace("{OVERFLOWS}", overflows).replace("{FIRST_BYTE}", first_byte)
}

#[test]
fn answers_and_drops_of_a_port_in_the_text_format() {
    let expected = r##"# HELP tracer_accept_queue_overflows_total {OVERFLOWS}
# TYPE tracer_accept_queue_overflows_total counter
tracer_accept_queue_overflows_total{port="80"} 5
# HELP tracer_firewall_drops_total Packets from the edge that netfilter dropped or rejected, by local port.
# TYPE tracer_firewall_drops_total counter
tracer_firewall_drops_total{port="80"} 6
# HELP tracer_first_byte_seconds {FIRST_BYTE}
# TYPE tracer_first_byte_seconds histogram
tracer_first_byte_seconds_bucket{port="80",le="0.0005"} 0
tracer_first_byte_seconds_bucket{port="80",le="0.001"} 0
tracer_first_byte_seconds_bucket{port="80",le="0.0025"} 0
tracer_first_byte_seconds_bucket{port="80",le="0.005"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.01"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.025"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.05"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.1"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.25"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.5"} 1
tracer_first_byte_seconds_bucket{port="80",le="1"} 3
tracer_first_byte_seconds_bucket{port="80",le="2.5"} 3
tracer_first_byte_seconds_bucket{port="80",le="5"} 3
tracer_first_byte_seconds_bucket{port="80",le="10"} 3
tracer_first_byte_seconds_bucket{port="80",le="30"} 3
tracer_first_byte_seconds_bucket{port="80",le="60"} 3
tracer_first_byte_seconds_bucket{port="80",le="125"} 3
tracer_first_byte_seconds_bucket{port="80",le="+Inf"} 4
tracer_first_byte_seconds_sum{port="80"} 201.754
tracer_first_byte_seconds_count{port="80"} 4
# HELP tracer_response_header_bytes Size of the response's header section, by local port.
# TYPE tracer_response_header_bytes histogram
tracer_response_header_bytes_bucket{port="80",le="256"} 1
tracer_response_header_bytes_bucket{port="80",le="512"} 1
tracer_response_header_bytes_bucket{port="80",le="1024"} 1
tracer_response_header_bytes_bucket{port="80",le="2048"} 1
tracer_response_header_bytes_bucket{port="80",le="4096"} 1
tracer_response_header_bytes_bucket{port="80",le="8192"} 1
tracer_response_header_bytes_bucket{port="80",le="16384"} 1
tracer_response_header_bytes_bucket{port="80",le="32768"} 1
tracer_response_header_bytes_bucket{port="80",le="65536"} 1
tracer_response_header_bytes_bucket{port="80",le="131072"} 2
tracer_response_header_bytes_bucket{port="80",le="+Inf"} 3
tracer_response_header_bytes_sum{port="80"} 331200
tracer_response_header_bytes_count{port="80"} 3
"##;
    assert_eq!(families(&busy_port().text().unwrap(), BY_PORT), with_help(expected));
}

#[test]
fn answers_and_drops_of_a_port_in_openmetrics() {
    let expected = r##"# TYPE tracer_accept_queue_overflows counter
# HELP tracer_accept_queue_overflows Connections that a full accept queue turned away, by local port.
tracer_accept_queue_overflows_total{port="80"} 5
# TYPE tracer_firewall_drops counter
# HELP tracer_firewall_drops Packets from the edge that netfilter dropped or rejected, by local port.
tracer_firewall_drops_total{port="80"} 6
# TYPE tracer_first_byte_seconds histogram
# UNIT tracer_first_byte_seconds seconds
# HELP tracer_first_byte_seconds {FIRST_BYTE}
tracer_first_byte_seconds_bucket{port="80",le="0.0005"} 0
tracer_first_byte_seconds_bucket{port="80",le="0.001"} 0
tracer_first_byte_seconds_bucket{port="80",le="0.0025"} 0
tracer_first_byte_seconds_bucket{port="80",le="0.005"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.01"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.025"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.05"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.1"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.25"} 1
tracer_first_byte_seconds_bucket{port="80",le="0.5"} 1
tracer_first_byte_seconds_bucket{port="80",le="1.0"} 3
tracer_first_byte_seconds_bucket{port="80",le="2.5"} 3
tracer_first_byte_seconds_bucket{port="80",le="5.0"} 3
tracer_first_byte_seconds_bucket{port="80",le="10.0"} 3
tracer_first_byte_seconds_bucket{port="80",le="30.0"} 3
tracer_first_byte_seconds_bucket{port="80",le="60.0"} 3
tracer_first_byte_seconds_bucket{port="80",le="125.0"} 3
tracer_first_byte_seconds_bucket{port="80",le="+Inf"} 4
tracer_first_byte_seconds_count{port="80"} 4
tracer_first_byte_seconds_sum{port="80"} 201.754
# TYPE tracer_response_header_bytes histogram
# UNIT tracer_response_header_bytes bytes
# HELP tracer_response_header_bytes Size of the response's header section, by local port.
tracer_response_header_bytes_bucket{port="80",le="256.0"} 1
tracer_response_header_bytes_bucket{port="80",le="512.0"} 1
tracer_response_header_bytes_bucket{port="80",le="1024.0"} 1
tracer_response_header_bytes_bucket{port="80",le="2048.0"} 1
tracer_response_header_bytes_bucket{port="80",le="4096.0"} 1
tracer_response_header_bytes_bucket{port="80",le="8192.0"} 1
tracer_response_header_bytes_bucket{port="80",le="16384.0"} 1
tracer_response_header_bytes_bucket{port="80",le="32768.0"} 1
tracer_response_header_bytes_bucket{port="80",le="65536.0"} 1
tracer_response_header_bytes_bucket{port="80",le="131072.0"} 2
tracer_response_header_bytes_bucket{port="80",le="+Inf"} 3
tracer_response_header_bytes_count{port="80"} 3
tracer_response_header_bytes_sum{port="80"} 331200
"##;
    assert_eq!(families(&busy_port().openmetrics().unwrap(), BY_PORT), with_help(expected));
}

#[test]
fn port_without_an_answer_has_its_buckets_with_zero() {
    for text in [metrics().text().unwrap(), metrics().openmetrics().unwrap()] {
        for (name, bounds) in [("tracer_first_byte_seconds", 17), ("tracer_response_header_bytes", 10)] {
            let buckets = text.lines().filter(|line| line.starts_with(&format!("{name}_bucket{{port=\"443\"")));
            assert_eq!(buckets.inspect(|line| assert!(line.ends_with(" 0"), "{line}")).count(), bounds + 1);
            assert!(has(&text, &format!("{name}_sum{{port=\"443\"}} 0")), "{text}");
            assert!(has(&text, &format!("{name}_count{{port=\"443\"}} 0")), "{text}");
        }
    }
}

#[test]
fn distributions_of_one_label_add_up() {
    let port = |counts, sum| PortCounters { header_bytes: Distribution { counts, sum }, ..PortCounters::default() };
    let ports = vec![port(vec![], 0.0), port(vec![1; 11], 9.5), port(vec![2; 11], 1.0)];
    let metrics = Metrics::new(Arc::new(move || Snapshot { ports: ports.clone(), ..Snapshot::default() })).unwrap();
    let text = metrics.text().unwrap();
    assert!(has(&text, r#"tracer_response_header_bytes_bucket{port="other",le="512"} 6"#), "{text}");
    assert!(has(&text, r#"tracer_response_header_bytes_count{port="other"} 33"#), "{text}");
    assert!(has(&text, r#"tracer_response_header_bytes_sum{port="other"} 10.5"#), "{text}");
}

#[test]
fn process_names_and_ports_are_bounded() {
    let metrics = metrics();
    for n in 0..200 {
        metrics.process_end(&format!("p{n}"), EndHow::Exit);
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
    metrics.process_end("nginx", EndHow::Crash);
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
            let suffixes: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            assert!(suffixes.contains(&name.strip_prefix(&family).unwrap()), "{name} under {family}");
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
}

#[test]
fn hostile_process_name_stays_one_label() {
    let metrics = metrics();
    metrics.process_end("x\"} 1\ny", EndHow::Exit);
    for text in [metrics.text().unwrap(), metrics.openmetrics().unwrap()] {
        assert!(text.contains(r#"process="x\"} 1\ny""#), "{text}");
    }
}

#[test]
fn an_origin_error_counts_by_status_and_cause_and_by_the_process_behind_and_is_no_failure() {
    let metrics = metrics();
    let before = metrics.text().unwrap();
    assert!(has(&before, r#"tracer_origin_errors_total{cause="oom_kill",status="502"} 0"#), "{before}");
    assert!(has(&before, r#"tracer_origin_errors_total{cause="unexplained",status="502"} 2"#));
    let unexplained = OriginError { cause: OriginCause::Unexplained, ..origin_error() };
    let own = OriginError { cause: OriginCause::ApplicationError, response_status: 599, ..origin_error() };
    let mut refused = OriginError { cause: OriginCause::UpstreamRefused, ..origin_error() };
    refused.upstream.upstream_process = None;
    for error in [&origin_error(), &unexplained, &own, &refused] {
        metrics.origin_error(error);
    }
    let text = metrics.text().unwrap();
    for line in [
        r#"tracer_origin_errors_total{cause="oom_kill",status="502"} 1"#,
        r#"tracer_origin_errors_total{cause="application_error",status="599"} 1"#,
        // What is told without a cause is in the snapshot.
        r#"tracer_origin_errors_total{cause="unexplained",status="502"} 2"#,
        r#"tracer_upstream_failures_total{cause="oom_kill",upstream="php-fpm8.2"} 1"#,
        r#"tracer_upstream_failures_total{cause="upstream_refused",upstream="unknown"} 1"#,
    ] {
        assert!(has(&text, line), "{line} not in\n{text}");
    }
    let failures = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("tracer_failures_total{")).map(str::to_owned).collect()
    };
    assert_eq!(failures(&text), failures(&before));
    assert_eq!(text.matches("tracer_upstream_failures_total{").count(), 2);
}
