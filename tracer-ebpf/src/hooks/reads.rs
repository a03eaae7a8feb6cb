//! A process reads from a connection: notes which process owns it, and counts *turns*.
//!
//! A turn begins when bytes are read after bytes were written: the direction changes. Where the bytes are not HTTP
//! that can be read, each such turn inwards counts as a request.
//!
//! `tcp_rcv_space_adjust(struct sock *sk)`, 5.10 to 7.2; fires in the reading task on every path that takes data
//! (recv, read, splice, peek): <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/tcp.h>

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, programs::BtfTracePointContext};
use tracer_common::{Conn, conn_flags as flag, limits, origin_flags as origin, secret, twins::READ};

use crate::{
    exchange::sealed,
    kernel::sock::{Identity, Sock},
    tables::{
        connections,
        counters::{count, count_exchange},
        keys::{note_reader, sight},
        maps::{TLS_CONNECTIONS, TURNS},
        processes::own,
        threads,
        twins::Role,
    },
    upstream::tcp::read as upstream_read,
};

/// The current task has read from the socket.
#[inline(always)]
pub fn rcv_space_adjust(ctx: &BtfTracePointContext, role: Role) {
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    // Only for the count of stand-ins: if the first program has run, the twin finds no new bytes below and changes
    // nothing.
    role.note_run(READ, sk.key());
    let Some(conn) = connections::of(sk) else { return upstream_read(sk) };
    // SAFETY: map values stay valid while a program runs; the reader holds the socket's lock.
    let conn = unsafe { &mut *conn };
    let Some(tcp) = sk.tcp() else { return };
    let copied = tcp.copied_seq();
    // A peek, or the end of a splice: no bytes were taken.
    if copied == conn.copied {
        return;
    }
    let written = tcp.write_seq();
    let turn = written != conn.written || conn.turns == 0;
    if turn {
        conn.turns += 1;
        conn.turn_copied = conn.copied;
        conn.turn_out = written.wrapping_sub(conn.written);
        conn.written = written;
        conn.origin_flags &= !origin::COUNTED;
        // Where requests cannot be seen to begin, a turn counts as the next one, which is not reported yet.
        if conn.flags & (flag::HTTP | flag::REPORTED) == flag::REPORTED {
            conn.flags &= !flag::REPORTED;
        }
    }
    // What the process reads after its own FIN it only discards.
    if conn.flags & (flag::HTTP | flag::ORIGIN_FIN) == 0
        && conn.origin_flags & origin::COUNTED == 0
        && (!sight() || !sealed::is_handshake(conn, copied))
    {
        begin_opaque(conn);
    }
    // Where records can't be followed, a read shows how much came at once.
    if conn.flags & (flag::HTTP | flag::RECORDS) == 0 && copied.wrapping_sub(conn.copied) >= limits::MIN_OPAQUE_REQUEST
    {
        conn.request_end = copied;
    }
    if sight() && conn.flags & flag::TLS != 0 {
        sealed::was_read(conn, copied, turn);
    }
    conn.copied = copied;
    conn.read_ns = tcp.clock();
    let pid_tgid = bpf_get_current_pid_tgid();
    if sight() {
        note_reader(conn, pid_tgid);
    }
    let tgid = (pid_tgid >> 32) as u32;
    if tgid != conn.owner {
        own(conn, tgid);
    }
    threads::read_from(conn, written);
    if turn && let Some(count) = TURNS.get_ptr_mut(tgid % limits::TURNS) {
        // SAFETY: an array map's value, which is never freed. Of two threads that count at once one may get lost; the
        // number only has to change.
        unsafe { *count += 1 }
    }
}

/// Counts a turn inwards on a connection whose bytes cannot be read as an exchange, unless it is the TLS handshake.
#[inline(always)]
fn begin_opaque(conn: &mut Conn) {
    // The edge has said that it leaves, and nothing else since the last answer.
    let is_goodbye =
        conn.flags & flag::CLOSE_NOTIFY != 0 && conn.request_end.wrapping_sub(conn.turn_copied) as i32 <= 0;
    if conn.flags & (flag::TLS | flag::TLS_DATA) != flag::TLS && !is_goodbye {
        conn.origin_flags |= origin::COUNTED;
        count_exchange(conn);
        if sight() && conn.exchanges == 1 && conn.flags & flag::TLS != 0 {
            count(&TLS_CONNECTIONS, u32::from(conn.keyed & secret::ANNOUNCED != 0));
        }
    }
}
