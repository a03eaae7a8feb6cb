//! Cloudflare Tunnel: its daemon, cloudflared, fetches requests from the edge over a connection that it opened itself,
//! and reaches the services over loopback or a container network. So they do not come from Cloudflare's ranges.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::finding::Finding;
use crate::edge::EdgeRanges;

const DAEMON: &str = "cloudflared";

/// A running cloudflared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tunnel {
    pid: i32,
    /// It is in this network namespace: services of this host see it as loopback.
    here: bool,
}

/// What is to be known where it runs.
pub(super) fn tunnels(own: Option<u64>, ranges: &EdgeRanges) -> Option<Finding> {
    let processes = procfs::process::all_processes().into_iter().flatten().flatten();
    let daemons = processes.filter(|process| process.stat().is_ok_and(|stat| stat.comm == DAEMON));
    let tunnels: Vec<_> = daemons
        .map(|process| {
            let net = process.namespaces().ok().and_then(|all| all.0.get(OsStr::new("net")).map(|net| net.identifier));
            Tunnel { pid: process.pid, here: net == own }
        })
        .collect();
    judge(&tunnels, ranges)
}

fn judge(tunnels: &[Tunnel], ranges: &EdgeRanges) -> Option<Finding> {
    if tunnels.is_empty() {
        return None;
    }
    let named: Vec<_> = tunnels.iter().map(|tunnel| format!("{DAEMON}[{}]", tunnel.pid)).collect();
    let named = named.join(", ");
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if tunnels.iter().all(|tunnel| tunnel.here) && loopback.iter().any(|addr| ranges.range_of(*addr).is_some()) {
        return Some(Finding::ok(
            DAEMON,
            format!("{named}: loopback counts as the edge, so that its tunnels are watched"),
        ));
    }
    let from = if tunnels.iter().all(|tunnel| tunnel.here) {
        "--extra-range 127.0.0.1/32 (all that comes over loopback to the watched ports then counts as the edge's)"
    } else {
        "--extra-range with the address of its container, as the services see it"
    };
    Some(Finding::warn(
        DAEMON,
        format!(
            "{named}: its tunnels reach services over loopback or a container network, and so not from Cloudflare's \
             ranges: failures of their requests are not seen"
        ),
        format!("to watch them, name where they come from: {from}, and --port with the services' ports"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::finding::Status;

    #[test]
    fn a_tunnel_is_told_of_with_the_range_to_add_until_it_is_added() {
        let ranges = EdgeRanges::builtin();
        assert_eq!(judge(&[], &ranges), None);
        let here = Tunnel { pid: 7, here: true };
        let finding = judge(&[here], &ranges).unwrap();
        assert_eq!(finding.status, Status::Warn);
        assert!(finding.seen.starts_with("cloudflared[7]: its tunnels reach services over loopback"), "{finding:?}");
        assert!(finding.advice.unwrap().contains("--extra-range 127.0.0.1/32"));
        let watched = ranges.clone().with_extra(&["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(judge(&[here], &watched).unwrap().status, Status::Ok);
        let boxed = judge(&[here, Tunnel { pid: 8, here: false }], &watched).unwrap();
        assert_eq!(boxed.status, Status::Warn);
        assert!(boxed.advice.unwrap().contains("address of its container"));
    }
}
