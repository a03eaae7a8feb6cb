//! Hands records over to userspace through the ring buffer: one function per kind of record. Each reserves a slot,
//! fills it in and submits it, or counts the loss if the buffer is full.
//!
//! Large structures are copied with `bpf_probe_read_kernel`: LLVM would unroll such a copy into thousands of
//! instructions. Functions are not inlined where they would exceed the 512 bytes of stack that they share with their
//! callers.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_probe_read_kernel};
use tracer_common::{
    AnswerRecord, Attempt, AttemptConnRecord, AttemptRecord, BehindRecord, Conn, ConnRecord, Header, Heads, LastSignal,
    ListenRecord, OomRecord, OriginRecord, Owner, ProcessRecord, RefusedRecord, SmallConnRecord, Task, Tuple, Upstream,
    conn_flags, errno::ECONNABORTED, gate::is_question, kinds, limits, lost, origin_flags, triggers, unexplained,
};

use crate::tables::{
    connections,
    counters::count,
    heads,
    maps::{EXPLAINS, LOST, QUESTIONS, RECORDS},
    processes, upstreams,
};

const SMALL_REQUEST: u32 = limits::SMALL_REQUEST_LEN as u32;
const SMALL_RESPONSE: u32 = limits::SMALL_RESPONSE_LEN as u32;

/// The header of a record of type `T`, with the time.
#[inline(always)]
fn header<T>(kind: u32) -> Header {
    // SAFETY: the helper has no preconditions.
    Header { kind, size: size_of::<T>() as u32, time_ns: unsafe { bpf_ktime_get_ns() } }
}

/// No room for the record of a failure: counts it by the status in this slot of [`unexplained::STATUSES`].
#[inline(always)]
fn failure_lost(slot: u32) {
    count(&LOST, lost::RING);
    count(&LOST, lost::FAILURES + slot);
}

/// Hands over a connection that may have failed, with its heads: as a small record if they are short enough, else as
/// a large one.
#[inline(never)]
pub fn conn(conn: *mut Conn, trigger: u32, rst_reason: u32) {
    // SAFETY: every caller passes a live map value and uses no other reference to it meanwhile.
    let state = unsafe { &mut *conn };
    if trigger == triggers::HELLO {
        return small(state, trigger, rst_reason);
    }
    if asks(state, trigger) {
        // On a connection of HTTP/2 there is more than one exchange to ask about.
        let is_shared = state.flags & conn_flags::H2 != 0 && trigger != triggers::OVERDUE;
        if state.flags & conn_flags::ASKED != 0 && !is_shared {
            return;
        }
        if !may_ask(0) {
            return count(&LOST, lost::QUESTIONS);
        }
        state.flags |= conn_flags::ASKED;
    } else {
        state.flags |= conn_flags::REPORTED;
    }
    if state.flags & conn_flags::H2 == 0 {
        behind(state);
    }
    explain(&state.closer, state.owner);
    // What follows the header section of a response explains little, so it need not fit into the small record.
    let response = state.response_have;
    let needed =
        if state.origin_flags & origin_flags::IN_HEAD == 0 { response.min(state.head_len.max(256)) } else { response };
    let is_small = state.request_have <= SMALL_REQUEST && needed <= SMALL_RESPONSE;
    // The end of a sealed response is kept behind the first bytes of it.
    // Of HTTP/2 the agent reads the trail.
    let is_sealed = state.flags & conn_flags::SEALED != 0;
    if state.heads == 0 || state.flags & conn_flags::H2 != 0 || is_small && !is_sealed {
        small(state, trigger, rst_reason);
    } else {
        large(state, trigger, rst_reason);
    }
}

/// Whether the record asks for a judgement: a request that met a closed connection needs none.
#[inline(always)]
fn asks(conn: &Conn, trigger: u32) -> bool {
    trigger != triggers::LATE && is_question(conn)
}

/// Whether this CPU may make a record that asks what a connection speaks.
#[inline(always)]
pub fn may_ask_hello() -> bool {
    may_ask(1)
}

