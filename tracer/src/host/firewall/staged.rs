//! What the tests of both rule languages share: sets, and what a ruleset denies, in short.

use super::{
    addrs::AddrSet,
    rules::Ruleset,
    walk::{Denied, Sure, walk},
};

/// The addresses of these networks.
pub(super) fn set(nets: &[&str]) -> AddrSet {
    AddrSet::nets(nets.iter().map(|net| net.parse().unwrap()))
}

/// What of `edge` is denied on a port, as far as `counts`: the rule after its chain, the addresses, how sure.
pub(super) fn denied(
    rules: &Ruleset,
    edge: &AddrSet,
    port: u16,
    counts: impl Fn(&Denied) -> bool,
) -> Vec<(String, AddrSet, &'static str)> {
    let sure = |sure: &Sure| match sure {
        Sure::Yes => "yes",
        Sure::Load(_) => "load",
        Sure::Maybe(_) => "maybe",
    };
    let found = walk(rules, edge, port).into_iter().filter(|one| counts(one));
    found.map(|one| (one.rule.split(": ").nth(1).unwrap_or_default().to_owned(), one.addrs, sure(&one.sure))).collect()
}
