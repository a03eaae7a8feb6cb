//! The life of an edge connection: opened, closed by whom and how.
//!
//! `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, 5.10 to 7.2:
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/sock.h>

use aya_ebpf::{
    helpers::{bpf_jiffies64, bpf_ktime_get_ns},
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use tracer_common::{
    Close, Config, Conn, Task, conn_flags as flag, is_v4_mapped, limits, lost, origin_flags as origin, pf, rst,
    triggers, twins::SET_STATE,
};

use crate::{
    conns, edge, emit, heads,
    hooks::{
        attempts,
        head::{self, Verdict},
        payload, read,
    },
    kernel::{Identity, Look, RawSock, Sock, TcpSock, TypedSock},
    maps::{BLANK, CLOSED, CONFIG, LOST, PORT_COUNTS, count, port_slot},
    process,
    twins::{self, Place},
};

pub const ESTABLISHED: u8 = 1;
const SYN_RECV: u8 = 3;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
pub const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const LISTEN: u8 = 10;
const CLOSING: u8 = 11;

/// `sk_err` of a connection that a tool destroyed (`ss -K`).
pub const ECONNABORTED: u32 = 103;

/// What a change of state comes to: a record to make (0: none), and whether the connection leaves the table.
struct Outcome {
    trigger: u32,
    gone: bool,
}

const STAYS: Outcome = Outcome { trigger: 0, gone: false };
const GOES: Outcome = Outcome { trigger: 0, gone: true };

#[inline(always)]
pub fn set_state(ctx: &BtfTracePointContext, place: Place) {
    let old = ctx.arg::<i32>(1) as u8;
    let new = ctx.arg::<i32>(2) as u8;
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    if place.note_run(SET_STATE, sk.key()) && twins::run_together() {
        return;
    }
    match (old, new) {
        (SYN_RECV, ESTABLISHED) => return open(ctx, sk, place),
        (CLOSE, LISTEN) => return process::listens(sk.listener()),
        (ESTABLISHED, CLOSE_WAIT | FIN_WAIT1 | CLOSE) => {}
        (FIN_WAIT1 | FIN_WAIT2 | CLOSING | CLOSE_WAIT | LAST_ACK, CLOSE) => {}
        _ => return,
    }
    let Some(conn) = conns::of(sk) else { return };
    // SAFETY: a live map value; the socket is locked, so that nobody else changes its state.
    let state = unsafe { &mut *conn };
    let left = flag::ORIGIN_FIN | flag::PEER_FIN | flag::ABORTED;
    if place == Place::Second && old == ESTABLISHED && state.flags & left != 0 {
        return;
    }
    let outcome = match (old, new) {
        (ESTABLISHED, CLOSE_WAIT) => Outcome { trigger: edge_leaves(sk, state, triggers::EDGE_FIN), gone: false },
        (ESTABLISHED, FIN_WAIT1) => Outcome { trigger: finish(sk, state, old, new), gone: false },
        (ESTABLISHED, _) => abort(sk, state, old, new),
        (FIN_WAIT1 | FIN_WAIT2 | CLOSING, _) => {
            // Set then already, unless a packet that came at that very moment, on another CPU, has undone it.
            if state.close.new_state == FIN_WAIT1 {
                state.flags |= flag::ORIGIN_FIN;
            }
            // After the peer's FIN no request can be on its way.
            if !sk.peer_is_done() {
                retire(state);
            }
            GOES
        }
        _ => GOES,
    };
    if outcome.trigger != 0 {
        emit::conn(conn, outcome.trigger, rst::UNKNOWN);
    }
    if new == CLOSE_WAIT {
        state.flags |= flag::PEER_FIN;
    }
    if outcome.gone {
        forget(sk.key(), conn);
    }
}

/// A connection that the peer opened is established: watched from here on if the peer is an edge.
#[inline(always)]
fn open(ctx: &BtfTracePointContext, sk: Sock, place: Place) {
    let peer = sk.peer_addr();
    if !edge::is_edge(&peer) || !edge::is_watched(sk.local_port()) || !sk.is_tcp() {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    // SAFETY: a live map value. An entry that a lost close left behind is of other numbers.
    let is_known =
        |conn: *mut Conn| unsafe { (*conn).copied == tcp.copied_seq() && (*conn).written == tcp.write_seq() };
    if let Some(known) = conns::get(sk.key()) {
        if place == Place::Second && is_known(known) {
            return;
        }
        // Its end went unseen.
        forget(sk.key(), known);
    }
    let Some(blank) = BLANK.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot; the softirq that opens connections is not interrupted by another opening one.
    let conn = unsafe { &mut *blank };
    conn.tuple = sk.tuple(peer);
    // SAFETY: the helper has no preconditions.
    conn.opened_ns = unsafe { bpf_ktime_get_ns() };
    conn.key = sk.key();
    conn.peer = sk.peer();
    conn.heads = 0;
    conn.flags = 0;
    conn.read_ns = 0;
    conn.copied = tcp.copied_seq();
    conn.turn_copied = conn.copied;
    conn.written = tcp.write_seq();
    conn.inode = 0;
    conn.port_slot = port_slot(conn.tuple.local_port);
    if insert(sk.key(), conn) {
        payload::early(&tcp);
        attempts::answered(&conn.tuple, conn.copied, conn.opened_ns);
        debug!(ctx, "watching a connection to port {}", conn.tuple.local_port);
    } else {
        debug!(ctx, "the table of connections is full: one to port {} stays unknown", conn.tuple.local_port);
    }
}

/// Puts a filled-in connection into the table and counts it. `false`: the table is full.
#[inline(always)]
pub fn insert(key: u64, conn: &Conn) -> bool {
    if !conns::insert(key, conn) {
        count(&LOST, lost::CONNECTIONS);
        return false;
    }
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(conn.port_slot) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe {
            if is_v4_mapped(&conn.tuple.peer_addr) {
                (*counts).connections_ipv4 += 1;
            } else {
                (*counts).connections_ipv6 += 1;
            }
        }
    }
    true
}

/// Drops the connection from the table.
#[inline(always)]
pub fn forget(key: u64, conn: *mut Conn) {
    // SAFETY: a live map value.
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(unsafe { (*conn).port_slot }) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe { (*counts).closed += 1 }
    }
    // SAFETY: as above.
    heads::release(unsafe { &mut *conn });
    conns::remove(key);
}

