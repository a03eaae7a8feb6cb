//! What the walk found, in findings: rules that keep the edge out, may do so under load, or can't be judged.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::super::finding::Finding;
use super::addrs::AddrSet;
use super::rules::{Hook, Ruleset, World};
use super::walk::{Denied, Sure, walk};

/// Ranges and rules that are named before it says how many more there are.
const NAMED: usize = 4;
/// Ports that the edge uses unless it is told otherwise: closed to it, they are no use.
const USUAL: [u16; 2] = [80, 443];
/// Parts of names that lists of bans go by: fail2ban, CrowdSec, CSF and others.
const BANS: [&str; 9] =
    ["f2b", "fail2ban", "addr-set-", "addr6-set-", "crowdsec", "blacklist", "blocklist", "banned", "deny"];
const NAME: &str = "firewall";

/// The ports that the edge may come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Ports {
    /// Listened on in this namespace, with the addresses of the edge that can reach them by family.
    pub(in super::super) here: BTreeMap<u16, AddrSet>,
    /// Listened on in other namespaces, to which this one may forward.
    pub(in super::super) behind: BTreeSet<u16>,
    /// The user named them: the edge is to reach each.
    pub(in super::super) given: bool,
}

/// A rule with what it does.
type ByRule = BTreeMap<String, (AddrSet, BTreeSet<u16>)>;

fn add(rules: &mut ByRule, rule: &str, addrs: &AddrSet, port: u16) {
    let (all, ports) = rules.entry(rule.to_owned()).or_default();
    *all = all.or(addrs);
    ports.insert(port);
}

/// What the rules do to new connections from the edge.
pub(in super::super) fn judge(rules: &Ruleset, world: &World, ranges: &[IpNet], ports: &Ports) -> Vec<Finding> {
    let mut told = Told::default();
    for (&port, reach) in &ports.here {
        let edge = world.edge.and(reach).and(&world.families());
        let denied: Vec<_> = walk(rules, &edge, port).into_iter().filter(|one| one.hook != Hook::Forward).collect();
        told.port(port, &edge, &denied, ports.given || USUAL.contains(&port));
    }
    for &port in &ports.behind {
        // A policy that forwards nothing is usual; a rule that names the edge is not.
        let denied = walk(rules, &world.edge, port);
        for one in denied.iter().filter(|one| one.hook == Hook::Forward && one.named) {
            told.one(one, port);
        }
    }
    let mut found = told.findings(ranges);
    found.extend(bans(rules, ranges));
    if found.is_empty() {
        found.push(told.fine(rules, ports));
    }
    found
}

/// What was found so far.
#[derive(Default)]
struct Told {
    denied: ByRule,
    /// Closed to the whole edge by a rule that names no source: on purpose, maybe.
    closed: ByRule,
    shut: ByRule,
    load: ByRule,
    maybe: ByRule,
}

impl Told {
    fn port(&mut self, port: u16, edge: &AddrSet, denied: &[Denied], wanted: bool) {
        let sure = || denied.iter().filter(|one| one.sure == Sure::Yes);
        let all = AddrSet::join(sure().map(|one| &one.addrs));
        // Not by rules that name the edge's addresses alone: those are meant for it.
        let shut =
            |family: &AddrSet| all.covers(family) && sure().any(|one| !one.named && !one.addrs.and(family).is_empty());
        let families = [AddrSet::ipv4(), AddrSet::ipv6()].map(|family| edge.and(&family));
        let closed = AddrSet::join(families.iter().filter(|family| shut(family)));
        let everywhere = closed.covers(edge);
        for one in denied {
            let part = AddrSet::without(&one.addrs, &closed);
            if !part.is_empty() {
                self.one(&Denied { addrs: part, ..one.clone() }, port);
            }
            let whole = one.addrs.and(&closed);
            if one.sure == Sure::Yes && !whole.is_empty() {
                let list = if everywhere && wanted { &mut self.shut } else { &mut self.closed };
                add(list, &one.rule, &whole, port);
            }
        }
    }

    fn one(&mut self, denied: &Denied, port: u16) {
        match &denied.sure {
            Sure::Yes => add(&mut self.denied, &denied.rule, &denied.addrs, port),
            Sure::Load(limit) => add(&mut self.load, limit, &denied.addrs, port),
            Sure::Maybe(why) => add(&mut self.maybe, why, &denied.addrs, port),
        }
    }

