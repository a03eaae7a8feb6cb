//! Packets between edge and origin that this host drops: by netfilter, or because a queue of the listener's is full.
//! And SYN-ACKs that get lost behind it.
//!
//! One dropped packet harms nobody: its sender sends it again, and the copy may get through. So the first drop is only
//! noted, in [`ATTEMPTS`] under the connection's addresses, and later drops are added to that entry. An entry is an
//! *attempt* to get something through: of the edge to connect (its SYN or the SYN-ACK is missing), or of either side
//! to send data on an open connection. It waits ([`WAITING`]) until it turns out to be [`HARMLESS`], because a copy
//! came through, or is [`REPORTED`], because the host refused it or the edge gave up. An edge whose packets vanish
//! falls silent without a further event: the agent then looks at the attempt when the edge's timeout has passed
//! (`hooks::inspect`).
//!
//! Each entry has a kind (one of [`kind`]), a cause (one of [`taken`]) and a state.
//!
//! The addresses need not be those by which TCP knows the connection: the host may translate the origin's address (a
//! container). [`CONNECTING`] therefore finds an attempt to connect by the edge's end alone, and sequence numbers say
//! whether two packets belong to the same attempt ([`is_near`]).

use aya_ebpf::{EbpfContext as _, bindings::__sk_buff, helpers::bpf_ktime_get_ns, programs::SkBuffContext};
use tracer_common::{
    Attempt, Tuple, attempt as kind,
    attempt_state::{HARMLESS, REPORTED, WAITING},
    is_v4_mapped,
    limits::LOST_SYN_ACKS,
    taken,
};

use crate::{
    emit,
    kernel::{
        features::send_reset_sees_all,
        look::{Look, RawSock},
        sock::TcpSock,
    },
    tables::{
        counters::port_slot,
        edge,
        maps::{ATTEMPT_TIME, ATTEMPTS, CONFIG, CONNECTING, NOTED, PORT_COUNTS},
        values::PeerEnd,
    },
    wire::{headers::IPPROTO_TCP, packet::Ends},
};

/// Nanoseconds since an attempt's last drop after which it no longer counts, and a packet with the same addresses
/// belongs to another one. Cloudflare's edges have given up by then; an option may set a longer timeout, under which
/// an attempt without further drops is forgotten too early.
const FORGOTTEN_NS: u64 = 200_000_000_000;

/// Distance in sequence numbers within which two packets belong to the same attempt: more bytes than an edge sends
/// before it gets an answer. Initial numbers advance with time, so that the one of a later attempt is further away,
/// unless it follows within 17 ms (Linux: 1 per 64 ns) or 1 s (the clock of RFC 6528: 1 per 4 µs).
const NEAR: u32 = 1 << 18;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Returns the edge's address and port, the key of [`CONNECTING`].
#[inline(always)]
fn peer_end(tuple: &Tuple) -> PeerEnd {
    PeerEnd { addr: tuple.peer_addr, port: tuple.peer_port.into() }
}

