//! Follows a new connection from each of the edge's addresses through the chains, and says where it may end.
//!
//! Addresses whose fate depends on what can't be judged stay apart from the others: nothing is called dropped that some
//! packet of a new connection could survive.

use std::collections::BTreeMap;

use super::addrs::AddrSet;
use super::rules::{Chain, Hook, Rule, Ruleset, Test, Verdict};

/// Rules that are looked at for one port; chains that call each other in many ways could keep the walk busy for long.
const STEPS: u32 = 200_000;
/// Chains within chains, as the kernel allows.
const DEPTH: u32 = 16;

/// How sure it is that packets get somewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Sure {
    Yes,
    /// Above a rate or number; the rule that limits.
    Load(String),
    /// It depends on what can't be judged: the rule, and what it uses.
    Maybe(String),
}

/// Connections that are dropped or rejected, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Denied {
    pub(in super::super) rule: String,
    pub(in super::super) hook: Hook,
    pub(in super::super) addrs: AddrSet,
    pub(in super::super) sure: Sure,
    /// Whether a rule on the way names source addresses.
    pub(in super::super) named: bool,
}

/// Addresses on their way through a chain.
type Live = BTreeMap<Sure, AddrSet>;

fn add(live: &mut Live, sure: Sure, addrs: AddrSet) {
    if !addrs.is_empty() {
        let there = live.entry(sure).or_default();
        *there = there.or(&addrs);
    }
}

/// What becomes of new connections from `edge` to `port`, at every hook.
pub(in super::super) fn walk(rules: &Ruleset, edge: &AddrSet, port: u16) -> Vec<Denied> {
    let mut walk = Walk { rules, port, steps: STEPS, denied: Vec::new(), diverted: Live::new(), hook: Hook::Ingress };
    let mut bases: Vec<_> = rules.chains.iter().filter_map(|(key, chain)| Some((chain.hook?, key, chain))).collect();
    bases.sort_by_key(|(at, ..)| *at);
    for ((hook, _), key, chain) in bases {
        walk.hook = hook;
        let start = edge.and(&chain.scope);
        let mut live = Live::new();
        // Who was sent elsewhere before this hook may not come by.
        if hook > Hook::Prerouting {
            for (sure, addrs) in walk.diverted.clone() {
                add(&mut live, sure, addrs.and(&start));
            }
        }
        let gone = AddrSet::join(live.values());
        add(&mut live, Sure::Yes, start.without(&gone));
        let rest = walk.chain(&key.0, chain, live, DEPTH, false).rest;
        if chain.closed {
            for (sure, addrs) in rest {
                walk.deny(&format!("{}: policy drop", chain.name), addrs, sure, false);
            }
        }
    }
    walk.denied
}

struct Walk<'a> {
    rules: &'a Ruleset,
    port: u16,
    steps: u32,
    denied: Vec<Denied>,
    diverted: Live,
    hook: Hook,
}

/// How addresses leave a chain, but for those that are denied.
#[derive(Default)]
struct Left {
    rest: Live,
    accepted: bool,
}

/// What a rule's tests say of a port, apart from addresses.
struct Matched {
    addrs: AddrSet,
    limit: Option<bool>,
    opaque: Option<String>,
    named: bool,
}

