//! The last TLS records of a connection that may speak HTTP/2 ([`Trail`]).
//!
//! Records are followed from header to header, in both directions. The content of short ones is kept whole, of long
//! ones the first and the last bytes. Where packets are missing or come out of order, the records are found again at a
//! packet that begins with one.
//!
//! A stream that the origin or the edge resets makes a record of a known length. So does a window update, which follows
//! upon many bytes in the other direction. The agent, which can read it, is asked.

use aya_ebpf::{
    EbpfContext as _, Global,
    helpers::{bpf_ktime_get_ns, generated::bpf_skb_load_bytes},
    programs::SkBuffContext,
};
use tracer_common::{
    Conn, conn_flags as flag, secret,
    trail::{
        EDGE_LEN, HELLO_AGAIN_MS, HELLOS, Lane, ORIGIN_LEN, PIECE_END_LEN, PIECE_HEAD_LEN, PIECE_LEN, Part, Piece,
        STREAM_QUESTIONS, TICK_SHIFT, TRAIL_PARTS, TRAIL_PIECES, Trail, WINDOW_STEP,
    },
    triggers,
};

use crate::{
    emit,
    exchange::records::{self, HEADER, NONE},
    parse::verifier::{if_zero, least, opaque, unknown, up_to},
    tables::trails,
    wire::packet::Payload,
};

/// How many records of one packet are followed. One more part may be the rest of a record that began before. Set by the
/// loader: with more, the verifiers of older kernels give up.
#[unsafe(no_mangle)]
static TRAIL_RECORDS: Global<u32> = Global::new(TRAIL_PARTS as u32 - 1);

/// Length of the shortest packet that may hold a request, bytes: a record around the header of a frame and 24 bytes (a
/// cf-ray takes 16).
const SHORTEST_REQUEST: u32 = 50;

/// Frames of this content are noted: RST_STREAM and WINDOW_UPDATE have 13 bytes (RFC 9113 §6.4, §6.9), GOAWAY without
/// text and PING 17 (§6.7, §6.8).
const RESET: u32 = 1;
const GOAWAY: u32 = 2;

/// The edge has done its part of the handshake: gives the connection a trail. The origin may be the first to speak.
#[inline(always)]
pub fn begin(conn: &mut Conn) {
    if conn.flags & (flag::FINISHED | flag::OFFERS_H2 | flag::TRAILED | flag::SEALED)
        == flag::FINISHED | flag::OFFERS_H2
    {
        trails::begin(conn);
    }
}

/// The first application data of the edge begins with this payload.
#[inline(always)]
pub fn begin_edge(conn: &mut Conn, payload: &Payload) {
    if let Some(trail) = trails::of(conn) {
        // SAFETY: a live map value, and the packets of one connection come one after the other.
        let lane = unsafe { &mut (*trail).edge };
        lane.next_seq = payload.seq;
        lane.seen_seq = lane.next_seq;
        lane.in_step = 1;
    }
}

/// A packet of the edge's on a sealed connection. Returns the trigger of a record that asks about it, or 0.
#[inline(never)]
pub fn edge_said(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) -> u32 {
    let Some(trail) = trails::of(conn) else { return 0 };
    // SAFETY: a live map value, and the packets of one connection come one after the other.
    let trail = unsafe { &mut *trail };
    let kept = trail.edge_kept.as_mut_ptr();
    let seen = follow::<EDGE_LEN>(ctx, &mut trail.edge, kept, payload, conn);
    let found = trails::learn(conn);
    // A request that meets the origin's FIN may be short.
    let is_late = conn.flags & flag::ORIGIN_FIN != 0 && payload.len >= SHORTEST_REQUEST;
    if !is_late && (seen & RESET == 0 || !may_be_reset(&mut trail.edge, &trail.origin)) {
        return 0;
    }
    // The origin may not have spoken at all.
    if conn.flags & flag::H2 == 0 { ask_hello(conn, trail) } else { ask(trail, found) }
}

/// A packet of the origin's on a connection with a trail. Returns the same.
#[inline(never)]
pub fn origin_said(ctx: &SkBuffContext, conn: &mut Conn, payload: &Payload) -> u32 {
    let Some(trail) = trails::of(conn) else { return 0 };
    // SAFETY: as above.
    let trail = unsafe { &mut *trail };
    let kept = trail.origin_kept.as_mut_ptr();
    let seen = follow::<ORIGIN_LEN>(ctx, &mut trail.origin, kept, payload, conn);
    if conn.flags & flag::H2 == 0 {
        return ask_hello(conn, trail);
    }
    let is_reset = seen & RESET != 0 && may_be_reset(&mut trail.origin, &trail.edge);
    if is_reset || seen & GOAWAY != 0 { ask(trail, trails::learn(conn)) } else { 0 }
}

