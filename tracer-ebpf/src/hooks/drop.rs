//! What netfilter does to the edge's packets, and how it answers them.
//!
//! `kfree_skb(struct sk_buff *skb, void *location[, enum skb_drop_reason reason[, struct sock *rx_sk]])`: `reason` since
//! 5.17; before that `location`, which is in `nf_hook_slow()` for what netfilter drops. `net_dev_queue(struct sk_buff *skb)`,
//! 5.10 to 7.2: every packet that is sent, and the only tracepoint that sees the RST of a REJECT rule, which no socket
//! sends; before 6.12 also the only one that sees a RST from a closed port, or in answer to what came after a close.
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/skb.h>

use core::ffi::c_void;

use aya_ebpf::{
    Global,
    helpers::bpf_ktime_get_ns,
    programs::{BtfTracePointContext, SkBuffContext},
};
use tracer_common::{Attempt, Tuple, attempt as what, hook, rst, taken};

use crate::{
    conns, edge,
    hooks::{
        attempts,
        packet::{Ends, read},
        reset,
    },
    kernel::{Route, Segment, Skb},
    maps::LAST_ANSWER,
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

/// Where `nf_hook_slow()`, `tcp_v4_rcv()` and `tcp_v6_rcv()` begin and end, for kernels without reasons. Both 0: not known.
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

/// The answer to a packet and its drop follow each other on one CPU within a softirq, microseconds apart, unless a host that is
/// virtual is held up between them. Nanoseconds.
const SAME_PACKET_NS: u64 = 1_000_000_000;

/// Longest RST on its way to a device: link header, IPv6, TCP without options.
const RST_LEN: u32 = 14 + 40 + 20 + 4;

/// How a packet was answered, a moment ago on this CPU.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Answer {
    tuple: Tuple,
    /// 0: it served its packet.
    time_ns: u64,
    why: u32,
    icmp: u32,
    /// The numbers of a RST, or the first one of the packet that an ICMP error quotes.
    seq: u32,
    acknowledged: u32,
}

impl Answer {
    /// The answer that was kept last on this CPU, if that was a moment ago.
    #[inline(always)]
    fn recent<'a>() -> Option<&'a mut Self> {
        // SAFETY: this CPU's slot of a live map value.
        let answer = unsafe { &mut *LAST_ANSWER.get_ptr_mut(0)? };
        if answer.time_ns == 0 {
            return None;
        }
        // SAFETY: the helper has no preconditions.
        let recent = unsafe { bpf_ktime_get_ns() }.wrapping_sub(answer.time_ns) < SAME_PACKET_NS;
        if !recent {
            answer.time_ns = 0;
        }
        recent.then_some(answer)
    }

    /// Whether it answers this packet of the edge, or to it. A RST takes its number from an acknowledgement; where there is
    /// none, it acknowledges the packet (RFC 9293, 3.10.7.1). The origin's end is no mark: it has another address on the way
    /// to a container than in the answer.
    #[inline(always)]
    fn is_of(&self, tuple: &Tuple, segment: &Segment) -> bool {
        let number = match self.why {
            TOLD => return is_to(&self.tuple, tuple),
            taken::ICMP => self.seq == segment.seq,
            _ if segment.ack => self.seq == segment.acknowledged,
            _ => self.acknowledged == segment.seq.wrapping_add(segment.payload).wrapping_add(u32::from(segment.syn)),
        };
        number && self.tuple.peer_port == tuple.peer_port && self.tuple.peer_addr == tuple.peer_addr
    }
}

