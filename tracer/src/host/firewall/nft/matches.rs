//! One condition of an nft rule as a test of the walk.

use serde_json::Value;

use super::super::addrs::AddrSet;
use super::super::rules::{SYN, Test, never_unless, source_port};
use super::{Reader, text_of, values};

impl Reader<'_> {
    /// The tests of a condition; none: it always holds for a new TCP connection from the edge.
    pub(super) fn matches(&self, place: (&str, &str), condition: &Value) -> Vec<Test> {
        // A field of one family's header is not in the other's.
        let family = match text_of(&condition["left"]["payload"], "protocol") {
            "ip" => Some(AddrSet::ipv6()),
            "ip6" => Some(AddrSet::ipv4()),
            _ => None,
        };
        family.map(Test::NotFrom).into_iter().chain(self.condition(place, condition)).collect()
    }

    /// `None`: it always holds for such a connection, if it has the field.
    fn condition(&self, place: (&str, &str), condition: &Value) -> Option<Test> {
        let (left, right) = (&condition["left"], &condition["right"]);
        let not = match condition["op"].as_str() {
            Some("==" | "in") | None => false,
            Some("!=") => true,
            Some(op) => return opaque(left, &format!(" {op}")),
        };
        let Some((kind, of)) = left.as_object().and_then(|left| left.iter().next()) else { return opaque(left, "") };
        let key = text_of(of, "key");
        match (kind.as_str(), key) {
            ("payload", _) => self.payload(place, of, right, not),
            ("&", _) if is_tcp_flags(&of[0]) => masked_flags(of, right, not).unwrap_or_else(|| opaque(left, "")),
            ("meta", "l4proto") => self.one_of(place, right, not, &["tcp", "6"]).unwrap_or_else(|| opaque(left, "")),
            ("meta", "nfproto" | "protocol") => self.family(place, right, not).unwrap_or_else(|| opaque(left, "")),
            ("meta", "iif" | "iifname") => {
                let names: Option<Vec<_>> = self
                    .elements(place, right)
                    .map(|list| list.iter().filter_map(|one| values::unwrap(one).as_str()).collect());
                names.map_or_else(|| opaque(left, ""), |names| self.world.interface(&names, not))
            }
            ("ct", "state") if !self.untracked => {
                self.one_of(place, right, not, &["new"]).unwrap_or_else(|| opaque(left, ""))
            }
            ("ct", "direction") => self.one_of(place, right, not, &["original"]).unwrap_or_else(|| opaque(left, "")),
            // Nothing has been rewritten for whoever gets this far as itself.
            ("ct", "status") if matches!(right.as_str(), Some("dnat" | "snat")) => never_unless(not),
            ("fib", _) => self.fib(of, right, not).unwrap_or_else(|| opaque(left, "")),
            _ => opaque(left, ""),
        }
    }

    fn payload(&self, place: (&str, &str), of: &Value, right: &Value, not: bool) -> Option<Test> {
        let left = || serde_json::json!({ "payload": of });
        let unknown = || opaque(&left(), "");
        match (text_of(of, "protocol"), text_of(of, "field")) {
            ("ip" | "ip6", "saddr") => match self.addrs(place, right) {
                Some(set) => Some(if not { Test::NotFrom(set) } else { Test::From(set.and(&self.world.edge)) }),
                None => unknown(),
            },
            ("ip" | "ip6", "daddr") => {
                self.addrs(place, right).map_or_else(unknown, |set| self.world.destination(&set, not))
            }
            ("ip", "protocol") | ("ip6", "nexthdr") => {
                self.one_of(place, right, not, &["tcp", "6"]).unwrap_or_else(unknown)
            }
            ("tcp" | "th", "dport") => match self.ports(place, right) {
                Some(ports) => Some(if not { Test::NotPort(ports) } else { Test::Port(ports) }),
                None => unknown(),
            },
            ("tcp" | "th", "sport") => self.ports(place, right).map_or_else(unknown, |ports| source_port(&ports, not)),
            ("tcp", "flags") => match values::flags(right) {
                // Without a mask, `in` asks for any of the flags.
                Some(flags) => never_unless((flags & SYN != 0) != not),
                None => unknown(),
            },
            ("udp" | "udplite" | "icmp" | "icmpv6" | "igmp" | "sctp" | "dccp" | "esp" | "ah" | "arp", _) => {
                Some(Test::Never)
            }
            _ => unknown(),
        }
    }

    /// Whether one of `wanted` is among the values; `None`: a set that is not there.
    fn one_of(&self, place: (&str, &str), right: &Value, not: bool, wanted: &[&str]) -> Option<Option<Test>> {
        let values = self.elements(place, right)?;
        let is = |value: &Value| match values::unwrap(value) {
            Value::String(text) => wanted.contains(&text.as_str()),
            Value::Number(number) => wanted.contains(&number.to_string().as_str()),
            _ => false,
        };
        let known = values.iter().all(|value| matches!(values::unwrap(value), Value::String(_) | Value::Number(_)));
        known.then(|| never_unless(values.iter().any(is) != not))
    }

    fn family(&self, place: (&str, &str), right: &Value, not: bool) -> Option<Option<Test>> {
        let mut set = AddrSet::default();
        for value in self.elements(place, right)? {
            match values::unwrap(value).as_str()? {
                "ipv4" | "ip" => set = set.or(&AddrSet::ipv4()),
                "ipv6" | "ip6" => set = set.or(&AddrSet::ipv6()),
                _ => {}
            }
        }
        // By exclusion, since it names no address.
        Some(Some(Test::NotFrom(if not { set } else { AddrSet::all().without(&set) })))
    }

    /// Kinds of destinations, and the check of the way back, which the default route passes.
    fn fib(&self, of: &Value, right: &Value, not: bool) -> Option<Option<Test>> {
        let flags: Vec<_> = of["flags"].as_array()?.iter().filter_map(Value::as_str).collect();
        let source = flags.contains(&"saddr");
        match (text_of(of, "result"), right) {
            ("type", Value::String(kind)) if !source => Some(never_unless((kind == "local") != not)),
            ("type", Value::String(kind)) => Some(never_unless((kind == "unicast") != not)),
            ("oif" | "oifname", Value::Bool(found)) if source && self.world.uplinks.len() == 1 => {
                Some(never_unless(*found != not))
            }
            _ => None,
        }
    }

    fn addrs(&self, place: (&str, &str), right: &Value) -> Option<AddrSet> {
        let intervals: Option<Vec<_>> = self.elements(place, right)?.iter().map(values::interval).collect();
        intervals.map(AddrSet::new)
    }

    fn ports(&self, place: (&str, &str), right: &Value) -> Option<Vec<(u16, u16)>> {
        self.elements(place, right)?.iter().map(values::ports).collect()
    }
}

fn opaque(left: &Value, more: &str) -> Option<Test> {
    Some(Test::Opaque(format!("`{}{more}`", values::left(left))))
}

fn is_tcp_flags(left: &Value) -> bool {
    text_of(&left["payload"], "protocol") == "tcp" && text_of(&left["payload"], "field") == "flags"
}

/// `tcp flags & MASK == FLAGS`; the list after the first operand is the mask.
fn masked_flags(of: &Value, right: &Value, not: bool) -> Option<Option<Test>> {
    let (mask, wanted) = (values::flags(&of[1])?, values::flags(right)?);
    Some(never_unless((SYN & mask == wanted) != not))
}
