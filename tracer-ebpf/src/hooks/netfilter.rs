//! What netfilter does to the edge's packets, and how it answers them.
//!
//! `kfree_skb(struct sk_buff *skb, void *location[, enum skb_drop_reason reason[, struct sock *rx_sk]])`: `reason`
//! since 5.17; before that `location`, which is in `nf_hook_slow()` for what netfilter drops. `net_dev_queue(struct
//! sk_buff *skb)`, 5.10 to 7.2: every packet that is sent, and the only tracepoint that sees the RST of a REJECT
//! rule, which no socket sends; before 6.12 also the only one that sees a RST from a closed port, or in answer to
//! what came after a close. <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/skb.h>

use core::ffi::c_void;

use aya_ebpf::{Global, programs::BtfTracePointContext};
use tracer_common::{Attempt, attempt as what, hook, rst, taken};

use crate::{
    kernel::{
        features::tells_all,
        skb::{Route, Segment, Skb},
    },
    missing::{
        answers::{add_answer, keep_answer, reset_was_reported},
        attempts, refusals,
    },
    tables::{connections, edge, values::Answer},
};

/// 1: this kernel's tracepoint has the `reason` argument.
#[unsafe(no_mangle)]
static HAS_DROP_REASON: Global<u8> = Global::new(0);

/// The kernel's number of `SKB_DROP_REASON_NETFILTER_DROP`.
#[unsafe(no_mangle)]
static NETFILTER_DROP: Global<u32> = Global::new(0);

/// Its number of `SKB_DROP_REASON_NO_SOCKET`.
#[unsafe(no_mangle)]
static NO_SOCKET: Global<u32> = Global::new(0);

/// Where `nf_hook_slow()`, `tcp_v4_rcv()` and `tcp_v6_rcv()` begin and end, for kernels without reasons. Both 0: not
/// known.
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

/// Longest RST on its way to a device: link header, IPv6, TCP without options.
const RST_LEN: u32 = 14 + 40 + 20 + 4;

/// A packet is freed: dropped by netfilter?
#[inline(always)]
pub fn kfree_skb(ctx: &BtfTracePointContext) {
    let Some(skb) = Skb::new(ctx.arg(0)) else { return };
    if !by_netfilter(ctx) {
        if !tells_all() {
            if by_tcp(ctx) {
                syn_refused(skb);
            }
            reset_by_tcp(skb);
        }
        return;
    }
    dropped(skb);
}

/// Netfilter dropped a packet: of the edge, or to it?
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
    if inward && segment.fin_or_rst && segment.payload == 0 {
        return attempts::edge_left_meanwhile(&tuple);
    }
    let what = match (segment.syn, segment.ack) {
        (true, false) if inward => what::SYN,
        (true, true) if !inward => what::SYN_ACK,
        (false, _) if segment.payload > 0 => what::DATA,
        _ => return,
    };
    let mut seen = Attempt {
        what,
        why: taken::DROPPED,
        hook: match (skb.came_in(), skb.route()) {
            (true, Some(Route::Onward)) => hook::FORWARD,
            (true, Some(Route::Own)) if inward => hook::INPUT,
            (true, None) if inward => hook::BEFORE_ROUTING,
            _ => hook::OUTPUT,
        },
        // Only some packets of connections have their socket by now. One that is not of the connection's names none.
        conn: if segment.syn { 0 } else { skb.socket() },
        payload: segment.payload,
        seq: match what {
            what::SYN => segment.seq,
            what::SYN_ACK => segment.acknowledged.wrapping_sub(1),
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

#[inline(always)]
fn by_netfilter(ctx: &BtfTracePointContext) -> bool {
    if HAS_DROP_REASON.load() != 0 {
        ctx.arg::<u32>(2) == NETFILTER_DROP.load()
    } else {
        (NETFILTER_FROM.load()..NETFILTER_TO.load()).contains(&ctx.arg::<u64>(1))
    }
}

/// Whether TCP itself freed the packet, because there is no socket for it; without reasons: for whatever reason.
#[inline(always)]
fn by_tcp(ctx: &BtfTracePointContext) -> bool {
    if HAS_DROP_REASON.load() != 0 {
        ctx.arg::<u32>(2) == NO_SOCKET.load()
    } else {
        let from = ctx.arg::<u64>(1);
        (TCP4_FROM.load()..TCP4_TO.load()).contains(&from) || (TCP6_FROM.load()..TCP6_TO.load()).contains(&from)
    }
}

/// A SYN that TCP frees is refused; its RST may leave later, when the edge's link address is known.
#[inline(never)]
fn syn_refused(skb: Skb) {
    let Some(segment) = Segment::of(skb.address()) else { return };
    if segment.syn && !segment.ack {
        refusals::refused_with_reset(&segment, rst::UNKNOWN);
    }
}

/// A packet is freed that was answered with a RST a moment ago, and that netfilter did not drop: it found no
/// connection.
#[inline(never)]
fn reset_by_tcp(skb: Skb) {
    let Some(answer) = Answer::recent() else { return };
    if answer.why == taken::ICMP {
        return;
    }
    let Some(segment) = Segment::of(skb.address()) else { return };
    if !answer.is_answer_to(&segment.tuple, &segment) {
        return;
    }
    answer.time_ns = 0;
    // Of a SYN that is refused `syn_refused` tells.
    if answer.why == taken::RESET && !segment.syn {
        refusals::refused_with_reset(&segment, rst::UNKNOWN);
    }
}

/// A packet goes out: a RST to the edge that no connection sends?
#[inline(always)]
pub fn net_dev_queue(ctx: &BtfTracePointContext) {
    let skb: *const c_void = ctx.arg(0);
    let Some(skb) = Skb::new(skb) else { return };
    if skb.len() > RST_LEN {
        return;
    }
    // Where there is no connection TCP answers through a socket of its own (IPv4) or through none (IPv6), which only
    // matters where nothing else tells.
    let socket = skb.socket();
    if socket != 0 && (tells_all() || connections::get(socket).is_some()) {
        return;
    }
    // One that only passes through this host is none of its answers.
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
        keep_answer(tuple, taken::RESET, 0, numbers);
        if socket == 0 {
            attempts::reset_without_socket(&tuple, segment.acknowledged);
        }
    } else if socket == 0 && edge::is_edge(&segment.tuple.peer_addr) {
        // To the origin itself, in the edge's name.
        keep_answer(segment.tuple, taken::RESET, 0, numbers);
    }
}
