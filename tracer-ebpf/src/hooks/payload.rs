//! The bytes of watched connections, as far as a verdict needs them: the head of the current request and response, the
//! response's last bytes, how much of each went by. Kept in the kernel; leaves it only with a failure.
//!
//! `cgroup_skb` on the root cgroup, 5.10 to 7.2: the packet starts at its network header.

use aya_ebpf::{
    EbpfContext as _,
    bindings::__sk_buff,
    helpers::generated::{bpf_probe_read_kernel, bpf_skb_load_bytes},
    programs::SkBuffContext,
};
use tracer_common::{Conn, Distributions, Heads, conn_flags as flag, limits, origin_flags as origin, rst, triggers};

use crate::{
    conns, emit, heads,
    hooks::{
        attempts, chunks, conn, drop,
        head::{self, Verdict},
        packet::{Ends, Packet, Payload, UNUSED, copy, copy_piece, packet, read as read_packet},
        read,
    },
    kernel::{Identity, PacketSock, TcpSock},
    maps::{DISTRIBUTIONS, EARLY, SCRATCH},
    verifier::{opaque, unaligned, unknown, up_to},
};

const LISTEN: u32 = 10;
const TAIL: u32 = limits::TAIL_LEN as u32;
const REQUEST: u32 = limits::REQUEST_LEN as u32;
const RESPONSE: u32 = limits::RESPONSE_LEN as u32;

/// The socket that the packet belongs to.
#[inline(always)]
fn socket(ctx: &SkBuffContext) -> Option<PacketSock> {
    // SAFETY: a field of the program's context.
    PacketSock::new(unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).__bindgen_anon_2.sk })
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

/// Where a status line has its status.
const STATUS: u32 = 9;
/// How a status line begins, and a PROXY protocol header, version 1 and 2.
const HTTP: u32 = u32::from_ne_bytes(*b"HTTP");
/// The longest header of version 1, CR LF included.
const PROXY_V1_LEN: u64 = 107;
const PROXY_V1: u32 = u32::from_ne_bytes(*b"PROX");
const PROXY_V2: u32 = u32::from_ne_bytes(*b"\r\n\r\n");

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
    let listens = sk.state() == LISTEN;
    let payload = match packet(ctx) {
        Packet::Payload(payload) => payload,
        // Nothing to look up for an acknowledgement.
        Packet::Empty if !listens => return,
        Packet::Empty => {
            let Some(tcp) = sk.tcp() else { return };
            return attempts::at_listener(ctx, &tcp);
        }
        Packet::Other => return,
    };
    let Some(conn) = conns::of(sk) else {
        if listens && let Some(tcp) = sk.tcp() {
            attempts::at_listener(ctx, &tcp);
            with_handshake(ctx, &payload);
        }
        return;
    };
    let Some(tcp) = sk.tcp() else { return };
    // SAFETY: a live map value; the socket's lock or owner keeps its packets in order.
    let conn = unsafe { &mut *conn };
    // Past its first exchange TLS shows nothing.
    if conn.flags & flag::TLS_DATA != 0 && conn.exchanges > 1 && conn.flags & flag::ORIGIN_FIN == 0 {
        return heads::release(conn);
    }
    // A retransmission of what was received already begins nothing.
    let is_new = payload.seq.wrapping_sub(tcp.rcv_nxt()) < 1 << 31;
    if is_new && let Some(heads) = answered(conn, &tcp) {
        return follow(ctx, conn, heads, &payload, &tcp);
    }
    // Zero where the payload is shorter.
    let word: u32 = read_packet(ctx, payload.offset).unwrap_or(0);
    if conn.flags & flag::ORIGIN_FIN != 0 {
        if is_new {
            late(ctx, conn, &payload, word);
        }
        return;
    }
    if conn.flags & flag::SNIFFED == 0 {
        if conn.request_len == 0 {
            begin(conn, payload.seq, &tcp);
        }
    } else if is_new && looks_like_request(word) && conn.flags & flag::TLS == 0 {
        next(conn, &payload, &tcp, word);
    } else if conn.flags & flag::TLS != 0 && word.to_ne_bytes()[0] != 0x16 && payload.len >= TLS_REQUEST {
        // Application data, or a ChangeCipherSpec with the Finished and a request behind it.
        conn.flags |= flag::TLS_DATA;
    }
    keep_request(ctx, conn, &payload, word);
}

