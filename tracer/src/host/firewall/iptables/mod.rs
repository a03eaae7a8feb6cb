//! `iptables-save` and `ip6tables-save`: their tables as rules of the walk; and `ipset save`, whose sets they name.
//! What is not known is opaque, never left out.

mod options;
mod sets;
mod text;

pub(in super::super) use sets::{IpSets, parse_sets};

use std::collections::BTreeMap;

use super::addrs::AddrSet;
use super::rules::{Chain, Hook, Ruleset, Test, Verdict, World};

/// The longest part of a rule that is shown, in characters.
const SHOWN: usize = 160;

/// One family's tables; `tool` leads the name of each chain.
pub(in super::super) fn parse(text: &str, tool: &str, scope: &AddrSet, sets: &IpSets, world: &World) -> Ruleset {
    let mut rules = Ruleset::default();
    let mut table = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim().to_owned();
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_ascii_whitespace();
            let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let chain = Chain {
                name: format!("{tool} {table}"),
                scope: scope.clone(),
                hook: hook(&table, name),
                closed: policy == "DROP",
                rules: Vec::new(),
            };
            rules.chains.insert((key(tool, &table), name.to_owned()), chain);
        } else if line.starts_with("-A ") {
            let words = words(line);
            let name = words.get(1).map(String::as_str).unwrap_or_default();
            if let Some(chain) = rules.chains.get_mut(&(key(tool, &table), name.to_owned())) {
                let shown: String = line.chars().take(SHOWN).collect();
                chain.rules.push(options::rule(
                    words.get(2..).unwrap_or_default(),
                    format!("{tool} {table}: {shown}"),
                    sets,
                    world,
                ));
            }
        }
    }
    name_policies(&mut rules);
    rules.sets = bans(&rules, tool, &world.edge);
    rules
}

fn key(tool: &str, table: &str) -> String {
    format!("{tool} {table}")
}

/// A policy's chain is named in full, for it has no rule to show.
fn name_policies(rules: &mut Ruleset) {
    for ((_, name), chain) in &mut rules.chains {
        chain.name = format!("{} {name}", chain.name);
    }
}

fn hook(table: &str, chain: &str) -> Option<(Hook, i64)> {
    let hook = match chain {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "FORWARD" => Hook::Forward,
        _ => return None,
    };
    let priority = match table {
        "raw" => -300,
        "mangle" => -150,
        "nat" => -100,
        "security" => 50,
        _ => 0,
    };
    Some((hook, priority))
}

/// Chains of bans (fail2ban's) that name the edge's addresses.
fn bans(rules: &Ruleset, tool: &str, edge: &AddrSet) -> BTreeMap<String, AddrSet> {
    let mut found = BTreeMap::new();
    for ((_, name), chain) in &rules.chains {
        let denied = chain.rules.iter().filter(|rule| rule.verdict == Verdict::Deny);
        let from = denied.flat_map(|rule| &rule.tests).filter_map(|test| match test {
            Test::From(set) => Some(set),
            _ => None,
        });
        let held = AddrSet::join(from).and(edge);
        if !held.is_empty() {
            found.insert(format!("{tool} {name}"), held);
        }
    }
    found
}

/// A line's words; quotes and backslashes as iptables-save writes them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(chars.next()),
            ' ' | '\t' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests;