/// Whether this CPU has made less than [`limits::QUESTIONS`] records of this kind (0: sealed exchanges) in this second.
#[inline(always)]
fn may_ask(kind: u32) -> bool {
    let Some(asked) = QUESTIONS.get_ptr_mut(kind) else { return false };
    // SAFETY: this CPU's slot of a live map value; the helper has no preconditions.
    let (asked, now_s) = unsafe { (&mut *asked, bpf_ktime_get_ns() >> 30) };
    if asked[0] != now_s {
        *asked = [now_s, 0];
    }
    asked[1] += 1;
    asked[1] <= limits::QUESTIONS
}

/// Finds the signal that explains what `task` does to its connections, and leaves it in the map [`EXPLAINS`] for
/// [`copy_signal`]. Not on the stack: there, before 6.8, the verifier would follow each signal on its own.
///
/// An interrupt may make a record of its own in between and replace the signal. Userspace notices: the signal names
/// the process that it was sent to.
#[inline(never)]
pub fn explain(task: &Task, owner: u32) {
    if let Some(signal) = EXPLAINS.get_ptr_mut(0) {
        // SAFETY: this CPU's slot of a live map value.
        let signal = unsafe { &mut *signal };
        *signal = LastSignal::default();
        processes::explaining_signal(task, owner, signal);
    }
}

/// Hands over the small form of a connection's record: as many bytes of the heads as it has room for.
#[inline(never)]
fn small(state: &Conn, trigger: u32, rst_reason: u32) {
    let Some(mut entry) = RECORDS.reserve::<SmallConnRecord>(0) else {
        return failure_lost(unexplained::of_conn(state, trigger));
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted. The
    // helper copies within the lengths of both sides, from live map values.
    unsafe {
        (*record).header = header::<SmallConnRecord>(kinds::SMALL_CONN);
        (*record).trigger = trigger;
        (*record).rst_reason = rst_reason;
        let heads = copy(state, &raw mut (*record).conn, &raw mut (*record).signal);
        (*record).conn.response_have = (*record).conn.response_have.min(SMALL_RESPONSE);
        if let Some(heads) = heads {
            let (from, into) = (&raw const (*heads).request, &raw mut (*record).request);
            bpf_probe_read_kernel(into.cast(), SMALL_REQUEST, from.cast());
            let (from, into) = (&raw const (*heads).response, &raw mut (*record).response);
            bpf_probe_read_kernel(into.cast(), SMALL_RESPONSE, from.cast());
            disown(heads, &raw mut (*record).conn);
        }
    }
    entry.submit(0);
}

/// Hands over the large form of a connection's record, with all of the heads.
#[inline(never)]
fn large(state: &Conn, trigger: u32, rst_reason: u32) {
    let Some(mut entry) = RECORDS.reserve::<ConnRecord>(0) else {
        if asks(state, trigger) {
            return count(&LOST, lost::RING);
        }
        return failure_lost(unexplained::of_conn(state, trigger));
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted. The
    // helper copies within the lengths of both sides, from live map values.
    unsafe {
        (*record).header = header::<ConnRecord>(kinds::CONN);
        (*record).trigger = trigger;
        (*record).rst_reason = rst_reason;
        let heads = copy(state, &raw mut (*record).conn, &raw mut (*record).signal);
        if let Some(heads) = heads {
            bpf_probe_read_kernel((&raw mut (*record).heads).cast(), size_of::<Heads>() as u32, heads.cast());
            disown(heads, &raw mut (*record).conn);
        }
    }
    entry.submit(0);
}

/// Copies the connection into a record, with the signal that explains its close. If no process has read from it or
/// closed it, the process that listens on its port is put in as its owner. Returns the heads, if the connection has
/// any.
///
/// # Safety
/// `into` and `signal` lie in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn copy(conn: &Conn, into: *mut Conn, signal: *mut LastSignal) -> Option<*const Heads> {
    // SAFETY: the pointers to write to lie in a reserved slot, as required above; those to read from are live map
    // values. If a listener's entry is replaced meanwhile, the new one is a listener on the same port.
    unsafe {
        copy_signal(signal);
        bpf_probe_read_kernel(into.cast(), size_of::<Conn>() as u32, (&raw const *conn).cast());
        if conn.owner == 0
            && (conn.closer.tgid == 0 || conn.close.err == ECONNABORTED)
            && let Some(listener) = processes::listener(conn.tuple.netns, conn.tuple.local_port)
        {
            (*into).owner = (*listener).pid;
            (*into).owner_comm = (*listener).process.comm;
            (*into).owner_start_ns = (*listener).process.start_ns;
        }
        let heads = heads::at(conn.heads).map(<*mut Heads>::cast_const);
        if let Some(heads) = heads
            && conn.response_have == conn.response_len
            && (8..=limits::RESPONSE_LEN as u32).contains(&conn.response_have)
        {
            // The response was kept whole, so its last bytes are in the heads.
            let last = (&raw const (*heads).response).cast::<u8>().add(conn.response_have as usize - limits::TAIL_LEN);
            let tail = &raw mut (*into).response_tail;
            bpf_probe_read_kernel(tail.cast(), limits::TAIL_LEN as u32, last.cast());
        }
        if heads.is_none() {
            (*into).request_have = 0;
            (*into).response_have = 0;
        }
        heads
    }
}

/// Copies the signal that [`explain`] has found.
///
/// # Safety
/// `into` lies in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn copy_signal(into: *mut LastSignal) {
    if let Some(explains) = EXPLAINS.get_ptr(0) {
        // SAFETY: the record's part lies in a reserved slot, as required above; what is read is a live map value.
        unsafe { bpf_probe_read_kernel(into.cast(), size_of::<LastSignal>() as u32, explains.cast()) };
    }
}