impl Walk<'_> {
    fn chain(&mut self, table: &str, chain: &Chain, mut live: Live, depth: u32, named: bool) -> Left {
        let mut left = Left::default();
        for rule in &chain.rules {
            if live.is_empty() {
                break;
            }
            if self.steps == 0 {
                let all = AddrSet::join(live.values());
                let sure = Sure::Maybe(format!("{}: too many rules to follow", chain.name));
                self.deny(&rule.text, all, sure, named);
                return left;
            }
            self.steps -= 1;
            let Some(matched) = self.matches(rule) else { continue };
            let mut after = Live::new();
            for (sure, addrs) in std::mem::take(&mut live) {
                let hit = addrs.and(&matched.addrs);
                add(&mut after, sure.clone(), addrs.without(&hit));
                if !hit.is_empty() {
                    self.apply(Hit { table, rule, matched: &matched, sure, hit, depth, named }, &mut after, &mut left);
                }
            }
            live = after;
        }
        for (sure, addrs) in live {
            add(&mut left.rest, sure, addrs);
        }
        left
    }

    /// What a rule does to the addresses that it matches; `live` takes those that go on in this chain.
    fn apply(&mut self, of: Hit<'_>, live: &mut Live, left: &mut Left) {
        let Hit { table, rule, matched, sure, hit, depth, named } = of;
        let named = named || matched.named;
        let here = matched.sureness(&rule.text, sure.clone());
        // Those for whom the rule's last tests did not hold.
        let passed = match (&matched.opaque, matched.limit) {
            (None, None) => None,
            (None, Some(true)) => Some(sure.clone()),
            _ => Some(matched.sureness(&rule.text, sure.clone())),
        };
        match &rule.verdict {
            Verdict::Continue => add(live, sure, hit),
            Verdict::Accept => {
                left.accepted = true;
                passed.into_iter().for_each(|passed| add(live, passed, hit.clone()));
            }
            Verdict::Deny => {
                self.deny(&rule.text, hit.clone(), here, named);
                // Whoever passes is no less sure to come to the next rule than to this one.
                if passed.is_some() {
                    add(live, sure, hit);
                }
            }
            Verdict::Return => {
                let returned = if matched.opaque.is_some() { here } else { sure };
                add(&mut left.rest, returned, hit.clone());
                passed.into_iter().for_each(|passed| add(live, passed, hit.clone()));
            }
            Verdict::Jump(target) | Verdict::Goto(target) => {
                let key = (table.to_owned(), target.clone());
                let Some(chain) = self.rules.chains.get(&key).filter(|_| depth > 0) else {
                    add(live, Sure::Maybe(format!("{} goes to {target}, which was not found", rule.text)), hit);
                    return;
                };
                let within = self.chain(table, chain, Live::from([(here, hit.clone())]), depth - 1, named);
                left.accepted |= within.accepted;
                let back = if matches!(rule.verdict, Verdict::Goto(_)) { &mut left.rest } else { &mut *live };
                match passed {
                    // All of them were there; what came back goes on.
                    None => within.rest.into_iter().for_each(|(sure, addrs)| add(back, sure, addrs)),
                    Some(passed) => add(live, if within.accepted { passed } else { sure }, hit),
                }
            }
            Verdict::Divert(by) => {
                let sure = Sure::Maybe(format!("{} uses {by}", rule.text));
                add(&mut self.diverted, sure.clone(), hit.clone());
                add(live, sure, hit);
            }
        }
    }

    fn deny(&mut self, rule: &str, addrs: AddrSet, sure: Sure, named: bool) {
        if !addrs.is_empty() {
            self.denied.push(Denied { rule: rule.to_owned(), hook: self.hook, addrs, sure, named });
        }
    }

    /// `None`: the rule does not see such a connection.
    fn matches(&self, rule: &Rule) -> Option<Matched> {
        let within = |ports: &[(u16, u16)]| ports.iter().any(|(first, last)| (*first..=*last).contains(&self.port));
        let mut matched = Matched { addrs: AddrSet::all(), limit: None, opaque: None, named: false };
        for test in &rule.tests {
            match test {
                Test::From(set) => {
                    matched.addrs = matched.addrs.and(set);
                    matched.named = true;
                }
                Test::NotFrom(set) => matched.addrs = matched.addrs.without(set),
                Test::Port(ports) if !within(ports) => return None,
                Test::NotPort(ports) if within(ports) => return None,
                Test::Port(_) | Test::NotPort(_) => {}
                Test::Never => return None,
                Test::Limit { over } => matched.limit = Some(*over),
                Test::Opaque(uses) => matched.opaque = Some(uses.clone()),
            }
        }
        (!matched.addrs.is_empty()).then_some(matched)
    }
}

/// Addresses that a rule matches, and where.
struct Hit<'a> {
    table: &'a str,
    rule: &'a Rule,
    matched: &'a Matched,
    sure: Sure,
    hit: AddrSet,
    depth: u32,
    named: bool,
}

