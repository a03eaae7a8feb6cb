//! Packets of the edge that netfilter drops, silently (DROP) or with an answer (REJECT).
//!
//! Two hooks see the two halves. `net_dev_queue` sees the answer leave, a RST that no socket sends, and keeps it for
//! a moment. `kfree_skb` then sees the dropped packet freed, finds the answer, and notes the packet as missing. (ICMP
//! answers are kept by `packets`.) On kernels on which `tcp_send_reset` does not fire without a socket (before 6.12),
//! the same two hooks also find the RSTs of closed ports and of connections that are over.
//!
//! `kfree_skb(struct sk_buff *skb, void *location[, enum skb_drop_reason reason[, struct sock *rx_sk]])`: `reason`
//! since 5.17; before that `location`, an address that lies within `nf_hook_slow()` if netfilter drops the packet.
//! `net_dev_queue(struct sk_buff *skb)`, 5.10 to 7.2: every packet that is sent, and the only tracepoint that sees the
//! RST of a REJECT rule; before 6.12 also the only one that sees a RST from a closed port or in answer to data after a
//! close. <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/skb.h>

use core::ffi::c_void;

use aya_ebpf::{Global, programs::BtfTracePointContext};
use tracer_common::{Attempt, attempt as kind, hook, rst, taken};

use crate::{
    kernel::{
        features::send_reset_sees_all,
        skb::{Route, Segment, Skb},
    },
    missing::{
        answers::{add_answer, keep_answer, reset_was_reported},
        attempts, refusals,
    },
    tables::{connections, edge, values::Answer},
};

/// 1: the `kfree_skb` tracepoint of this kernel has the `reason` argument. Set by the loader, as are the following
/// ones.
#[unsafe(no_mangle)]
static HAS_DROP_REASON: Global<u8> = Global::new(0);

/// This kernel's number of `SKB_DROP_REASON_NETFILTER_DROP`.
#[unsafe(no_mangle)]
static NETFILTER_DROP: Global<u32> = Global::new(0);

/// This kernel's number of `SKB_DROP_REASON_NO_SOCKET`.
#[unsafe(no_mangle)]
static NO_SOCKET: Global<u32> = Global::new(0);

/// Where `nf_hook_slow()` begins and ends in memory, for kernels without reasons; 0: not known. Below the same for
/// `tcp_v4_rcv()` and `tcp_v6_rcv()`.
#[unsafe(no_mangle)]
static NETFILTER_FROM: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
static NETFILTER_TO: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
static TCP4_FROM: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
static TCP4_TO: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
static TCP6_FROM: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
static TCP6_TO: Global<u64> = Global::new(0);

/// The longest RST in bytes: link header, with 4 bytes for a VLAN tag, IPv6, TCP without options.
const RST_LEN: u32 = 14 + 40 + 20 + 4;

/// The kernel frees a packet without delivering it: did netfilter drop it, or TCP for want of a socket?
#[inline(always)]
pub fn kfree_skb(ctx: &BtfTracePointContext) {
    let Some(skb) = Skb::new(ctx.arg(0)) else { return };
    if !by_netfilter(ctx) {
        if !send_reset_sees_all() {
            let by_tcp = by_tcp(ctx);
            if by_tcp && HAS_DROP_REASON.load() != 0 {
                syn_refused(skb);
            }
            reset_by_tcp(skb, by_tcp);
        }
        return;
    }
    dropped(skb);
}

/// netfilter dropped a packet. If it came from the edge or was on its way there, notes it as missing.
#[inline(never)]
fn dropped(skb: Skb) {
    let Some(segment) = Segment::of(skb.address()) else { return };
    let inward = edge::is_edge(&segment.tuple.peer_addr);
    let tuple = if inward {
        segment.tuple
    } else {
        let turned = segment.tuple.turned();
        if !edge::is_edge(&turned.peer_addr) {
            return;
        }
        turned
    };
    if !edge::is_watched(tuple.local_port) {
        return;
    }
    // The edge's FIN or RST, dropped like the packets before it.
    if inward && segment.fin_or_rst && segment.payload == 0 {
        return attempts::edge_left_meanwhile(&tuple);
    }
    let kind = match (segment.syn, segment.ack) {
        (true, false) if inward => kind::SYN,
        (true, true) if !inward => kind::SYN_ACK,
        (false, _) if segment.payload > 0 => kind::DATA,
        // A bare acknowledgement: nobody waits for it.
        _ => return,
    };
    let mut seen = Attempt {
        kind,
        cause: taken::DROPPED,
        hook: match (skb.came_in(), skb.route()) {
            (true, Some(Route::Onward)) => hook::FORWARD,
            (true, Some(Route::Own)) if inward => hook::INPUT,
            (true, None) if inward => hook::BEFORE_ROUTING,
            _ => hook::OUTPUT,
        },
        // Only some packets have their socket by now. A SYN's is the listener, and is no connection's key.
        sock_key: if segment.syn { 0 } else { skb.socket() },
        payload: segment.payload,
        seq: match kind {
            kind::SYN => segment.seq,
            kind::SYN_ACK => segment.acknowledged.wrapping_sub(1),
            _ => segment.seq.wrapping_add(segment.payload),
        },
        outward: u32::from(!inward),
        ..Attempt::default()
    };
    add_answer(&tuple, &segment, &mut seen);
    attempts::note(&tuple, &mut seen);
    if inward && segment.fin_or_rst {
        attempts::edge_left_meanwhile(&tuple);
    }
}

