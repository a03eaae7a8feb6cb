use std::time::Duration;

use serde_json::json;

use super::super::edge::Seen;
use super::super::scenario::{SCENARIOS, Scenario};
use super::super::server::NGINX;
use super::*;

const RAY: u64 = 0x8000_0000_0000_0001;

fn scenario(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap()
}

fn entry(ray: u64, from: &str, expect: Expect) -> Entry {
    let to = SocketAddr::new("10.99.0.1".parse().unwrap(), NGINX.port);
    let from = from.parse().unwrap();
    let took = Duration::from_millis(3);
    Entry { server: &NGINX, ray, from, to, seen: Seen::Empty, took, expect, arrives: Arrives::Yes }
}

fn failure() -> Entry {
    entry(RAY, "104.16.1.10:20000", Expect::Failure(scenario("nginx-444")))
}

fn sound(ray: u64) -> Entry {
    entry(ray, "104.16.1.10:20000", Expect::Nothing)
}

fn event() -> Value {
    json!({"cause": "empty_reply", "edge_status": 520, "peer_addr": "104.16.1.10", "peer_port": 20000,
        "local_addr": "10.99.0.1", "local_port": NGINX.port, "ray": "8000000000000001-AMS", "process": "nginx"})
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut event = event();
    event[field] = value.into();
    event
}

/// The sum of all rows must be this, and the differences so many.
fn check(entries: &[Entry], events: &[Value], expected: Row, differences: usize) -> Judgement {
    let judgement = judge(entries, events);
    let sum = judgement.rows.values().fold(Row::default(), |sum, row| Row {
        provoked: sum.provoked + row.provoked,
        told: sum.told + row.told,
        wrong: sum.wrong + row.wrong,
        missing: sum.missing + row.missing,
        extra: sum.extra + row.extra,
    });
    assert_eq!(sum, expected);
    assert_eq!(judgement.differences.len(), differences);
    assert_eq!(judgement.is_clean(), differences == 0);
    judgement
}

#[test]
fn a_failure_told_once_as_expected_is_told() {
    let judgement = check(&[sound(7), failure()], &[event()], Row { provoked: 1, told: 1, ..Row::default() }, 0);
    assert!(judgement.rows.contains_key(&("nginx", "empty_reply".to_owned())));
}

#[test]
fn silence_over_sound_exchanges_is_clean() {
    check(&[sound(1), sound(2)], &[], Row::default(), 0);
}

#[test]
fn a_failure_without_an_event_is_missing() {
    let judgement = check(&[failure()], &[], Row { provoked: 1, missing: 1, ..Row::default() }, 1);
    assert!(judgement.differences[0].to_string().starts_with("nginx-444: not told\n    made: nginx 104.16.1.10:20000"));
}

#[test]
fn a_failure_told_twice_is_told_and_extra() {
    check(&[failure()], &[event(), event()], Row { provoked: 1, told: 1, extra: 1, ..Row::default() }, 1);
}

#[test]
fn an_event_of_a_sound_exchange_is_extra_on_its_server() {
    let judgement = check(&[sound(RAY)], &[event()], Row { extra: 1, ..Row::default() }, 1);
    assert!(judgement.rows.contains_key(&("nginx", "empty_reply".to_owned())));
}

#[test]
fn an_event_of_an_unknown_connection_is_extra() {
    let expected = Row { provoked: 1, told: 1, extra: 1, ..Row::default() };
    check(&[failure()], &[event(), with("peer_port", 20001)], expected, 1);
    check(&[], &[with("peer_addr", Value::Null)], Row { extra: 1, ..Row::default() }, 1);
}

#[test]
fn another_cause_status_ray_or_process_is_wrong() {
    let wrong = Row { provoked: 1, wrong: 1, ..Row::default() };
    for (field, value) in [
        ("cause", Value::from("app_reset")),
        ("edge_status", Value::Null),
        ("ray", Value::from("8000000000000002-AMS")),
        ("ray", Value::Null),
        ("process", Value::from("apache2")),
    ] {
        check(&[failure()], &[with(field, value)], wrong, 1);
    }
    // What is not known is not wrong.
    check(&[failure()], &[with("process", Value::Null)], Row { provoked: 1, told: 1, ..Row::default() }, 0);
}

#[test]
fn a_request_that_never_arrived_needs_no_ray() {
    let late = Entry { arrives: Arrives::No, ..failure() };
    check(&[late], &[with("ray", Value::Null)], Row { provoked: 1, told: 1, ..Row::default() }, 0);
}

#[test]
fn any_accepted_cause_counts_and_is_listed_under_the_first() {
    let cut = entry(RAY, "104.16.1.10:20000", Expect::Failure(scenario("nginx-upstream-cuts")));
    let mut event = with("cause", "reset_mid_response");
    event["edge_status"] = Value::Null;
    let judgement = check(&[cut], &[event], Row { provoked: 1, told: 1, ..Row::default() }, 0);
    assert!(judgement.rows.contains_key(&("nginx", "truncated_body".to_owned())));
}

#[test]
fn on_one_connection_the_ray_decides_and_then_what_is_untold() {
    let failed = failure();
    let judgement = check(&[sound(1), failed, sound(2)], &[event()], Row { provoked: 1, told: 1, ..Row::default() }, 0);
    assert!(judgement.unstaged.is_empty());
    // The 4-tuple came back: two failures, two events without a ray.
    let late = Entry { arrives: Arrives::No, ..failed };
    let events = [with("ray", Value::Null), with("ray", Value::Null)];
    check(&[late, sound(1), late], &events, Row { provoked: 2, told: 2, ..Row::default() }, 0);
}

#[test]
fn what_was_not_staged_is_counted_and_not_judged() {
    let unstaged = entry(RAY, "104.16.1.10:20000", Expect::Unstaged("nginx-444"));
    for events in [vec![], vec![event()], vec![event(), event()]] {
        let judgement = check(&[unstaged], &events, Row::default(), 0);
        assert_eq!(judgement.unstaged[&("nginx", "nginx-444")].len(), 1);
    }
}