/// A packet is freed: dropped by netfilter?
#[inline(always)]
pub fn kfree_skb(ctx: &BtfTracePointContext) {
    let Some(skb) = Skb::new(ctx.arg(0)) else { return };
    if !by_netfilter(ctx) {
        if !reset::tells_all() {
            if by_tcp(ctx) {
                syn_refused(skb);
            }
            answered_by_tcp(skb);
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
        return attempts::given_up(&tuple);
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
    answered(&tuple, &segment, &mut seen);
    attempts::note(&tuple, &mut seen);
    if inward && segment.fin_or_rst {
        attempts::given_up(&tuple);
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
        reset::answer_to(&segment, rst::UNKNOWN);
    }
}

/// A packet is freed that was answered with a RST a moment ago, and that netfilter did not drop: it found no connection.
#[inline(never)]
fn answered_by_tcp(skb: Skb) {
    let Some(answer) = Answer::recent() else { return };
    if answer.why == taken::ICMP {
        return;
    }
    let Some(segment) = Segment::of(skb.address()) else { return };
    if !answer.is_of(&segment.tuple, &segment) {
        return;
    }
    answer.time_ns = 0;
    // Of a SYN that is refused `syn_refused` tells.
    if answer.why == taken::RESET && !segment.syn {
        reset::answer_to(&segment, rst::UNKNOWN);
    }
}

/// Whether both are the same packet's ends; the namespace is not always known.
#[inline(always)]
pub fn is_to(answer: &Tuple, tuple: &Tuple) -> bool {
    answer.peer_port == tuple.peer_port
        && answer.local_port == tuple.local_port
        && answer.peer_addr == tuple.peer_addr
        && answer.local_addr == tuple.local_addr
}

/// Adds how the packet was answered before it was dropped.
#[inline(always)]
fn answered(tuple: &Tuple, segment: &Segment, seen: &mut Attempt) {
    if let Some(answer) = Answer::recent()
        && answer.why != TOLD
        && answer.is_of(tuple, segment)
    {
        seen.why = answer.why;
        seen.icmp = answer.icmp;
        answer.time_ns = 0;
    }
}

/// Keeps an answer for the drop that follows it.
#[inline(always)]
fn keep(tuple: Tuple, why: u32, icmp: u32, [seq, acknowledged]: [u32; 2]) {
    if let Some(answer) = LAST_ANSWER.get_ptr_mut(0) {
        // SAFETY: this CPU's slot; the helper has no preconditions.
        unsafe { *answer = Answer { tuple, time_ns: bpf_ktime_get_ns(), why, icmp, seq, acknowledged } }
    }
}

/// A RST to the edge that `tcp_send_reset` tells of: its packet need not be looked at again.
#[inline(always)]
pub fn reset_is_told(tuple: &Tuple) {
    keep(*tuple, TOLD, 0, [0; 2]);
}

/// Value of [`Answer::why`] beside those of [`taken`].
const TOLD: u32 = u32::MAX;

/// A packet goes out: a RST to the edge that no connection sends?
#[inline(always)]
pub fn net_dev_queue(ctx: &BtfTracePointContext) {
    let skb: *const c_void = ctx.arg(0);
    let Some(skb) = Skb::new(skb) else { return };
    if skb.len() > RST_LEN {
        return;
    }
    // Where there is no connection TCP answers through a socket of its own (IPv4) or through none (IPv6), which only matters
    // where nothing else tells.
    let socket = skb.socket();
    if socket != 0 && (reset::tells_all() || conns::get(socket).is_some()) {
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
    if edge::is_edge(&tuple.peer_addr) && !is_told(&tuple) {
        keep(tuple, taken::RESET, 0, numbers);
        if socket == 0 {
            attempts::rejected(&tuple, segment.acknowledged);
        }
    } else if socket == 0 && edge::is_edge(&segment.tuple.peer_addr) {
        // To the origin itself, in the edge's name.
        keep(segment.tuple, taken::RESET, 0, numbers);
    }
}

/// Whether `tcp_send_reset` told of this answer just before.
#[inline(always)]
fn is_told(tuple: &Tuple) -> bool {
    Answer::recent().is_some_and(|answer| answer.why == TOLD && is_to(&answer.tuple, tuple))
}

/// A packet that is not TCP goes out: an ICMP error that quotes a packet of the edge?
#[inline(never)]
pub fn icmp(ctx: &SkBuffContext) {
    let Some(first) = read::<u8>(ctx, 0) else { return };
    let (version, at) = match (first >> 4, read::<u8>(ctx, 9), read::<u8>(ctx, 6)) {
        (4, Some(1), _) => (0, u32::from(first & 0xf) * 4),
        (6, _, Some(58)) => (1 << 16, 40),
        _ => return,
    };
    let unreachable = if version == 0 { 3 } else { 1 };
    let Some([kind, code]) = read::<[u8; 2]>(ctx, at) else { return };
    if kind != unreachable {
        return;
    }
    let Some(quoted) = Ends::of(ctx, at + 8, 6) else { return };
    if !edge::is_edge(&quoted.source) {
        return;
    }
    let tuple = Tuple {
        peer_addr: quoted.source,
        local_addr: quoted.destination,
        peer_port: quoted.source_port,
        local_port: quoted.destination_port,
        netns: 0,
    };
    keep(tuple, taken::ICMP, version | u32::from(code) << 8 | u32::from(kind), [quoted.seq, 0]);
}
