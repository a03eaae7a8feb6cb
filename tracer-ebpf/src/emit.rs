//! Reserve, fill, submit; or count the loss.

use aya_ebpf::helpers::{bpf_ktime_get_ns, generated::bpf_probe_read_kernel};
use tracer_common::{
    Attempt, AttemptConnRecord, AttemptRecord, Conn, ConnRecord, Header, Heads, LastSignal, OomRecord, Owner,
    ProcessRecord, RefusedRecord, SmallConnRecord, Task, Tuple, conn_flags, errno::ECONNABORTED, kinds, limits, lost,
    origin_flags,
};

use crate::tables::{
    connections,
    counters::count,
    heads,
    maps::{EXPLAINS, LOST, RECORDS},
    processes,
};

const SMALL_REQUEST: u32 = limits::SMALL_REQUEST_LEN as u32;
const SMALL_RESPONSE: u32 = limits::SMALL_RESPONSE_LEN as u32;

#[inline(always)]
fn header<T>(kind: u32) -> Header {
    // SAFETY: the helper has no preconditions.
    Header { kind, size: size_of::<T>() as u32, time_ns: unsafe { bpf_ktime_get_ns() } }
}

/// Hands over a connection that may have failed, with its heads; in the small form where they are short.
///
/// In the kernel this and its parts are functions of their own, since they share 512 bytes of stack with the callers.
#[inline(never)]
pub fn conn(conn: *mut Conn, trigger: u32, rst_reason: u32) {
    // SAFETY: callers pass a live map value.
    let state = unsafe { &mut *conn };
    state.flags |= conn_flags::REPORTED;
    explain(&state.closer, state.owner);
    // What follows the header section of a response says little.
    let response = state.response_have;
    let needed =
        if state.origin_flags & origin_flags::IN_HEAD == 0 { response.min(state.head_len.max(256)) } else { response };
    if state.heads == 0 || state.request_have <= SMALL_REQUEST && needed <= SMALL_RESPONSE {
        small(state, trigger, rst_reason);
    } else {
        large(state, trigger, rst_reason);
    }
}

/// Finds the signal that explains what a task does to its connections, and leaves it in [`EXPLAINS`]: before 6.8 the verifier
/// would follow each signal on its own if it lay on the stack. A record that is made in an interrupt meanwhile may take its
/// place there: userspace tells it by the process that it was sent to.
#[inline(never)]
fn explain(task: &Task, owner: u32) {
    if let Some(signal) = EXPLAINS.get_ptr_mut(0) {
        // SAFETY: this CPU's slot of a live map value.
        let signal = unsafe { &mut *signal };
        *signal = LastSignal::default();
        processes::explaining_signal(task, owner, signal);
    }
}

#[inline(never)]
fn small(state: &Conn, trigger: u32, rst_reason: u32) {
    let Some(mut entry) = RECORDS.reserve::<SmallConnRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted; the helper
    // copies from the map value (LLVM would unroll a copy of this size into thousands of instructions).
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

#[inline(never)]
fn large(state: &Conn, trigger: u32, rst_reason: u32) {
    let Some(mut entry) = RECORDS.reserve::<ConnRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: as in `small`.
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

/// The connection as a record has it: with the signal that explains its close, and with the process that listens where
/// nobody has read from it and nobody of its own has closed it. Gives the heads, if there are any.
///
/// # Safety
/// `into` and `signal` lie in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn copy(conn: &Conn, into: *mut Conn, signal: *mut LastSignal) -> Option<*const Heads> {
    // SAFETY: the caller's promise; a listener's entry that is replaced meanwhile is another one of the same port.
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
            // Kept whole: its last bytes are there.
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

/// What [`explain`] has found.
///
/// # Safety
/// `into` lies in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn copy_signal(into: *mut LastSignal) {
    if let Some(explains) = EXPLAINS.get_ptr(0) {
        // SAFETY: the caller's promise.
        unsafe { bpf_probe_read_kernel(into.cast(), size_of::<LastSignal>() as u32, explains.cast()) };
    }
}

/// Heads that went to another connection while they were copied are not this one's.
///
/// # Safety
/// `heads` is a live map value, `conn` lies in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn disown(heads: *const Heads, conn: *mut Conn) {
    // SAFETY: the caller's promise.
    unsafe {
        if core::ptr::read_volatile(&raw const (*heads).owner) != (*conn).key {
            (*conn).request_have = 0;
            (*conn).response_have = 0;
        }
    }
}

/// Hands over an attempt that went missing, with the connection where that is known.
#[inline(never)]
pub fn attempt(tuple: &Tuple, attempt: &Attempt) {
    if attempt.conn != 0
        && let Some(conn) = connections::get(attempt.conn)
    {
        // SAFETY: a live map value.
        let conn = unsafe { &mut *conn };
        if conn.tuple.has_same_ends(tuple) {
            let current = attempt.outward != 0 || conn.is_awaited() || conn.flags & conn_flags::HTTP == 0;
            if current && conn.flags & conn_flags::REPORTED != 0 {
                return;
            }
            conn.flags |= if current { conn_flags::REPORTED } else { 0 };
            return attempt_of(attempt, conn);
        }
    }
    let Some(mut entry) = RECORDS.reserve::<AttemptRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted.
    unsafe {
        (*record).header = header::<AttemptRecord>(kinds::ATTEMPT);
        fill_attempt(record, tuple, attempt);
    }
    entry.submit(0);
}

/// Fills in all but the header.
///
/// # Safety
/// `record` lies in a reserved slot of the ring buffer.
#[inline(always)]
unsafe fn fill_attempt(record: *mut AttemptRecord, tuple: &Tuple, attempt: &Attempt) {
    // SAFETY: the caller's promise; a listener's entry that is replaced meanwhile is another one of the same port.
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

/// The same with its connection, which has the addresses, too: the verifier (7.2) loses sight of what a pointer to the stack
/// two functions above points to.
#[inline(never)]
fn attempt_of(attempt: &Attempt, conn: &Conn) {
    let Some(mut entry) = RECORDS.reserve::<AttemptConnRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: as in `small`.
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

/// Hands over a refused SYN.
#[inline(always)]
pub fn refused(tuple: &Tuple, rst_reason: u32) {
    let Some(mut entry) = RECORDS.reserve::<RefusedRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    entry.write(RefusedRecord { header: header::<RefusedRecord>(kinds::REFUSED), tuple: *tuple, rst_reason, pad: 0 });
    entry.submit(0);
}

/// Hands over the end of a process.
#[inline(always)]
pub fn process(task: &Task, turns: u32) {
    explain(task, task.tgid);
    let Some(mut entry) = RECORDS.reserve::<ProcessRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted.
    unsafe {
        (*record).header = header::<ProcessRecord>(kinds::PROCESS);
        (*record).turns = turns;
        (*record).pad = 0;
        (*record).task = *task;
        copy_signal(&raw mut (*record).signal);
    }
    entry.submit(0);
}

/// Hands over an OOM kill.
#[inline(always)]
pub fn oom(tgid: u32, comm: [u8; 16]) {
    let Some(mut entry) = RECORDS.reserve::<OomRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    entry.write(OomRecord { header: header::<OomRecord>(kinds::OOM), tgid, pad: 0, comm });
    entry.submit(0);
}