/// Writes down how the connection stands. At a close it must run before the kernel resets the counters.
#[inline(always)]
fn stand(sock: &impl Look, conn: &mut Conn, now: u64) {
    let write_seq = sock.write_seq();
    // SAFETY: the helper has no preconditions.
    let jiffies = unsafe { bpf_jiffies64() as u32 };
    let mut unread = sock.rcv_nxt().wrapping_sub(sock.copied_seq());
    // The peer's FIN takes a number, too.
    if unread > 0 && sock.peer_is_done() {
        unread -= 1;
    }
    let response_seq = if conn.is_awaited() { conn.answer_from() } else { conn.response_seq };
    conn.close = Close {
        time_ns: now,
        bytes_received: sock.bytes_received(),
        bytes_sent: sock.bytes_sent(),
        unread,
        since_read: write_seq.wrapping_sub(conn.written),
        turn_in: conn.copied.wrapping_sub(conn.turn_copied).wrapping_add(unread),
        response_bytes: write_seq.wrapping_sub(response_seq),
        received_jiffies_ago: jiffies.wrapping_sub(sock.lrcvtime()),
        sent_jiffies_ago: jiffies.wrapping_sub(sock.lsndtime()),
        err: sock.err(),
        closer_turns: 0,
        unacked: write_seq.wrapping_sub(sock.snd_una()),
        window: sock.window(),
        old_state: 0,
        new_state: 0,
        accepted: u8::from(sock.accepted()),
        pad: [0; 5],
    };
}