    fn findings(&self, ranges: &[IpNet]) -> Vec<Finding> {
        let mut found = Vec::new();
        for (rule, (addrs, ports)) in &self.denied {
            let seen = format!("[{rule}] keeps out {} on {}", spell(addrs, ranges), list(ports));
            found.push(Finding::warn(
                NAME,
                seen,
                "let Cloudflare's ranges pass before this rule (`tracer ranges list`)",
            ));
        }
        for (rule, (_, ports)) in &self.shut {
            let seen = format!("[{rule}] keeps out the whole edge on {}", list(ports));
            found.push(Finding::warn(NAME, seen, "let Cloudflare's ranges pass, if visitors are to come this way"));
        }
        for (rule, (addrs, ports)) in &self.load {
            let seen = format!("[{rule}] may drop under load: {} on {}", spell(addrs, ranges), list(ports));
            let advice = "exempt Cloudflare's ranges from limits by address: few of them carry all visitors";
            found.push(Finding::warn("firewall limits", seen, advice));
        }
        for (why, (addrs, ports)) in self.maybe.iter().take(NAMED) {
            let seen = format!("{}: whether {} gets to {}", bracketed(why), spell(addrs, ranges), list(ports));
            found.push(Finding::unknown(NAME, seen, "look at this rule, and at what comes after it"));
        }
        if self.maybe.len() > NAMED {
            let seen = format!("{} more rules that can't be judged", self.maybe.len() - NAMED);
            found.push(Finding::unknown(NAME, seen, "see `nft list ruleset` and `iptables-save`"));
        }
        found
    }

    fn fine(&self, rules: &Ruleset, ports: &Ports) -> Finding {
        let count: usize = rules.chains.values().map(|chain| chain.rules.len()).sum();
        let open = ports.here.keys().filter(|port| !self.closed.values().any(|(_, closed)| closed.contains(port)));
        let open: BTreeSet<u16> = open.copied().collect();
        let mut seen = if ports.here.is_empty() {
            format!("{count} rules, none takes the edge's new connections")
        } else {
            format!("{count} rules, none takes the edge's new connections to {}", list(&open))
        };
        for (rule, (_, ports)) in &self.closed {
            seen.push_str(&format!("; {} closed by [{rule}], on purpose maybe", list(ports)));
        }
        Finding::ok(NAME, seen)
    }
}

/// `RULE uses X` with brackets around the rule.
fn bracketed(why: &str) -> String {
    match why.rsplit_once(" uses ") {
        Some((rule, uses)) => format!("[{rule}] uses {uses}"),
        None => why.to_owned(),
    }
}

/// Lists of bans that hold addresses of the edge, whatever is done with them.
fn bans(rules: &Ruleset, ranges: &[IpNet]) -> Vec<Finding> {
    let is_ban = |name: &str| {
        let name = name.to_ascii_lowercase();
        BANS.iter().any(|part| name.contains(part))
    };
    let advice = "unban them, and let the server log visitors' addresses (nginx: set_real_ip_from, Apache: \
                  mod_remoteip), which bans go by";
    let held = rules.sets.iter().filter(|(name, _)| is_ban(name));
    held.map(|(name, set)| Finding::warn("bans", format!("{name} holds {}", spell(set, ranges)), advice)).collect()
}

fn list(ports: &BTreeSet<u16>) -> String {
    if ports.is_empty() {
        return "no port".to_owned();
    }
    ports.iter().map(|port| format!(":{port}")).collect::<Vec<_>>().join(", ")
}

/// Which of the edge's ranges lie in the set, wholly or partly.
fn spell(addrs: &AddrSet, ranges: &[IpNet]) -> String {
    let sets: Vec<_> = ranges.iter().map(|range| (range, AddrSet::nets([*range]))).collect();
    for (family, name) in
        [(AddrSet::all(), "every range"), (AddrSet::ipv4(), "every IPv4 range"), (AddrSet::ipv6(), "every IPv6 range")]
    {
        let whole = AddrSet::join(sets.iter().map(|(_, set)| set)).and(&family);
        if *addrs == whole && !whole.is_empty() {
            return name.to_owned();
        }
    }
    let mut words = Vec::new();
    for (range, set) in &sets {
        let part = addrs.and(set);
        if part == *set {
            words.push(range.to_string());
        } else if let Some(addr) = part.single() {
            words.push(format!("{addr} (of {range})"));
        } else if !part.is_empty() {
            words.push(format!("part of {range}"));
        }
    }
    let more = words.len().saturating_sub(NAMED);
    words.truncate(NAMED);
    if more > 0 { format!("{} and {more} more", words.join(", ")) } else { words.join(", ") }
}

#[cfg(test)]
mod tests;
