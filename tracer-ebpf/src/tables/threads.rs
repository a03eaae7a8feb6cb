//! Which exchange is a thread at work for? Known by order: a process opens an upstream connection for a request that it
//! has read before, on the same thread.
//!
//! Most servers open it right after they have read the request: the latest one is meant. An event loop may also read
//! several requests in a row (a *turn*) before it opens the first connection; then it opens them in the order of its
//! reads, so that the oldest one of this turn is meant that has none yet. One with a body may wait for the rest of
//! that, and counts only where it is the latest. (Inside TLS nobody knows which have one.) Requests of strangers take
//! their part in that order, and lead to no exchange.
//!
//! A proxy that passes bytes on opens its connection for one that it has accepted and read nothing from. So a
//! connection counts as soon as it is accepted, where the thread has no request in hand; the two are then a *pair*, for
//! as long as they last. Where another thread, or a forked child, opens the connection, what its process has accepted
//! last is a guess, until the first bytes are passed on.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_jiffies64};
use tracer_common::{Conn, Served, Upstream, conn_flags, limits, tcp_state::ESTABLISHED, upstream_flags};

use super::{
    connections,
    maps::{RUNNING, SERVED, THREADS, TYING},
    upstreams::{self, Pair, Waits},
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
/// Bit of the same: the thread has accepted the connection and read nothing from it.
const ACCEPTED: u64 = 8;
/// Bit of the same: its bytes can't be read as HTTP, so that it stands for what was read last.
const OPAQUE: u64 = 16;
/// Bit of what [`work_of_thread`] returns: another connection may be meant.
const UNSURE: u64 = 32;
/// Mask of the six. (Sockets begin on cache lines.)
const BITS: u64 = STRANGER | IS_SERVED | HAS_BODY | ACCEPTED | OPAQUE | UNSURE;

/// Bit of a process's id, in place of a thread's: what any of its threads has accepted. No thread's id has it.
const ANY_THREAD: u32 = 1 << 31;
/// Bit of a thread's id: what it has accepted, which is kept apart from what it has read.
const ACCEPTS: u32 = 1 << 30;

/// Most bytes that a proxy puts before what it passes on: a PROXY header with all of its fields.
const MOST_AHEAD: u32 = 536;

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
        0 | conn_flags::BODYLESS => OPAQUE,
        _ => 0,
    };
    note(tid(), Recent { front: conn.key | bits, written, ..Recent::EMPTY });
}

/// The current thread has accepted this edge connection.
#[inline(always)]
pub fn accepted(conn: &Conn) {
    let entry = Recent { front: conn.key | ACCEPTED, written: conn.written, copied: conn.copied, ..Recent::EMPTY };
    note(tid() | ACCEPTS, entry);
    note(upstreams::current() | ANY_THREAD, entry);
}

/// The current thread, which deals with edges, has accepted the connection with this socket, that a stranger opened.
#[inline(always)]
pub fn accepted_stranger(sock: u64) {
    let seen = RawSock(sock);
    if seen.state() == Some(ESTABLISHED) {
        let (written, copied) = (seen.write_seq(), seen.copied_seq());
        note(tid() | ACCEPTS, Recent { front: sock | STRANGER | ACCEPTED, written, copied, ..Recent::EMPTY });
    }
}

/// The current thread has read a request from the server's end of this upstream connection.
#[inline(always)]
pub fn read_behind(upstream: &Upstream) {
    note(tid(), Recent { front: upstream.key, ..Recent::EMPTY });
}

/// Whether the current thread has read from edge connections or accepted some. `false`: the order of what it does does
/// not matter.
#[inline(always)]
pub fn deals_with_edges() -> bool {
    is_kept(tid()) || is_kept(tid() | ACCEPTS)
}

/// Whether a thread of this process has accepted edge connections lately.
#[inline(always)]
pub fn has_accepted(tgid: u32) -> bool {
    is_kept(tgid | ANY_THREAD)
}