/// Asks the agent what the connection speaks, once it can know: as the origin speaks, its library has announced all
/// secrets. It may come to know them a moment later, so that it is asked again.
#[inline(always)]
fn ask_hello(conn: &Conn, trail: &mut Trail) -> u32 {
    let secrets = secret::TRAFFIC;
    let is_keyed = conn.keyed & secrets == secrets || conn.keyed & (secret::IS_MASTER | secret::BY_KEYLOG) != 0;
    if conn.flags & flag::SEALED == 0 || !is_keyed || trail.hellos >= HELLOS {
        return 0;
    }
    let age = (age_ns(conn) / 1_000_000) as u32;
    if trail.hellos != 0 && age.wrapping_sub(trail.hello_ms) < HELLO_AGAIN_MS || !emit::may_ask_hello() {
        return 0;
    }
    trail.hellos += 1;
    trail.hello_ms = age;
    triggers::HELLO
}

/// Asks the agent whether a stream was reset, unless too many such questions were in vain. `found`: how many were not.
#[inline(always)]
fn ask(trail: &mut Trail, found: u32) -> u32 {
    if trail.questions >= STREAM_QUESTIONS.wrapping_add(found) {
        return 0;
    }
    trail.questions += 1;
    triggers::STREAM
}

/// Whether a short control frame in this lane may be a reset: no window update is due by what came in the other one.
#[inline(always)]
fn may_be_reset(lane: &mut Lane, other: &Lane) -> bool {
    let came = other.bytes.wrapping_sub(lane.other_bytes);
    lane.other_bytes = other.bytes;
    came < WINDOW_STEP
}

/// Nanoseconds since the connection opened.
#[inline(always)]
fn age_ns(conn: &Conn) -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }.wrapping_sub(conn.opened_ns)
}

/// Lengths of a record's content, as bits from the lowest on: those below 64, then those from there to 127. Rows: what
/// RST_STREAM has in TLS 1.3 and in TLS 1.2, and the same of GOAWAY. The suites of TLS 1.2 are GCM, ChaCha20, and CBC
/// with both orders of encryption and MAC.
static LENGTHS: [[u64; 2]; 4] = [
    [1 << 30, 0],
    [1 << 37 | 1 << 29 | 1 << 52, 1 | 1 << (80 - 64)],
    [1 << 34, 0],
    [1 << 41 | 1 << 33, 1 << (68 - 64) | 1 << (96 - 64)],
];

/// What a record of this length may hold. Without a branch, as it is asked of each record.
#[inline(always)]
fn control(len: u32, tls12: u32) -> u32 {
    let is_short = if_zero(len >> 7);
    let has = |row: u32| (LENGTHS[row as usize & 3][(len >> 6) as usize & 1] >> (len & 63)) as u32 & 1;
    ((has(tls12) * RESET) | (has(2 + tls12) * GOAWAY)) & is_short
}

/// Follows the records of one direction through a packet, and keeps what is to be kept of them. Returns which control
/// frames may be among them.
///
/// In two steps, which pass each other what they found by way of the lane: in one loop the verifier would have too many
/// ways to follow.
#[inline(always)]
fn follow<const LEN: usize>(
    ctx: &SkBuffContext,
    lane: &mut Lane,
    kept: *mut u8,
    payload: &Payload,
    conn: &Conn,
) -> u32 {
    lane.parts_len = 0;
    lane.controls = 0;
    if in_step(lane, payload) {
        find(ctx, lane, payload, u32::from(conn.keyed & secret::IS_MASTER != 0));
        keep::<LEN>(ctx, lane, kept, (age_ns(conn) >> TICK_SHIFT) as u32);
    }
    lane.controls
}

/// Whether the packet brings new bytes. Afterwards the lane knows where in it they begin, and where the next record
/// does.
#[inline(always)]
fn in_step(lane: &mut Lane, payload: &Payload) -> bool {
    let behind = lane.seen_seq.wrapping_sub(payload.seq);
    if lane.in_step == 0 || behind >= 1 << 31 {
        lane.next_seq = payload.seq;
        lane.seen_seq = payload.seq;
        (lane.part, lane.part_len) = (0, 0);
        lane.gap = u32::from(lane.records != 0);
        lane.in_step = 1;
        return true;
    }
    // Else it was sent again.
    behind < payload.len
}

