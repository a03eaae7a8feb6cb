//! Copies the state of a connection's socket (bytes, times, queues, error) into [`Conn::close`], from which all
//! judgements are made. The kernel resets some of it when a socket closes, so the copy is made before that.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};
use tracer_common::{Close, Conn, Task};

use crate::{
    kernel::{
        look::{Look, RawSock, TypedSock},
        sock::{Sock, TcpSock},
    },
    tables::{counters::turns, processes},
};

/// Copies the socket's state into [`Conn::close`], with `now` as its time. At a close it must run before the kernel
/// resets the socket's counters.
#[inline(always)]
pub fn snapshot(sock: &impl Look, conn: &mut Conn, now: u64) {
    let write_seq = sock.write_seq();
    // SAFETY: the helper takes no arguments and has no preconditions.
    let jiffies = unsafe { bpf_jiffies64() as u32 };
    let mut unread = sock.rcv_nxt().wrapping_sub(sock.copied_seq());
    // The peer's FIN takes a sequence number, but is not a byte to read.
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
        unused: 0,
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
        retransmits: 0,
        stuck_jiffies: 0,
    };
}

/// Adds to the snapshot that was just made whether the edge acknowledges what is sent to it.
///
/// For how long it has not: the timer has fired `n` times, after one `rto`, two, four and so on, each time doubling
/// `rto`. Its next run is `rto` after its last one, which sent data. So `rto - (rto >> n)` had passed at that last
/// sending. It may have been longer: a timer is also restarted by other sendings, and `rto` has an upper bound.
///
/// An edge whose window is shut is slow, and its window is probed, for which `n` stays 0. It may also have shut the
/// window behind data that was under way already.
#[inline(always)]
pub fn add_retransmissions(sock: &impl Look, conn: &mut Conn) {
    let close = &mut conn.close;
    if close.unacked == 0 {
        return;
    }
    close.retransmits = sock.retransmits();
    if close.retransmits == 0 || sock.snd_wnd() == 0 {
        return;
    }
    let rto = sock.rto();
    let first = rto.wrapping_shr(u32::from(close.retransmits).min(31));
    close.stuck_jiffies = rto.wrapping_sub(first).wrapping_add(close.sent_jiffies_ago);
}

/// The same at a change of state from `old` to `new`, with the task that causes it: the current one.
#[inline(always)]
pub fn snapshot_at_close(sk: Sock, tcp: TcpSock, conn: &mut Conn, old: u8, new: u8) {
    // SAFETY: the helper takes no arguments and has no preconditions.
    snapshot(&TypedSock { sk, tcp }, conn, unsafe { bpf_ktime_get_ns() });
    conn.close.old_state = old;
    conn.close.new_state = new;
    conn.closer = processes::closer(conn);
    conn.close.closer_turns = turns(conn.closer.tgid);
}

/// The same for an open connection of whose socket only the address is known. Returns the socket's TCP state; `None`:
/// its memory cannot be read.
#[inline(always)]
pub fn snapshot_by_address(sock: RawSock, conn: &mut Conn) -> Option<u8> {
    let state = sock.state()?;
    // SAFETY: the helper takes no arguments and has no preconditions.
    snapshot(&sock, conn, unsafe { bpf_ktime_get_ns() });
    add_retransmissions(&sock, conn);
    conn.close.old_state = state;
    conn.close.new_state = state;
    conn.closer = Task::default();
    Some(state)
}
