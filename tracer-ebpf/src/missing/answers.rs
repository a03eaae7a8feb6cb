//! What this host last answered to the edge: a RST or an ICMP error, remembered for a moment on each CPU.
//!
//! A REJECT rule of netfilter first sends its answer and then drops the packet; TCP first sends its RST and then
//! frees the packet. Two hooks see these two steps. The first one keeps the answer in [`LAST_ANSWER`], the second one
//! finds it there and so learns whether the packet was dropped silently or refused.

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::SkBuffContext};
use tracer_common::{Attempt, Tuple, taken};

use crate::{
    kernel::skb::Segment,
    tables::{edge, maps::LAST_ANSWER, values::Answer},
    wire::{
        headers::IPPROTO_TCP,
        packet::{Ends, read},
    },
};

/// How old a kept answer may be, in nanoseconds. A packet's answer and its drop happen in one softirq on one CPU,
/// microseconds apart; the second covers a virtual machine that is not scheduled between the two.
const SAME_PACKET_NS: u64 = 1_000_000_000;

/// Value of [`Answer::cause`] besides those of [`taken`]: a RST for which `tcp_send_reset` has fired, so that its
/// packet needs no second report.
const REPORTED: u32 = u32::MAX;

impl Answer {
    /// Returns the last answer that was kept on this CPU, unless it is too old or has already been matched with its
    /// packet.
    #[inline(always)]
    pub fn recent<'a>() -> Option<&'a mut Self> {
        // SAFETY: the pointer is to this CPU's slot of an array map, which is never freed.
        let answer = unsafe { &mut *LAST_ANSWER.get_ptr_mut(0)? };
        if answer.time_ns == 0 {
            return None;
        }
        // SAFETY: the helper takes no arguments and has no preconditions.
        let recent = unsafe { bpf_ktime_get_ns() }.wrapping_sub(answer.time_ns) < SAME_PACKET_NS;
        if !recent {
            answer.time_ns = 0;
        }
        recent.then_some(answer)
    }

    /// Whether this answers the given packet, which came from the edge or was on its way to it.
    ///
    /// Compares sequence numbers: a RST takes its number from the packet's acknowledgement, and acknowledges the
    /// packet where that has none (RFC 9293, 3.10.7.1). Of the addresses only the peer's are compared: the origin's
    /// may have been translated (a container), and then differ between packet and answer.
    #[inline(always)]
    pub fn is_answer_to(&self, tuple: &Tuple, segment: &Segment) -> bool {
        let number = match self.cause {
            REPORTED => return self.tuple.has_same_ends(tuple),
            taken::ICMP => self.seq == segment.seq,
            _ if segment.ack => self.seq == segment.acknowledged,
            _ => self.acknowledged == segment.seq.wrapping_add(segment.payload).wrapping_add(u32::from(segment.syn)),
        };
        number && self.tuple.peer_port == tuple.peer_port && self.tuple.peer_addr == tuple.peer_addr
    }
}

/// Adds to the record of a dropped packet how it was answered, and marks the answer as used.
#[inline(always)]
pub fn add_answer(tuple: &Tuple, segment: &Segment, seen: &mut Attempt) {
    if let Some(answer) = Answer::recent()
        && answer.cause != REPORTED
        && answer.is_answer_to(tuple, segment)
    {
        seen.cause = answer.cause;
        seen.icmp = answer.icmp;
        answer.time_ns = 0;
    }
}

/// Keeps an answer until the packet that it answers is freed. `seq` and `acknowledged` are a RST's; for an ICMP
/// error, `seq` is that of the quoted packet. `icmp` is 0, or code and type with the IP version in bit 16 (set:
/// IPv6).
#[inline(always)]
pub fn keep_answer(tuple: Tuple, cause: u32, icmp: u32, [seq, acknowledged]: [u32; 2]) {
    if let Some(answer) = LAST_ANSWER.get_ptr_mut(0) {
        // SAFETY: the pointer is to this CPU's slot of an array map, which is never freed; the helper has no
        // preconditions.
        unsafe { *answer = Answer { tuple, time_ns: bpf_ktime_get_ns(), cause, icmp, seq, acknowledged } }
    }
}

/// Notes that `tcp_send_reset` has fired for a RST to the edge, so that `net_dev_queue` and `kfree_skb`, which see
/// the same RST and its packet next, do not report it again.
#[inline(always)]
pub fn note_reported_reset(tuple: &Tuple) {
    keep_answer(*tuple, REPORTED, 0, [0; 2]);
}

/// Whether `tcp_send_reset` has just fired for the RST to this peer.
#[inline(always)]
pub fn reset_was_reported(tuple: &Tuple) -> bool {
    Answer::recent().is_some_and(|answer| answer.cause == REPORTED && answer.tuple.has_same_ends(tuple))
}

/// Keeps an outgoing ICMP "destination unreachable" that quotes a packet of the edge, as a REJECT rule sends it.
/// Ignores all other packets that are not TCP.
#[inline(never)]
pub fn keep_icmp_error(ctx: &SkBuffContext) {
    // The first octet of the IP header: version and header length.
    let Some(first) = read::<u8>(ctx, 0) else { return };
    let (version, at) = match (first >> 4, read::<u8>(ctx, 9), read::<u8>(ctx, 6)) {
        (4, Some(1), _) => (0, u32::from(first & 0xf) * 4),
        (6, _, Some(58)) => (1 << 16, 40),
        _ => return,
    };
    // "Destination unreachable" is type 3 in ICMP and type 1 in ICMPv6.
    let unreachable = if version == 0 { 3 } else { 1 };
    let Some([kind, code]) = read::<[u8; 2]>(ctx, at) else { return };
    if kind != unreachable {
        return;
    }
    // The quoted packet follows the 8 bytes of the ICMP header; what it quotes must be TCP.
    let Some(quoted) = Ends::of(ctx, at + 8, IPPROTO_TCP) else { return };
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
    keep_answer(tuple, taken::ICMP, version | u32::from(code) << 8 | u32::from(kind), [quoted.seq, 0]);
}
