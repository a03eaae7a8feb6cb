//! Rules as the walk takes them: what of a new TCP connection from the edge they look at, and what they do with it.

use std::collections::BTreeMap;

use super::addrs::AddrSet;

/// Where a base chain sees packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Hook {
    Ingress,
    Prerouting,
    Input,
    Forward,
}

/// One condition. Those that always hold for such a packet are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Test {
    From(AddrSet),
    /// Any address but these.
    NotFrom(AddrSet),
    /// To one of these ports: inclusive ranges.
    Port(Vec<(u16, u16)>),
    NotPort(Vec<(u16, u16)>),
    /// Another protocol, another interface, an established connection.
    Never,
    /// Holds up to a rate or a number, or only above it.
    Limit {
        over: bool,
    },
    /// Can't be judged: what it uses.
    Opaque(String),
}

/// What a rule does where all its tests hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    Continue,
    Accept,
    /// Drop or reject.
    Deny,
    Return,
    Jump(String),
    Goto(String),
    /// The packet goes somewhere else, where nobody can follow it: what takes it there.
    Divert(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Rule {
    /// As a person would find it.
    pub(in super::super) text: String,
    pub(in super::super) tests: Vec<Test>,
    pub(in super::super) verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Chain {
    /// Table and chain, for people.
    pub(in super::super) name: String,
    /// The families that its table sees.
    pub(in super::super) scope: AddrSet,
    /// The hook and the priority at it; `None`: reached by jumps alone.
    pub(in super::super) hook: Option<(Hook, i64)>,
    /// Its policy is to drop.
    pub(in super::super) closed: bool,
    pub(in super::super) rules: Vec<Rule>,
}

/// Chains by table and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Ruleset {
    pub(in super::super) chains: BTreeMap<(String, String), Chain>,
    /// Named sets that hold addresses of the edge: what of it.
    pub(in super::super) sets: BTreeMap<String, AddrSet>,
}

impl Ruleset {
    /// Both together.
    pub(in super::super) fn join(&mut self, other: Self) {
        self.chains.extend(other.chains);
        self.sets.extend(other.sets);
    }
}

/// What rules are held against: the edge, and the network that they stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct World {
    /// Addresses of the edge.
    pub(in super::super) edge: AddrSet,
    /// Interfaces by which the edge's packets can come.
    pub(in super::super) uplinks: Vec<String>,
    /// The host's own addresses, but for loopback.
    pub(in super::super) local: AddrSet,
}

impl World {
    /// The families in which the host has addresses; both where that is not known.
    pub(in super::super) fn families(&self) -> AddrSet {
        if self.local.is_empty() {
            return AddrSet::all();
        }
        let families = [AddrSet::ipv4(), AddrSet::ipv6()];
        AddrSet::join(families.iter().filter(|family| !family.and(&self.local).is_empty()))
    }

    /// A test of the interface by which a packet came: one of `named`, where `*` at the end stands for any rest.
    pub(in super::super) fn interface(&self, named: &[&str], not: bool) -> Option<Test> {
        let is = |uplink: &String| {
            named.iter().any(|name| match name.strip_suffix(['*', '+']) {
                Some(start) => uplink.starts_with(start),
                None => uplink == name,
            })
        };
        let hits = self.uplinks.iter().filter(|uplink| is(uplink)).count();
        if named.iter().all(|name| *name == "lo") {
            return never_unless(not);
        }
        match hits {
            0 if self.uplinks.is_empty() => Some(Test::Opaque(format!("the interface {}", named.join(", ")))),
            0 => never_unless(not),
            hits if hits == self.uplinks.len() => never_unless(!not),
            _ => Some(Test::Opaque(format!("the interface {}", named.join(", ")))),
        }
    }

    /// A test of the address that a packet goes to.
    pub(in super::super) fn destination(&self, set: &AddrSet, not: bool) -> Option<Test> {
        if set.and(&self.local).is_empty() && !self.local.is_empty() {
            never_unless(not)
        } else if !self.local.is_empty() && set.covers(&self.local) {
            never_unless(!not)
        } else {
            Some(Test::Opaque("the destination address".to_owned()))
        }
    }
}

/// A condition whose answer is known: `None` where it holds.
pub(in super::super) fn never_unless(holds: bool) -> Option<Test> {
    (!holds).then_some(Test::Never)
}

/// The ports that the edge's connections come from lie above the well-known ones.
pub(in super::super) fn source_port(ports: &[(u16, u16)], not: bool) -> Option<Test> {
    if ports.iter().all(|(_, last)| *last < 1024) {
        never_unless(not)
    } else if ports.iter().any(|(first, last)| *first <= 1024 && *last == u16::MAX) {
        never_unless(!not)
    } else {
        Some(Test::Opaque("the source port".to_owned()))
    }
}

/// A TCP flag's bit.
pub(in super::super) fn tcp_flag(name: &str) -> Option<u8> {
    let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
    names.iter().position(|known| known.eq_ignore_ascii_case(name)).map(|bit| 1 << bit)
}

/// The flags of a connection's first packet.
pub(in super::super) const SYN: u8 = 2;