/// Notes one dropped packet, which `seen` describes: adds it to the attempt to which it belongs, or begins a new one.
/// Reports the attempt at once if the host refused it.
#[inline(always)]
pub fn note(tuple: &Tuple, seen: &mut Attempt) {
    // SAFETY: the helper takes no arguments and has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let by_queue = seen.cause == taken::QUEUE || seen.cause == taken::SYN_QUEUE;
    let lost = seen.cause == taken::LOST;
    if !by_queue && !lost {
        count_drop(tuple.local_port);
    }
    if let Some(known) = recent(tuple, now) {
        if continues(known, seen) {
            known.last_ns = now;
            // What took it is known already, and the packet is counted.
            if lost && known.cause != taken::LOST {
                return;
            }
            known.packets += 1;
            if known.sock_key == 0 {
                known.sock_key = seen.sock_key;
            }
            if known.cause == taken::LOST {
                known.hook = seen.hook;
                known.cause = seen.cause;
            }
            if seen.cause != taken::DROPPED {
                known.cause = seen.cause;
                known.icmp = seen.icmp;
            }
            return report_if_refused(tuple, known);
        }
        // The edge has begun another attempt from the same port: it no longer waits for the noted one. Noted data is
        // not reported: it has come through, or the end of its connection tells what it meant.
        if known.state == WAITING && known.kind != kind::DATA {
            give_up(tuple, known);
        }
    }
    if by_queue {
        count_overflow(tuple.local_port);
    }
    seen.first_ns = now;
    seen.last_ns = now;
    seen.packets = 1;
    seen.state = WAITING;
    let _evicts_when_full = ATTEMPTS.insert(tuple, &*seen, 0);
    if seen.kind != kind::DATA {
        let _evicts_when_full = CONNECTING.insert(&peer_end(tuple), tuple, 0);
    }
    if let Some(time) = ATTEMPT_TIME.get_ptr_mut(0) {
        // SAFETY: an array map's value, which is never freed. CPUs overwrite each other's time: any recent one will do.
        unsafe { *time = now }
    }
    // Looked up again, since `seen` is not the stored copy, in which the report is to be marked.
    if let Some(known) = recent(tuple, now) {
        report_if_refused(tuple, known);
    }
}

/// Whether the packet `seen` belongs to the attempt `known` of the same addresses, and not to a later one.
#[inline(always)]
fn continues(known: &Attempt, seen: &Attempt) -> bool {
    match (known.kind == kind::DATA, seen.kind == kind::DATA) {
        // SYN or SYN-ACK: those of one attempt carry the same number of the edge's.
        (false, false) => known.seq == seen.seq,
        // Reported data: netfilter's later drops belong to it. At a listener, a new connection may have the same
        // addresses.
        (true, true) if known.state == REPORTED => {
            let at_listener = matches!(known.cause, taken::QUEUE | taken::QUEUE_RESET | taken::SYN_QUEUE);
            !at_listener || is_near(known.seq, seen.seq)
        }
        // Data that is not reported: one attempt until it has come through.
        (true, true) => known.state == WAITING && !came_through(known),
        // One SYN or SYN-ACK, and one piece of data. What the edge sends before it gets an answer has numbers close
        // together. What goes out cannot be compared: data bears the origin's numbers.
        _ => known.state == WAITING && (seen.outward != 0 || is_near(known.seq, seen.seq)),
    }
}

/// Whether two sequence numbers are so close that one attempt may have sent both before it got an answer.
#[inline(always)]
fn is_near(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).wrapping_add(NEAR) < 2 * NEAR
}

/// Returns the attempt that was noted under these addresses, unless it is older than [`FORGOTTEN_NS`].
#[inline(always)]
fn recent<'a>(tuple: &Tuple, now: u64) -> Option<&'a mut Attempt> {
    // SAFETY: map values stay valid while a program runs, even if another CPU evicts the entry. Two CPUs that see
    // packets of one connection at the same moment may lose a count.
    let known = unsafe { &mut *ATTEMPTS.get_ptr_mut(tuple)? };
    (now.wrapping_sub(known.last_ns) < FORGOTTEN_NS).then_some(known)
}

/// Returns the noted attempt to connect from this edge address and port to which the edge's sequence number `seq`
/// belongs, whatever the origin's address in it: the host translates that address after netfilter's first hooks, and
/// a container has its own network namespace.
#[inline(always)]
fn recent_of_peer<'a>(tuple: &Tuple, seq: u32, now: u64) -> Option<&'a mut Attempt> {
    // SAFETY: map values stay valid while a program runs. If another CPU replaces this one, it names another attempt,
    // which the comparison of sequence numbers below rejects.
    let noted = unsafe { &*CONNECTING.get_ptr(&peer_end(tuple))? };
    recent(noted, now).filter(|known| known.kind != kind::DATA && is_near(known.seq, seq))
}

