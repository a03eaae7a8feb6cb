//! Every map: who writes it, who reads it, what happens when it is full.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, Stack},
};
use tracer_common::{
    Attempt, Config, Conn, Distributions, EarlyData, Heads, LastSignal, Listener, ListenerKey, Owner, Place,
    PortCounts, RangeKey, Tuple, limits, lost, twins,
};

use super::values::{Answer, BUCKETS, PeerEnd, SCRATCH_LEN, Tags, WALKS, Walk};

/// Memory is taken per open connection, not for the whole table.
const NO_PREALLOC: u32 = 1;

/// Entries begin on a page, where the kernel else puts them 56 bytes behind the start of a cache line (6.18).
const ALIGNED: u32 = BPF_F_MMAPABLE;

/// Edge ranges. Userspace writes; the kernel reads. Full: the load fails, with a message.
#[map]
pub static RANGES: LpmTrie<RangeKey, u8> = LpmTrie::with_max_entries(limits::RANGES, NO_PREALLOC);

/// Local ports to watch; 0 is every port. Userspace writes; the kernel reads.
#[map]
pub static WATCHED_PORTS: HashMap<u16, u8> = HashMap::with_max_entries(limits::WATCHED_PORTS, NO_PREALLOC);

/// Ports that were listened on at the start, for `iter/tcp`. Userspace writes, once.
#[map]
pub static LISTENING: HashMap<u16, u8> = HashMap::with_max_entries(limits::WATCHED_PORTS, NO_PREALLOC);

/// The edge's timeouts and limits. Userspace writes; the kernel reads.
#[map]
pub static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// Processes that listen, by port. The kernel writes; userspace adds those that were there before. Full: the process of a
/// connection that nobody accepted stays unknown.
#[map]
pub static LISTENERS: HashMap<ListenerKey, Listener> = HashMap::with_max_entries(limits::LISTENERS, NO_PREALLOC);

/// Listeners that were there at the start: inode of the socket by port. The kernel writes; userspace reads, once.
#[map]
pub static FOUND: HashMap<ListenerKey, u64> = HashMap::with_max_entries(limits::LISTENERS, NO_PREALLOC);

/// Packets of the edge that went missing, by connection. The kernel writes; userspace reads, to know which have waited for
/// the edge's timeout. Full: the oldest goes, untold.
#[map]
pub static ATTEMPTS: LruHashMap<Tuple, Attempt> = LruHashMap::with_max_entries(limits::ATTEMPTS, 0);

/// The last of these that was an attempt to connect, by the edge's end: the other end may have another address by the time
/// the connection opens. Full: the oldest goes.
#[map]
pub static CONNECTING: LruHashMap<PeerEnd, Tuple> = LruHashMap::with_max_entries(limits::ATTEMPTS, 0);

/// A packet that has just gone missing, on this CPU: too much for the stack.
#[map]
pub static NOTED: PerCpuArray<(Tuple, Attempt)> = PerCpuArray::with_max_entries(1, 0);

/// When the last such attempt began, nanoseconds; 0: never.
#[map]
pub static ATTEMPT_TIME: Array<u64> = Array::with_max_entries(1, 0);

/// Part of a large header section that is being searched, on this CPU.
#[map]
pub static SCRATCH: PerCpuArray<[u8; SCRATCH_LEN]> = PerCpuArray::with_max_entries(1, 0);

/// Walks through header sections that are under way on this CPU, and how many.
#[map]
pub static WALK: PerCpuArray<Walk> = PerCpuArray::with_max_entries(WALKS, 0);

#[map]
pub static DEPTH: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// How netfilter answered the last packet, on this CPU.
#[map]
pub static LAST_ANSWER: PerCpuArray<Answer> = PerCpuArray::with_max_entries(1, 0);

/// The signal that explains a record that is being made, on this CPU.
#[map]
pub static EXPLAINS: PerCpuArray<LastSignal> = PerCpuArray::with_max_entries(1, 0);

/// Copy of a connection that is being looked at.
#[map]
pub static INSPECTED: PerCpuArray<Conn> = PerCpuArray::with_max_entries(1, 0);

/// Open edge connections. The kernel writes; userspace reads. Full: the connection stays unknown and is counted as lost.
#[map]
pub static PLACES: Array<Place> = Array::with_max_entries(limits::CONNECTION_PLACES, ALIGNED);

/// Which of these places is whose.
#[map]
pub static TAGS: Array<Tags> = Array::with_max_entries(BUCKETS, ALIGNED);

/// Connections that the origin closed while idle, by address. Full: the oldest goes.
#[map]
pub static CLOSED: LruHashMap<Tuple, Conn> = LruHashMap::with_max_entries(limits::CLOSED_CONNECTIONS, 0);

/// First bytes of the current exchange. The kernel writes and reads.
#[map]
pub static POOLED_HEADS: Array<Heads> = Array::with_max_entries(limits::POOLED_HEADS, ALIGNED);

/// Numbers, from 1, of those that serve no connection now; the one used last, which is still in a CPU's cache, goes first.
/// Userspace fills it; the kernel takes and gives back.
#[map]
pub static SPARE_HEADS: Stack<u64> = Stack::with_max_entries(limits::POOLED_HEADS, 0);

/// The same bytes where all of those are taken, by a random number. Full: its connection does without, which is counted as
/// lost.
#[map]
pub static HEADS: HashMap<u64, Heads> = HashMap::with_max_entries(limits::CONNECTION_PLACES, NO_PREALLOC);

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

/// What healthy exchanges show, by the same slots.
#[map]
pub static DISTRIBUTIONS: PerCpuArray<Distributions> = PerCpuArray::with_max_entries(limits::PORTS + 1, 0);

/// Turns begun by a process, by `tgid % TURNS`. The kernel writes and reads.
#[map]
pub static TURNS: Array<u32> = Array::with_max_entries(limits::TURNS, 0);

/// RSTs sent on edge connections by reason; the last slot: no reason given.
#[map]
pub static RESETS_SENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(limits::RESET_REASONS, 0);

/// RSTs received from the edge.
#[map]
pub static RESETS_RECEIVED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Records that could not be handed over, by `lost` slot.
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::SLOTS, 0);

/// The socket of a task's last run of a program that has a twin, until the twin has seen it: by thread and hook, on this CPU
/// (where nothing else runs, the thread is 0 on each).
#[map]
pub static WENT_FIRST: PerCpuArray<u64> = PerCpuArray::with_max_entries(limits::WENT_FIRST * twins::HOOKS, 0);

/// Runs in which a twin stood in, by hook; counted where tracepoints can be preempted.
#[map]
pub static STOOD_IN: PerCpuArray<u64> = PerCpuArray::with_max_entries(twins::HOOKS, 0);

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