/// Fewest bytes of a segment that carries a request over TLS: more than ChangeCipherSpec and Finished together.
const TLS_REQUEST: u32 = limits::MIN_OPAQUE_REQUEST;

/// The first bytes of a connection on which a request without a body is being answered.
#[inline(always)]
fn answered(conn: &Conn, tcp: &TcpSock) -> Option<*mut Heads> {
    let wanted = flag::SNIFFED | flag::HTTP | flag::BODYLESS;
    let unwanted = flag::INTERIM | flag::UPGRADED | flag::ORIGIN_FIN;
    if conn.flags & (wanted | unwanted) == wanted && is_written(conn, tcp) { heads::at(conn.heads) } else { None }
}

/// Whether the origin has written anything since the current request began. [`Conn::is_awaited`] says nearly the same, and
/// reads what another CPU has just changed.
#[inline(always)]
fn is_written(conn: &Conn, tcp: &TcpSock) -> bool {
    tcp.write_seq() != conn.request_written
}

/// A request without a body is being answered: what comes now is the next one. It takes the place of the one before, and is
/// looked at there, which spares a look at the packet. Bytes that begin no request leave none: whose they are is not known.
#[inline(always)]
fn follow(ctx: &SkBuffContext, conn: &mut Conn, heads: *mut Heads, payload: &Payload, tcp: &TcpSock) {
    // SAFETY: a live map value.
    let request = unsafe { (*heads).request.as_mut_ptr() };
    let have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, 0);
    // SAFETY: the buffer is longer.
    let word = unsafe { unaligned(request.cast::<u32>()) };
    if have < 4 || !begins_like_a_request(word) {
        conn.request_have = 0;
        return;
    }
    begin(conn, payload.seq, tcp);
    describe(conn, word);
    read::count_exchange(conn);
    conn.request_have = have;
    conn.request_len = payload.len;
}

/// Whether these may be the first bytes of any method (RFC 9110: names are registered in capitals), where no body can be.
#[inline(always)]
fn begins_like_a_request(word: u32) -> bool {
    let [first, second, third, fourth] = word.to_ne_bytes();
    let in_method = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    first.is_ascii_uppercase() && in_method(second) && in_method(third) && (in_method(fourth) || fourth == b' ')
}

/// Keeps the request's first bytes, counts the rest, and finds out what the connection speaks.
#[inline(always)]
fn keep_request(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, word: u32) {
    let at = payload.seq.wrapping_sub(conn.request_seq);
    let mut kept = None;
    if at == conn.request_have && at < REQUEST {
        kept = heads::of(conn);
        if let Some(heads) = kept {
            // SAFETY: a live map value.
            let request = unsafe { (*heads).request.as_mut_ptr() };
            conn.request_have += copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, at);
        }
    }
    let seen = at.wrapping_add(payload.len);
    if seen < 1 << 31 && seen > conn.request_len {
        conn.request_len = seen;
    }
    if conn.flags & flag::SNIFFED != 0 {
        return;
    }
    if at == 0 && payload.len >= 4 && word != PROXY_V1 && word != PROXY_V2 {
        sniff(conn, word);
    } else if let Some(heads) = kept {
        sniff_kept(conn, heads);
    } else {
        conn.flags |= flag::SNIFFED;
    }
}