/// Marks the copied heads as absent if they were given to another connection during the copy.
///
/// # Safety
/// `heads` is a live map value, `conn` lies in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn disown(heads: *const Heads, conn: *mut Conn) {
    // SAFETY: the record's part lies in a reserved slot, as required above; what is read is a live map value.
    unsafe {
        if core::ptr::read_volatile(&raw const (*heads).owner) != (*conn).key {
            (*conn).request_have = 0;
            (*conn).response_have = 0;
        }
    }
}

/// Hands over dropped packets of the edge, with their connection if that is known.
#[inline(never)]
pub fn attempt(tuple: &Tuple, attempt: &Attempt) {
    if attempt.sock_key != 0
        && let Some(conn) = connections::get(attempt.sock_key)
    {
        // SAFETY: a live map value.
        let conn = unsafe { &mut *conn };
        if conn.tuple.has_same_ends(tuple) {
            let current = attempt.outward != 0 || conn.is_awaited() || conn.flags & conn_flags::HTTP == 0;
            if current && conn.flags & conn_flags::REPORTED != 0 {
                // Already handed over with this exchange.
                return;
            }
            conn.flags |= if current { conn_flags::REPORTED } else { 0 };
            return attempt_of(attempt, conn);
        }
    }
    let Some(mut entry) = RECORDS.reserve::<AttemptRecord>(0) else {
        return failure_lost(unexplained::of_attempt(attempt));
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted.
    unsafe {
        (*record).header = header::<AttemptRecord>(kinds::ATTEMPT);
        fill_attempt(record, tuple, attempt);
    }
    entry.submit(0);
}

/// Fills in the record, but for its header.
///
/// # Safety
/// `record` lies in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn fill_attempt(record: *mut AttemptRecord, tuple: &Tuple, attempt: &Attempt) {
    // SAFETY: the pointers to write to lie in a reserved slot, as required above; those to read from are live map
    // values. If a listener's entry is replaced meanwhile, the new one is a listener on the same port.
    unsafe {
        (*record).tuple = *tuple;
        (*record).attempt = *attempt;
        (*record).listener = Owner::default();
        (*record).listener_pid = 0;
        (*record).pad = 0;
        if let Some(listener) = processes::listener(tuple.netns, tuple.local_port) {
            (*record).listener = (*listener).process;
            (*record).listener_pid = (*listener).pid;
        }
    }
}

