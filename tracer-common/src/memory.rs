//! Tests of the memory that the kernel's maps take from the start, computed from their types and capacities.
//!
//! The overheads are those of 64-bit kernels since 5.10 without lock debugging.

use core::mem::size_of;

use crate::{
    Attempt, Conn, Distributions, EarlyData, Heads, KeysOf, LastSignal, Owner, Place, PortCounts, RangeKey, Served,
    Tuple, Upstream, limits, lost, sealed_answer,
    trail::{self, Trail},
    twins,
};

const MB: usize = 1_000_000;
const MIB: usize = 1 << 20;

/// What a hash map adds to the key and value of an entry: `struct htab_elem`.
const HASH_ENTRY: usize = 48;

/// One list head of a hash map: `struct bucket`.
const HASH_BUCKET: usize = 16;

/// Tag of a place in the table of connections.
const TAG: usize = 8;

const fn array(entries: u32, value: usize) -> usize {
    entries as usize * value.next_multiple_of(8)
}

/// The list heads, which a hash map has from the start even if its entries are allocated one by one.
const fn buckets(entries: u32) -> usize {
    entries.next_power_of_two() as usize * HASH_BUCKET
}

const fn lru(entries: u32, key: usize, value: usize) -> usize {
    let entry = HASH_ENTRY + key.next_multiple_of(8) + value.next_multiple_of(8);
    entries as usize * entry + buckets(entries)
}

/// The places and their tags.
const fn connections() -> usize {
    limits::CONNECTION_PLACES as usize * (size_of::<Place>() + TAG)
}

/// An end of an upstream connection, and the rows of those; a thread's latest reads.
const FOLLOWED: usize = 4 * 16;
const THREAD: usize = 32 + limits::THREAD_EDGES * 24;

/// Upstream connections that failed of late, and the sizes of answers inside TLS.
const SUSPECTS: usize = 1_024 * 32 + array(sealed_answer::SIZES, 16) + array(sealed_answer::SIZES, 4);

/// What is kept of connections behind those of the edge.
const fn upstreams() -> usize {
    let table = lru(limits::UPSTREAMS, size_of::<u64>(), size_of::<Upstream>());
    let establishing = lru(limits::ESTABLISHING, size_of::<Tuple>(), size_of::<u64>());
    let served = lru(limits::UPSTREAMS, size_of::<u64>(), size_of::<Served>());
    let servers = lru(limits::SERVERS, size_of::<u32>(), size_of::<Owner>());
    let ends = array(limits::UPSTREAMS, FOLLOWED);
    table + establishing + served + servers + ends + array(limits::THREADS, THREAD) + SUSPECTS
}

/// All maps but the per-CPU ones and the few with a single entry.
const fn preallocated_bytes() -> usize {
    let pool = array(limits::POOLED_HEADS, size_of::<Heads>()) + array(limits::POOLED_HEADS, size_of::<u64>());
    let attempts = lru(limits::ATTEMPTS, size_of::<Tuple>(), size_of::<Attempt>());
    let connecting = lru(limits::ATTEMPTS, size_of::<RangeKey>() + size_of::<u32>(), size_of::<Tuple>());
    let closed = lru(limits::CLOSED_CONNECTIONS, size_of::<Tuple>(), size_of::<Conn>());
    let signals = lru(limits::SIGNALS, size_of::<u64>(), size_of::<LastSignal>());
    let faults = lru(limits::FAULTS, size_of::<u32>(), size_of::<u64>() + 2 * size_of::<u32>());
    let victims = lru(limits::OOM_VICTIMS, size_of::<u32>(), size_of::<u64>());
    let ports = array(limits::PORTS, size_of::<u32>()) + 2 * buckets(limits::WATCHED_PORTS);
    let processes = array(limits::TURNS, size_of::<u32>()) + buckets(limits::OWNERS) + 2 * buckets(limits::LISTENERS);
    let more_heads = buckets(limits::CONNECTION_PLACES);
    let ring = limits::RING_BYTES as usize;
    let deaths = signals + faults + victims;
    let edges = connections() + pool + attempts + connecting + closed + more_heads;
    edges + upstreams() + deaths + ports + processes + ring
}

/// Per-CPU maps whose types only the kernel programs know: buffers of a search through a header section, and small
/// ones.
const KERNEL_ONLY: usize = 4_500;

/// The per-CPU maps.
const fn bytes_per_cpu() -> usize {
    let ports = limits::PORTS + 1;
    array(ports, size_of::<PortCounts>())
        + array(ports, size_of::<Distributions>())
        + array(limits::FIRST_RAN_FOR * twins::HOOKS, size_of::<u64>())
        + array(limits::RESET_REASONS + lost::SLOTS + twins::HOOKS + 1, size_of::<u64>())
        + array(3, size_of::<Conn>())
        + array(1, size_of::<Heads>())
        + array(limits::ORIGIN_STATUSES, size_of::<u64>())
        + array(1, size_of::<Upstream>())
        + array(1, size_of::<EarlyData>())
        + array(1, size_of::<LastSignal>())
        + array(1, size_of::<Tuple>() + size_of::<Attempt>())
        + KERNEL_ONLY
}

#[test]
fn the_table_of_connections_takes_less_than_11_mb() {
    assert!(connections() <= 11 * MB, "{}", connections());
}

#[test]
fn heads_take_4_kib_each_and_their_pool_4_mib() {
    // Beyond the pool: an entry of a hash map, with a key and the 8 bytes that the kernel's allocator adds.
    let entry = HASH_ENTRY + size_of::<u64>() + size_of::<Heads>() + 8;
    assert_eq!(entry, 4096);
    assert_eq!(limits::POOLED_HEADS as usize * entry, 4 * MIB);
    assert!(array(limits::POOLED_HEADS, size_of::<Heads>()) <= 4 * MIB);
}

#[test]
fn the_ring_buffer_takes_4_mib() {
    assert_eq!(limits::RING_BYTES as usize, 4 * MIB);
    assert!(limits::RING_BYTES.is_power_of_two());
}

#[test]
fn trails_take_35_mb_with_sight_inside_tls_and_next_to_nothing_without() {
    let entry = size_of::<KeysOf>() + size_of::<Trail>();
    let all = lru(trail::TRAILS, size_of::<KeysOf>(), size_of::<Trail>());
    assert_eq!((all + MB / 2) / MB, 35, "{all}");
    // Without sight one entry is left of the table, and there is a blank one.
    assert!(2 * entry < 150_000, "{entry}");
}

#[test]
fn all_maps_take_what_limits_says() {
    let (all, per_cpu) = (preallocated_bytes(), bytes_per_cpu());
    // To the nearest million, hundred thousand and ten thousand bytes.
    assert_eq!((all + MB / 2) / MB, 31, "{all}");
    assert_eq!((connections() + MB / 20) / (MB / 10), 107, "{}", connections());
    assert_eq!((per_cpu + MB / 200) / (MB / 100), 10, "{per_cpu}");
}