/// The first bytes came in pieces, or behind a PROXY protocol header.
#[inline(always)]
fn sniff_kept(conn: &mut Conn, heads: *const Heads) {
    // SAFETY: a live map value.
    let request = unsafe { &(*heads).request };
    let word = |at: usize| u32::from_ne_bytes([request[at], request[at + 1], request[at + 2], request[at + 3]]);
    let have = conn.request_have;
    if have < 4 {
        return;
    }
    let mut behind = 0_u32;
    if word(0) == PROXY_V1 {
        let mut next = 0;
        for _ in 0..PROXY_V1_LEN {
            // The compiler would end the loop by an equality, from which the verifier learns no bound before 6.8.
            let at = opaque(next);
            if at >= u64::from(have) || at >= PROXY_V1_LEN {
                break;
            }
            next = at + 1;
            if request[at as usize] == b'\n' {
                behind = unknown(next) as u32;
                break;
            }
        }
        if behind == 0 {
            conn.flags |= if u64::from(have) >= PROXY_V1_LEN { flag::SNIFFED } else { 0 };
            return;
        }
    } else if word(0) == PROXY_V2 {
        if have < 16 {
            return;
        }
        behind = 16 + u32::from(u16::from_be_bytes([request[14], request[15]]));
    }
    if behind + 4 > REQUEST {
        conn.flags |= flag::SNIFFED;
        return;
    }
    if have < behind + 4 {
        return;
    }
    let at = opaque(behind.into());
    if at > u64::from(REQUEST - 4) {
        return;
    }
    sniff(conn, word(at as usize));
}

/// A segment that begins like a request on a connection whose first bytes are known.
#[inline(always)]
fn next(conn: &mut Conn, payload: &Payload, tcp: &TcpSock, word: u32) {
    if conn.flags & flag::HTTP == 0 {
        // Open before the tracer started, in the middle of something: this is its first exchange seen.
        if conn.flags & flag::SEEDED != 0 {
            begin(conn, payload.seq, tcp);
            sniff(conn, word);
        }
        return;
    }
    if !is_written(conn, tcp) {
        // Nothing was answered yet: another request behind the first one, unless it is part of that one's body.
        if conn.flags & flag::BODYLESS != 0 {
            conn.flags |= flag::PIPELINED;
            read::count_exchange(conn);
        }
        return;
    }
    begin(conn, payload.seq, tcp);
    describe(conn, word);
    read::count_exchange(conn);
}

/// Data came with the packet that completes a handshake (TCP_DEFER_ACCEPT, a lost ACK): the filter still sees the
/// listener. Kept until the new socket is there.
#[inline(never)]
fn with_handshake(ctx: &SkBuffContext, payload: &Payload) {
    let Some(early) = EARLY.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot; a softirq is not interrupted by another.
    let early = unsafe { &mut *early };
    let Some(packet) = Ends::of(ctx, 0, 6) else { return };
    early.peer_addr = packet.source;
    early.peer_port = packet.source_port;
    early.local_port = packet.destination_port;
    early.seq = payload.seq;
    early.len = payload.len;
    early.have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, early.head.as_mut_ptr(), 0);
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
    let Some(conn) = conns::get(tcp.key()) else { return };
    // SAFETY: a live map value.
    let state = unsafe { &mut *conn };
    let same = early.peer_port == state.tuple.peer_port
        && early.local_port == state.tuple.local_port
        && early.peer_addr == state.tuple.peer_addr;
    if !same {
        return;
    }
    let word = u32::from_ne_bytes([early.head[0], early.head[1], early.head[2], early.head[3]]);
    begin(state, early.seq, tcp);
    state.request_len = early.len;
    early.len = 0;
    let Some(heads) = heads::of(state) else { return };
    state.request_have = early.have;
    // SAFETY: a live map value; both sides have REQUEST bytes.
    unsafe { bpf_probe_read_kernel((&raw mut (*heads).request).cast(), REQUEST, early.head.as_ptr().cast()) };
    if early.have >= 4 && word != PROXY_V1 && word != PROXY_V2 {
        sniff(state, word);
    } else {
        sniff_kept(state, heads);
    }
}

