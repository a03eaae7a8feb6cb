use serde_json::json;

use super::super::staged::{self, set};
use super::*;

/// What `nft -j list ruleset` (1.0.6) gave for `nft.rules` beside it.
const RULESET: &str = include_str!("../../../../tests/doctor/nft.json");

fn world() -> World {
    World {
        edge: set(&["104.16.0.0/13", "172.64.0.0/13", "2606:4700::/32", "2400:cb00::/32"]),
        uplinks: vec!["eth0".to_owned()],
        local: set(&["192.0.2.2/32", "2001:db8::2/128"]),
    }
}

/// What is denied on a port: the rule's last words, the addresses, how sure.
fn denied(rules: &Ruleset, port: u16) -> Vec<(String, AddrSet, &'static str)> {
    staged::denied(rules, &world().edge, port, |_| true)
}

#[test]
fn a_real_ruleset_is_followed() {
    let rules = parse(RULESET, &world(), &[]).unwrap();
    let found = denied(&rules, 443);
    let rest = || set(&["172.64.0.0/13", "2606:4700::/32", "2400:cb00::/32"]);
    let shut = || set(&["172.64.0.0/13", "2400:cb00::/32"]);
    let expected = [
        ("ip saddr @banned drop comment \"bans\" (handle 12)", set(&["104.16.1.2/32"]), "yes"),
        ("tcp dport 443 ct count reject (handle 17)", rest(), "load"),
        ("drop (handle 7)", rest(), "load"),
        ("mark 1 drop (handle 21)", shut(), "maybe"),
        ("set drop (handle 26)", shut(), "load"),
        ("policy drop", shut(), "yes"),
    ];
    assert_eq!(found, expected.map(|(rule, addrs, sure)| (rule.to_owned(), addrs, sure)));
    // By the verdict map; behind the limit of SYNs, since that is where it leads.
    assert!(denied(&rules, 2052).iter().all(|(rule, ..)| rule != "policy drop"));
    assert!(denied(&rules, 2053).iter().any(|(rule, ..)| rule == "policy drop"));
    assert!(denied(&rules, 9005).iter().any(|(rule, addrs, sure)| {
        rule.starts_with("ip saddr != 10.0.0.0/8 tcp dport 9000-9010 drop")
            && *addrs == set(&["104.16.0.0/13", "172.64.0.0/13"]).without(&set(&["104.16.1.2/32"]))
            && *sure == "yes"
    }));
    assert_eq!(rules.sets.keys().collect::<Vec<_>>(), ["filter banned", "filter edge_allow"]);
}

/// A chain at the input hook whose policy is to accept, with one rule of these expressions that drops.
fn one_rule(parts: &[Value]) -> Ruleset {
    let parts: Vec<_> = parts.iter().cloned().chain([json!({"drop": null})]).collect();
    let place = json!({"family": "inet", "table": "t", "name": "c", "hook": "input", "prio": 0, "policy": "accept"});
    let rule = json!({"family": "inet", "table": "t", "chain": "c", "handle": 1, "expr": parts});
    let text = json!({"nftables": [{"chain": place}, {"rule": rule}]}).to_string();
    parse(&text, &world(), &[]).unwrap()
}

/// How sure it is that a connection from the edge to port 443 meets a rule with this condition; "no": it does not.
fn meets(op: &str, left: Value, right: Value) -> &'static str {
    let rules = one_rule(&[json!({"match": {"op": op, "left": left, "right": right}})]);
    denied(&rules, 443).first().map_or("no", |(.., sure)| *sure)
}