impl Matched {
    /// How sure it is that the rule is applied to packets that came here as surely as `before`.
    fn sureness(&self, rule: &str, before: Sure) -> Sure {
        match (&self.opaque, self.limit, before) {
            (_, _, before @ Sure::Maybe(_)) => before,
            (Some(uses), _, _) => Sure::Maybe(format!("{rule} uses {uses}")),
            (None, Some(_), _) => Sure::Load(rule.to_owned()),
            (None, None, before) => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> AddrSet {
        AddrSet::nets([text.parse().unwrap()])
    }

    fn rule(tests: Vec<Test>, verdict: Verdict) -> Rule {
        Rule { text: "rule".to_owned(), tests, verdict }
    }

    /// An input chain with these rules, whose policy is to drop, and a chain `other`.
    fn denied(rules: Vec<Rule>, other: Vec<Rule>) -> Vec<(String, Sure, bool)> {
        let chain = |name: &str, hook, closed, rules| {
            let chain = Chain { name: name.to_owned(), scope: AddrSet::all(), hook, closed, rules };
            (("t".to_owned(), name.to_owned()), chain)
        };
        let chains = [chain("input", Some((Hook::Input, 0)), true, rules), chain("other", None, false, other)];
        let rules = Ruleset { chains: chains.into(), ..Ruleset::default() };
        let found = walk(&rules, &net("104.16.0.0/13"), 443);
        found.into_iter().map(|one| (one.rule, one.sure, one.addrs == net("104.16.0.0/13"))).collect()
    }

    fn policy(sure: Sure) -> Vec<(String, Sure, bool)> {
        vec![("input: policy drop".to_owned(), sure, true)]
    }

    const ALL_PORTS: (u16, u16) = (0, u16::MAX);

    #[test]
    fn what_no_rule_accepts_meets_the_policy() {
        assert_eq!(denied(vec![], vec![]), policy(Sure::Yes));
        assert_eq!(denied(vec![rule(vec![Test::Port(vec![(443, 443)])], Verdict::Accept)], vec![]), []);
        assert_eq!(
            denied(vec![rule(vec![Test::NotPort(vec![(443, 443)])], Verdict::Accept)], vec![]),
            policy(Sure::Yes)
        );
        assert_eq!(denied(vec![rule(vec![Test::Never], Verdict::Accept)], vec![]), policy(Sure::Yes));
        let part = denied(vec![rule(vec![Test::From(net("104.16.0.0/14"))], Verdict::Accept)], vec![]);
        assert_eq!(part, [("input: policy drop".to_owned(), Sure::Yes, false)]);
    }

    #[test]
    fn what_can_not_be_judged_makes_what_follows_unsure_and_never_sure() {
        let opaque = || vec![Test::Opaque("geoip".to_owned())];
        let unsure = Sure::Maybe("rule uses geoip".to_owned());
        assert_eq!(denied(vec![rule(opaque(), Verdict::Accept)], vec![]), policy(unsure.clone()));
        let both = denied(vec![rule(opaque(), Verdict::Deny)], vec![]);
        assert_eq!(both, [("rule".to_owned(), unsure.clone(), true), policy(Sure::Yes)[0].clone()]);
        // Behind an unsure accept, a sure drop is unsure.
        let late = denied(vec![rule(opaque(), Verdict::Accept), rule(vec![], Verdict::Deny)], vec![]);
        assert_eq!(late, [("rule".to_owned(), unsure.clone(), true)]);
        let jump = denied(vec![rule(opaque(), Verdict::Jump("other".to_owned()))], vec![rule(vec![], Verdict::Accept)]);
        assert_eq!(jump, policy(unsure));
    }

    #[test]
    fn limits_drop_under_load_alone() {
        let load = Sure::Load("rule".to_owned());
        let limit = |over| vec![Test::Limit { over }];
        assert_eq!(denied(vec![rule(limit(false), Verdict::Accept)], vec![]), policy(load.clone()));
        let over = denied(vec![rule(limit(true), Verdict::Deny), rule(vec![], Verdict::Accept)], vec![]);
        assert_eq!(over, [("rule".to_owned(), load.clone(), true)]);
        // The usual chain against floods: return below the rate, drop the rest.
        let flood = denied(
            vec![rule(vec![], Verdict::Jump("other".to_owned())), rule(vec![], Verdict::Accept)],
            vec![rule(limit(false), Verdict::Return), rule(vec![], Verdict::Deny)],
        );
        assert_eq!(flood, [("rule".to_owned(), load, true)]);
    }

    #[test]
    fn chains_return_and_do_not_call_each_other_for_ever() {
        let jump = |to: &str| rule(vec![Test::Port(vec![ALL_PORTS])], Verdict::Jump(to.to_owned()));
        let back = denied(vec![jump("other"), rule(vec![], Verdict::Accept)], vec![rule(vec![], Verdict::Return)]);
        assert_eq!(back, []);
        let goto = denied(vec![rule(vec![], Verdict::Goto("other".to_owned())), rule(vec![], Verdict::Accept)], vec![]);
        assert_eq!(goto, policy(Sure::Yes));
        let round = denied(vec![jump("other")], vec![jump("other"), jump("other")]);
        assert!(matches!(&round[..], [.., (_, Sure::Maybe(_), true)]), "{round:?}");
    }

    #[test]
    fn a_rewritten_destination_is_not_followed() {
        let found = denied(vec![rule(vec![], Verdict::Divert("dnat".to_owned()))], vec![]);
        assert_eq!(found, policy(Sure::Maybe("rule uses dnat".to_owned())));
    }
}
