//! How netfilter, and the host, answered a packet of the edge a moment ago on this CPU.

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::SkBuffContext};
use tracer_common::{Attempt, Tuple, taken};

use crate::{
    kernel::skb::Segment,
    tables::{edge, maps::LAST_ANSWER, values::Answer},
    wire::packet::{Ends, read},
};

/// The answer to a packet and its drop follow each other on one CPU within a softirq, microseconds apart, unless a host that is
/// virtual is held up between them. Nanoseconds.
const SAME_PACKET_NS: u64 = 1_000_000_000;

/// Value of [`Answer::why`] beside those of [`taken`].
const TOLD: u32 = u32::MAX;

impl Answer {
    /// The answer that was kept last on this CPU, if that was a moment ago.
    #[inline(always)]
    pub fn recent<'a>() -> Option<&'a mut Self> {
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
    pub fn is_of(&self, tuple: &Tuple, segment: &Segment) -> bool {
        let number = match self.why {
            TOLD => return self.tuple.has_same_ends(tuple),
            taken::ICMP => self.seq == segment.seq,
            _ if segment.ack => self.seq == segment.acknowledged,
            _ => self.acknowledged == segment.seq.wrapping_add(segment.payload).wrapping_add(u32::from(segment.syn)),
        };
        number && self.tuple.peer_port == tuple.peer_port && self.tuple.peer_addr == tuple.peer_addr
    }
}

/// Adds how the packet was answered before it was dropped.
#[inline(always)]
pub fn answered(tuple: &Tuple, segment: &Segment, seen: &mut Attempt) {
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
pub fn keep(tuple: Tuple, why: u32, icmp: u32, [seq, acknowledged]: [u32; 2]) {
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

/// Whether `tcp_send_reset` told of this answer just before.
#[inline(always)]
pub fn is_told(tuple: &Tuple) -> bool {
    Answer::recent().is_some_and(|answer| answer.why == TOLD && answer.tuple.has_same_ends(tuple))
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
