//! Answers two questions about a connection: is its peer a Cloudflare edge, and is its local port watched?

use aya_ebpf::maps::lpm_trie::Key;
use tracer_common::RangeKey;

use super::maps::{RANGES, WATCHED_PORTS};

/// Whether the address lies in one of the edge's ranges: one lookup in a longest-prefix trie.
#[inline(always)]
pub fn is_edge(addr: &RangeKey) -> bool {
    RANGES.get(&Key::new(128, *addr)).is_some()
}

/// Whether this local port is watched. Port 0 in the map stands for all ports.
#[inline(always)]
pub fn is_watched(port: u16) -> bool {
    WATCHED_PORTS.get_ptr(&0).is_some() || WATCHED_PORTS.get_ptr(&port).is_some()
}
