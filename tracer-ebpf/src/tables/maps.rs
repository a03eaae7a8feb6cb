//! Every map: what it holds, who writes it, who reads it, and what happens when it is full. "The kernel" stands for
//! the programs of this crate, and "userspace" for the agent. A map "on this CPU" has a value for each CPU and
//! serves as memory that does not fit on a program's stack.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, Stack},
};
use tracer_common::{
    Attempt, Config, Conn, Distributions, EarlyData, Heads, KeysOf, LastSignal, Listener, ListenerKey, Owner, Place,
    PortCounts, RangeKey, Served, TlsKeys, Tuple, Upstream, limits, lost, sealed_answer,
    trail::{self, Trail},
    twins,
};

use super::values::{
    Answer, BUCKETS, DESKS, FAILED_SLOTS, FOLLOWED_BUCKETS, FOLLOWED_WAYS, Failed, Fault, Followed, PeerEnd, Random,
    SCRATCH_LEN, Size, Tags, Thread,
};
use crate::parse::fields::Walk;

/// Flag: memory is allocated for each entry, not for the whole table at its creation.
const NO_PREALLOC: u32 = 1;

/// Flag: the array begins on a page of its own, so that its entries lie on whole cache lines. Without it the kernel
/// (6.18) starts them 56 bytes into one.
const ALIGNED: u32 = BPF_F_MMAPABLE;

/// Address ranges of the edge. Userspace writes; the kernel reads. Full: loading fails with a message.
#[map]
pub static RANGES: LpmTrie<RangeKey, u8> = LpmTrie::with_max_entries(limits::RANGES, NO_PREALLOC);

/// Local ports to watch; 0 stands for all. Userspace writes; the kernel reads.
#[map]
pub static WATCHED_PORTS: HashMap<u16, u8> = HashMap::with_max_entries(limits::WATCHED_PORTS, NO_PREALLOC);

/// Ports with a listener when the agent started, for `iter/tcp`. Userspace writes, once; the kernel reads.
#[map]
pub static LISTENING: HashMap<u16, u8> = HashMap::with_max_entries(limits::WATCHED_PORTS, NO_PREALLOC);

/// The edge's timeouts and limits. Userspace writes; the kernel reads.
#[map]
pub static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// The process that listens on a port. The kernel writes and reads; userspace adds those that listened before it
/// started. Full: for a connection that nobody accepted, the process is unknown.
#[map]
pub static LISTENERS: HashMap<ListenerKey, Listener> = HashMap::with_max_entries(limits::LISTENERS, NO_PREALLOC);

/// Inode of the socket that listened on a port when the agent started. The kernel writes; userspace reads, once.
#[map]
pub static FOUND: HashMap<ListenerKey, u64> = HashMap::with_max_entries(limits::LISTENERS, NO_PREALLOC);

/// Attempts, to connect or to send, whose packets were dropped, by connection. The kernel writes; userspace reads, to
/// find those that have waited for as long as the edge's timeout. Full: the oldest entry is dropped without a report.
#[map]
pub static ATTEMPTS: LruHashMap<Tuple, Attempt> = LruHashMap::with_max_entries(limits::ATTEMPTS, 0);

/// The last dropped packet that was an attempt to connect, by the edge's address and port: the local address may
/// have been translated by the time the connection opens. Full: the oldest entry is dropped.
#[map]
pub static CONNECTING: LruHashMap<PeerEnd, Tuple> = LruHashMap::with_max_entries(limits::ATTEMPTS, 0);

/// The dropped packet that is being handled, on this CPU.
#[map]
pub static NOTED: PerCpuArray<(Tuple, Attempt)> = PerCpuArray::with_max_entries(1, 0);

/// Time at which the last attempt in `ATTEMPTS` began, in nanoseconds; 0: there was none.
#[map]
pub static ATTEMPT_TIME: Array<u64> = Array::with_max_entries(1, 0);

/// Number of programs that lie at each desk or try to, on this CPU (see `desks`).
#[map]
pub static DESKS_TAKEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(DESKS, 0);

