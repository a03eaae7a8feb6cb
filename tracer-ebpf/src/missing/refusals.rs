//! RSTs in answer to a packet of the edge.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{conn_flags as flag, limits, triggers};

use crate::{
    emit,
    exchange::sniff,
    kernel::skb::Segment,
    missing::attempts,
    tables::{
        counters::count,
        edge,
        maps::{CLOSED, RESETS_SENT},
    },
};

/// A RST in answer to a packet: to a SYN that nobody listens for, or to data on a connection that the origin had closed.
#[inline(never)]
pub fn answer_to(segment: &Segment, reason: u32) {
    if !edge::is_edge(&segment.tuple.peer_addr) || !edge::is_watched(segment.tuple.local_port) {
        return;
    }
    count_reset(reason);
    if segment.syn && !segment.ack {
        // SAFETY: the helper has no preconditions.
        attempts::answered(&segment.tuple, segment.seq, unsafe { bpf_ktime_get_ns() });
        return emit::refused(&segment.tuple, reason);
    }
    if segment.payload == 0 {
        return attempts::reset_at_listener(&segment.tuple);
    }
    if let Some(closed) = CLOSED.get_ptr_mut(&segment.tuple) {
        // SAFETY: a live map value.
        unsafe {
            if (*closed).flags & flag::REPORTED != 0 || !sniff::may_be_request(&*closed, segment.payload) {
                return;
            }
            (*closed).late_len = segment.payload;
        }
        emit::conn(closed, triggers::LATE, reason);
    }
}

#[inline(always)]
pub fn count_reset(reason: u32) {
    let last = limits::RESET_REASONS - 1;
    count(&RESETS_SENT, if reason < last { reason } else { last });
}