/// What does the connection speak?
#[inline(always)]
fn sniff(conn: &mut Conn, word: u32) {
    conn.flags |= flag::SNIFFED;
    let bytes = word.to_ne_bytes();
    if bytes[1] == 3 && (bytes[0] == 0x16 || bytes[0] == 0x17 && conn.flags & flag::SEEDED != 0) {
        conn.flags |= flag::TLS;
        // In the middle of its data.
        if bytes[0] == 0x17 {
            conn.flags |= flag::TLS_DATA;
        }
    } else if looks_like_request(word) {
        conn.flags |= flag::HTTP;
        describe(conn, word);
        read::count_exchange(conn);
    }
}

/// A new request begins with this packet.
#[inline(always)]
fn begin(conn: &mut Conn, seq: u32, tcp: &TcpSock) {
    conn.request_seq = seq;
    conn.request_len = 0;
    conn.request_have = 0;
    let was_head = if conn.flags & flag::HEAD != 0 { flag::WAS_HEAD } else { 0 };
    let fresh = flag::REPORTED | flag::PIPELINED | flag::BODYLESS | flag::HEAD | flag::WAS_HEAD;
    conn.flags = conn.flags & !fresh | was_head;
    // What the origin said of its own accord is what the edge reads as the answer.
    if conn.flags & flag::SPOKE_FIRST != 0 && conn.exchanges == 0 {
        conn.request_written = conn.response_seq;
        return;
    }
    conn.request_written = tcp.write_seq();
    conn.flags &= !flag::INTERIM;
    conn.asked += 1;
}

/// Notes which kind of request it is.
#[inline(always)]
fn describe(conn: &mut Conn, word: u32) {
    if word == GET {
        conn.flags |= flag::BODYLESS;
    } else if word == HEAD_ {
        conn.flags |= flag::BODYLESS | flag::HEAD;
    }
}

/// Whether so many bytes after the origin's FIN, which were not looked at, may be a request: a few are the edge's own goodbye
/// (close_notify inside TLS), or the end of an upload.
#[inline(always)]
pub fn may_be_request(conn: &Conn, len: u32) -> bool {
    nothing_came(conn) || len >= limits::MIN_OPAQUE_REQUEST
}

/// Whether the edge has not begun to speak.
#[inline(always)]
fn nothing_came(conn: &Conn) -> bool {
    conn.flags & flag::SNIFFED == 0 && conn.exchanges == 0
}

/// Bytes after the origin's FIN: a request that met a closing connection, unless they still belong to the one before.
#[inline(always)]
fn late(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, word: u32) {
    if conn.flags & flag::REPORTED != 0 {
        return;
    }
    let in_the_clear = conn.flags & flag::HTTP != 0 || nothing_came(conn);
    let request = if in_the_clear { looks_like_request(word) } else { may_be_request(conn, payload.len) };
    if !request {
        return;
    }
    conn.late_len = payload.len;
    conn.request_have = 0;
    if looks_like_request(word)
        && let Some(heads) = heads::of(conn)
    {
        // SAFETY: a live map value.
        let request = unsafe { (*heads).request.as_mut_ptr() };
        conn.request_have = copy::<{ limits::REQUEST_LEN }>(ctx, payload, request, 0);
    }
    emit::conn(conn, triggers::LATE, rst::UNKNOWN);
}

/// Bytes to the edge.
#[inline(always)]
pub fn egress(ctx: &SkBuffContext) {
    let Some(sk) = socket(ctx) else { return };
    let payload = match packet(ctx) {
        Packet::Payload(payload) => payload,
        Packet::Empty => return,
        Packet::Other => return drop::icmp(ctx),
    };
    let Some(conn) = conns::of(sk) else { return };
    // SAFETY: as in `ingress`.
    let state = unsafe { &mut *conn };
    outgoing(ctx, sk, state, &payload);
    if state.origin_flags & origin::PENDING != 0
        && let Some(tcp) = sk.tcp()
        && conn::sent(tcp, state, payload.seq.wrapping_add(payload.len))
    {
        emit::conn(conn, triggers::FIN, rst::UNKNOWN);
    }
}