/// The part of a large header section that is being searched, by desk, on this CPU.
#[map]
pub static SCRATCH: PerCpuArray<[u8; SCRATCH_LEN]> = PerCpuArray::with_max_entries(DESKS, 0);

/// The walk through a header section that is in progress, by desk, on this CPU.
#[map]
pub static WALK: PerCpuArray<Walk> = PerCpuArray::with_max_entries(DESKS, 0);

/// The answer that netfilter sent to the last packet, on this CPU.
#[map]
pub static LAST_ANSWER: PerCpuArray<Answer> = PerCpuArray::with_max_entries(1, 0);

/// The signal that explains the record being made, on this CPU.
#[map]
pub static EXPLAINS: PerCpuArray<LastSignal> = PerCpuArray::with_max_entries(1, 0);

/// Copy of the connection that is being examined, on this CPU.
#[map]
pub static INSPECTED: PerCpuArray<Conn> = PerCpuArray::with_max_entries(1, 0);

/// Open edge connections. The kernel writes; userspace reads. Full: the connection is not watched and counted as
/// lost.
#[map]
pub static PLACES: Array<Place> = Array::with_max_entries(limits::CONNECTION_PLACES, ALIGNED);

/// The tags of these places, by bucket: which place holds which connection (see `connections`).
#[map]
pub static TAGS: Array<Tags> = Array::with_max_entries(BUCKETS, ALIGNED);

/// Connections that the origin closed while they were idle, by address. Full: the oldest entry is dropped.
#[map]
pub static CLOSED: LruHashMap<Tuple, Conn> = LruHashMap::with_max_entries(limits::CLOSED_CONNECTIONS, 0);

/// The pool of heads: first bytes of the current request and response of a connection. The kernel writes and reads.
#[map]
pub static POOLED_HEADS: Array<Heads> = Array::with_max_entries(limits::POOLED_HEADS, ALIGNED);

/// Numbers, from 1, of the heads in the pool that no connection uses. A stack: what was used last is used next,
/// while it is still in a CPU's cache. Userspace fills it at the start; the kernel takes from it and gives back.
#[map]
pub static SPARE_HEADS: Stack<u64> = Stack::with_max_entries(limits::POOLED_HEADS, 0);

/// Heads beyond the pool, by a random number. Full: the connection has no heads, which is counted as lost.
#[map]
pub static HEADS: HashMap<u64, Heads> = HashMap::with_max_entries(limits::CONNECTION_PLACES, NO_PREALLOC);

/// Empty [`Heads`], to copy from.
#[map]
pub static BLANK_HEADS: PerCpuArray<Heads> = PerCpuArray::with_max_entries(1, 0);

/// Processes that have read from edge connections. The kernel writes; userspace reads, to find their executables.
/// Full: the end of such a process is not reported, which is counted as lost.
#[map]
pub static OWNERS: HashMap<u32, Owner> = HashMap::with_max_entries(limits::OWNERS, NO_PREALLOC);

/// The last terminating signal, by the process that it was sent to and its number (`tgid << 32 | signal`). Full: the
/// oldest entry is dropped.
#[map]
pub static SIGNALS: LruHashMap<u64, LastSignal> = LruHashMap::with_max_entries(limits::SIGNALS, 0);

/// The last fault of a process (SIGSEGV and the like) and the thread that took it, by tgid. Full: the oldest entry is
/// dropped, and that fault explains no exit.
#[map]
pub static FAULTS: LruHashMap<u32, Fault> = LruHashMap::with_max_entries(limits::FAULTS, 0);

/// Processes that the OOM killer chose: start time by tgid. Full: the oldest entry is dropped.
#[map]
pub static OOM_VICTIMS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(limits::OOM_VICTIMS, 0);

/// Counts of connections and exchanges, by slot of the local port. The last slot is for all ports without one.
#[map]
pub static PORT_COUNTS: PerCpuArray<PortCounts> = PerCpuArray::with_max_entries(limits::PORTS + 1, 0);

/// The port that a slot counts; 0: the slot is free. The kernel writes each slot once; userspace reads.
#[map]
pub static PORT_OF: Array<u32> = Array::with_max_entries(limits::PORTS, 0);