/// Whether the noted data has reached its receiver since. False where the connection's socket is not known.
#[inline(always)]
fn came_through(known: &Attempt) -> bool {
    known.sock_key != 0 && !is_missing(known, &RawSock(known.sock_key))
}

/// Handles a RST to the edge that no socket sends. Usually `net_dev_queue` sees the RST first, and when the packet that
/// it answers is dropped, that packet finds it in `missing::answers`. Here the packet was dropped first: the RST had to
/// wait until the edge's link address was resolved. So the noted attempt becomes a refused one, and is reported.
///
/// Before 6.12 a closed port also sends such a RST over IPv6, in answer to a later copy of the SYN, which netfilter let
/// through. `netfilter::syn_refused` reports that SYN a moment later and marks the noted attempt as harmless. So the
/// attempt is only marked as refused here. If it was netfilter's RST after all, the agent has the attempt reported when
/// the edge's timeout has passed.
#[inline(always)]
pub fn reset_without_socket(tuple: &Tuple, acknowledged: u32) {
    // SAFETY: the helper takes no arguments and has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if !any_recent(now) {
        return;
    }
    if let Some(known) = recent(tuple, now).or_else(|| recent_of_peer(tuple, acknowledged, now))
        && known.cause == taken::DROPPED
    {
        known.cause = taken::RESET;
        if send_reset_sees_all() || is_v4_mapped(&tuple.peer_addr) {
            report_if_refused(tuple, known);
        }
    }
}

/// Reports the attempt if the host answered it with a refusal: a RST, or an ICMP error while connecting (on an
/// established connection an ICMP error does not make the edge give up).
#[inline(always)]
fn report_if_refused(tuple: &Tuple, known: &mut Attempt) {
    let refused = known.cause == taken::RESET
        || known.cause == taken::QUEUE_RESET
        || known.cause == taken::ICMP && known.kind != kind::DATA;
    if refused && known.state == WAITING {
        report(tuple, known);
    }
}

/// Hands the attempt to the agent, and marks it so that it is not handed over again.
#[inline(always)]
pub fn report(tuple: &Tuple, known: &mut Attempt) {
    known.state = REPORTED;
    emit::attempt(tuple, known);
}

/// The edge no longer waits for the packets of this attempt, and they never got through: reports it, unless it is a
/// SYN-ACK that was sent again too rarely to be called lost.
#[inline(always)]
pub fn give_up(tuple: &Tuple, known: &mut Attempt) {
    if known.cause == taken::LOST && known.packets < LOST_SYN_ACKS {
        known.state = HARMLESS;
    } else {
        report(tuple, known);
    }
}

/// Counts a packet that netfilter dropped: each one, also several of one attempt.
#[inline(always)]
fn count_drop(port: u16) {
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(port_slot(port)) {
        // SAFETY: the pointer is to this CPU's slot of an array map, which is never freed.
        unsafe { (*counts).firewall_drops += 1 }
    }
}

/// Counts an attempt to connect that found the accept queue or the SYN queue full: once, however many of its packets
/// are dropped.
#[inline(always)]
fn count_overflow(port: u16) {
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(port_slot(port)) {
        // SAFETY: the pointer is to this CPU's slot of an array map, which is never freed.
        unsafe { (*counts).queue_overflows += 1 }
    }
}

/// Whether any attempt began recently, on any connection. Saves the look-up on hosts that drop nothing.
#[inline(always)]
fn any_recent(now: u64) -> bool {
    ATTEMPT_TIME.get(0).is_some_and(|time| *time != 0 && now.wrapping_sub(*time) < FORGOTTEN_NS)
}

/// The host has decided on an attempt to connect: the connection opened, or its SYN was refused and is reported as
/// such. Earlier drops of this attempt are harmless. A later SYN or SYN-ACK with the same number still belongs to it;
/// any other packet begins a new attempt. `seq` is close to the edge's initial number.
#[inline(always)]
pub fn attempt_decided(tuple: &Tuple, seq: u32, now: u64) {
    if any_recent(now) {
        mark_decided(tuple, seq, now);
    }
}