#[inline(always)]
fn is_kept(id: u32) -> bool {
    // SAFETY: a live map value.
    slot(id).is_some_and(|thread| unsafe { (*thread).tid == id })
}

/// The current thread, which deals with edges, has read from the connection with this socket, that a stranger opened.
#[inline(always)]
pub fn read_from_stranger(sock: u64, written: u32) {
    note(tid(), Recent { front: sock | STRANGER, written, ..Recent::EMPTY });
}

/// The slot of a thread, of what it has accepted, or of a process.
#[inline(always)]
fn slot(id: u32) -> Option<*mut Thread> {
    // Of three that belong together each has one of its own.
    let apart = (id >> 30) * (limits::THREADS / 3);
    THREADS.get_ptr_mut((id & !(ANY_THREAD | ACCEPTS)).wrapping_add(apart) % limits::THREADS)
}

#[inline(never)]
fn note(id: u32, entry: Recent) {
    let Some(thread) = slot(id) else { return };
    // SAFETY: a live map value. Threads that share the slot at that moment notice by the thread's id. The helper has no
    // preconditions.
    unsafe {
        let thread = &mut *thread;
        if thread.tid != id {
            *thread = Thread { tid: id, ..Thread::EMPTY };
        }
        thread.current = 0;
        thread.upstream = 0;
        thread.turn = thread.turn.wrapping_add(thread.has_opened);
        thread.has_opened = 0;
        // What is read in several parts takes one entry.
        let before = thread.next.wrapping_sub(1) as usize % limits::THREAD_EDGES;
        let at = if thread.recent[before].front & !BITS == entry.front & !BITS {
            before
        } else {
            thread.next = thread.next.wrapping_add(1);
            thread.next.wrapping_sub(1) as usize % limits::THREAD_EDGES
        };
        thread.recent[at] = Recent { read: bpf_jiffies64() as u32, turn: thread.turn, ..entry };
    }
    if id & (ANY_THREAD | ACCEPTS) == 0 {
        note_running(id);
    }
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
fn state(entry: &Recent, tgid: u32) -> u32 {
    let front = entry.front;
    if front & STRANGER != 0 {
        let sock = RawSock(front & !BITS);
        let is_read = front & ACCEPTED != 0 && sock.copied_seq() != entry.copied;
        let is_over = is_read || sock.write_seq() != entry.written || sock.state() != Some(ESTABLISHED);
        return match front & IS_SERVED {
            _ if is_over => OVER,
            0 => WAITS,
            _ => SERVED_ALREADY,
        };
    }
    if front & OPAQUE != 0 && RawSock(front & !BITS).write_seq() != entry.written {
        return OVER;
    }
    let waits = waits(front, tgid);
    if waits.opened_ns == 0 {
        return OVER;
    }
    match upstreams::served_by_pair(front & !BITS, waits.opened_ns) {
        Pair::None => {}
        Pair::Stands => return OVER,
        Pair::Failed => return WAITS,
    }
    if upstreams::served(front & !BITS, waits.opened_ns, waits.number).is_some() { SERVED_ALREADY } else { WAITS }
}

/// The exchange for which this process owes a response on this connection, by an entry's key with its bits.
#[inline(always)]
fn waits(front: u64, tgid: u32) -> Waits {
    let key = front & !BITS;
    if front & (ACCEPTED | OPAQUE) == 0 {
        return upstreams::waits(key, tgid);
    }
    let none = Waits { opened_ns: 0, number: 0 };
    let Some(conn) = connections::get(key) else { return none };
    // SAFETY: a live map value.
    let conn = unsafe { &*conn };
    let is_current = if front & ACCEPTED != 0 { conn.turns == 0 } else { conn.owner == tgid };
    if is_current && conn.flags & (conn_flags::ORIGIN_FIN | conn_flags::ABORTED) == 0 {
        return Waits { opened_ns: conn.opened_ns.max(1), number: conn.exchanges };
    }
    none
}

/// Finds the exchange that the current thread opens this upstream connection for, and ties the two; or else the
/// connection that the thread has accepted and not read from. If another thread of the process has accepted it, that is
/// a guess.
#[inline(never)]
pub fn open(upstream: *mut Upstream) {
    let tid = tid();
    let known = serve(upstream, tid);
    // SAFETY: a live map value.
    let upstream = unsafe { &mut *upstream };
    let (mut seen, mut guessed) = (known, 0);
    if seen == 0 {
        seen = work_of_thread(tid | ACCEPTS, upstream.owner);
    }
    if seen == 0 {
        guessed = upstream_flags::AMBIGUOUS;
        seen = work_of_thread(upstream.owner | ANY_THREAD, upstream.owner);
    }
    if seen & UNSURE != 0 {
        guessed = upstream_flags::AMBIGUOUS;
    }
    if known == 0 && seen & (ACCEPTED | STRANGER) == ACCEPTED {
        let waits = waits(seen, upstream.owner);
        if waits.opened_ns != 0 {
            upstream.flags |= upstream_flags::PAIRED | guessed;
            tie(upstream, seen & !BITS, &waits);
        }
    } else if seen != 0 && upstream.front == 0 {
        upstream.flags |= upstream_flags::APART;
    }
}

/// The first `len` bytes are sent on an upstream connection that was opened before it was known for whom, or as a pair.
/// A proxy that passes bytes on has just read as many: that shows whom it serves.
#[inline(never)]
pub fn first_bytes(upstream: *mut Upstream, tid: u32, len: u32) {
    // SAFETY: a live map value.
    let upstream = unsafe { &mut *upstream };
    let seen = work_of_thread(tid, upstream.owner);
    let (front, pair) = (seen & !BITS, upstream.front);
    if front != 0 && front != pair && seen & (STRANGER | UNSURE) == 0 && read_last(front) == len {
        let waits = waits(seen & !UNSURE, upstream.owner);
        if waits.opened_ns != 0 {
            upstream.flags = upstream.flags & !upstream_flags::AMBIGUOUS | upstream_flags::PAIRED;
            return tie(upstream, front, &waits);
        }
    }
    let ahead = len.wrapping_sub(read_last(pair));
    let is_exact = ahead == 0 && front == pair;
    let is_guess = upstream.flags & upstream_flags::AMBIGUOUS != 0;
    if pair != 0 && (is_exact || !is_guess && ahead <= MOST_AHEAD) {
        upstream.flags &= !upstream_flags::AMBIGUOUS;
        return serve_on(upstream);
    }
    upstream.front = 0;
    upstream.flags &= !(upstream_flags::PAIRED | upstream_flags::AMBIGUOUS);
}

/// Bytes that the process has read from this edge connection since it last wrote to it.
#[inline(always)]
fn read_last(front: u64) -> u32 {
    // SAFETY: a live map value.
    connections::get(front).map_or(0, |conn| unsafe { (*conn).copied.wrapping_sub((*conn).turn_copied) })
}

/// Finds the exchange that this thread of its owner opens, or uses, this upstream connection for, and ties the two.
/// Returns what the thread is at work for, or 0.
#[inline(never)]
pub fn serve(upstream: *mut Upstream, tid: u32) -> u64 {
    // SAFETY: a live map value.
    let upstream = unsafe { &mut *upstream };
    let seen = work_of_thread(tid, upstream.owner);
    let waits = waits(seen & !UNSURE, upstream.owner);
    if seen & STRANGER == 0 && waits.opened_ns != 0 {
        if seen & UNSURE != 0 {
            upstream.flags |= upstream_flags::AMBIGUOUS;
        }
        tie(upstream, seen & !BITS, &waits);
    }
    seen
}

/// Ties an upstream connection to the exchange that has begun on the connection of which it is the pair.
#[inline(never)]
pub fn serve_on(upstream: &mut Upstream) {
    let Some(conn) = connections::get(upstream.front) else { return };
    // SAFETY: a live map value.
    let waits = unsafe { Waits { opened_ns: (*conn).opened_ns.max(1), number: (*conn).exchanges } };
    let Some(served) = SERVED.get_ptr(&upstream.front) else { return };
    // SAFETY: a live map value.
    if unsafe { (*served).opened_ns == waits.opened_ns && (*served).upstream == upstream.key } {
        tie(upstream, upstream.front, &waits);
    }
}

#[inline(always)]
fn tie(upstream: &mut Upstream, front: u64, waits: &Waits) {
    let tries = match SERVED.get_ptr(&front) {
        // SAFETY: a live map value.
        Some(before) => unsafe { tries_with(&*before, upstream.key, waits) },
        None => 1,
    };
    upstream.front = front;
    upstream.exchange = waits.number;
    let Some(tying) = TYING.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot of a live map value.
    let tying = unsafe { &mut *tying };
    tying.upstream = upstream.key;
    tying.opened_ns = waits.opened_ns;
    tying.exchange = waits.number;
    tying.tries = tries;
    let _evicts_when_full = SERVED.insert(&front, tying, 0);
}

/// How many upstream connections were opened or used for this exchange, with this one (`key`). What served an earlier
/// one, or failed before this try, is forgotten, unless it is this one once more.
#[inline(always)]
fn tries_with(before: &Served, key: u64, waits: &Waits) -> u32 {
    let is_same = before.upstream == key;
    if !is_same {
        upstreams::forget_closed(before.upstream);
    }
    if before.opened_ns == waits.opened_ns && before.exchange == waits.number {
        before.tries + u32::from(!is_same)
    } else {
        1
    }
}

// Without a mangled name it is a "global function" to the kernel: the verifier checks it once, apart from its callers.

/// The connection whose exchange this thread (or any of a process) is at work for: its key, with bits. 0: none is
/// known.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn work_of_thread(id: u32, tgid: u32) -> u64 {
    let Some(thread) = slot(id) else { return 0 };
    // SAFETY: a live map value. The helper has no preconditions.
    let (thread, now) = unsafe { (&mut *thread, bpf_jiffies64() as u32) };
    if id == 0 || thread.tid != id {
        return 0;
    }
    thread.has_opened = 1;
    let current = thread.current;
    if current == STRANGER || current != 0 && upstreams::waits(current, tgid).opened_ns != 0 {
        return current;
    }
    // Of what was read: the latest, and the oldest of this turn that waits. The same of what was only accepted.
    let (mut oldest, mut latest, mut at, mut waiting) = (0, 0, 0, 0_u32);
    let (mut first, mut last, mut accepted) = (0, 0, 0_u32);
    for back in 0..limits::THREAD_EDGES {
        let place = (thread.next as usize).wrapping_sub(1 + back) % limits::THREAD_EDGES;
        let entry = &thread.recent[place];
        let front = entry.front;
        let state = if front == 0 { OVER } else { state(entry, tgid) };
        let in_turn = state == WAITS && entry.turn == thread.turn && now.wrapping_sub(entry.read) <= TURN;
        if front & ACCEPTED != 0 {
            if state == WAITS {
                last = if last == 0 { front } else { last };
                first = if in_turn { front } else { first };
                accepted += 1;
            }
            continue;
        }
        let is_latest = latest == 0 && state != OVER;
        if is_latest {
            latest = front;
        }
        if in_turn && (is_latest || front & HAS_BODY == 0) {
            oldest = front;
            at = place;
            waiting += 1;
        }
    }
    if oldest & STRANGER != 0 {
        thread.recent[at % limits::THREAD_EDGES].front |= IS_SERVED;
    }
    let unsure = |count: u32| if count > 1 { UNSURE } else { 0 };
    if oldest != 0 {
        oldest & !HAS_BODY | unsure(waiting)
    } else if latest != 0 {
        latest & !HAS_BODY
    } else {
        let front = if first != 0 { first } else { last };
        if front == 0 { 0 } else { front | unsure(accepted) }
    }
}