/// Distributions of times and sizes of healthy exchanges, by the same slots.
#[map]
pub static DISTRIBUTIONS: PerCpuArray<Distributions> = PerCpuArray::with_max_entries(limits::PORTS + 1, 0);

/// Number of turns that a process has begun, by `tgid % TURNS`. The kernel writes and reads.
#[map]
pub static TURNS: Array<u32> = Array::with_max_entries(limits::TURNS, 0);

/// RSTs sent on edge connections, by reason. The last slot is for those without a reason.
#[map]
pub static RESETS_SENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(limits::RESET_REASONS, 0);

/// RSTs received from the edge.
#[map]
pub static RESETS_RECEIVED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Losses, by kind (`lost`): records that could not be handed to userspace, and entries that found a table full.
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::SLOTS, 0);

/// The object (socket, packet or task) of the last run of a program that has a twin, by thread and hook, on this
/// CPU, until the twin has read it.
#[map]
pub static FIRST_RAN_FOR: PerCpuArray<u64> = PerCpuArray::with_max_entries(limits::FIRST_RAN_FOR * twins::HOOKS, 0);

/// Runs in which a twin stood in for the first program, by hook. The kernel counts them, only where tracepoints can
/// be preempted; userspace reads them, to tell lost events from skipped runs.
#[map]
pub static STOOD_IN: PerCpuArray<u64> = PerCpuArray::with_max_entries(twins::HOOKS, 0);

/// An empty [`Conn`], to fill in: entry 0 for connections that open, entry 1 for those that were open at the start.
#[map]
pub static BLANK: PerCpuArray<Conn> = PerCpuArray::with_max_entries(2, 0);

/// Data that arrived with the packet that completes a handshake, on this CPU. Written while the packet passes the
/// listener's filter; read when the new socket changes its state, which the same softirq does right after.
#[map]
pub static EARLY: PerCpuArray<EarlyData> = PerCpuArray::with_max_entries(1, 0);

/// The secrets of edge connections inside TLS. The kernel writes, and removes those of a connection that closes without
/// a failure; userspace reads those of a failure, and removes what is left over. Full: the connection stays opaque,
/// which is counted as a loss.
#[map]
pub static KEYS: HashMap<KeysOf, TlsKeys> = HashMap::with_max_entries(limits::CONNECTION_PLACES, NO_PREALLOC);

/// Connections by the client random of their ClientHello. The kernel writes and reads. Full: the oldest is dropped.
#[map]
pub static HANDSHAKES: LruHashMap<Random, u64> = LruHashMap::with_max_entries(limits::HANDSHAKES, 0);

/// The connection in its handshake that a thread has read last. The kernel writes and reads. Full: the oldest is
/// dropped.
#[map]
pub static READING: LruHashMap<u64, u64> = LruHashMap::with_max_entries(limits::HANDSHAKES, 0);

/// An entry of [`KEYS`] without any secret. Nobody writes to it.
#[map]
pub static NO_KEYS: PerCpuArray<TlsKeys> = PerCpuArray::with_max_entries(1, 0);

/// The last TLS records of connections that may speak HTTP/2. The kernel writes; userspace reads. Full: the one that
/// was used longest ago is dropped.
#[map]
pub static TRAILS: LruHashMap<KeysOf, Trail> = LruHashMap::with_max_entries(trail::TRAILS, 0);

/// What connections with a trail speak (`spoken`). Userspace writes; the kernel reads. Full: the oldest is dropped.
#[map]
pub static SPOKEN: LruHashMap<KeysOf, u32> = LruHashMap::with_max_entries(4 * trail::TRAILS, 0);

/// An empty entry of [`TRAILS`]. Nobody writes to it.
#[map]
pub static NO_TRAIL: Array<Trail> = Array::with_max_entries(1, 0);

/// Edge connections inside TLS whose first request came: without a secret that a probe announced, and with. The kernel
/// counts; userspace reads.
#[map]
pub static TLS_CONNECTIONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// The current second, and the records that were made in it of sealed exchanges, on this CPU; and, in a second entry,
/// those that ask what a connection speaks.
#[map]
pub static QUESTIONS: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(2, 0);