/// Payload to the edge of a connection that is watched.
#[inline(always)]
fn outgoing(ctx: &SkBuffContext, sk: PacketSock, conn: &mut Conn, payload: &Payload) {
    let watched = conn.flags & flag::HTTP != 0
        || conn.flags & flag::TLS != 0 && conn.exchanges <= 1
        || conn.flags & (flag::SNIFFED | flag::SEEDED) == 0;
    if !watched {
        return;
    }
    if conn.flags & flag::SNIFFED == 0 && conn.request_len == 0 && conn.flags & flag::SPOKE_FIRST == 0 {
        conn.flags |= flag::SPOKE_FIRST;
        conn.asked += 1;
        conn.request_written = payload.seq;
    }
    let begins =
        conn.is_awaited() && payload.seq.wrapping_sub(conn.request_written) < 1 << 31 && answer(ctx, conn, payload);
    // A retransmission of an earlier response is far "ahead".
    let at = payload.seq.wrapping_sub(conn.response_seq);
    let seen = at.wrapping_add(payload.len);
    if at >= 1 << 31 || seen >= 1 << 31 {
        return;
    }
    if at == conn.response_have
        && at < RESPONSE
        && let Some(heads) = heads::of(conn)
    {
        // SAFETY: a live map value.
        let heads = unsafe { &mut *heads };
        conn.response_have += copy::<{ limits::RESPONSE_LEN }>(ctx, payload, heads.response.as_mut_ptr(), at);
        if begins
            && conn.flags & flag::HTTP != 0
            && let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(conn.port_slot)
            && let Some(tcp) = sk.tcp()
        {
            // SAFETY: this CPU's slot of a live map value.
            let distributions = unsafe { &mut *distributions };
            observe_first_byte(conn, &tcp, distributions);
            let before = distributions.last_header as u32;
            if ends_at(conn, heads, before) {
                conn.head_len = before;
                conn.origin_flags &= !origin::IN_HEAD;
                chunks::begin(conn, heads);
                observe_header(conn, distributions);
            }
        }
    }
    if seen > conn.response_len {
        conn.response_len = seen;
        if conn.origin_flags & origin::IN_HEAD != 0 {
            section(ctx, conn, payload, at);
        }
        if conn.origin_flags & origin::IN_CHUNKS != 0 {
            chunks::follow(ctx, conn, payload);
        }
        // Else the last bytes are among those that were kept.
        if seen > conn.response_have {
            tail(ctx, conn, payload, at);
        }
    }
}

/// Whether the header section ends just where the last one on this port ended: most responses of a kind are alike, and this
/// spares the search. (An end of its own before that, and bytes in the body that look like an end there, would be
/// mistaken here; the agent's parser is not.)
#[inline(always)]
fn ends_at(conn: &Conn, heads: &Heads, end: u32) -> bool {
    end != 0
        && conn.origin_flags & origin::IN_HEAD != 0
        && end <= conn.response_have
        && head::ends_at(heads, end)
        && heads.response[STATUS as usize] != b'1'
}

/// The first packet after a request: its response begins (`true`), unless the one before goes on.
#[inline(always)]
fn answer(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) -> bool {
    let first: Option<u32> = read_packet(ctx, payload.offset);
    let (long, http) = (first.is_some(), first == Some(HTTP));
    if conn.flags & flag::HTTP != 0 && long && !http && conn.exchanges > 1 && !is_over(conn) {
        conn.flags |= flag::PIPELINED;
        return false;
    }
    conn.response_seq = payload.seq;
    conn.response_len = 0;
    conn.response_have = 0;
    conn.head_len = 0;
    conn.answered = conn.asked;
    conn.origin_flags &= !(origin::NOT_HTTP | origin::IN_HEAD | origin::CHUNKS);
    if conn.flags & flag::TLS == 0 {
        conn.origin_flags |= if long && !http { origin::NOT_HTTP } else { origin::IN_HEAD };
    }
    true
}

