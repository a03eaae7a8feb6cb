//! The bytes of watched connections, as far as a verdict needs them: the head of the current request and response, the
//! response's last bytes, how much of each went by. Kept in the kernel; leaves it only with a failure.
//!
//! `cgroup_skb` on the root cgroup, 5.10 to 7.2: the packet starts at its network header.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::{bpf_probe_read_kernel, bpf_skb_load_bytes},
    programs::SkBuffContext,
};
use tracer_common::{Conn, Heads, conn_flags as flag, limits, rst, triggers, v4_mapped};

use crate::{
    emit,
    hooks::{
        packet::{HEAD, Payload, copy, opaque, payload},
        read,
    },
    kernel::TcpSock,
    maps::{BLANK_HEADS, CONNS, EARLY, HEADS},
};

const LISTEN: u32 = 10;
const TAIL: u32 = limits::TAIL_LEN as u32;

/// The socket that the packet belongs to.
#[inline(always)]
fn socket(ctx: &SkBuffContext) -> Option<*mut bpf_sock> {
    // SAFETY: a field of the program's context.
    let sk = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).__bindgen_anon_2.sk };
    if sk.is_null() { None } else { Some(sk) }
}

/// How a request or a connection may begin.
#[inline(always)]
fn looks_like_request(word: u32) -> bool {
    matches!(
        word,
        GET | HEAD_
            | POST
            | PUT
            | DELETE
            | OPTIONS
            | PATCH
            | CONNECT
            | TRACE
            | PROPFIND
            | MKCOL
            | COPY
            | MOVE
            | LOCK
            | PURGE
            | REPORT
            | SEARCH
            | UNLOCK
            | QUERY
    )
}

const GET: u32 = u32::from_ne_bytes(*b"GET ");
const HEAD_: u32 = u32::from_ne_bytes(*b"HEAD");
const POST: u32 = u32::from_ne_bytes(*b"POST");
const PUT: u32 = u32::from_ne_bytes(*b"PUT ");
const DELETE: u32 = u32::from_ne_bytes(*b"DELE");
const OPTIONS: u32 = u32::from_ne_bytes(*b"OPTI");
const PATCH: u32 = u32::from_ne_bytes(*b"PATC");
const CONNECT: u32 = u32::from_ne_bytes(*b"CONN");
const TRACE: u32 = u32::from_ne_bytes(*b"TRAC");
const PROPFIND: u32 = u32::from_ne_bytes(*b"PROP");
const MKCOL: u32 = u32::from_ne_bytes(*b"MKCO");
const COPY: u32 = u32::from_ne_bytes(*b"COPY");
const MOVE: u32 = u32::from_ne_bytes(*b"MOVE");
const LOCK: u32 = u32::from_ne_bytes(*b"LOCK");
const UNLOCK: u32 = u32::from_ne_bytes(*b"UNLO");
const PURGE: u32 = u32::from_ne_bytes(*b"PURG");
const REPORT: u32 = u32::from_ne_bytes(*b"REPO");
const SEARCH: u32 = u32::from_ne_bytes(*b"SEAR");
const QUERY: u32 = u32::from_ne_bytes(*b"QUER");

/// Bytes from the edge.
#[inline(always)]
pub fn ingress(ctx: &SkBuffContext) {
    let Some(sk) = socket(ctx) else { return };
    let Some(tcp) = TcpSock::of(sk.cast()) else { return };
    let Some(conn) = CONNS.get_ptr_mut(&tcp.key()) else {
        // SAFETY: a field that the verifier lets every program of this type read.
        if unsafe { (*sk).state } == LISTEN {
            with_handshake(ctx);
        }
        return;
    };
    let Some(payload) = payload(ctx) else { return };
    // SAFETY: a live map value; the socket's lock or owner keeps its packets in order.
    let conn = unsafe { &mut *conn };
    if conn.flags & (flag::TLS | flag::TLS_DATA) == flag::TLS | flag::TLS_DATA && conn.flags & flag::ORIGIN_FIN == 0 {
        return;
    }
    let mut word = 0_u32;
    // SAFETY: four bytes into a local; the helper checks the packet's side and leaves zero on a shorter payload.
    let _short_is_zero = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, (&raw mut word).cast(), 4) };
    // A retransmission of what was received already begins nothing.
    let is_new = payload.seq.wrapping_sub(tcp.rcv_nxt()) < 1 << 31;
    if conn.flags & flag::ORIGIN_FIN != 0 {
        if !is_new {
            return;
        }
        return late(ctx, conn, tcp.key(), &payload, word);
    }
    if conn.flags & flag::SNIFFED == 0 {
        sniff(conn, word);
        begin(conn, payload.seq, &tcp, word);
    } else if is_new && conn.flags & flag::HTTP != 0 && conn.response_len > 0 && looks_like_request(word) {
        begin(conn, payload.seq, &tcp, word);
    } else if conn.flags & flag::TLS != 0 && word.to_ne_bytes()[0] == 0x17 {
        conn.flags |= flag::TLS_DATA;
        return;
    }
    let at = payload.seq.wrapping_sub(conn.request_seq);
    if at == conn.request_have
        && at < HEAD
        && let Some(heads) = heads(conn, tcp.key())
    {
        // SAFETY: a live map value.
        conn.request_have += copy(ctx, &payload, unsafe { (*heads).request.as_mut_ptr() }, at);
    }
    let seen = at.wrapping_add(payload.len);
    if seen < 1 << 31 && seen > conn.request_len {
        conn.request_len = seen;
    }
}

