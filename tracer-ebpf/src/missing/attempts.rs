//! Packets of the edge that vanish in this host before a process can see them: noted per connection, and told when the
//! edge gives up (see `inspect`), unless a later packet gets through.

use aya_ebpf::{EbpfContext as _, bindings::__sk_buff, helpers::bpf_ktime_get_ns, programs::SkBuffContext};
use tracer_common::{
    Attempt, Tuple, attempt as what,
    attempt_state::{PASSED, TOLD, WAITING},
    is_v4_mapped, taken,
};

use crate::{
    emit,
    kernel::{
        features::tells_all,
        look::{Look, RawSock},
        sock::TcpSock,
    },
    tables::{
        counters::port_slot,
        edge,
        maps::{ATTEMPT_TIME, ATTEMPTS, CONFIG, CONNECTING, NOTED, PORT_COUNTS},
        values::PeerEnd,
    },
    wire::packet::Ends,
};

/// After so long an edge has given up in any case, and the same addresses are another attempt, nanoseconds.
const FORGOTTEN_NS: u64 = 200_000_000_000;

/// More than an edge sends on a connection that has not answered it, bytes. The numbers of a later one are further away, unless
/// it follows within milliseconds (RFC 6528: a clock of at least one per 4 µs; Linux: one per 64 ns).
const NEAR: u32 = 1 << 18;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The edge's end of a connection, the key of [`CONNECTING`].
#[inline(always)]
fn peer_end(tuple: &Tuple) -> PeerEnd {
    PeerEnd { addr: tuple.peer_addr, port: tuple.peer_port.into() }
}

/// Notes a packet that went missing; `seen` describes this one alone.
#[inline(always)]
pub fn note(tuple: &Tuple, seen: &mut Attempt) {
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    count(tuple.local_port, seen.why == taken::QUEUE, false);
    if let Some(known) = lately(tuple, now) {
        if continues(known, seen) {
            known.packets += 1;
            known.last_ns = now;
            if known.conn == 0 {
                known.conn = seen.conn;
            }
            if seen.why != taken::DROPPED {
                known.why = seen.why;
                known.icmp = seen.icmp;
            }
            return tell_at_once(tuple, known);
        }
        // The edge begins anew: it no longer waits for that one.
        if known.done == WAITING && known.what != what::DATA {
            tell(tuple, known);
        }
    }
    count(tuple.local_port, seen.why == taken::QUEUE, true);
    seen.first_ns = now;
    seen.last_ns = now;
    seen.packets = 1;
    seen.done = WAITING;
    let _full_is_lru = ATTEMPTS.insert(tuple, &*seen, 0);
    if seen.what != what::DATA {
        let _full_is_lru = CONNECTING.insert(&peer_end(tuple), tuple, 0);
    }
    if let Some(time) = ATTEMPT_TIME.get_ptr_mut(0) {
        // SAFETY: a live map value; any CPU's time does.
        unsafe { *time = now }
    }
    if let Some(known) = lately(tuple, now) {
        tell_at_once(tuple, known);
    }
}

/// Whether a packet belongs to the attempt that is known of its addresses, and not to a later one: every SYN of an attempt has
/// the same number, and what an edge sends before it is answered lies near that.
#[inline(always)]
fn continues(known: &Attempt, seen: &Attempt) -> bool {
    match (known.what == what::DATA, seen.what == what::DATA) {
        (false, false) => known.seq == seen.seq,
        (true, true) if known.done == TOLD => {
            let at_listener = known.why == taken::QUEUE || known.why == taken::QUEUE_RESET;
            !at_listener || is_near(known.seq, seen.seq)
        }
        (true, true) => known.done == WAITING && !came_through(known),
        _ => known.done == WAITING && (seen.outward != 0 || is_near(known.seq, seen.seq)),
    }
}

/// Whether an edge may have sent both before it was answered.
#[inline(always)]
fn is_near(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).wrapping_add(NEAR) < 2 * NEAR
}