/// The same, with the task that closes it: the current one.
#[inline(always)]
fn stand_closed(sk: Sock, tcp: TcpSock, conn: &mut Conn, old: u8, new: u8) {
    // SAFETY: the helper has no preconditions.
    stand(&TypedSock { sk, tcp }, conn, unsafe { bpf_ktime_get_ns() });
    conn.close.old_state = old;
    conn.close.new_state = new;
    conn.closer = process::closer(conn);
    conn.close.closer_turns = read::turns(conn.closer.tgid);
}

/// Looks at an open connection whose socket is known by address. `None`: it can't be read.
#[inline(always)]
pub fn look(sock: RawSock, conn: &mut Conn) -> Option<u8> {
    let state = sock.state()?;
    // SAFETY: the helper has no preconditions.
    stand(&sock, conn, unsafe { bpf_ktime_get_ns() });
    conn.close.old_state = state;
    conn.close.new_state = state;
    conn.closer = Task::default();
    Some(state)
}

/// Whether a request is in hand that no response byte answers.
#[inline(always)]
fn unanswered(conn: &Conn) -> bool {
    let close = &conn.close;
    if close.bytes_received == 0 && conn.flags & flag::SEEDED == 0 {
        return false;
    }
    if conn.flags & flag::HTTP != 0 {
        return close.response_bytes == 0 && conn.flags & flag::INTERIM == 0;
    }
    close.unread > 0
        || (close.since_read == 0 && close.turn_in >= limits::MIN_OPAQUE_REQUEST)
        || (close.since_read == 0 && conn.flags & flag::SEEDED != 0)
        || conn.flags & flag::TLS != 0
            && (conn.exchanges == 0 || conn.exchanges == 1 && close.since_read <= limits::MAX_TLS_ALERT)
}

/// Whether the closing process is ending with an exchange in hand.
#[inline(always)]
fn process_ends(conn: &Conn) -> bool {
    conn.closer.flags & pf::EXITING != 0 && conn.exchanges > 0
}

/// What is to be thought of the response that has begun, `total` bytes long, on a connection that speaks HTTP.
#[inline(always)]
fn response(conn: &Conn, header_limit: u32, total: u32) -> Verdict {
    // Written, and not on its way yet; or the rest of an earlier one.
    if conn.is_awaited() {
        return Verdict::Unknown;
    }
    if conn.head_len > header_limit {
        return Verdict::Odd;
    }
    if conn.heads == 0 {
        return Verdict::Unknown;
    }
    head::judge(conn, conn.flags, total)
}

/// Whether some of what the origin has written has not been on its way to the edge.
#[inline(always)]
const fn is_held_back(conn: &Conn) -> bool {
    conn.is_awaited() || conn.response_len < conn.close.response_bytes
}

/// Whether a request follows the first one of those that came together: the response to it has not begun.
#[inline(always)]
fn more_requests(conn: &Conn) -> bool {
    if conn.flags & flag::PIPELINED != 0 {
        return true;
    }
    if conn.flags & flag::BODYLESS == 0 || conn.heads == 0 {
        return false;
    }
    let end = head::first_request_end(conn.heads, conn.request_have.min(limits::REQUEST_LEN as u32));
    end != 0 && conn.request_len > end
}

#[inline(always)]
fn header_limit() -> u32 {
    CONFIG.get(0).map_or(u32::MAX, |config| config.header_limit)
}

/// ESTABLISHED → FIN_WAIT1, in the closing task: the origin sends FIN first. Gives the trigger of a record, or 0.
#[inline(always)]
fn finish(sk: Sock, conn: &mut Conn, old: u8, new: u8) -> u32 {
    let Some(tcp) = sk.tcp() else { return 0 };
    stand_closed(sk, tcp, conn, old, new);
    conn.flags |= flag::ORIGIN_FIN;
    attempts::passed(&conn.tuple, conn.close.time_ns);
    let tell = if conn.flags & flag::REPORTED != 0 {
        // The request was told when the edge's timeout passed.
        false
    } else if unanswered(conn) {
        true
    } else if conn.flags & flag::HTTP != 0 && conn.exchanges > 0 {
        let verdict = response(conn, header_limit(), conn.close.response_bytes);
        // Nagle's algorithm, or the edge's window: the rest goes out with the FIN, or later.
        let open = verdict == Verdict::Unknown || verdict == Verdict::Cut && conn.origin_flags & origin::IN_HEAD != 0;
        if open && is_held_back(conn) {
            conn.origin_flags |= origin::PENDING;
            return 0;
        }
        is_failure(conn, verdict)
    } else {
        process_ends(conn)
    };
    if tell { triggers::FIN } else { 0 }
}