/// Data came with the packet that completes a handshake (TCP_DEFER_ACCEPT, a lost ACK): the filter still sees the
/// listener. Kept until the new socket is there.
#[inline(always)]
fn with_handshake(ctx: &SkBuffContext) {
    let Some(payload) = payload(ctx) else { return };
    let Some(early) = EARLY.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot; a softirq is not interrupted by another.
    let early = unsafe { &mut *early };
    let mut ip = [0_u8; 40];
    // SAFETY: 40 bytes into a buffer of that size; the helper checks the packet's side.
    if unsafe { bpf_skb_load_bytes(ctx.as_ptr(), 0, ip.as_mut_ptr().cast(), 40) } != 0 {
        return;
    }
    let (peer, ports) = if ip[0] >> 4 == 4 {
        (v4_mapped([ip[12], ip[13], ip[14], ip[15]]), u32::from(ip[0] & 0xf) * 4)
    } else {
        let mut peer = [0; 16];
        peer.copy_from_slice(&ip[8..24]);
        (peer, 40)
    };
    let mut pair = [0_u8; 4];
    // SAFETY: as above, 4 bytes.
    if unsafe { bpf_skb_load_bytes(ctx.as_ptr(), ports, pair.as_mut_ptr().cast(), 4) } != 0 {
        return;
    }
    early.peer_addr = peer;
    early.peer_port = u16::from_be_bytes([pair[0], pair[1]]);
    early.local_port = u16::from_be_bytes([pair[2], pair[3]]);
    early.seq = payload.seq;
    early.len = payload.len;
    early.have = copy(ctx, &payload, early.head.as_mut_ptr(), 0);
}

/// A connection has opened: what came with its handshake is its first data.
#[inline(always)]
pub fn early(tcp: &TcpSock) {
    let Some(early) = EARLY.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot.
    let early = unsafe { &mut *early };
    if early.len == 0 {
        return;
    }
    let Some(conn) = CONNS.get_ptr_mut(&tcp.key()) else { return };
    // SAFETY: a live map value.
    let state = unsafe { &mut *conn };
    let same = early.peer_port == state.tuple.peer_port
        && early.local_port == state.tuple.local_port
        && early.peer_addr == state.tuple.peer_addr;
    if !same {
        return;
    }
    let word = u32::from_ne_bytes([early.head[0], early.head[1], early.head[2], early.head[3]]);
    sniff(state, word);
    begin(state, early.seq, tcp, word);
    state.request_len = early.len;
    early.len = 0;
    let Some(heads) = heads(state, tcp.key()) else { return };
    state.request_have = early.have;
    // SAFETY: a live map value; both sides have HEAD bytes.
    unsafe { bpf_probe_read_kernel((&raw mut (*heads).request).cast(), HEAD, early.head.as_ptr().cast()) };
}

/// Where the connection's first bytes are kept; made at its first ones. TLS has nothing to keep.
#[inline(always)]
fn heads(conn: &mut Conn, key: u64) -> Option<*mut Heads> {
    if conn.flags & flag::TLS != 0 {
        return None;
    }
    if conn.flags & flag::HEADS == 0 {
        let blank = BLANK_HEADS.get_ptr(0)?;
        // SAFETY: a live map value that nobody writes.
        HEADS.insert(&key, unsafe { &*blank }, 0).ok()?;
        conn.flags |= flag::HEADS;
    }
    HEADS.get_ptr_mut(&key)
}