/// What was noted of these addresses, not too long ago.
#[inline(always)]
fn lately<'a>(tuple: &Tuple, now: u64) -> Option<&'a mut Attempt> {
    // SAFETY: a live map value; two CPUs that see packets of one connection at once may lose a count.
    let known = unsafe { &mut *ATTEMPTS.get_ptr_mut(tuple)? };
    (now.wrapping_sub(known.last_ns) < FORGOTTEN_NS).then_some(known)
}

/// What was noted of the attempt to which this number of the edge's belongs, under whatever addresses of the origin: the host
/// translates them behind its first hooks, and a container has a namespace of its own.
#[inline(always)]
fn connecting<'a>(tuple: &Tuple, seq: u32, now: u64) -> Option<&'a mut Attempt> {
    // SAFETY: a live map value; one that is replaced meanwhile names another attempt, whose number is another.
    let noted = unsafe { &*CONNECTING.get_ptr(&peer_end(tuple))? };
    lately(noted, now).filter(|known| known.what != what::DATA && is_near(known.seq, seq))
}

/// Whether data that went missing first of a connection has come through since, as far as is known.
#[inline(always)]
fn came_through(known: &Attempt) -> bool {
    known.conn != 0 && !is_missing(known, &RawSock(known.conn))
}

/// A RST without a socket leaves for the edge: the answer to a packet that is gone already, where the edge's link address
/// had to be asked for first. Over IPv6, and where no tracepoint tells of that, it may be a closed port's, whose SYN is freed
/// only then: nothing is told before the edge's timeout.
#[inline(always)]
pub fn rejected(tuple: &Tuple, acknowledged: u32) {
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if !any_lately(now) {
        return;
    }
    if let Some(known) = lately(tuple, now).or_else(|| connecting(tuple, acknowledged, now))
        && known.why == taken::DROPPED
    {
        known.why = taken::RESET;
        if tells_all() || is_v4_mapped(&tuple.peer_addr) {
            tell_at_once(tuple, known);
        }
    }
}

/// An answer ends the attempt: RST always, ICMP while connecting.
#[inline(always)]
fn tell_at_once(tuple: &Tuple, known: &mut Attempt) {
    let refused = known.why == taken::RESET
        || known.why == taken::QUEUE_RESET
        || known.why == taken::ICMP && known.what != what::DATA;
    if refused && known.done == WAITING {
        tell(tuple, known);
    }
}

/// Hands the attempt over, once.
#[inline(always)]
pub fn tell(tuple: &Tuple, known: &mut Attempt) {
    known.done = TOLD;
    emit::attempt(tuple, known);
}

/// Counts what a full queue turned away once per attempt, and what netfilter took packet by packet.
#[inline(always)]
fn count(port: u16, queue: bool, new: bool) {
    if queue != new {
        return;
    }
    let Some(counts) = PORT_COUNTS.get_ptr_mut(port_slot(port)) else { return };
    // SAFETY: this CPU's slot of a live map value.
    unsafe {
        if queue {
            (*counts).queue_overflows += 1;
        } else {
            (*counts).firewall_drops += 1;
        }
    }
}

/// Whether any attempt went missing lately: spares the look-up where none did.
#[inline(always)]
fn any_lately(now: u64) -> bool {
    ATTEMPT_TIME.get(0).is_some_and(|time| *time != 0 && now.wrapping_sub(*time) < FORGOTTEN_NS)
}

/// A connection opened, or its SYN was refused; `seq` is near the edge's initial number. What went missing of that attempt
/// before did no harm, and what goes missing now belongs to another.
#[inline(always)]
pub fn answered(tuple: &Tuple, seq: u32, now: u64) {
    if any_lately(now) {
        pass(tuple, seq, now);
    }
}

/// In the kernel a function of its own, for the sake of its callers' stack.
#[inline(never)]
fn pass(tuple: &Tuple, seq: u32, now: u64) {
    if let Some(known) = lately(tuple, now) {
        // The edge had begun anew: an earlier attempt was in vain.
        if known.done == WAITING && known.what != what::DATA && !is_near(known.seq, seq) {
            tell(tuple, known);
        }
        known.done = PASSED;
    }
    if let Some(known) = connecting(tuple, seq, now)
        && known.done == WAITING
    {
        known.done = PASSED;
    }
}

