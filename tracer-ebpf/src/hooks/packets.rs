//! Packets between edge and origin, at the root cgroup: hands their bytes to `exchange`, and packets that reach a
//! listener to `missing`.
//!
//! `cgroup_skb` on the root cgroup, 5.10 to 7.2. A packet begins at its network header here; it is let through in any
//! case.

use aya_ebpf::programs::SkBuffContext;
use tracer_common::{Conn, conn_flags as flag, origin_flags as origin, rst, tcp_state::LISTEN, triggers};

use crate::{
    conn::kept::held_back_was_sent,
    emit,
    exchange::{
        early::keep_early_data,
        handover::hand_over,
        origin_error, records,
        request::{after_fin, begin_request, heads_if_answered, keep_request, next_request, replace_request},
        response::keep_response,
        sealed, sealed_answer,
        sniff::{looks_like_request, packet_may_be_request},
        trail,
    },
    kernel::sock::{Identity as _, PacketSock, TcpSock},
    missing::{answers, attempts},
    parse::verifier::unknown,
    tables::{
        connections, heads,
        keys::{may_be_logged, note_hello, sight},
        maps::{TRAIL_IN, TRAIL_OUT},
    },
    upstream::tcp,
    wire::packet::{Packet, Payload, packet, read as read_packet},
};

/// A packet is about to reach a socket.
#[inline(always)]
pub fn ingress(ctx: &SkBuffContext) {
    let Some(sk) = PacketSock::of(ctx) else { return };
    let listens = sk.state() == u32::from(LISTEN);
    let payload = match packet(ctx) {
        Packet::Payload(payload) => payload,
        // A bare acknowledgement on a connection: not even the connection is looked up.
        Packet::Empty { .. } if !listens => return,
        Packet::Empty { .. } => {
            let Some(tcp) = sk.tcp() else { return };
            return attempts::at_listener(ctx, &tcp);
        }
        Packet::Other => return,
    };
    let Some(conn) = connections::of(sk) else {
        if listens && let Some(tcp) = sk.tcp() {
            attempts::at_listener(ctx, &tcp);
            keep_early_data(ctx, &payload);
        } else {
            tcp::receives(ctx, sk.key(), &payload);
        }
        return;
    };
    let Some(tcp) = sk.tcp() else { return };
    // SAFETY: map values stay valid while a program runs, and the packets of one connection come one after the other.
    let state = unsafe { &mut *conn };
    let trigger = keep(ctx, state, &payload, &tcp);
    if sight() && trigger == 0 && state.flags & flag::SEALED != 0 && state.flags & flag::TRAILED != 0 {
        hand_over(ctx, &payload, 0, false, &TRAIL_IN);
    }
    if trigger != 0 {
        emit::conn(conn, trigger, rst::UNKNOWN);
    }
}

/// Keeps of a packet on a connection what is to be kept. Returns the trigger of a record, or 0.
#[inline(always)]
fn keep(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, tcp: &TcpSock) -> u32 {
    let before = conn.flags;
    let first_data = if conn.flags & flag::TLS != 0 { records::follow(ctx, conn, payload) } else { records::NONE };
    if !before & conn.flags & flag::CLOSE_NOTIFY != 0 {
        conn.note_close_notify(tcp.write_seq());
    }
    if sight() && !before & conn.flags & flag::FINISHED != 0 {
        trail::begin(conn);
    }
    if sight()
        && conn.flags & (flag::TLS_DATA | flag::ORIGIN_FIN) == flag::TLS_DATA
        && (conn.keyed != 0 || first_data != records::NONE && may_be_logged(conn))
    {
        let is_new = payload.seq.wrapping_sub(tcp.rcv_nxt()) < 1 << 31;
        sealed::keep_request(ctx, conn, payload, tcp, first_data, is_new);
        return 0;
    }
    // After the first exchange nothing more can be learned from the bytes of TLS.
    if conn.flags & flag::TLS_DATA != 0 && conn.exchanges > 1 && conn.flags & flag::ORIGIN_FIN == 0 {
        heads::release(conn);
        return 0;
    }
    // Bytes that the socket has received already (a retransmission) do not begin a request.
    let is_new = payload.seq.wrapping_sub(tcp.rcv_nxt()) < 1 << 31;
    if is_new && let Some(heads) = heads_if_answered(conn, tcp) {
        replace_request(ctx, conn, heads, payload, tcp);
        return 0;
    }
    // The first four bytes; 0 if there are fewer.
    let word: u32 = read_packet(ctx, payload.offset).unwrap_or(0);
    if conn.flags & flag::ORIGIN_FIN != 0 {
        return if is_new && after_fin(ctx, conn, payload, word) { triggers::LATE } else { 0 };
    }
    if conn.flags & flag::SNIFFED == 0 {
        if conn.request_len == 0 {
            begin_request(conn, payload.seq, tcp);
        }
    } else if is_new && looks_like_request(word) && conn.flags & flag::TLS == 0 {
        next_request(conn, payload, tcp, word);
    } else if conn.flags & flag::TLS != 0 && word.to_ne_bytes()[0] != 0x16 && packet_may_be_request(conn, payload) {
        // Application data, or the rest of the edge's handshake followed by a request.
        conn.flags |= flag::TLS_DATA;
    }
    let is_first = conn.flags & flag::SNIFFED == 0;
    keep_request(ctx, conn, payload, word);
    if sight() && is_first {
        note_hello(conn);
    }
    0
}

/// A socket sends a packet.
#[inline(always)]
pub fn egress(ctx: &SkBuffContext) {
    let Some(sk) = PacketSock::of(ctx) else { return };
    let payload = match packet(ctx) {
        Packet::Payload(payload) => payload,
        Packet::Empty { fin: false } => return,
        Packet::Empty { fin: true } => return closes(sk),
        Packet::Other => return answers::keep_icmp_error(ctx),
    };
    let Some(conn) = connections::of(sk) else { return tcp::sends(sk.key(), &payload) };
    // SAFETY: map values stay valid while a program runs, and the socket sends the packets of one connection one
    // after the other.
    let state = unsafe { &mut *conn };
    let said_before = unknown(state.response_len.into());
    let mut answers = false;
    if sight() && state.flags & flag::SEALED != 0 {
        answers = sealed::keep_response(ctx, state, &payload);
    } else {
        keep_response(ctx, sk, state, &payload);
    }
    if state.origin_flags & origin::ERROR != 0 {
        origin_error::follow(conn);
    }
    let mut trigger = 0;
    // The origin has closed, and its response was not judged because some of it was still unsent.
    if state.origin_flags & origin::PENDING != 0
        && let Some(tcp) = sk.tcp()
        && held_back_was_sent(tcp, state, payload.seq.wrapping_add(payload.len))
    {
        trigger = triggers::FIN;
    }
    let answers_hello = said_before == 0 && state.flags & (flag::TLS | flag::TLS_DATA) == flag::TLS;
    if sight() && (answers_hello || state.flags & flag::TRAILED != 0) {
        hand_over(ctx, &payload, trigger, answers, &TRAIL_OUT);
    }
    if sight() && answers {
        sealed_answer::look(conn, payload.len);
    }
    if trigger != 0 {
        emit::conn(conn, trigger, rst::UNKNOWN);
    }
}

/// The FIN of a socket goes out: it may complete an answer of 5xx that nothing else ends.
#[inline(always)]
fn closes(sk: PacketSock) {
    if let Some(conn) = connections::of(sk)
        // SAFETY: a live map value.
        && unsafe { (*conn).origin_flags } & origin::ERROR != 0
    {
        origin_error::follow(conn);
    }
}
