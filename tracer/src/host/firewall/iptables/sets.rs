//! `ipset save`: the addresses in each set.

use std::collections::BTreeMap;

use super::super::addrs::AddrSet;
use super::text::{net, range};

/// Sets by name; `None`: of a kind that can't be judged.
pub(in super::super::super) type IpSets = BTreeMap<String, Option<AddrSet>>;

/// Reads `create NAME KIND …` and `add NAME ADDRESS …`; what lies outside `edge` is not kept.
pub(in super::super::super) fn parse_sets(text: &str, edge: &AddrSet) -> IpSets {
    let mut sets = IpSets::new();
    let mut members: BTreeMap<&str, (Vec<AddrSet>, Vec<AddrSet>)> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("create"), Some(name), Some(kind)) => {
                let plain = matches!(kind, "hash:ip" | "hash:net" | "bitmap:ip");
                sets.insert(name.to_owned(), plain.then(AddrSet::default));
            }
            (Some("add"), Some(name), Some(member)) => {
                let Some(addrs) = net(member).or_else(|| range(member)) else { continue };
                let addrs = addrs.and(edge);
                if !addrs.is_empty() {
                    let (held, left_out) = members.entry(name).or_default();
                    if words.any(|word| word == "nomatch") { left_out.push(addrs) } else { held.push(addrs) }
                }
            }
            _ => {}
        }
    }
    for (name, (held, left_out)) in members {
        if let Some(Some(set)) = sets.get_mut(name) {
            *set = AddrSet::join(&held).without(&AddrSet::join(&left_out));
        }
    }
    sets
}
