//! Requests and answers on upstream connections of either kind: which exchange they serve, and who reads them.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{Upstream, limits, upstream_flags as flag};

use crate::tables::{counters::turns, maps::TURNS, threads, upstreams};

/// How the connection ended: a request that is sent all the same meets that end.
const ENDS: u32 = flag::SERVER_FIN | flag::SERVER_RST | flag::CLOSED_BY;

// Without a mangled name it is a "global function" to the kernel: the verifier checks it once, apart from its callers.

/// The owner sends `len` bytes to the server of the upstream connection with this key: a request, or more of one. After
/// an answer it is the next request, for another exchange. `tid`: the thread that sends; 0: not known. Always 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn upstream_asked(key: u64, len: u32, tid: u32) -> u64 {
    let Some(upstream) = upstreams::get(key) else { return 0 };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    if state.received > 0 && !upstreams::still_waits(state.front, state.exchange, state.owner) {
        let kept = ENDS | flag::UNIX | flag::CONNECTED | flag::SERVED;
        let pair = state.flags & flag::PAIRED;
        state.flags = state.flags & (kept | flag::PAIRED | flag::AMBIGUOUS) | flag::REUSED;
        state.sent_before = state.sent_before.wrapping_add(state.sent);
        state.received_before = state.received_before.wrapping_add(state.received);
        state.sent = 0;
        state.received = 0;
        state.head_len = 0;
        state.uses = state.uses.wrapping_add(1);
        state.asked_ns = 0;
        if pair != 0 {
            threads::serve_on(state);
        } else {
            state.flags &= !flag::AMBIGUOUS;
            state.front = 0;
            let _known = threads::serve(upstream, tid);
        }
    } else if state.asked_ns == 0
        && (state.flags & flag::PAIRED != 0 || state.front == 0 && state.flags & flag::APART == 0)
    {
        threads::first_bytes(upstream, tid, len);
    }
    if state.asked_ns == 0 {
        // SAFETY: the helper has no preconditions.
        state.asked_ns = unsafe { bpf_ktime_get_ns() };
    }
    state.sent = state.sent.saturating_add(len);
    0
}

/// The current task has read from one end of it.
#[inline(always)]
pub fn was_read(upstream: *mut Upstream, sock: u64) {
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    if state.sock == sock {
        return threads::work_for(state);
    }
    let tgid = upstreams::current();
    if state.server.tgid != tgid {
        upstreams::served_by(upstream, tgid);
    }
    if state.received == 0
        && let Some(count) = TURNS.get_ptr_mut(tgid % limits::TURNS)
    {
        // SAFETY: an array map's value, which is never freed. Of two threads that count at once one may get lost; the
        // number only has to change.
        unsafe { *count += 1 }
    }
    state.server_turns = turns(tgid);
    state.flags |= flag::SERVED;
    threads::read_behind(state);
}