/// Hits of the probes in TLS libraries. The kernel counts; userspace reads.
#[map]
pub static TLS_HITS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Upstream connections, by the socket of their owner's end. The kernel writes and reads. Full: the one that was unused
/// for longest is followed no longer.
#[map]
pub static UPSTREAMS: LruHashMap<u64, Upstream> = LruHashMap::with_max_entries(limits::UPSTREAMS, 0);

/// The sockets at both ends of upstream connections (see `upstreams`).
#[map]
pub static FOLLOWED: Array<[Followed; FOLLOWED_WAYS]> = Array::with_max_entries(FOLLOWED_BUCKETS, ALIGNED);

/// Upstream connections that were established and whose other end has yet to be, by addresses as the other end has
/// them. The kernel writes and reads. Full: the oldest is dropped.
#[map]
pub static ESTABLISHING: LruHashMap<Tuple, u64> = LruHashMap::with_max_entries(limits::ESTABLISHING, 0);

/// Addresses of the upstream connection that changes its state, on this CPU.
#[map]
pub static OTHER_END: PerCpuArray<Tuple> = PerCpuArray::with_max_entries(1, 0);

/// The upstream connection that serves an edge connection, by the latter's key. The kernel writes and reads. Full: the
/// oldest is dropped.
#[map]
pub static SERVED: LruHashMap<u64, Served> = LruHashMap::with_max_entries(limits::UPSTREAMS, 0);

/// The edge connections that a thread has read from, by its id modulo the size. The kernel writes and reads.
#[map]
pub static THREADS: Array<Thread> = Array::with_max_entries(limits::THREADS, 0);

/// The thread, and its process, that has read last on this CPU from a connection that matters to `threads`.
#[map]
pub static RUNNING: PerCpuArray<[u32; 2]> = PerCpuArray::with_max_entries(1, 0);

/// The entry of [`SERVED`] that is being made, on this CPU.
#[map]
pub static TYING: PerCpuArray<Served> = PerCpuArray::with_max_entries(1, 0);

/// Processes that serve upstream connections. The kernel writes and reads. Full: the oldest is dropped, and its end is
/// not reported.
#[map]
pub static SERVERS: LruHashMap<u32, Owner> = LruHashMap::with_max_entries(limits::SERVERS, 0);

/// An empty [`Upstream`]. Nobody writes to it.
#[map]
pub static BLANK_UPSTREAM: PerCpuArray<Upstream> = PerCpuArray::with_max_entries(1, 0);

/// Answers of 5xx of which no record was made, by status from 500 on. The kernel counts; userspace reads.
#[map]
pub static UNTOLD: PerCpuArray<u64> = PerCpuArray::with_max_entries(limits::ORIGIN_STATUSES, 0);

/// The current second, and the records that were made in it of answers of 5xx, on all CPUs. Two that count at once may
/// let one more through.
#[map]
pub static ORIGIN_RATE: Array<[u64; 2]> = Array::with_max_entries(1, 0);

/// Upstream connections that failed of late, by the key of the connection that they serve, modulo the size. The kernel
/// writes and reads.
#[map]
pub static FAILED: Array<Failed> = Array::with_max_entries(FAILED_SLOTS, 0);

/// Sizes of answers inside TLS, by `sealed_answer::slot`. The kernel writes and reads.
#[map]
pub static ANSWER_SIZES: Array<Size> = Array::with_max_entries(sealed_answer::SIZES, 0);

/// The names of those that were errors of late; 0: none. Userspace writes; the kernel reads.
#[map]
pub static ERROR_SIZES: Array<u32> = Array::with_max_entries(sealed_answer::SIZES, 0);

/// The current second, and the answers inside TLS that were handed over in it for their size alone, on all CPUs.
#[map]
pub static SAMPLE_RATE: Array<[u64; 2]> = Array::with_max_entries(1, 0);

/// The ring buffer of records for userspace. Full: the record is counted as lost.
#[map]
pub static RECORDS: RingBuf = RingBuf::with_byte_size(limits::RING_BYTES, 0);