#[test]
fn conditions_are_judged_for_a_new_connection_from_the_edge() {
    let meta = |key: &str| json!({"meta": {"key": key}});
    let payload = |protocol: &str, field: &str| json!({"payload": {"protocol": protocol, "field": field}});
    let ct = |key: &str| json!({"ct": {"key": key}});
    let flags = |mask: Value| json!({"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, mask]});
    let cases = [
        (meets("==", meta("iifname"), json!("eth0")), "yes"),
        (meets("!=", meta("iifname"), json!("eth0")), "no"),
        (meets("==", meta("iifname"), json!("eth*")), "yes"),
        (meets("==", meta("iif"), json!({"set": ["lo", "docker0"]})), "no"),
        (meets("==", meta("oifname"), json!("eth0")), "maybe"),
        (meets("==", meta("l4proto"), json!({"set": ["tcp", "udp"]})), "yes"),
        (meets("==", meta("l4proto"), json!("udp")), "no"),
        (meets("==", meta("nfproto"), json!("ipv6")), "yes"),
        (meets("==", meta("mark"), json!(7)), "maybe"),
        (meets("in", ct("state"), json!(["established", "related"])), "no"),
        (meets("in", ct("state"), json!(["new", "untracked"])), "yes"),
        (meets("==", ct("state"), json!("invalid")), "no"),
        (meets("!=", ct("state"), json!("new")), "no"),
        (meets("==", ct("mark"), json!(1)), "maybe"),
        (meets("==", flags(json!(["fin", "syn", "rst", "ack"])), json!("syn")), "yes"),
        (meets("!=", flags(json!({"|": ["fin", "syn", "rst", "ack"]})), json!("syn")), "no"),
        (meets("==", flags(json!(["fin", "syn"])), json!(["fin", "syn"])), "no"),
        (meets("==", flags(json!("what")), json!("syn")), "maybe"),
        (meets("==", payload("tcp", "sport"), json!({"range": [0, 1023]})), "no"),
        (meets("==", payload("tcp", "sport"), json!(40000)), "maybe"),
        (meets("==", payload("udp", "dport"), json!(443)), "no"),
        (meets("==", payload("ip", "daddr"), json!("192.0.2.2")), "maybe"),
        (meets("==", payload("ip", "daddr"), json!("224.0.0.0")), "no"),
        (meets("==", payload("ip", "saddr"), json!("@gone")), "maybe"),
        (meets("==", payload("ip", "ttl"), json!(1)), "maybe"),
        (meets(">", payload("tcp", "dport"), json!(1)), "maybe"),
        (meets("==", json!({"fib": {"result": "type", "flags": ["daddr"]}}), json!("local")), "yes"),
        (meets("==", json!({"fib": {"result": "oif", "flags": ["saddr", "mark", "iif"]}}), json!(false)), "no"),
        (meets("==", json!({"concat": [meta("iifname")]}), json!({"set": []})), "maybe"),
        (meets("==", json!("odd"), json!(null)), "maybe"),
    ];
    for (number, (found, expected)) in cases.iter().enumerate() {
        assert_eq!(found, expected, "case {number}");
    }
}

#[test]
fn statements_that_are_not_known_make_a_rule_unsure() {
    let sure = |part: Value| denied(&one_rule(&[part]), 443).first().map_or("no", |(.., sure)| *sure);
    assert_eq!(sure(json!({"counter": {"packets": 0}})), "yes");
    assert_eq!(sure(json!({"xt": {"type": "match", "name": "geoip"}})), "maybe");
    assert_eq!(sure(json!({"something new": 1})), "maybe");
    assert_eq!(sure(json!("odd")), "maybe");
    assert_eq!(sure(json!({"limit": {"rate": 1, "per": "second", "inv": true}})), "load");
}

#[test]
fn tables_that_iptables_shows_are_left_to_it() {
    let rules = parse(RULESET, &world(), &[("ip", "nat".to_owned())]).unwrap();
    assert!(rules.chains.keys().all(|(table, _)| table == "inet filter"));
    // Without it, what is sent elsewhere is not followed.
    let rules = parse(RULESET, &world(), &[]).unwrap();
    assert!(denied(&rules, 8443).iter().any(|(rule, _, sure)| rule == "policy drop" && *sure == "maybe"));
}

#[test]
fn no_prefix_of_the_json_panics() {
    for end in (0..RULESET.len()).step_by(7) {
        assert!(parse(RULESET.get(..end).unwrap_or_default(), &world(), &[]).is_err());
    }
    assert!(parse("{\"nftables\": [{\"rule\": 1}, {\"chain\": []}, 3]}", &world(), &[]).is_ok());
}