/// The second half of [`attempt_decided`]. Not inlined: its callers would exceed the 512 bytes of stack that a BPF
/// program has.
#[inline(never)]
fn mark_decided(tuple: &Tuple, seq: u32, now: u64) {
    if let Some(known) = recent(tuple, now) {
        // The noted attempt is an earlier one than the one decided on: it failed, and the edge tried again.
        if known.state == WAITING && known.kind != kind::DATA && !is_near(known.seq, seq) {
            give_up(tuple, known);
        }
        // Reported or not, the entry is closed: drops on the connection that now exists must not be added to it.
        known.state = HARMLESS;
    }
    if let Some(known) = recent_of_peer(tuple, seq, now)
        && known.state == WAITING
    {
        known.state = HARMLESS;
    }
}

/// The origin closed or aborted the connection. `conn::ends` judges that, so earlier drops no longer matter: marks them
/// as harmless.
#[inline(always)]
pub fn mark_harmless(tuple: &Tuple, now: u64) {
    if any_recent(now)
        && let Some(known) = recent(tuple, now)
        && known.state == WAITING
    {
        known.state = HARMLESS;
    }
}

/// Whether the data of the attempt `known` has still not reached its receiver. `known.seq` is the number after the
/// data: it arrived if the receiver has got that far. `sock` has received up to `rcv_nxt`, the edge up to `snd_una`.
#[inline(always)]
pub fn is_missing(known: &Attempt, sock: &impl Look) -> bool {
    let reached = if known.outward != 0 { sock.snd_una() } else { sock.rcv_nxt() };
    known.kind == kind::DATA && reached.wrapping_sub(known.seq) >= 1 << 31
}

/// The edge leaves a connection, or its timeout on it has passed. If the noted data is still missing and explains that,
/// reports it and returns true; else marks it as harmless. If the edge is `late` (`Owed::Late`: above all, its timeout
/// has passed), missing data always explains it. Else only data that has been missing for `missing_ms` does: 7/8 of the
/// edge's timeout for an acknowledgement, or of the one for a response if that is shorter.
#[inline(always)]
pub fn edge_stopped_waiting(tuple: &Tuple, sock_key: u64, sock: &impl Look, now: u64, late: bool) -> bool {
    if !any_recent(now) {
        return false;
    }
    let Some(known) = ATTEMPTS.get_ptr_mut(tuple) else { return false };
    // SAFETY: map values stay valid while a program runs, even if another CPU evicts the entry.
    let known = unsafe { &mut *known };
    if known.state != WAITING {
        return false;
    }
    let wait_ns = CONFIG.get(0).map_or(u64::MAX, |config| u64::from(config.missing_ms) * 1_000_000);
    // It came through, or the edge left sooner than a missing packet would make it.
    if !is_missing(known, sock) || !late && now.wrapping_sub(known.first_ns) < wait_ns {
        known.state = HARMLESS;
        return false;
    }
    known.sock_key = sock_key;
    report(tuple, known);
    true
}

/// Whether the RST that the origin's socket has just received is netfilter's and not the edge's: a REJECT rule in the
/// output chain drops a packet on its way to the edge and sends the origin a RST in the edge's name.
#[inline(always)]
pub fn reset_by_firewall(tuple: &Tuple, now: u64) -> bool {
    any_recent(now)
        && recent(tuple, now)
            .is_some_and(|known| known.outward != 0 && known.cause == taken::RESET && known.state != HARMLESS)
}

/// netfilter drops the edge's FIN or RST, as it dropped the data before (or with it, in the same packet): the edge has
/// given up on this connection. Reports its missing data, unless that has come through since.
#[inline(always)]
pub fn edge_left_meanwhile(tuple: &Tuple) {
    if let Some(known) = ATTEMPTS.get_ptr_mut(tuple) {
        // SAFETY: map values stay valid while a program runs, even if another CPU evicts the entry.
        let known = unsafe { &mut *known };
        // Decided already, or an attempt to connect, which has its own timeout.
        if known.state != WAITING || known.kind != kind::DATA {
            return;
        }
        if came_through(known) {
            known.state = HARMLESS;
        } else {
            report(tuple, known);
        }
    }
}

