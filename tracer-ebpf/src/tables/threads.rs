//! Which exchange is a thread at work for? Known by order: a process opens an upstream connection for a request that it
//! has read before, on the same thread.
//!
//! Most servers open it right after they have read the request: the latest one is meant. An event loop may also read
//! several requests in a row (a *turn*) before it opens the first connection; then it opens them in the order of its
//! reads, so that the oldest one of this turn is meant that has none yet. One with a body may wait for the rest of
//! that, and counts only where it is the latest. (Inside TLS nobody knows which have one.) Requests of strangers, and
//! those inside TLS whose secrets are not known, take their part in that order, and lead to no exchange.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_jiffies64};
use tracer_common::{Conn, Served, Upstream, conn_flags, limits, tcp_state::ESTABLISHED, upstream_flags};

use super::{
    maps::{RUNNING, SERVED, THREADS, TYING},
    upstreams::{self, Waits},
    values::{Recent, Thread},
};
use crate::kernel::look::{Look as _, RawSock};

/// How long ago the other requests of a turn may have been read, jiffies.
const TURN: u32 = 1;

/// Bit of [`Recent::front`]: a connection whose exchanges are not followed.
const STRANGER: u64 = 1;
/// Bit of the same: an upstream connection serves it. Only set with [`STRANGER`].
const IS_SERVED: u64 = 2;
/// Bit of the same: the request may have a body.
const HAS_BODY: u64 = 4;
/// Mask of the three.
const BITS: u64 = STRANGER | IS_SERVED | HAS_BODY;

/// What [`state`] says of an entry.
const OVER: u32 = 0;
const WAITS: u32 = 1;
const SERVED_ALREADY: u32 = 2;

#[inline(always)]
pub fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The current thread has read from this edge connection, to which its process has written up to `written`.
#[inline(always)]
pub fn read_from(conn: &Conn, written: u32) {
    let bits = match conn.flags & (conn_flags::HTTP | conn_flags::BODYLESS | conn_flags::SEALED) {
        conn_flags::HTTP => HAS_BODY,
        0 | conn_flags::BODYLESS => STRANGER,
        _ => 0,
    };
    note(conn.key | bits, written);
}

/// The current thread has read a request from the server's end of this upstream connection.
#[inline(always)]
pub fn read_behind(upstream: &Upstream) {
    note(upstream.key, 0);
}

/// The current thread has read from a connection of no edge. `false`: it reads from none of the edge's, so that the
/// order does not matter.
#[inline(always)]
pub fn deals_with_edges() -> bool {
    let tid = tid();
    // SAFETY: a live map value.
    THREADS.get_ptr(tid % limits::THREADS).is_some_and(|thread| unsafe { (*thread).tid } == tid)
}

/// The current thread, which deals with edges, has read from the connection with this socket, that a stranger opened.
#[inline(always)]
pub fn read_from_stranger(sock: u64, written: u32) {
    note(sock | STRANGER, written);
}

#[inline(never)]
fn note(front: u64, written: u32) {
    let tid = tid();
    let Some(thread) = THREADS.get_ptr_mut(tid % limits::THREADS) else { return };
    // SAFETY: a live map value. Threads that share the slot at that moment notice by the thread's id. The helper has no
    // preconditions.
    unsafe {
        let thread = &mut *thread;
        if thread.tid != tid {
            *thread = Thread { tid, ..Thread::EMPTY };
        }
        thread.current = 0;
        thread.upstream = 0;
        thread.turn = thread.turn.wrapping_add(thread.has_opened);
        thread.has_opened = 0;
        let read = bpf_jiffies64() as u32;
        // What is read in several parts takes one entry.
        let before = thread.next.wrapping_sub(1) as usize % limits::THREAD_EDGES;
        let at = if thread.recent[before].front & !BITS == front & !BITS {
            before
        } else {
            thread.next = thread.next.wrapping_add(1);
            thread.next.wrapping_sub(1) as usize % limits::THREAD_EDGES
        };
        thread.recent[at] = Recent { front, read, written, turn: thread.turn, pad: 0 };
    }
    note_running(tid);
}

/// The current thread runs on this CPU.
#[inline(always)]
fn note_running(tid: u32) {
    if let Some(running) = RUNNING.get_ptr_mut(0) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe { *running = [tid, upstreams::current()] };
    }
}

/// The thread of this process that has read last on this CPU; 0: it was one of another process. For packets on their
/// way out, most of which leave in the thread that sends them: before 6.12 their programs can't ask which one runs.
#[inline(always)]
pub fn running(tgid: u32) -> u32 {
    let Some(running) = RUNNING.get_ptr(0) else { return 0 };
    // SAFETY: this CPU's slot of a live map value.
    let [tid, process] = unsafe { *running };
    if process == tgid { tid } else { 0 }
}

/// The current thread is at work for the exchange of this upstream connection: it has read from it or closed it. What
/// it opens next, before it reads another request, is for the same exchange.
#[inline(always)]
pub fn work_for(upstream: &Upstream) {
    let tid = tid();
    if upstream.owner == upstreams::current()
        && let Some(thread) = THREADS.get_ptr_mut(tid % limits::THREADS)
    {
        // SAFETY: a live map value.
        unsafe {
            if (*thread).tid == tid {
                (*thread).current = if upstream.front == 0 { STRANGER } else { upstream.front };
                (*thread).upstream = upstream.key;
                note_running(tid);
            }
        }
    }
}