/// Hands over dropped packets with their connection. Takes the addresses from the connection: the verifier (7.2)
/// loses track of what a pointer to the stack two functions up points to.
#[inline(never)]
fn attempt_of(attempt: &Attempt, conn: &Conn) {
    let Some(mut entry) = RECORDS.reserve::<AttemptConnRecord>(0) else {
        return failure_lost(unexplained::of_attempt(attempt));
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted. The
    // helper copies within the lengths of both sides, from live map values.
    unsafe {
        (*record).attempt.header = header::<AttemptConnRecord>(kinds::ATTEMPT_CONN);
        fill_attempt(&raw mut (*record).attempt, &conn.tuple, attempt);
        let into = &raw mut (*record).conn;
        bpf_probe_read_kernel(into.cast(), size_of::<Conn>() as u32, (&raw const *conn).cast());
        if let Some(heads) = heads::at(conn.heads) {
            let (from, to) = (&raw const (*heads).request, &raw mut (*record).request);
            bpf_probe_read_kernel(to.cast(), limits::REQUEST_LEN as u32, from.cast());
            disown(heads, into);
        } else {
            (*into).request_have = 0;
        }
    }
    entry.submit(0);
}

/// Hands over a SYN that was refused with a RST.
#[inline(always)]
pub fn refused(tuple: &Tuple, rst_reason: u32) {
    let Some(mut entry) = RECORDS.reserve::<RefusedRecord>(0) else {
        return failure_lost(unexplained::S521);
    };
    entry.write(RefusedRecord { header: header::<RefusedRecord>(kinds::REFUSED), tuple: *tuple, rst_reason, pad: 0 });
    entry.submit(0);
}

/// Hands over the end of a process.
#[inline(always)]
pub fn process(task: &Task, turns: u32, behind: bool) {
    explain(task, task.tgid);
    let Some(mut entry) = RECORDS.reserve::<ProcessRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted.
    unsafe {
        (*record).header = header::<ProcessRecord>(kinds::PROCESS);
        (*record).turns = turns;
        (*record).behind = u32::from(behind);
        (*record).task = *task;
        copy_signal(&raw mut (*record).signal);
    }
    entry.submit(0);
}

/// Hands over an answer of 5xx, with the upstream connection that served it. `false`: there is no room.
#[inline(never)]
pub fn origin_error(conn: &Conn, status: u32) -> bool {
    let Some(mut entry) = RECORDS.reserve::<OriginRecord>(0) else { return false };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted. The
    // helper copies within the lengths of both sides, from live map values.
    unsafe {
        (*record).header = header::<OriginRecord>(kinds::ORIGIN);
        (*record).status = status;
        (*record).tries = 0;
        let into = &raw mut (*record).conn;
        bpf_probe_read_kernel(into.cast(), size_of::<Conn>() as u32, (&raw const *conn).cast());
        if let Some(heads) = heads::at(conn.heads) {
            let (from, to) = (&raw const (*heads).request, &raw mut (*record).request);
            bpf_probe_read_kernel(to.cast(), SMALL_REQUEST, from.cast());
            (*into).request_have = (*into).request_have.min(SMALL_REQUEST);
            disown(heads, into);
        } else {
            (*into).request_have = 0;
        }
        (*record).tries = take_upstream(&raw mut (*record).upstream, conn.key, conn.opened_ns.max(1), conn.exchanges);
        take_behind(&raw mut (*record).behind, &raw const (*record).upstream);
    }
    entry.submit(0);
    true
}

/// Hands over an answer inside TLS, for the agent to read its status. `current` and `failed`: keys of the upstream
/// connections in [`AnswerRecord::upstream`] on HTTP/2, and in [`AnswerRecord::failed`]; 0: none. `false`: there is no
/// room.
#[inline(never)]
pub fn answer(conn: &Conn, size: u32, current: u64, failed: u64) -> bool {
    let Some(mut entry) = RECORDS.reserve::<AnswerRecord>(0) else { return false };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted. The
    // helper copies within the lengths of both sides, from live map values.
    unsafe {
        (*record).header = header::<AnswerRecord>(kinds::ANSWER);
        (*record).size = size;
        (*record).tries = 0;
        let into = &raw mut (*record).conn;
        bpf_probe_read_kernel(into.cast(), size_of::<Conn>() as u32, (&raw const *conn).cast());
        if let Some(heads) = heads::at(conn.heads) {
            bpf_probe_read_kernel((&raw mut (*record).heads).cast(), size_of::<Heads>() as u32, heads.cast());
            disown(heads, into);
        } else {
            (*into).request_have = 0;
            (*into).response_have = 0;
        }
        let first = &raw mut (*record).upstream;
        take_of(first, conn.key, current);
        // On HTTP/2 what was opened last may be another stream's.
        if conn.flags & conn_flags::H2 == 0 {
            (*record).tries = take_upstream(first, conn.key, conn.opened_ns.max(1), conn.exchanges);
        }
        take_behind(&raw mut (*record).behind, first);
        take_of(&raw mut (*record).failed, conn.key, failed);
    }
    entry.submit(0);
    true
}

/// Copies the upstream connection with this key, if it serves the connection in front; else its key is 0.
///
/// # Safety
/// `into` lies in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn take_of(into: *mut Upstream, front: u64, key: u64) {
    // SAFETY: what is written to lies in a reserved slot, as required above; what is read is a live map value.
    unsafe {
        (*into).key = 0;
        if let Some(known) = upstreams::get(key) {
            bpf_probe_read_kernel(into.cast(), size_of::<Upstream>() as u32, known.cast());
            if (*into).front != front {
                (*into).key = 0;
            }
        }
    }
}

