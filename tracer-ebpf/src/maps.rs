//! Every map: who writes it, who reads it, what happens when it is full.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf},
};
use tracer_common::{Conn, EarlyData, Heads, LastSignal, Owner, PortCounts, RangeKey, Tuple, limits, lost};

/// Memory is taken per open connection, not for the whole table.
const NO_PREALLOC: u32 = 1;

/// Edge ranges. Userspace writes; the kernel reads. Full: the load fails, with a message.
#[map]
pub static RANGES: LpmTrie<RangeKey, u8> = LpmTrie::with_max_entries(limits::RANGES, NO_PREALLOC);

/// Local ports to watch; 0 is every port. Userspace writes; the kernel reads.
#[map]
pub static WATCHED_PORTS: HashMap<u16, u8> = HashMap::with_max_entries(limits::PORTS, NO_PREALLOC);

/// Ports that were listened on at the start, for `iter/tcp`. Userspace writes, once.
#[map]
pub static LISTENING: HashMap<u16, u8> = HashMap::with_max_entries(limits::PORTS, NO_PREALLOC);

/// Open edge connections by `struct sock *`. The kernel writes; userspace reads after seeding.
/// Full: the connection stays unknown and is counted as lost.
#[map]
pub static CONNS: HashMap<u64, Conn> = HashMap::with_max_entries(limits::CONNECTIONS, NO_PREALLOC);

/// Connections that the origin closed while idle, by address. Full: the oldest goes.
#[map]
pub static CLOSED: LruHashMap<Tuple, Conn> = LruHashMap::with_max_entries(limits::CLOSED_CONNECTIONS, 0);

/// First bytes of the current exchange, by `struct sock *`. The kernel writes and reads. Full: its connection does without.
#[map]
pub static HEADS: HashMap<u64, Heads> = HashMap::with_max_entries(limits::CONNECTIONS, NO_PREALLOC);

/// Empty [`Heads`] to begin with.
#[map]
pub static BLANK_HEADS: PerCpuArray<Heads> = PerCpuArray::with_max_entries(1, 0);

/// Processes that have read from edge connections. The kernel writes; userspace reads to learn their executables.
/// Full: such a process's end is not counted, which is counted as lost.
#[map]
pub static OWNERS: HashMap<u32, Owner> = HashMap::with_max_entries(limits::OWNERS, NO_PREALLOC);

/// The last terminating signal by target and number (`tgid << 32 | signal`). Full: the oldest goes.
#[map]
pub static SIGNALS: LruHashMap<u64, LastSignal> = LruHashMap::with_max_entries(limits::SIGNALS, 0);

/// OOM victims: start of the process by tgid. Full: the oldest goes.
#[map]
pub static OOM_VICTIMS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(limits::OOM_VICTIMS, 0);

/// Healthy counts by slot of the local port; the last slot: all ports without one.
#[map]
pub static PORT_COUNTS: PerCpuArray<PortCounts> = PerCpuArray::with_max_entries(limits::PORTS + 1, 0);

/// Which port a slot counts; 0: free. The kernel writes a slot once; userspace reads.
#[map]
pub static PORT_OF: Array<u32> = Array::with_max_entries(limits::PORTS, 0);

/// When a process last began to read a request, by `tgid % TURNS`. The kernel writes and reads.
#[map]
pub static TURNS: Array<u64> = Array::with_max_entries(limits::TURNS, 0);

/// RSTs sent on edge connections by reason; the last slot: no reason given.
#[map]
pub static RESETS_SENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(limits::RESET_REASONS, 0);

/// RSTs received from the edge.
#[map]
pub static RESETS_RECEIVED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Records that could not be handed over, by `lost` slot.
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::SLOTS, 0);

/// An empty [`Conn`] to fill in. 0: for connections that open, 1: for those that are seeded.
#[map]
pub static BLANK: PerCpuArray<Conn> = PerCpuArray::with_max_entries(2, 0);

/// What came with the packet that completes a handshake: on this CPU, from the listener's filter to the new socket's
/// first state, which the same softirq reaches at once.
#[map]
pub static EARLY: PerCpuArray<EarlyData> = PerCpuArray::with_max_entries(1, 0);

/// Records on their way to userspace. Full: the record is counted as lost.
#[map]
pub static RECORDS: RingBuf = RingBuf::with_byte_size(limits::RING_BYTES, 0);

/// Adds one to a per-CPU counter.
#[inline(always)]
pub fn count(array: &PerCpuArray<u64>, index: u32) {
    if let Some(slot) = array.get_ptr_mut(index) {
        // SAFETY: the slot belongs to this CPU, and a map value stays valid for the length of the program.
        unsafe { *slot += 1 }
    }
}

/// The counters' slot of a local port: its own, found in two places, or the last one. Two CPUs that take a free slot at once
/// for two ports count both under the later one: as rare as a listener's very first connections, and only a label.
#[inline(always)]
pub fn port_slot(port: u16) -> u32 {
    let wanted = u32::from(port);
    let mask = limits::PORTS - 1;
    for slot in [wanted & mask, (wanted >> 6 ^ wanted.wrapping_mul(31)) & mask] {
        if let Some(owner) = PORT_OF.get_ptr_mut(slot) {
            // SAFETY: a live map value.
            unsafe {
                if *owner == 0 {
                    *owner = wanted;
                }
                if *owner == wanted {
                    return slot;
                }
            }
        }
    }
    limits::PORTS
}