/// The upstream connection that the thread of this process that runs has read from, or closed, since it read a request.
/// 0: none.
#[inline(always)]
pub fn upstream(tgid: u32) -> u64 {
    let tid = running(tgid);
    let Some(thread) = THREADS.get_ptr(tid % limits::THREADS) else { return 0 };
    // SAFETY: a live map value.
    let thread = unsafe { &*thread };
    if tid != 0 && thread.tid == tid { thread.upstream } else { 0 }
}

/// Whether an entry's exchange waits for its response, and whether an upstream connection serves it already.
#[inline(never)]
fn state(front: u64, written: u32, tgid: u32) -> u32 {
    if front & STRANGER != 0 {
        let sock = RawSock(front & !BITS);
        let is_over = sock.write_seq() != written || sock.state() != Some(ESTABLISHED);
        return match front & IS_SERVED {
            _ if is_over => OVER,
            0 => WAITS,
            _ => SERVED_ALREADY,
        };
    }
    let front = front & !BITS;
    let waits = upstreams::waits(front, tgid);
    if waits.opened_ns == 0 {
        OVER
    } else if upstreams::served(front, waits.opened_ns, waits.number).is_some() {
        SERVED_ALREADY
    } else {
        WAITS
    }
}

/// Finds the exchange that this thread of its owner opens, or uses, this upstream connection for, and ties the two.
#[inline(never)]
pub fn serve(upstream: *mut Upstream, tid: u32) {
    // SAFETY: a live map value.
    let tgid = unsafe { (*upstream).owner };
    let Meant { front, is_sure } = meant(tid, tgid);
    if front & STRANGER != 0 {
        return;
    }
    let Waits { opened_ns, number: exchange } = upstreams::waits(front, tgid);
    if opened_ns == 0 {
        return;
    }
    // SAFETY: a live map value.
    let upstream = unsafe { &mut *upstream };
    let tries = match SERVED.get_ptr(&front) {
        // SAFETY: a live map value.
        Some(before) => unsafe { tries_before(&*before, upstream.key, opened_ns, exchange) },
        None => 0,
    };
    upstream.front = front;
    upstream.exchange = exchange;
    if !is_sure {
        upstream.flags |= upstream_flags::AMBIGUOUS;
    }
    let Some(tying) = TYING.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot of a live map value.
    let tying = unsafe { &mut *tying };
    tying.upstream = upstream.key;
    tying.opened_ns = opened_ns;
    tying.exchange = exchange;
    tying.tries = tries + 1;
    let _evicts_when_full = SERVED.insert(&front, tying, 0);
}

/// How many upstream connections were opened or used for this exchange before. What served an earlier one, or failed
/// before this try, is forgotten, unless it is this one (`key`) once more.
#[inline(always)]
fn tries_before(before: &Served, key: u64, opened_ns: u64, exchange: u32) -> u32 {
    if before.upstream != key {
        upstreams::forget_closed(before.upstream);
    }
    if before.opened_ns == opened_ns && before.exchange == exchange { before.tries } else { 0 }
}

/// The connection whose exchange the current thread is at work for.
struct Meant {
    /// Its key, or that of a stranger's with [`STRANGER`]. 0: none is known.
    front: u64,
    /// No other could be meant.
    is_sure: bool,
}

#[inline(always)]
fn meant(tid: u32, tgid: u32) -> Meant {
    let none = Meant { front: 0, is_sure: false };
    let Some(thread) = THREADS.get_ptr_mut(tid % limits::THREADS) else { return none };
    // SAFETY: a live map value. The helper has no preconditions.
    let (thread, now) = unsafe { (&mut *thread, bpf_jiffies64() as u32) };
    if tid == 0 || thread.tid != tid {
        return none;
    }
    thread.has_opened = 1;
    let current = thread.current;
    if current == STRANGER || current != 0 && state(current, 0, tgid) != OVER {
        return Meant { front: current, is_sure: true };
    }
    let (mut oldest, mut latest, mut at, mut waiting) = (0, 0, 0, 0_u32);
    for back in 0..limits::THREAD_EDGES {
        let place = (thread.next as usize).wrapping_sub(1 + back) % limits::THREAD_EDGES;
        let Recent { front, read, written, turn, .. } = thread.recent[place];
        let state = if front == 0 { OVER } else { state(front, written, tgid) };
        let is_latest = latest == 0 && state != OVER;
        if is_latest {
            latest = front;
        }
        if state == WAITS
            && turn == thread.turn
            && now.wrapping_sub(read) <= TURN
            && (is_latest || front & HAS_BODY == 0)
        {
            oldest = front;
            at = place;
            waiting += 1;
        }
    }
    if oldest == 0 {
        return Meant { front: latest & !HAS_BODY, is_sure: true };
    }
    if oldest & STRANGER != 0 {
        thread.recent[at % limits::THREAD_EDGES].front |= IS_SERVED;
    }
    Meant { front: oldest & !HAS_BODY, is_sure: waiting == 1 }
}