/// Copies what the server of this upstream connection has opened to answer it.
///
/// # Safety
/// Both lie in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn take_behind(into: *mut Upstream, first: *const Upstream) {
    // SAFETY: as required above.
    unsafe {
        (*into).key = 0;
        if (*first).key != 0 {
            take_upstream(into, (*first).key, (*first).opened_ns, (*first).uses);
        }
    }
}

/// Copies the upstream connection that serves this exchange of the connection in front; its key is 0 where there is
/// none. Returns how many were opened or used for the exchange.
///
/// # Safety
/// `into` lies in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn take_upstream(into: *mut Upstream, front: u64, opened_ns: u64, exchange: u32) -> u32 {
    // SAFETY: what is written to lies in a reserved slot, as required above; what is read are live map values.
    unsafe {
        (*into).key = 0;
        let Some(served) = upstreams::served(front, opened_ns, exchange) else { return 0 };
        let Some(known) = upstreams::get((*served).upstream) else { return 0 };
        bpf_probe_read_kernel(into.cast(), size_of::<Upstream>() as u32, known.cast());
        // Used for another exchange since.
        if (*into).front != front || (*into).exchange != exchange {
            (*into).key = 0;
        }
        (*served).tries
    }
}

/// Hands over what is known behind a connection, if anything is. Its own record has to follow.
#[inline(never)]
fn behind(conn: &Conn) {
    let Some(served) = upstreams::server_of(conn.key, conn.opened_ns.max(1)) else { return };
    let Some(mut entry) = RECORDS.reserve::<BehindRecord>(0) else { return count(&LOST, lost::RING) };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted.
    unsafe {
        (*record).header = header::<BehindRecord>(kinds::BEHIND);
        (*record).conn = conn.key;
        (*record).opened_ns = conn.opened_ns;
        (*record).pad = 0;
        let exchange = (*served).exchange;
        (*record).tries = take_upstream(&raw mut (*record).upstream, conn.key, conn.opened_ns.max(1), exchange);
        if (*record).upstream.key == 0 {
            return entry.discard(0);
        }
        take_behind(&raw mut (*record).behind, &raw const (*record).upstream);
    }
    entry.submit(0);
}

/// Hands over that the current process listens on a port, or executes a program (port 0). Not inlined: its caller would
/// exceed the 512 bytes of stack that a BPF program has.
#[inline(never)]
pub fn listens(port: u32) {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let Some(mut entry) = RECORDS.reserve::<ListenRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    entry.write(ListenRecord { header: header::<ListenRecord>(kinds::LISTEN), tgid, port });
    entry.submit(0);
}

/// Hands over the OOM killer's choice of a process.
#[inline(always)]
pub fn oom(tgid: u32, comm: [u8; 16]) {
    let Some(mut entry) = RECORDS.reserve::<OomRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    entry.write(OomRecord { header: header::<OomRecord>(kinds::OOM), tgid, pad: 0, comm });
    entry.submit(0);
}
