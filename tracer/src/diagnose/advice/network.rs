//! Packets that did not arrive.

use crate::diagnose::{Evidence, Trigger};

/// Fewer bytes than this fit into the smallest packet that every path carries.
const SMALL: u64 = 536;

/// A rule of the host's firewall, or its full table, takes the packets.
pub(super) fn firewall(e: &Evidence) -> String {
    let Trigger::Attempt(attempt) = e.trigger else { return String::new() };
    if attempt.table_full {
        return "the table of tracked connections is full: raise net.netfilter.nf_conntrack_max, or find who fills it."
            .to_owned();
    }
    format!(
        "a rule of this host's firewall takes packets of {}: look for it with `nft list ruleset` or `iptables-save` \
         (fail2ban, CSF, a rate limit), and let Cloudflare's ranges pass.",
        e.peer.0
    )
}

/// What this host sent did not arrive. Where all of it fits into a small packet, its size is not to blame.
pub(super) fn lost_on_the_way(e: &Evidence) -> String {
    let peer = e.peer.0;
    if u64::from(e.unacked) + e.acked < SMALL {
        return format!(
            "what this host sends does not reach {peer}: look at the way back (`ip route get {peer}`, `ip rule`: a \
             wrong gateway, the wrong one of two uplinks, a tunnel or bridge that is gone) and for a firewall or NAT \
             on it that has never seen the connection."
        );
    }
    format!(
        "large packets to {peer} get lost, which small ones may not: look for a smaller MTU on the way back (`ping -M \
         do -s 1472 {peer}`; tunnels such as WireGuard, VXLAN, GRE, PPPoE) and for ICMP that a firewall drops. Set \
         that MTU on the route, clamp the MSS (`iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS \
         --clamp-mss-to-pmtu`), or set net.ipv4.tcp_mtu_probing=1. If small ones get lost, too, look at the route \
         (`ip route get {peer}`)."
    )
}
