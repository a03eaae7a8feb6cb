//! Addresses as iptables and ipset write them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::addrs::AddrSet;

/// A CIDR, an address, or an address with a mask.
pub(super) fn net(text: &str) -> Option<AddrSet> {
    if let Some((addr, mask)) = text.split_once('/')
        && let (Ok(addr), Ok(mask)) = (addr.parse::<IpAddr>(), mask.parse::<IpAddr>())
    {
        return Some(AddrSet::nets([IpNet::with_netmask(addr, mask).ok()?]));
    }
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(AddrSet::nets([net]))
}

/// `FIRST-LAST`.
pub(super) fn range(text: &str) -> Option<AddrSet> {
    let (first, last) = text.split_once('-')?;
    Some(AddrSet::new([(first.parse().ok()?, last.parse().ok()?)]))
}
