//! Failures whose reason lies behind the process that held the connection, and is no failure of the upstream's.

use tracer_common::cloudflare::IDLE_TIMEOUT;

use crate::diagnose::{
    Evidence,
    units::{named, span},
    upstream::Upstream,
};

/// The upstream closed the connection while it was idle, and the proxy did so in turn.
pub(super) fn idle_behind(e: &Evidence, upstream: &Upstream, who: &str) -> String {
    let server = server(upstream);
    let idle = e.idle.map_or_else(String::new, |idle| format!(" after {} idle", span(idle)));
    format!(
        "{server}, behind {who}, closed first{idle}; Cloudflare keeps connections up to {} s: raise the keep-alive \
         timeout of {server} above that.",
        IDLE_TIMEOUT.as_secs()
    )
}

/// The upstream has yet to answer. `usual`: what to do about it.
pub(super) fn waits_for(upstream: &Upstream, who: &str, usual: &str) -> String {
    format!("{who} waits for {}: look there first. Else: {usual}", server(upstream))
}

fn server(upstream: &Upstream) -> String {
    upstream.process.as_ref().map_or_else(|| format!("the upstream at {}", upstream.address), named)
}