/// Whether the response before was whole; asked only where what follows it does not look like one. [`flag::HEAD`] is of the
/// request after it.
#[inline(always)]
fn is_over(conn: &Conn) -> bool {
    conn.flags & flag::WAS_HEAD != 0
        || conn.heads != 0 && head::judge(conn, conn.flags & !flag::HEAD, conn.response_len) == Verdict::Whole
}

/// Looks for the end of the header section in what has just gone out, `at` bytes into the response.
#[inline(always)]
fn section(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) {
    let have = conn.response_have.min(RESPONSE);
    let mut end = head::response_head_end(conn.heads, conn.head_len, have);
    // At the end of what is kept no whole word is left to look at.
    let full = have > RESPONSE - UNUSED;
    conn.head_len = conn.head_len.max(if full { have - TAIL } else { have });
    if end == 0 && full && conn.response_len > have {
        end = far_end(ctx, conn, payload, at);
    }
    if end == 0 {
        return;
    }
    let Some(heads) = heads::at(conn.heads) else { return };
    // SAFETY: a live map value.
    let heads = unsafe { &*heads };
    if is_interim(heads) && end <= RESPONSE {
        return interim(ctx, conn, payload, at, end);
    }
    conn.head_len = end;
    header_ended(conn, heads);
}

/// Interim responses in one packet that are passed over; what follows more than these is taken for the response.
const INTERIMS: u32 = 8;

/// An interim response ended, `end` bytes after the start of the response: that begins after it and those that follow it in
/// the same packet.
#[inline(always)]
fn interim(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32, end: u32) {
    conn.flags |= flag::INTERIM;
    let (mut rest, mut end, mut skipped) = (*payload, end, end.wrapping_sub(at));
    for _ in 0..INTERIMS {
        conn.response_seq = conn.response_seq.wrapping_add(end);
        conn.response_len = 0;
        conn.response_have = 0;
        conn.head_len = 0;
        if skipped >= rest.len {
            return;
        }
        rest = rest.after(skipped);
        conn.response_len = rest.len;
        let Some(heads) = heads::at(conn.heads) else { return };
        // SAFETY: a live map value.
        let response = unsafe { (*heads).response.as_mut_ptr() };
        conn.response_have = copy::<{ limits::RESPONSE_LEN }>(ctx, &rest, response, 0);
        let have = conn.response_have.min(RESPONSE);
        end = unknown(head::response_head_end(conn.heads, 0, have).into()) as u32;
        skipped = end;
        if end == 0 {
            conn.head_len = have;
            return;
        }
        conn.head_len = end;
        // SAFETY: as above.
        let heads = unsafe { &*heads };
        if !is_interim(heads) {
            return header_ended(conn, heads);
        }
    }
    conn.origin_flags &= !origin::IN_HEAD;
}

/// Whether it is a response after which another one comes.
#[inline(always)]
fn is_interim(heads: &Heads) -> bool {
    heads.response[STATUS as usize] == b'1' && !is_upgrade(heads)
}

/// Whether the response's status is 101.
#[inline(always)]
fn is_upgrade(heads: &Heads) -> bool {
    let [.., hundreds, tens, ones] =
        heads.response.first_chunk::<{ STATUS as usize + 3 }>().copied().unwrap_or_default();
    [hundreds, tens, ones] == *b"101"
}

/// The end of the header section was found.
#[inline(always)]
fn header_ended(conn: &mut Conn, heads: *const Heads) {
    conn.origin_flags &= !origin::IN_HEAD;
    chunks::begin(conn, heads);
    // SAFETY: a live map value.
    if is_upgrade(unsafe { &*heads }) {
        conn.flags |= flag::UPGRADED;
    }
    if let Some(distributions) = DISTRIBUTIONS.get_ptr_mut(conn.port_slot) {
        // SAFETY: this CPU's slot of a live map value.
        observe_header(conn, unsafe { &mut *distributions });
    }
}

/// So many chunks make up the largest packet, 64 KiB.
const CHUNKS: u32 = 17;

