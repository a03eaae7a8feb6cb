//! A process reads from a connection: who owns it, and where a request's bytes end.
//!
//! `tcp_rcv_space_adjust(struct sock *sk)`, 5.10 to 7.2; runs in the reader's context on every path that takes data
//! (recv, read, splice, peek): <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/tcp.h>

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, programs::BtfTracePointContext};
use tracer_common::{Conn, conn_flags as flag, limits, origin_flags as origin, twins::READ};

use crate::{
    kernel::sock::{Identity, Sock},
    tables::{connections, counters::count_exchange, maps::TURNS, processes::own, twins::Place},
};

#[inline(always)]
pub fn rcv_space_adjust(ctx: &BtfTracePointContext, place: Place) {
    let Some(sk) = Sock::new(ctx.arg(0)) else { return };
    place.note_run(READ, sk.key());
    let Some(conn) = connections::of(sk) else { return };
    // SAFETY: a live map value; the reader holds the socket's lock.
    let conn = unsafe { &mut *conn };
    let Some(tcp) = sk.tcp() else { return };
    let copied = tcp.copied_seq();
    // A peek, or the end of a splice: no progress.
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
        // Where requests can't be seen to begin, a turn is the next one.
        if conn.flags & (flag::HTTP | flag::REPORTED) == flag::REPORTED {
            conn.flags &= !flag::REPORTED;
        }
    }
    // What is read after the origin's own FIN is only drained.
    if conn.flags & (flag::HTTP | flag::ORIGIN_FIN) == 0 && conn.origin_flags & origin::COUNTED == 0 {
        begin_opaque(conn);
    }
    conn.copied = copied;
    conn.read_ns = tcp.clock();
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if tgid != conn.owner {
        own(conn, tgid);
    }
    if turn && let Some(count) = TURNS.get_ptr_mut(tgid % limits::TURNS) {
        // SAFETY: a live map value; two threads may count as one, which is a change all the same.
        unsafe { *count += 1 }
    }
}

/// A new inbound turn on a connection whose bytes can't be read counts as an exchange; a TLS handshake does not.
#[inline(always)]
fn begin_opaque(conn: &mut Conn) {
    if conn.flags & (flag::TLS | flag::TLS_DATA) != flag::TLS {
        conn.origin_flags |= origin::COUNTED;
        count_exchange(conn);
    }
}
