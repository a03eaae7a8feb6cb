//! Recorded kernel events in, verdicts out: without root and without a kernel.

mod recorded;

use std::{collections::BTreeMap, path::Path};

use recorded::{events, names, replay};
use tracer::diagnose::{Cause, Diagnosis};

/// The one way to state what a recording tells: how many failures of which causes, and in which process.
#[track_caller]
fn check(name: &str, expected: &[(Cause, usize)], process: Option<&str>) {
    let told = replay(&events(name));
    let mut counts = BTreeMap::new();
    for diagnosis in &told {
        *counts.entry(diagnosis.cause).or_insert(0) += 1;
        assert_eq!(diagnosis.process.as_deref(), process, "{diagnosis:#?}");
        assert!(diagnosis.edge_range.is_some() && !diagnosis.evidence.is_empty(), "{diagnosis:#?}");
    }
    assert_eq!(counts, expected.iter().copied().collect(), "{told:#?}");
}

macro_rules! recorded {
    ($($test:ident: $name:literal, $process:expr, [$($cause:ident: $count:literal),*];)+) => { $(
        #[test]
        fn $test() {
            check($name, &[$((Cause::$cause, $count)),*], $process);
        }
    )+ };
}

const RAW: Option<&str> = Some("zoo-raw");

recorded! {
    a_hang_up_after_the_request_is_empty_reply: "empty_reply_fin", RAW, [EmptyReply: 3];
    a_hang_up_on_a_used_connection_is_empty_reply: "empty_reply_keepalive", RAW, [EmptyReply: 1];
    return_444_is_empty_reply: "empty_reply_nginx_444", Some("nginx"), [EmptyReply: 3];
    linger_zero_is_app_reset: "app_reset_linger0", RAW, [AppReset: 4];
    a_body_left_unread_is_closed_unread: "closed_unread_post", RAW, [ClosedUnread: 3];
    a_request_to_a_fresh_close_is_closed_before_request: "closed_before_request", RAW, [ClosedBeforeRequest: 3];
    a_request_to_an_idle_close_is_keepalive_race: "keepalive_race_nginx", Some("nginx"), [KeepaliveRace: 3];
    crossing_packets_are_keepalive_race: "keepalive_race_crossing", RAW, [KeepaliveRace: 3];
    a_queue_that_dies_with_its_listener_is_listener_closed: "listener_closed", RAW, [ListenerClosed: 4];
    a_refused_syn_is_port_closed: "port_closed", None, [PortClosed: 4];
    a_segfault_before_the_answer_is_crash: "crash_segv", RAW, [Crash: 3];
    a_segfault_in_the_answer_is_crash: "crash_segv_mid_response", RAW, [Crash: 2];
    a_segfault_with_bytes_unread_is_crash: "crash_unread_rst", RAW, [Crash: 1];
    exit_with_a_request_in_hand_is_process_exit: "exit_1", RAW, [ProcessExit: 3];
    an_application_that_unwinds_is_process_exit: "gunicorn_exits", Some("gunicorn"), [ProcessExit: 3, Crash: 1];
    an_operators_signal_is_process_killed: "killed_sigkill", RAW, [ProcessKilled: 3];
    a_worker_timeout_is_supervisor_kill: "supervisor_kill_gunicorn", Some("gunicorn"), [SupervisorKill: 1];
    an_oom_kill_takes_pending_requests_and_spares_idle_ones: "oom_worker_many", RAW, [OomKill: 8];
    resets_after_an_oom_kill_are_the_successors_own: "oom_then_own_resets", RAW,
        [OomKill: 1, AppReset: 10, EmptyReply: 10];
    a_reset_after_a_whole_answer_is_nothing: "early_response_rst", None, [];
    an_ended_websocket_is_nothing: "healthy_websocket", None, [];
    a_reset_in_the_body_is_reset_mid_response: "reset_mid_body", RAW, [ResetMidResponse: 3];
    a_content_length_unmet_is_truncated_body: "truncated_body_fin", RAW, [TruncatedBody: 3];
    a_last_chunk_missing_is_truncated_body: "truncated_body_chunked", RAW, [TruncatedBody: 2];
    a_section_cut_or_only_interim_is_truncated_headers: "truncated_headers", RAW, [TruncatedHeaders: 3];
    bytes_without_a_status_line_are_malformed: "malformed_no_status_line", RAW, [MalformedResponse: 3];
    a_line_without_a_colon_is_malformed: "malformed_header_line", RAW, [MalformedResponse: 3];
    a_section_above_the_limit_is_too_large: "headers_too_large", RAW, [HeadersTooLarge: 3];
    sections_up_to_the_limit_are_nothing: "headers_under_limit", None, [];
    no_byte_in_time_is_response_timeout: "response_timeout", RAW, [ResponseTimeout: 3];
    a_response_that_stands_still_is_stalled: "response_stalled", RAW, [ResponseStalled: 3];
    a_shut_window_is_request_stalled: "request_stalled_zero_window", RAW, [RequestStalled: 2];
    a_socket_in_repair_mode_is_silent_drop: "haproxy_silent_drop", Some("haproxy"), [SilentDrop: 3];
    a_full_queue_is_listen_overflow: "listen_overflow", RAW, [ListenOverflow: 4, ResponseTimeout: 3];
    dropped_syns_are_firewall_drop: "firewall_drop_nft", RAW, [FirewallDrop: 4];
    a_firewalls_reset_is_firewall_reject: "firewall_reject_nft", RAW, [FirewallReject: 3];
    a_hello_that_nobody_answers_in_kind_is_a_failed_handshake: "tls_hello_dropped", RAW, [TlsHandshakeFailed: 8];
    a_hello_answered_in_http_is_tls_to_plain_port: "tls_to_plain_port_nginx", Some("nginx"), [TlsToPlainPort: 2];
    an_alert_of_the_edge_is_cert_invalid: "tls_cert_expired", Some("nginx"), [CertInvalid: 4];
}

