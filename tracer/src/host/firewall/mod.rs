//! Does this host's firewall let the edge in? nftables, iptables and ipset are read with their own tools, and a new
//! connection from every address of the edge is followed through the rules.

mod addrs;
mod iptables;
mod judge;
mod nft;
mod rules;
#[cfg(test)]
mod staged;
mod walk;

use std::path::Path;

use ipnet::IpNet;

pub(super) use self::addrs::AddrSet;
pub(super) use self::judge::{Ports, judge};
use self::rules::Ruleset;
pub(super) use self::rules::World;
use super::child;
use super::finding::Finding;

/// What the tools gave.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    rules: Ruleset,
    /// The tools that answered.
    tools: Vec<&'static str>,
    /// Why others did not.
    failed: Vec<String>,
}

/// The rules of the calling thread's network namespace. `legacy`: whether the old iptables has tables there.
pub(super) fn read(world: &World, legacy: bool) -> Firewall {
    let mut found = Firewall::default();
    let mut shown = Vec::new();
    let nft = found.run("nft", &["-j", "list", "ruleset"]);
    let families = [("ip", AddrSet::ipv4(), "iptables"), ("ip6", AddrSet::ipv6(), "ip6tables")];
    for (family, scope, name) in families {
        let tools = match (name, legacy) {
            ("iptables", false) => &["iptables-save"][..],
            ("iptables", true) => &["iptables-save", "iptables-legacy-save"],
            (_, false) => &["ip6tables-save"],
            (_, true) => &["ip6tables-save", "ip6tables-legacy-save"],
        };
        for tool in tools {
            let Some(text) = found.run(tool, &[]) else { continue };
            if text.contains("(nf_tables)") {
                shown.extend(text.lines().filter_map(|line| Some((family, line.strip_prefix('*')?.trim().to_owned()))));
            }
            let sets = if text.contains("--match-set") { found.run("ipset", &["save"]) } else { None };
            let sets = iptables::parse_sets(&sets.unwrap_or_default(), &world.edge);
            let held = sets.iter().filter_map(|(name, set)| Some((format!("ipset {name}"), set.clone()?)));
            found.rules.sets.extend(held.filter(|(_, set)| !set.is_empty()));
            found.rules.join(iptables::parse(&text, tool.trim_end_matches("-save"), &scope, &sets, world));
        }
    }
    match nft.map(|text| nft::parse(&text, world, &shown)) {
        Some(Ok(rules)) => found.rules.join(rules),
        Some(Err(why)) => found.failed.push(why),
        None => {}
    }
    found
}

impl Firewall {
    fn run(&mut self, tool: &'static str, args: &[&str]) -> Option<String> {
        let path = child::find(tool)?;
        match child::output(Path::new(&path), args) {
            Ok(text) => {
                if !self.tools.contains(&tool) {
                    self.tools.push(tool);
                }
                Some(text)
            }
            Err(why) => {
                self.failed.push(why);
                None
            }
        }
    }

    /// What it does to the edge.
    pub(super) fn findings(&self, world: &World, ranges: &[IpNet], ports: &Ports) -> Vec<Finding> {
        let name = "firewall";
        // Without any rules to go by, nothing is fine.
        let mut found = if self.tools.is_empty() { Vec::new() } else { judge(&self.rules, world, ranges, ports) };
        if !self.failed.is_empty() {
            let advice = "run as root, or look yourself: `nft list ruleset`, `iptables-save`";
            found.push(Finding::unknown(name, self.failed.join("; "), advice));
        } else if self.tools.is_empty() {
            let advice = "install nftables or iptables, and run again";
            found.push(Finding::unknown(name, "neither nft nor iptables-save is here to show the rules", advice));
        }
        found
    }
}