/// Whether netfilter freed the packet, by the tracepoint's arguments.
#[inline(always)]
fn by_netfilter(ctx: &BtfTracePointContext) -> bool {
    if HAS_DROP_REASON.load() != 0 {
        ctx.arg::<u32>(2) == NETFILTER_DROP.load()
    } else {
        (NETFILTER_FROM.load()..NETFILTER_TO.load()).contains(&ctx.arg::<u64>(1))
    }
}

/// Whether TCP freed the packet because there is no socket for it; on kernels without reasons, whether TCP freed it
/// at all.
#[inline(always)]
fn by_tcp(ctx: &BtfTracePointContext) -> bool {
    if HAS_DROP_REASON.load() != 0 {
        ctx.arg::<u32>(2) == NO_SOCKET.load()
    } else {
        let from = ctx.arg::<u64>(1);
        (TCP4_FROM.load()..TCP4_TO.load()).contains(&from) || (TCP6_FROM.load()..TCP6_TO.load()).contains(&from)
    }
}

/// TCP freed a packet for want of a socket. If it is a SYN, it was refused. Reported here and not when the RST leaves,
/// since that may have to wait for the edge's link address.
#[inline(never)]
fn syn_refused(skb: Skb) {
    let Some(segment) = Segment::of(skb.address()) else { return };
    if segment.syn && !segment.ack {
        refusals::refused_with_reset(&segment, rst::UNKNOWN);
    }
}

/// A packet is freed that netfilter did not drop. If the RST that has just left answers it, TCP sent that RST because
/// the packet belongs to no connection: reports it.
///
/// Where there are reasons, a refused SYN is reported by [`syn_refused`]. Where there are none, `by_tcp` says no more
/// than that TCP freed it, which it also does with a SYN that comes again while its SYN-ACK is under way: only the RST
/// tells them apart. Over IPv4 the RST alone is enough ([`syn_refused_by`]) and is not kept as an answer.
#[inline(never)]
fn reset_by_tcp(skb: Skb, by_tcp: bool) {
    let Some(answer) = Answer::recent() else { return };
    if answer.cause == taken::ICMP {
        return;
    }
    let Some(segment) = Segment::of(skb.address()) else { return };
    if !answer.is_answer_to(&segment.tuple, &segment) {
        return;
    }
    answer.time_ns = 0;
    let is_told_here = !segment.syn || by_tcp && HAS_DROP_REASON.load() == 0;
    if answer.cause == taken::RESET && is_told_here {
        refusals::refused_with_reset(&segment, rst::UNKNOWN);
    }
}

/// TCP answers a SYN of the edge with this RST. Rebuilt from it is what is needed of the SYN, which may have been freed
/// before: the RST had to wait for the edge's link address then.
#[inline(never)]
fn syn_refused_by(reset: &Segment) {
    let seq = reset.acknowledged.wrapping_sub(1);
    let syn = Segment { tuple: reset.tuple.turned(), seq, syn: true, ..Segment::default() };
    refusals::refused_with_reset(&syn, rst::UNKNOWN);
}

/// A packet is sent. Keeps it as an answer if it is a RST to the edge that no connection's socket sends.
#[inline(always)]
pub fn net_dev_queue(ctx: &BtfTracePointContext) {
    let skb: *const c_void = ctx.arg(0);
    let Some(skb) = Skb::new(skb) else { return };
    if skb.len() > RST_LEN {
        return;
    }
    // Without a connection TCP answers through a socket of the kernel's own (IPv4) or none (IPv6). Such a RST only
    // matters on kernels on which `tcp_send_reset` does not fire for it.
    let socket = skb.socket();
    if socket != 0 && (send_reset_sees_all() || connections::get(socket).is_some()) {
        return;
    }
    // A packet that was received from a device is only forwarded: not an answer of this host.
    if socket == 0 && skb.came_in() {
        return;
    }
    let Some(segment) = Segment::of(skb.address()) else { return };
    if !segment.rst {
        return;
    }
    let numbers = [segment.seq, segment.acknowledged];
    let tuple = segment.tuple.turned();
    if edge::is_edge(&tuple.peer_addr) && !reset_was_reported(&tuple) {
        // Only what answers a SYN has no number of its own (RFC 9293, 3.10.7.1), and only TCP sends by a socket.
        if HAS_DROP_REASON.load() == 0 && socket != 0 && segment.ack && segment.seq == 0 {
            return syn_refused_by(&segment);
        }
        keep_answer(tuple, taken::RESET, 0, numbers);
        if socket == 0 {
            attempts::reset_without_socket(&tuple, segment.acknowledged);
        }
    } else if socket == 0 && edge::is_edge(&segment.tuple.peer_addr) {
        // A RST to the origin's own socket that bears the edge's address: the REJECT rule stands in the output chain.
        keep_answer(segment.tuple, taken::RESET, 0, numbers);
    }
}