#[test]
fn the_oom_recording_names_its_victim_and_the_request() {
    let told = replay(&events("oom_worker_many"));
    assert!(told.iter().all(|diagnosis| diagnosis.oom_victim.is_some() && diagnosis.ray.is_some()), "{told:#?}");
}

#[test]
fn a_lost_record_makes_failures_missing_and_never_wrong() {
    for name in ["oom_worker_many", "gunicorn_exits", "supervisor_kill_gunicorn", "oom_then_own_resets"] {
        let whole = events(name);
        let causes =
            |told: Vec<Diagnosis>| told.into_iter().map(|one| (one.peer_port, one.cause)).collect::<BTreeMap<_, _>>();
        let right = causes(replay(&whole));
        for lost in 0..whole.len() {
            let mut rest = whole.clone();
            rest.remove(lost);
            for (peer, cause) in causes(replay(&rest)) {
                // Without the end of its process, a hang-up is only a hang-up.
                assert!(cause == right[&peer] || cause == Cause::EmptyReply, "{name} without {lost}: {cause}");
            }
        }
    }
}

#[test]
fn every_recorded_verdict_is_as_its_page_of_the_runbook_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in names() {
        for told in replay(&events(&name)) {
            let page = std::fs::read_to_string(root.join(format!("dist/runbook/{}.md", told.cause))).unwrap();
            let facts = page.lines().nth(2).unwrap();
            let status = told.edge_status.map_or("none".to_owned(), |status| status.to_string());
            let (statuses, certainties) = facts.split_once(". Certainty: ").unwrap();
            assert!(statuses.contains(&status), "{name}: {} with {status}: {facts}", told.cause);
            assert!(certainties.contains(told.certainty.name()), "{name}: {} {}: {facts}", told.cause, told.certainty);
        }
    }
}