/// Whether a FIN behind such a response fails a request.
#[inline(always)]
fn is_failure(conn: &Conn, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Cut | Verdict::Odd => true,
        Verdict::Whole => more_requests(conn),
        Verdict::UntilClose | Verdict::Unknown => process_ends(conn),
    }
}

/// What was held back when the origin closed is on its way, up to this sequence number: with the last of it the response is
/// judged. Gives whether a request has failed.
#[inline(always)]
pub fn sent(tcp: TcpSock, conn: &mut Conn, up_to: u32) -> bool {
    // The FIN takes a number, too.
    if tcp.write_seq().wrapping_sub(up_to) > 1 {
        return false;
    }
    conn.origin_flags &= !origin::PENDING;
    conn.flags & flag::REPORTED == 0 && is_failure(conn, response(conn, header_limit(), conn.close.response_bytes))
}

/// What the edge still waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    Nothing,
    /// Something, for less than its timeout.
    Something,
    /// Something, for too long; or it leaves because of what it got.
    Late,
}

/// What an edge waits for that is `leaving`, or that is still there. [`Conn::close`] is fresh.
#[inline(always)]
pub fn owed(conn: &Conn, config: &Config, leaving: bool) -> Owed {
    let close = &conn.close;
    let after = |waited: u32, limit: u32| if waited >= limit { Owed::Late } else { Owed::Something };
    if close.bytes_received == 0 {
        return Owed::Nothing;
    }
    if close.unread > 0 && close.window == 0 && close.received_jiffies_ago >= config.write_jiffies {
        return Owed::Late;
    }
    if conn.flags & flag::HTTP != 0 {
        if unanswered(conn) {
            // What was written before has not all arrived: the edge is still busy with that.
            if close.unacked > 0 {
                return Owed::Something;
            }
            return after(close.sent_jiffies_ago.min(close.received_jiffies_ago), config.read_jiffies);
        }
        return match response(conn, config.header_limit, close.response_bytes) {
            Verdict::Odd if leaving => Owed::Late,
            // It is the edge that does not take what there is.
            Verdict::Cut if close.unacked > 0 => Owed::Something,
            // The clock of an edge that leaves may run from its request: for nearly all of that time nothing came.
            Verdict::Cut if leaving && close.sent_jiffies_ago >= config.read_jiffies - config.read_jiffies / 8 => {
                after(close.received_jiffies_ago, config.read_jiffies)
            }
            Verdict::Cut => after(close.sent_jiffies_ago.min(close.received_jiffies_ago), config.read_jiffies),
            Verdict::Odd => Owed::Something,
            Verdict::Whole | Verdict::UntilClose | Verdict::Unknown => Owed::Nothing,
        };
    }
    if conn.flags & flag::TLS != 0 && conn.exchanges == 0 {
        return if leaving { Owed::Late } else { after(close.received_jiffies_ago, config.read_jiffies) };
    }
    if conn.exchanges == 0 || close.since_read > 0 || close.turn_in < limits::MIN_OPAQUE_REQUEST {
        return Owed::Nothing;
    }
    // After the first exchange the last bytes need not be a request: only an edge that leaves just then says so.
    let just_then = close.received_jiffies_ago <= config.read_jiffies + config.read_jiffies / 8;
    if conn.exchanges == 1 || leaving && just_then {
        return after(close.received_jiffies_ago, config.read_jiffies);
    }
    Owed::Nothing
}