/// What does the connection speak?
#[inline(always)]
fn sniff(conn: &mut Conn, word: u32) {
    conn.flags |= flag::SNIFFED;
    let bytes = word.to_ne_bytes();
    if bytes[0] == 0x16 && bytes[1] == 3 {
        conn.flags |= flag::TLS;
    } else if looks_like_request(word) {
        conn.flags |= flag::HTTP;
    }
}

/// A new exchange begins with this packet.
#[inline(always)]
fn begin(conn: &mut Conn, seq: u32, tcp: &TcpSock, word: u32) {
    conn.request_seq = seq;
    conn.request_len = 0;
    conn.request_have = 0;
    conn.response_seq = tcp.write_seq();
    conn.response_len = 0;
    conn.response_have = 0;
    if word == GET || word == HEAD_ {
        conn.flags |= flag::BODYLESS;
    } else {
        conn.flags &= !flag::BODYLESS;
    }
    if conn.flags & flag::HTTP != 0 {
        read::count_exchange(conn);
    }
}

/// Bytes after the origin's FIN: a request that met a closing connection, unless they still belong to the one before.
#[inline(always)]
fn late(ctx: &SkBuffContext, conn: &mut Conn, key: u64, payload: &Payload, word: u32) {
    if conn.flags & flag::REPORTED != 0 {
        return;
    }
    let request = if conn.flags & flag::HTTP != 0 || conn.flags & flag::SNIFFED == 0 && conn.exchanges == 0 {
        looks_like_request(word)
    } else {
        payload.len >= limits::MIN_OPAQUE_REQUEST
    };
    if !request {
        return;
    }
    conn.late_len = payload.len;
    conn.request_have = 0;
    if looks_like_request(word)
        && let Some(heads) = heads(conn, key)
    {
        // SAFETY: a live map value.
        conn.request_have = copy(ctx, payload, unsafe { (*heads).request.as_mut_ptr() }, 0);
    }
    emit::conn(conn, key, triggers::LATE, rst::UNKNOWN);
}

/// Bytes to the edge.
#[inline(always)]
pub fn egress(ctx: &SkBuffContext) {
    let Some(sk) = socket(ctx) else { return };
    let Some(tcp) = TcpSock::of(sk.cast()) else { return };
    let Some(conn) = CONNS.get_ptr_mut(&tcp.key()) else { return };
    // SAFETY: as in `ingress`.
    let conn = unsafe { &mut *conn };
    if conn.flags & flag::HTTP == 0 {
        return;
    }
    let Some(payload) = payload(ctx) else { return };
    // A retransmission of an earlier response is far "ahead".
    let at = payload.seq.wrapping_sub(conn.response_seq);
    let seen = at.wrapping_add(payload.len);
    if at >= 1 << 31 || seen >= 1 << 31 {
        return;
    }
    if at == conn.response_have
        && at < HEAD
        && let Some(heads) = HEADS.get_ptr_mut(&tcp.key())
    {
        // SAFETY: a live map value.
        conn.response_have += copy(ctx, &payload, unsafe { (*heads).response.as_mut_ptr() }, at);
    }
    if seen > conn.response_len {
        conn.response_len = seen;
        tail(ctx, conn, &payload);
    }
}

/// Keeps the last bytes of the response.
#[inline(always)]
fn tail(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) {
    let into = conn.response_tail.as_mut_ptr();
    if payload.len >= TAIL {
        let from = payload.offset + payload.len - TAIL;
        // SAFETY: TAIL bytes into a buffer of that size; the helper checks the packet's side.
        let _zero_on_fault = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), from, into.cast(), TAIL) };
        return;
    }
    // A short piece: what was there moves up.
    let mut old = u64::from_be_bytes(conn.response_tail);
    let mut new = [0_u8; limits::TAIL_LEN];
    let len = opaque(u64::from(payload.len)) & 7;
    if len == 0 {
        return;
    }
    // SAFETY: 1 to 7 bytes into a buffer of 8.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, new.as_mut_ptr().cast(), len as u32) };
    if failed == 0 {
        let shift = len * 8;
        old = old << shift | u64::from_be_bytes(new) >> (64 - shift);
        conn.response_tail = old.to_be_bytes();
    }
}
