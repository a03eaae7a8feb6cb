//! Is this address an edge? Is this port watched?

use aya_ebpf::maps::lpm_trie::Key;
use tracer_common::RangeKey;

use super::maps::{RANGES, WATCHED_PORTS};

/// Whether the address lies in an edge range: one look-up in the trie.
#[inline(always)]
pub fn is_edge(addr: &RangeKey) -> bool {
    RANGES.get(&Key::new(128, *addr)).is_some()
}

/// Whether this local port is to be watched: entry 0 stands for every port.
#[inline(always)]
pub fn is_watched(port: u16) -> bool {
    WATCHED_PORTS.get_ptr(&0).is_some() || WATCHED_PORTS.get_ptr(&port).is_some()
}
