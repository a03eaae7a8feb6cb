//! RSTs that the host's TCP sends in answer to a packet of the edge: nobody listens, the accept queue is full, or the
//! origin had already closed the connection.

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

/// Handles a RST in answer to the packet `segment`, with the kernel's `reason` for it. Reports a SYN that nobody
/// listens for, a client whose handshake found the accept queue full, and a request on a connection that the origin
/// had closed.
#[inline(never)]
pub fn refused_with_reset(segment: &Segment, reason: u32) {
    if !edge::is_edge(&segment.tuple.peer_addr) || !edge::is_watched(segment.tuple.local_port) {
        return;
    }
    count_reset(reason);
    if segment.syn && !segment.ack {
        // SAFETY: the helper takes no arguments and has no preconditions.
        attempts::attempt_decided(&segment.tuple, segment.seq, unsafe { bpf_ktime_get_ns() });
        return emit::refused(&segment.tuple, reason);
    }
    // Without data it may be the ACK of a handshake that the listener had no room to complete.
    if segment.payload == 0 {
        return attempts::reset_at_listener(&segment.tuple);
    }
    if let Some(closed) = CLOSED.get_ptr_mut(&segment.tuple) {
        // SAFETY: map values stay readable and writable while a program runs, even if another CPU evicts the entry.
        unsafe {
            // Reported already, or too short for a request.
            if (*closed).flags & flag::REPORTED != 0 || !sniff::may_be_request(&*closed, segment.payload) {
                return;
            }
            (*closed).late_len = segment.payload;
        }
        emit::conn(closed, triggers::LATE, reason);
    }
}

/// Counts a RST that was sent by the kernel's reason for it; reasons beyond the table share its last slot.
#[inline(always)]
pub fn count_reset(reason: u32) {
    let last = limits::RESET_REASONS - 1;
    count(&RESETS_SENT, if reason < last { reason } else { last });
}