/// Finds the records in a packet, and the parts of them that lie in it.
#[inline(always)]
fn find(ctx: &SkBuffContext, lane: &mut Lane, payload: &Payload, tls12: u32) {
    let payload = payload.after(unknown(lane.seen_seq.wrapping_sub(payload.seq).into()) as u32);
    lane.seen_seq = payload.seq.wrapping_add(payload.len);
    lane.bytes = lane.bytes.wrapping_add(payload.len);
    // A header that lies across packets begins before this one.
    let mut at = if lane.part_len == 0 { lane.next_seq.wrapping_sub(payload.seq) } else { 0 };
    if at != 0 {
        note(lane, payload.offset, least(at, payload.len), lane.len.wrapping_sub(at));
    }
    for number in 0..TRAIL_PARTS as u32 - 1 {
        at = unknown(at.into()) as u32;
        if at >= payload.len {
            return;
        }
        if number >= TRAIL_RECORDS.load() {
            break;
        }
        let (had, left) = (unknown(lane.part_len.into()) as u32, payload.len.wrapping_sub(at));
        let more = up_to(least(HEADER.wrapping_sub(had), left), HEADER.into());
        let mut bytes = [0_u64; 1];
        let offset = payload.offset.wrapping_add(at);
        // SAFETY: writes at most HEADER bytes into a buffer of eight; the helper checks that they lie in the packet.
        let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), offset, bytes.as_mut_ptr().cast(), more as u32) };
        let header = bytes[0] << ((8 * had) & 31) | u64::from(lane.part);
        if failed != 0 {
            break;
        }
        if left.wrapping_add(had) < HEADER {
            (lane.part, lane.part_len) = (header as u32, left.wrapping_add(had));
            lane.next_seq = payload.seq.wrapping_add(at).wrapping_sub(had);
            return;
        }
        (lane.part, lane.part_len) = (0, 0);
        let len = records::length(header).unwrap_or(NONE);
        if len == NONE {
            break;
        }
        lane.len = len;
        at = at.wrapping_add(HEADER).wrapping_sub(had);
        // Of the four types (20 to 23) application data has both low bits set, an alert the lowest alone. The others
        // belong to the handshake.
        let kind = opaque(header) as u32;
        let is_data = (kind & kind >> 1 & 1).wrapping_neg();
        lane.alerts = lane.alerts.wrapping_add(kind & !(kind >> 1) & 1);
        lane.records = lane.records.wrapping_add(is_data & 1);
        lane.controls |= control(len, tls12) & is_data;
        note(lane, payload.offset.wrapping_add(at), least(len, payload.len.wrapping_sub(at)) & is_data, 0);
        lane.gap &= !is_data;
        at = at.wrapping_add(len);
        lane.next_seq = payload.seq.wrapping_add(at);
    }
    lane.in_step = 0;
}

/// Notes a part of the current record: `here` bytes of its content, from `offset` on in the packet, behind `done` bytes
/// that came before.
#[inline(always)]
fn note(lane: &mut Lane, offset: u32, here: u32, done: u32) {
    let slot = lane.parts_len as usize & (TRAIL_PARTS - 1);
    lane.parts[slot] =
        Part { offset, here, done, len: lane.len, record: lane.records.wrapping_sub(1), behind_gap: lane.gap };
    lane.parts_len = lane.parts_len.wrapping_add(1);
}

/// Keeps of each part that was found what is to be kept of it: in even steps the beginning of its record, in odd ones
/// the end of a long one. Without branches where that can be.
#[inline(always)]
fn keep<const LEN: usize>(ctx: &SkBuffContext, lane: &mut Lane, kept: *mut u8, ticks: u32) {
    const WHOLE: u32 = PIECE_LEN as u32;
    const HEAD: u32 = PIECE_HEAD_LEN as u32;
    for step in 0..2 * TRAIL_PARTS as u32 {
        if step > 2 * TRAIL_RECORDS.load() + 1 {
            break;
        }
        let step = unknown(step.into()) as u32;
        if step / 2 >= lane.parts_len {
            break;
        }
        let part = lane.parts[(step / 2) as usize & (TRAIL_PARTS - 1)];
        let is_whole = if_zero(part.len.wrapping_sub(least(part.len, WHOLE)));
        let first = WHOLE & is_whole | HEAD & !is_whole;
        let head = least(part.here, first.wrapping_sub(least(first, part.done)));
        let is_end = if_zero(part.len.wrapping_sub(part.done).wrapping_sub(part.here));
        let end = least(part.here.wrapping_sub(head), PIECE_END_LEN as u32) & is_end;
        let is_odd = if_zero((step & 1) ^ 1);
        let have = unknown((head & !is_odd | end & is_odd).into()) as u32;
        if have == 0 {
            continue;
        }
        let skipped = part.here.wrapping_sub(have) & is_odd;
        let part = Part { offset: part.offset.wrapping_add(skipped), done: part.done.wrapping_add(skipped), ..part };
        put::<LEN>(ctx, lane, kept, &part, have, ticks);
    }
}

/// Keeps the first `have` bytes of a part.
#[inline(always)]
fn put<const LEN: usize>(ctx: &SkBuffContext, lane: &mut Lane, kept: *mut u8, part: &Part, have: u32, ticks: u32) {
    let pos = lane.pos;
    let len = up_to(have, PIECE_LEN as u64);
    let place = opaque(u64::from(pos)) & (LEN as u64 - 1);
    // SAFETY: behind LEN bytes lie PIECE_LEN more, so that a piece that begins within the former stays within the map's
    // value; the helper checks the packet's bounds.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), part.offset, kept.add(place as usize).cast(), len as u32) };
    if failed != 0 {
        return;
    }
    let slot = lane.made as usize & (TRAIL_PIECES - 1);
    lane.pieces[slot] = Piece {
        ticks,
        record: part.record,
        pos,
        at: part.done as u16,
        len: part.len as u16,
        have: len as u16,
        behind_gap: part.behind_gap as u16,
    };
    lane.pos = pos.wrapping_add(len as u32);
    lane.made = lane.made.wrapping_add(1);
}
