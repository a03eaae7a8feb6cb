//! `nft -j list ruleset`: its tables, chains, sets and maps as rules of the walk. What is not known is opaque, never
//! left out.

mod matches;
mod values;

use std::collections::BTreeMap;

use serde_json::Value;

use super::addrs::AddrSet;
use super::rules::{Chain, Hook, Rule, Ruleset, Test, Verdict, World};

/// Statements that change nothing about whether a packet passes.
const HARMLESS: [&str; 12] = [
    "counter",
    "log",
    "mangle",
    "notrack",
    "comment",
    "last",
    "flow",
    "dup",
    "ct helper",
    "ct timeout",
    "ct expectation",
    "secmark",
];
/// Elements of a verdict map that are followed one by one.
const BRANCHES: usize = 4096;

/// The elements of named sets and maps: by family, table and name.
type Sets<'a> = BTreeMap<(&'a str, &'a str, &'a str), &'a [Value]>;

/// What a rule's words are read with.
struct Reader<'a> {
    world: &'a World,
    sets: Sets<'a>,
    /// Packets that are not tracked are neither new nor established.
    untracked: bool,
}

/// The ruleset, but for the tables (family and name) that `iptables-save` shows, too, and in full.
pub(in super::super) fn parse(text: &str, world: &World, shown: &[(&str, String)]) -> Result<Ruleset, String> {
    let all: Value = serde_json::from_str(text).map_err(|error| format!("nft's JSON: {error}"))?;
    let objects = all["nftables"].as_array().ok_or("nft's JSON holds no ruleset")?;
    let reader = Reader { world, sets: sets(objects), untracked: text.contains("\"notrack\"") };
    let mut rules = Ruleset::default();
    for object in objects {
        let twice = |part: &Value| shown.iter().any(|(family, name)| (*family, name.as_str()) == table(part));
        let part = |kind: &str| object.get(kind).filter(|part| !twice(part));
        if let Some((key, chain)) = part("chain").and_then(chain) {
            rules.chains.insert(key, chain);
        } else if let Some(rule) = part("rule") {
            let key = (table_key(rule), text_of(rule, "chain").to_owned());
            if let Some(chain) = rules.chains.get_mut(&key) {
                let read = reader.rule(rule, &chain.name);
                chain.rules.extend(read);
            }
        }
    }
    for ((_, table, name), elements) in &reader.sets {
        let held = AddrSet::new(elements.iter().filter_map(values::interval)).and(&world.edge);
        if !held.is_empty() {
            rules.sets.insert(format!("{table} {name}"), held);
        }
    }
    Ok(rules)
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn table(of: &Value) -> (&str, &str) {
    (text_of(of, "family"), text_of(of, "table"))
}

fn table_key(of: &Value) -> String {
    let (family, table) = table(of);
    format!("{family} {table}")
}

fn sets(objects: &[Value]) -> Sets<'_> {
    let named = objects.iter().filter_map(|object| object.get("set").or_else(|| object.get("map")));
    named
        .map(|set| {
            let (family, table) = table(set);
            ((family, table, text_of(set, "name")), set["elem"].as_array().map_or(&[][..], Vec::as_slice))
        })
        .collect()
}

fn chain(chain: &Value) -> Option<((String, String), Chain)> {
    let scope = match text_of(chain, "family") {
        "ip" => AddrSet::ipv4(),
        "ip6" => AddrSet::ipv6(),
        "inet" | "netdev" => AddrSet::all(),
        // Of bridges and ARP: no connection to this host.
        _ => return None,
    };
    let hook = match text_of(chain, "hook") {
        "ingress" => Some(Hook::Ingress),
        "prerouting" => Some(Hook::Prerouting),
        "input" => Some(Hook::Input),
        "forward" => Some(Hook::Forward),
        _ => None,
    };
    let name = text_of(chain, "name");
    let key = (table_key(chain), name.to_owned());
    let hook = hook.map(|hook| (hook, chain["prio"].as_i64().unwrap_or(0)));
    let closed = hook.is_some() && text_of(chain, "policy") == "drop";
    Some((key.clone(), Chain { name: format!("nft {} {name}", key.0), scope, hook, closed, rules: Vec::new() }))
}