/// Which queue of the listener is full, if one is: its value of [`taken`], its length and its limit.
///
/// The accept queue, as in the kernel's `sk_acceptq_is_full()`: there is room while the length does not exceed the
/// limit. The SYN queue, where SYN cookies are off, as in `tcp_conn_request()`: it may be as long as the accept queue's
/// limit, and for peers of whom the kernel remembers no connection as three quarters of `tcp_max_syn_backlog`. (Who is
/// known can't be seen here. If the edge is, its connection opens, and what was noted is harmless.)
#[inline(always)]
fn full_queue(tcp: &TcpSock) -> Option<[u32; 3]> {
    let (queue, limit) = (tcp.ack_backlog(), tcp.max_ack_backlog());
    if queue > limit {
        return Some([taken::QUEUE, queue, limit]);
    }
    if !tcp.cookies_are_off() {
        return None;
    }
    let (queue, most) = (tcp.syn_queue(), tcp.max_syn_backlog());
    let of_strangers = most - (most >> 2);
    if queue >= limit {
        Some([taken::SYN_QUEUE, queue, limit])
    } else if queue > of_strangers {
        Some([taken::SYN_QUEUE, queue, of_strangers])
    } else {
        None
    }
}

/// A packet from the edge reaches a listening socket, `tcp`. If one of its queues is full, the kernel is about to drop
/// the packet: notes it.
///
/// What is not a SYN is noted as [`kind::DATA`]: the bare ACK that completes a handshake, or data behind it. No
/// connection exists yet, so `seq` is the packet's own number and not the one after the data. `payload` is the length
/// of the whole IP packet.
///
/// Not inlined: its caller would exceed the 512 bytes of stack that a BPF program has.
#[inline(never)]
pub fn at_listener(ctx: &SkBuffContext, tcp: &TcpSock) {
    let Some([cause, queue, limit]) = full_queue(tcp) else { return };
    let Some(packet) = Ends::of(ctx, 0, IPPROTO_TCP) else { return };
    if !edge::is_edge(&packet.source) || !edge::is_watched(packet.destination_port) {
        return;
    }
    let syn = packet.flags & (SYN | ACK) == SYN;
    // What completes a handshake is no longer in the way of one.
    if cause == taken::SYN_QUEUE && !syn {
        return;
    }
    // SAFETY: the verifier lets a program read this field of its context.
    let len = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).len };
    let Some(noted) = NOTED.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's slot of an array map, which is never freed. Packets are received in
    // softirqs, which do not interrupt each other, so that nobody else uses the slot meanwhile.
    let (tuple, attempt) = unsafe { &mut *noted };
    *tuple = Tuple {
        peer_addr: packet.source,
        local_addr: packet.destination,
        peer_port: packet.source_port,
        local_port: packet.destination_port,
        netns: tcp.netns(),
    };
    *attempt = Attempt {
        kind: if syn { kind::SYN } else { kind::DATA },
        cause,
        queue,
        queue_limit: limit,
        payload: len,
        seq: packet.seq,
        ..Attempt::default()
    };
    note(tuple, attempt);
}

/// The host answered a packet for a listener with a RST. If an overflow of the accept queue was noted for the
/// connection, that is why (`tcp_abort_on_overflow`): reports it.
#[inline(always)]
pub fn reset_at_listener(tuple: &Tuple) {
    if let Some(known) = ATTEMPTS.get_ptr_mut(tuple) {
        // SAFETY: map values stay valid while a program runs, even if another CPU evicts the entry.
        let known = unsafe { &mut *known };
        if known.state == WAITING && known.cause == taken::QUEUE {
            known.cause = taken::QUEUE_RESET;
            report(tuple, known);
        }
    }
}
