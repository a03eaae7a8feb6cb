use super::super::staged::{self, set};
use super::*;

/// What `iptables-save` 1.8.9 (nf_tables) gave for rules that a Docker host with fail2ban and limits may have.
const SAVED: &str = include_str!("../../../../tests/doctor/iptables.save");

/// What `ipset save` 7.17 gave.
const SETS: &str = include_str!("../../../../tests/doctor/ipset.save");

fn world() -> World {
    World {
        edge: set(&["104.16.0.0/13", "172.64.0.0/13", "173.245.48.0/20"]),
        uplinks: vec!["eth0".to_owned()],
        local: set(&["192.0.2.2/32"]),
    }
}

fn parsed(text: &str, sets: &str) -> Ruleset {
    let world = world();
    parse(text, "iptables", &AddrSet::ipv4(), &parse_sets(sets, &world.edge), &world)
}

/// What is denied on a port at the input hook: the rule after its chain, the addresses, how sure.
fn denied(rules: &Ruleset, port: u16) -> Vec<(String, AddrSet, &'static str)> {
    staged::denied(rules, &world().edge, port, |one| one.hook == Hook::Input)
}

#[test]
fn a_real_table_is_followed() {
    let rules = parsed(SAVED, "");
    let rest = || world().edge.without(&set(&["104.16.1.2/32"]));
    let banned = "-A f2b-nginx -s 104.16.1.2/32 -j REJECT --reject-with icmp-port-unreachable";
    let flood = "-A SYNS -m comment --comment \"too many, \\\"really\\\"\" -j DROP";
    let many = "-A INPUT -p tcp -m tcp --dport 443 -m connlimit --connlimit-above 40 --connlimit-mask 24 \
                --connlimit-saddr -j REJECT --reject-with tcp-reset";
    let expected = [
        (banned, set(&["104.16.1.2/32"]), "yes"),
        (flood, rest(), "load"),
        (many, rest(), "load"),
        ("-A INPUT -s 173.245.48.0/20 -p tcp -m tcp --dport 443 -j DROP", set(&["173.245.48.0/20"]), "yes"),
    ];
    assert_eq!(denied(&rules, 443), expected.map(|(rule, addrs, sure)| (rule.to_owned(), addrs, sure)));
    // Behind a match that can't be judged, and behind DNAT, the policy is no certainty.
    for port in [8080, 8443] {
        let found = denied(&rules, port);
        let (rule, _, sure) = found.last().unwrap();
        assert_eq!((rule.as_str(), *sure), ("policy drop", "maybe"), "{port}");
    }
    assert_eq!(denied(&rules, 9000).last().map(|(rule, _, sure)| (rule.as_str(), *sure)), Some(("policy drop", "yes")));
    assert_eq!(
        rules.sets,
        BTreeMap::from([
            ("iptables DOCKER-USER".to_owned(), set(&["172.64.0.0/13"])),
            ("iptables INPUT".to_owned(), set(&["173.245.48.0/20"])),
            ("iptables f2b-nginx".to_owned(), set(&["104.16.1.2/32"])),
        ])
    );
}

/// How sure a rule with these options drops connections from the edge to port 443; "no": it does not.
fn drops(options: &str) -> &'static str {
    let sets = "create good hash:net family inet hashsize 1024\nadd good 104.16.0.0/13\nadd good 104.17.0.0/16 \
                nomatch\ncreate list list:set size 8\nadd list good\n";
    let rules = parsed(&format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {options} -j DROP\nCOMMIT\n"), sets);
    denied(&rules, 443).first().map_or("no", |(.., sure)| *sure)
}

#[test]
fn options_are_judged_for_a_new_connection_from_the_edge() {
    for (options, expected) in [
        ("", "yes"),
        ("! -i eth0", "no"),
        ("-i eth+", "yes"),
        ("-i docker0", "no"),
        ("-p udp -m udp --dport 443", "no"),
        ("-p tcp -m tcp ! --dport 443", "no"),
        ("-p tcp -m tcp --dport 400:500", "yes"),
        ("-p tcp -m multiport --dports 80,8000:8100", "no"),
        ("-s 10.0.0.0/8", "no"),
        ("! -s 104.16.0.0/255.248.0.0", "yes"),
        ("-d 192.0.2.2/32", "yes"),
        ("-d 198.51.100.1/32", "no"),
        ("-m iprange --src-range 104.16.0.0-104.16.0.9", "yes"),
        ("-m state --state NEW", "yes"),
        ("-m conntrack --ctstate RELATED,ESTABLISHED", "no"),
        ("-m conntrack ! --ctstate NEW", "no"),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", "yes"),
        ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", "no"),
        ("-p tcp -m tcp --tcp-flags ALL NONE", "no"),
        ("-m recent --update --seconds 60 --hitcount 4 --name x --mask 255.255.255.255 --rsource", "load"),
        ("-m set --match-set good src", "yes"),
        ("-m set ! --match-set good src", "yes"),
        ("-m set --match-set list src", "maybe"),
        ("-m set --match-set gone src", "maybe"),
        ("-m set --match-set good dst", "maybe"),
        ("-m geoip --source-country CN,RU", "maybe"),
        ("-m mark --mark 0x1", "maybe"),
        ("-m new --flag", "maybe"),
        ("-m addrtype --dst-type BROADCAST", "no"),
    ] {
        assert_eq!(drops(options), expected, "{options}");
    }
}

#[test]
fn an_unknown_option_does_not_hide_the_target() {
    let rules = parsed("*filter\n:INPUT DROP [0:0]\n-A INPUT -m new --flag -j ACCEPT\nCOMMIT\n", "");
    assert_eq!(denied(&rules, 443).iter().map(|(.., sure)| *sure).collect::<Vec<_>>(), ["maybe"]);
}

#[test]
fn real_sets_are_resolved_where_they_hold_addresses_alone() {
    let edge = set(&["104.16.0.0/13", "2606:4700::/32"]);
    let expected = IpSets::from([
        ("f2b-web".to_owned(), Some(set(&["104.16.1.2/32"]))),
        ("edge".to_owned(), Some(set(&["104.16.0.0/13"]).without(&set(&["104.17.0.0/16"])))),
        ("six".to_owned(), Some(set(&["2606:4700::/32"]))),
        ("map".to_owned(), Some(set(&["104.16.0.4/31"]))),
        ("both".to_owned(), None),
        ("all".to_owned(), None),
    ]);
    assert_eq!(parse_sets(SETS, &edge), expected);
    for end in 0..SETS.len() {
        parse_sets(&SETS[..end], &edge);
    }
}

#[test]
fn no_prefix_of_a_table_panics() {
    for end in 0..SAVED.len() {
        parsed(SAVED.get(..end).unwrap_or_default(), "create");
    }
}