/// The end of a header section that is larger than what is kept: searched packet by packet, `head_len` bytes being done.
#[inline(always)]
fn far_end(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's slot of a live map value.
    let scratch = unsafe { (*scratch).as_mut_ptr() };
    let stop = at.wrapping_add(payload.len);
    let mut from = conn.head_len.max(at);
    for _ in 0..CHUNKS {
        from = unknown(from.into()) as u32;
        let left = stop.wrapping_sub(from);
        if left == 0 || left > 1 << 20 {
            break;
        }
        // Eight bytes before, in case the end lies across: of this packet, or of the one before.
        let done = from.wrapping_sub(at);
        let chunk = if done >= TAIL {
            let chunk = payload.after(done - TAIL);
            // SAFETY: TAIL bytes at the start of the buffer; the helper checks the packet's side.
            let _zero_on_fault = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), chunk.offset, scratch.cast(), TAIL) };
            chunk.after(TAIL)
        } else {
            // SAFETY: as above.
            unsafe { scratch.cast::<u64>().write_unaligned(before(conn, at).to_be()) };
            payload.after(done)
        };
        // SAFETY: the buffer is that much longer.
        let len =
            copy_piece::<{ head::CHUNK - limits::TAIL_LEN }>(ctx, &chunk, unsafe { scratch.add(TAIL as usize) }, 0);
        if len == 0 {
            break;
        }
        let end = head::chunk_head_end(len + TAIL);
        if end != 0 {
            return from.wrapping_add(end).wrapping_sub(TAIL);
        }
        from = from.wrapping_add(len);
        conn.head_len = from;
    }
    0
}

/// Adds the time from the request's last byte to now.
#[inline(always)]
fn observe_first_byte(conn: &Conn, tcp: &TcpSock, seen: &mut Distributions) {
    let now = tcp.clock();
    if conn.read_ns == 0 || now < conn.read_ns {
        return;
    }
    let took = now - conn.read_ns;
    seen.first_byte_ns += took;
    let mut bucket = 0;
    while bucket < limits::FIRST_BYTE_BOUNDS_NS.len() {
        if took <= limits::FIRST_BYTE_BOUNDS_NS[bucket] {
            break;
        }
        bucket += 1;
    }
    seen.first_byte[bucket] += 1;
}

/// Adds the size of the header section.
#[inline(always)]
fn observe_header(conn: &Conn, seen: &mut Distributions) {
    seen.header_bytes += u64::from(conn.head_len);
    seen.last_header = conn.head_len.into();
    let mut bucket = 0;
    while bucket < limits::HEADER_BOUNDS.len() {
        if conn.head_len <= limits::HEADER_BOUNDS[bucket] {
            break;
        }
        bucket += 1;
    }
    seen.header[bucket] += 1;
}

/// The last bytes of the response before its byte `at`, the first one highest.
#[inline(always)]
fn before(conn: &Conn, at: u32) -> u64 {
    if conn.response_have == at { head::eight_before(conn.heads, at) } else { u64::from_be_bytes(conn.response_tail) }
}

/// Keeps the last bytes of a response that is not kept whole.
#[inline(always)]
fn tail(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload, at: u32) {
    let into = conn.response_tail.as_mut_ptr();
    if payload.len >= TAIL {
        let from = payload.offset + payload.len - TAIL;
        // SAFETY: TAIL bytes into a buffer of that size; the helper checks the packet's side.
        let _zero_on_fault = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), from, into.cast(), TAIL) };
        return;
    }
    // A short piece: what was there moves up.
    let mut old = before(conn, at);
    let mut new = [0_u8; limits::TAIL_LEN];
    let len = up_to(payload.len, u64::from(TAIL) - 1);
    // SAFETY: 1 to 7 bytes into a buffer of 8.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, new.as_mut_ptr().cast(), len as u32) };
    if failed == 0 {
        let shift = len * 8;
        old = old << shift | u64::from_be_bytes(new) >> (64 - shift);
        conn.response_tail = old.to_be_bytes();
    }
}