/// The edge leaves first, by FIN or RST, in a softirq: told if it has waited too long, or if it can't have liked what it
/// got. Gives the trigger of a record, or 0.
#[inline(always)]
pub fn edge_leaves(sk: Sock, conn: &mut Conn, trigger: u32) -> u32 {
    if conn.flags & (flag::REPORTED | flag::ORIGIN_FIN | flag::PEER_FIN) != 0 {
        return 0;
    }
    let Some(tcp) = sk.tcp() else { return 0 };
    // At once: the agent's look at connections that are overdue may be under way on another CPU.
    conn.flags |= flag::LEAVING;
    let sock = TypedSock { sk, tcp };
    stand(&sock, conn, tcp.clock());
    conn.closer = Task::default();
    let Some(config) = CONFIG.get(0) else { return 0 };
    let late = owed(conn, config, true) == Owed::Late;
    if attempts::gave_up(&conn.tuple, sk.key(), &sock, conn.close.time_ns, late) {
        conn.flags |= flag::REPORTED;
        return 0;
    }
    if late { trigger } else { 0 }
}

/// ESTABLISHED → CLOSE: reset by the peer, given up, destroyed, or about to be reset by the origin.
#[inline(always)]
fn abort(sk: Sock, conn: &mut Conn, old: u8, new: u8) -> Outcome {
    let err = sk.err();
    if err != 0 && err != ECONNABORTED {
        return GOES;
    }
    let Some(tcp) = sk.tcp() else { return STAYS };
    stand_closed(sk, tcp, conn, old, new);
    conn.flags |= flag::ABORTED;
    attempts::passed(&conn.tuple, conn.close.time_ns);
    let silent = tcp.in_repair();
    if err != ECONNABORTED && !silent {
        return STAYS;
    }
    if is_loss(conn) {
        // Destroyed by a tool: the RST went out before the state changed. In repair mode no packet tells the edge: it
        // finds out with its next one, or waits.
        return Outcome { trigger: if silent { triggers::SILENT } else { triggers::RST }, gone: true };
    }
    if silent {
        conn.flags |= flag::ORIGIN_FIN;
        retire(conn);
    }
    GOES
}

/// Whether an end without FIN loses a request or cuts its response short.
#[inline(always)]
fn is_loss(conn: &Conn) -> bool {
    // Told when the edge's timeout passed.
    if conn.flags & flag::REPORTED != 0 {
        return false;
    }
    let fresh = conn.exchanges == 0 && conn.close.time_ns.wrapping_sub(conn.opened_ns) < limits::FRESH_NS;
    if fresh || conn.close.accepted == 0 || unanswered(conn) {
        return true;
    }
    if conn.flags & flag::HTTP == 0 || conn.exchanges == 0 {
        return process_ends(conn);
    }
    // What was still to go out went with the connection.
    match response(conn, header_limit(), conn.response_len.min(conn.close.response_bytes)) {
        Verdict::Whole => more_requests(conn),
        Verdict::Unknown => process_ends(conn),
        Verdict::UntilClose | Verdict::Cut | Verdict::Odd => true,
    }
}

/// The RST that ends an aborted connection: reports it if a request was lost, and forgets it.
#[inline(always)]
pub fn reset_by_origin(key: u64, conn: *mut Conn, reason: u32) {
    // SAFETY: a live map value.
    if is_loss(unsafe { &*conn }) {
        emit::conn(conn, triggers::RST, reason);
    }
    forget(key, conn);
}

/// A connection that the origin closed leaves the table: remembered for a while, should a request have been on its way.
#[inline(always)]
fn retire(conn: &mut Conn) {
    // They serve the next connection from now on.
    heads::release(conn);
    if conn.flags & (flag::REPORTED | flag::ORIGIN_FIN | flag::UPGRADED) == flag::ORIGIN_FIN {
        let _full_is_lru = CLOSED.insert(&conn.tuple, conn, 0);
    }
}