/// A connection ended as everybody can see: what went missing of it before did no harm.
#[inline(always)]
pub fn passed(tuple: &Tuple, now: u64) {
    if any_lately(now)
        && let Some(known) = lately(tuple, now)
        && known.done == WAITING
    {
        known.done = PASSED;
    }
}

/// Whether packets of a connection are still missing.
#[inline(always)]
pub fn is_missing(known: &Attempt, sock: &impl Look) -> bool {
    let reached = if known.outward != 0 { sock.snd_una() } else { sock.rcv_nxt() };
    known.what == what::DATA && reached.wrapping_sub(known.seq) >= 1 << 31
}

/// The edge has waited in vain on a connection (`late`), or leaves it: because of packets that are missing? Tells of them
/// then; else they did no harm.
#[inline(always)]
pub fn gave_up(tuple: &Tuple, key: u64, sock: &impl Look, now: u64, late: bool) -> bool {
    if !any_lately(now) {
        return false;
    }
    let Some(known) = ATTEMPTS.get_ptr_mut(tuple) else { return false };
    // SAFETY: a live map value.
    let known = unsafe { &mut *known };
    if known.done != WAITING {
        return false;
    }
    let wait_ns = CONFIG.get(0).map_or(u64::MAX, |config| u64::from(config.missing_ms) * 1_000_000);
    if !is_missing(known, sock) || !late && now.wrapping_sub(known.first_ns) < wait_ns {
        known.done = PASSED;
        return false;
    }
    known.conn = key;
    tell(tuple, known);
    true
}

/// Whether netfilter has reset the origin's own socket, in the edge's name.
#[inline(always)]
pub fn reset_by_firewall(tuple: &Tuple, now: u64) -> bool {
    any_lately(now)
        && lately(tuple, now)
            .is_some_and(|known| known.outward != 0 && known.why == taken::RESET && known.done != PASSED)
}

/// The edge leaves (FIN or RST) a connection whose packets go missing, these too: it has given up.
#[inline(always)]
pub fn given_up(tuple: &Tuple) {
    if let Some(known) = ATTEMPTS.get_ptr_mut(tuple) {
        // SAFETY: a live map value.
        let known = unsafe { &mut *known };
        if known.done != WAITING || known.what != what::DATA {
            return;
        }
        if came_through(known) {
            known.done = PASSED;
        } else {
            tell(tuple, known);
        }
    }
}

/// A packet for a listener: lost if its accept queue is full. A function of its own in the kernel too, for the sake of its
/// caller's stack.
#[inline(never)]
pub fn at_listener(ctx: &SkBuffContext, tcp: &TcpSock) {
    let (queue, limit) = (tcp.ack_backlog(), tcp.max_ack_backlog());
    if queue <= limit {
        return;
    }
    let Some(packet) = Ends::of(ctx, 0, 6) else { return };
    if !edge::is_edge(&packet.source) || !edge::is_watched(packet.destination_port) {
        return;
    }
    let syn = packet.flags & (SYN | ACK) == SYN;
    // SAFETY: a field of the program's context.
    let len = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).len };
    let Some(noted) = NOTED.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot of a live map value; packets come in softirqs, one after the other.
    let (tuple, attempt) = unsafe { &mut *noted };
    *tuple = Tuple {
        peer_addr: packet.source,
        local_addr: packet.destination,
        peer_port: packet.source_port,
        local_port: packet.destination_port,
        netns: tcp.netns(),
    };
    *attempt = Attempt {
        what: if syn { what::SYN } else { what::DATA },
        why: taken::QUEUE,
        queue,
        queue_limit: limit,
        payload: len,
        seq: packet.seq,
        ..Attempt::default()
    };
    note(tuple, attempt);
}

/// The host answered a packet for a listener with RST: because of its full queue, if that is what was noted.
#[inline(always)]
pub fn reset_at_listener(tuple: &Tuple) {
    if let Some(known) = ATTEMPTS.get_ptr_mut(tuple) {
        // SAFETY: a live map value.
        let known = unsafe { &mut *known };
        if known.done == WAITING && known.why == taken::QUEUE {
            known.why = taken::QUEUE_RESET;
            tell(tuple, known);
        }
    }
}