impl Reader<'_> {
    /// One rule, or one for each branch of its verdict map.
    fn rule(&self, rule: &Value, chain: &str) -> Vec<Rule> {
        let empty = Vec::new();
        let parts = rule["expr"].as_array().unwrap_or(&empty);
        let text = text(rule, parts, chain);
        let place = table(rule);
        let mut tests = Vec::new();
        for part in parts {
            let Some((kind, value)) = part.as_object().and_then(|part| part.iter().next()) else {
                tests.push(Test::Opaque("an unknown expression".to_owned()));
                continue;
            };
            match kind.as_str() {
                "match" => tests.extend(self.matches(place, value)),
                "vmap" => return self.branches(place, &text, &tests, value),
                kind => match verdict(kind, value) {
                    Some(Verdict::Continue) => {}
                    Some(verdict) => return vec![Rule { text, tests, verdict }],
                    None => tests.extend(statement(kind, value)),
                },
            }
        }
        // Without a verdict it only counts, logs or marks.
        Vec::new()
    }

    fn branches(&self, place: (&str, &str), text: &str, tests: &[Test], vmap: &Value) -> Vec<Rule> {
        let pairs = self.elements(place, &vmap["data"]);
        let opaque = |uses: &str| {
            let tests = [tests, &[Test::Opaque(uses.to_owned())]].concat();
            // Any verdict may come of it.
            [Verdict::Deny, Verdict::Accept].map(|verdict| Rule {
                text: text.to_owned(),
                tests: tests.clone(),
                verdict,
            })
        };
        let Some(pairs) = pairs.filter(|pairs| pairs.len() <= BRANCHES) else { return opaque("a verdict map").into() };
        let mut rules = Vec::new();
        for pair in pairs {
            let branch = || {
                let [key, action] = pair.as_array()?.as_slice() else { return None };
                let (kind, value) = action.as_object()?.iter().next()?;
                Some((values::unwrap(key), verdict(kind, value)?))
            };
            let Some((key, verdict)) = branch() else {
                rules.extend(opaque("a verdict map"));
                continue;
            };
            let test = serde_json::json!({"op": "==", "left": vmap["key"], "right": key});
            let tests = tests.iter().cloned().chain(self.matches(place, &test)).collect();
            rules.push(Rule { text: text.to_owned(), tests, verdict });
        }
        rules
    }

    /// The elements behind a name, of a literal set, or the one value; `None`: a set that is not in the ruleset.
    fn elements<'v>(&'v self, (family, table): (&'v str, &'v str), value: &'v Value) -> Option<&'v [Value]> {
        match value {
            Value::String(name) if name.starts_with('@') => self.sets.get(&(family, table, &name[1..])).copied(),
            Value::Object(map) if map.contains_key("set") => {
                Some(value["set"].as_array().map_or(&[][..], Vec::as_slice))
            }
            Value::Array(list) => Some(list),
            one => Some(std::slice::from_ref(one)),
        }
    }
}

fn verdict(kind: &str, value: &Value) -> Option<Verdict> {
    let target = || text_of(value, "target").to_owned();
    Some(match kind {
        "accept" => Verdict::Accept,
        "drop" | "reject" => Verdict::Deny,
        "return" => Verdict::Return,
        "continue" => Verdict::Continue,
        "jump" => Verdict::Jump(target()),
        "goto" => Verdict::Goto(target()),
        "dnat" | "redirect" | "tproxy" | "synproxy" | "queue" | "fwd" => Verdict::Divert(kind.to_owned()),
        "snat" | "masquerade" => Verdict::Accept,
        // An extension of iptables: the JSON does not say what it does.
        "xt" if text_of(value, "type") != "match" => Verdict::Divert("an extension of iptables".to_owned()),
        _ => return None,
    })
}

/// What a statement without a verdict means for the rest of its rule.
fn statement(kind: &str, value: &Value) -> Option<Test> {
    let over = |value: &Value| value["inv"].as_bool().unwrap_or(false);
    match kind {
        "limit" | "ct count" | "quota" => Some(Test::Limit { over: over(value) }),
        // A set that is filled, or a meter: the limit for each of its elements stands within.
        "set" | "meter" | "map" => {
            let inner = match &value["stmt"] {
                Value::Array(list) => list.as_slice(),
                one => std::slice::from_ref(one),
            };
            inner.iter().filter_map(Value::as_object).flatten().find_map(|(kind, value)| statement(kind, value))
        }
        kind if HARMLESS.contains(&kind) => None,
        kind => Some(Test::Opaque(format!("`{kind}`"))),
    }
}

/// The rule as a person would look for it: its chain, its conditions in short, its handle.
fn text(rule: &Value, parts: &[Value], chain: &str) -> String {
    let mut words = vec![format!("{chain}:")];
    for part in parts {
        let Some((kind, value)) = part.as_object().and_then(|part| part.iter().next()) else { continue };
        match kind.as_str() {
            "match" => words.push(values::condition(value)),
            "jump" | "goto" => words.push(format!("{kind} {}", text_of(value, "target"))),
            "counter" | "log" => {}
            "vmap" => words.push(format!("{} vmap", values::left(&value["key"]))),
            "limit" => words.push(format!(
                "limit rate {}{}/{}",
                if value["inv"].as_bool() == Some(true) { "over " } else { "" },
                value["rate"],
                text_of(value, "per")
            )),
            kind => words.push(kind.to_owned()),
        }
    }
    let comment = rule["comment"].as_str().map_or_else(String::new, |comment| format!(" comment {comment:?}"));
    format!("{}{comment} (handle {})", words.join(" "), rule["handle"])
}

#[cfg(test)]
mod tests;
