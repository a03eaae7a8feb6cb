use super::super::super::finding::Status;
use super::super::iptables::{self, IpSets};
use super::*;
use crate::edge::EdgeRanges;

/// What is said of these rules of the chain INPUT, whose policy is to drop, when `ports` are listened on.
fn judged(rules: &[&str], ports: &[u16], given: bool) -> Vec<(Status, String)> {
    let ranges: Vec<_> = EdgeRanges::builtin().iter().collect();
    let world = World {
        edge: AddrSet::nets(ranges.iter().copied()),
        uplinks: vec!["eth0".to_owned()],
        local: AddrSet::nets(["192.0.2.2/32".parse().unwrap()]),
    };
    let rules: String = rules.iter().map(|rule| format!("-A {rule}\n")).collect();
    let text = format!("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:f2b-web - [0:0]\n{rules}COMMIT\n");
    let rules = iptables::parse(&text, "iptables", &AddrSet::ipv4(), &IpSets::new(), &world);
    let here = ports.iter().map(|port| (*port, AddrSet::all())).collect();
    let ports = Ports { here, behind: BTreeSet::from([3000]), given };
    judge(&rules, &world, &ranges, &ports).into_iter().map(|one| (one.status, one.seen)).collect()
}

const WEB: &str = "INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT";

#[test]
fn a_usual_firewall_gives_no_alarm_and_closed_ports_are_a_note() {
    let found = judged(&["INPUT -i lo -j ACCEPT", WEB], &[443, 8080], false);
    assert_eq!(
        found,
        [(
            Status::Ok,
            "2 rules, none takes the edge's new connections to :443; :8080 closed by [iptables filter INPUT: policy \
             drop], on purpose maybe"
                .to_owned()
        )]
    );
}

#[test]
fn ports_that_the_edge_needs_are_not_closed_on_purpose() {
    let whole = |port| format!("[iptables filter INPUT: policy drop] keeps out the whole edge on :{port}");
    assert_eq!(judged(&[], &[443], false), [(Status::Warn, whole(443))]);
    assert_eq!(judged(&[WEB], &[8080], true), [(Status::Warn, whole(8080))]);
    // A ban of one address before it does not make the closed port an open one.
    let banned = judged(&["INPUT -s 104.16.1.2/32 -j DROP", WEB], &[8080], false);
    assert_eq!(banned.len(), 1);
    assert_eq!(banned[0].0, Status::Ok);
}

#[test]
fn rules_that_take_a_range_or_an_address_are_named_with_it() {
    let found = judged(&["INPUT -s 104.16.0.0/13 -p tcp --dport 443 -j DROP", WEB], &[80, 443], false);
    assert_eq!(
        found,
        [(
            Status::Warn,
            "[iptables filter: -A INPUT -s 104.16.0.0/13 -p tcp --dport 443 -j DROP] keeps out 104.16.0.0/13 on :443"
                .to_owned()
        )]
    );
    let found = judged(&["INPUT -j f2b-web", "f2b-web -s 104.16.1.2/32 -j REJECT", WEB], &[443], false);
    assert_eq!(
        found[0].1,
        "[iptables filter: -A f2b-web -s 104.16.1.2/32 -j REJECT] keeps out 104.16.1.2 (of 104.16.0.0/13) on :443"
    );
    assert_eq!(found[1].1, "iptables f2b-web holds 104.16.1.2 (of 104.16.0.0/13)");
}

#[test]
fn a_list_that_has_grown_old_is_told_by_what_it_lacks() {
    let ranges: Vec<_> = EdgeRanges::builtin().iter().filter(|range| range.to_string() != "131.0.72.0/22").collect();
    let rules: Vec<_> = ranges.iter().map(|range| format!("INPUT -s {range} -p tcp --dport 443 -j ACCEPT")).collect();
    let found = judged(&rules.iter().map(String::as_str).collect::<Vec<_>>(), &[443], false);
    assert_eq!(
        found,
        [(Status::Warn, "[iptables filter INPUT: policy drop] keeps out 131.0.72.0/22 on :443".to_owned())]
    );
}

#[test]
fn what_can_not_be_judged_is_unknown_and_no_alarm() {
    let found = judged(&["INPUT -m geoip --source-country CN -j DROP", WEB], &[443], false);
    assert_eq!(
        found,
        [(
            Status::Unknown,
            "[iptables filter: -A INPUT -m geoip --source-country CN -j DROP] uses `--source-country`: whether every \
             IPv4 range gets to :443"
                .to_owned()
        )]
    );
    let found = judged(&["INPUT -p tcp -m geoip --source-country US -j ACCEPT"], &[443], false);
    assert!(found.iter().all(|(status, _)| *status == Status::Unknown), "{found:?}");
}

#[test]
fn limits_are_told_as_what_they_are() {
    let found = judged(&["INPUT -p tcp -m connlimit --connlimit-above 9 -j DROP", WEB], &[443], false);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, Status::Warn);
    assert!(found[0].1.ends_with("-j DROP] may drop under load: every IPv4 range on :443"), "{}", found[0].1);
}

#[test]
fn forwarding_counts_where_a_rule_names_the_edge() {
    let found = judged(&["FORWARD -s 172.64.0.0/13 -j DROP", WEB], &[443], false);
    assert_eq!(
        found,
        [(
            Status::Warn,
            "[iptables filter: -A FORWARD -s 172.64.0.0/13 -j DROP] keeps out 172.64.0.0/13 on :3000".to_owned()
        )]
    );
}
