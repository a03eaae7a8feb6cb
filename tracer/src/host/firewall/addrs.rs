//! Sets of addresses as sorted intervals; IPv4 lies in IPv6's `::ffff:0:0/96`, so that there is one kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Sorted, disjoint, inclusive intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct AddrSet(Vec<(u128, u128)>);

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

impl AddrSet {
    pub(in super::super) fn new(intervals: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> Self {
        Self::of(intervals.into_iter().map(|(first, last)| (number(first), number(last))).collect())
    }

    pub(in super::super) fn nets(nets: impl IntoIterator<Item = IpNet>) -> Self {
        Self::new(nets.into_iter().map(|net| (net.network(), net.broadcast())))
    }

    /// Every IPv4 address.
    pub(in super::super) fn ipv4() -> Self {
        Self::new([(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into())])
    }

    /// Every address.
    pub(in super::super) fn all() -> Self {
        Self(vec![(0, u128::MAX)])
    }

    /// Every IPv6 address.
    pub(in super::super) fn ipv6() -> Self {
        Self::all().without(&Self::ipv4())
    }

    fn of(mut intervals: Vec<(u128, u128)>) -> Self {
        intervals.retain(|(first, last)| first <= last);
        intervals.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in both.
    pub(in super::super) fn and(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(&&(a_first, a_last)), Some(&&(b_first, b_last))) = (a.peek(), b.peek()) {
            if a_first.max(b_first) <= a_last.min(b_last) {
                both.push((a_first.max(b_first), a_last.min(b_last)));
            }
            if a_last < b_last {
                a.next()
            } else {
                b.next()
            };
        }
        Self(both)
    }

    /// What is in this one alone.
    pub(in super::super) fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut holes = other.0.iter().peekable();
        for &(mut first, last) in &self.0 {
            while holes.next_if(|hole| hole.1 < first).is_some() {}
            let mut rest = true;
            let mut ahead = holes.clone();
            while let Some(&(hole_first, hole_last)) = ahead.next_if(|hole| hole.0 <= last) {
                if hole_first > first {
                    left.push((first, hole_first - 1));
                }
                if hole_last >= last {
                    rest = false;
                    break;
                }
                first = hole_last + 1;
            }
            if rest {
                left.push((first, last));
            }
        }
        Self(left)
    }

    /// What is in either.
    pub(in super::super) fn or(&self, other: &Self) -> Self {
        Self::of([&self.0[..], &other.0[..]].concat())
    }

    /// What is in any of them.
    pub(in super::super) fn join<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::of(sets.into_iter().flat_map(|set| set.0.iter().copied()).collect())
    }

    /// Whether every address of `other` is in this one.
    pub(in super::super) fn covers(&self, other: &Self) -> bool {
        other.without(self).is_empty()
    }

    /// The only address, if there is one alone.
    pub(in super::super) fn single(&self) -> Option<IpAddr> {
        match self.0[..] {
            [(first, last)] if first == last => Some(Ipv6Addr::from_bits(first).to_canonical()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nets: &[&str]) -> AddrSet {
        AddrSet::nets(nets.iter().map(|net| net.parse::<IpNet>().unwrap()))
    }

    #[test]
    fn sets_combine() {
        let a = set(&["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]);
        let b = set(&["10.1.0.0/16", "10.2.0.0/16", "192.0.2.128/25", "2001:db8:1::/48", "198.51.100.0/24"]);
        let both = a.and(&b);
        assert_eq!(both, set(&["10.1.0.0/16", "10.2.0.0/16", "192.0.2.128/25", "2001:db8:1::/48"]));
        let rest = a.without(&b);
        assert!(rest.and(&b).is_empty());
        assert_eq!(rest.or(&both), a);
        assert!(a.covers(&both) && !a.covers(&b));
        assert_eq!(set(&["10.0.0.0/9", "10.128.0.0/9"]), set(&["10.0.0.0/8"]));
        assert_eq!(set(&["192.0.2.7/32"]).single(), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(a.single(), None);
    }

    #[test]
    fn the_two_families_are_everything() {
        assert_eq!(AddrSet::ipv4().or(&AddrSet::ipv6()), AddrSet::all());
        assert!(AddrSet::ipv4().and(&AddrSet::ipv6()).is_empty());
        assert!(AddrSet::all().without(&AddrSet::all()).is_empty());
        assert_eq!(AddrSet::all().without(&AddrSet::default()), AddrSet::all());
    }
}
