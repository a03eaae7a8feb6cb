//! Upstream connections over unix sockets. The kernel shows what is sent and received on them, since 6.3; not that one
//! is opened or closed.
//!
//! `sock_send_length(struct sock *sk, int ret, int flags)`, `sock_recv_length(struct sock *sk, int ret, int flags)`:
//! they fire in the task that sends or receives, after it has done so.
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/sock.h>

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::upstream_flags as flag;

use super::traffic::{upstream_asked, was_read};
use crate::{
    kernel::{
        sock::{Identity as _, Sock},
        unix,
    },
    tables::{suspects, threads, upstreams},
};

const ECONNRESET: i32 = 104;

/// `MSG_PEEK`: the bytes stay to be received again.
const PEEK: i32 = 2;

/// The current task has sent `sent` bytes, or failed to if that is negative.
#[inline(always)]
pub fn sent(sk: Sock, sent: i32) {
    if sent <= 0 || !unix::is_stream(sk) {
        return;
    }
    let sock = sk.key();
    if let Some(upstream) = upstreams::of(sock) {
        // SAFETY: a live map value.
        if unsafe { (*upstream).sock } == sock {
            // SAFETY: as above.
            upstream_asked(unsafe { (*upstream).key }, sent as u32, threads::tid());
        }
        return;
    }
    // The server of another connection, or a socket that is no upstream connection.
    if !upstreams::is_owner() {
        return;
    }
    begins(sk, sent as u32);
}

/// An owner of edge connections has sent the first bytes on a unix socket.
#[inline(never)]
fn begins(sk: Sock, sent: u32) {
    let peer = unix::peer(sk);
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if peer == 0 {
        return;
    }
    let Some(upstream) = upstreams::begin(sk.key(), now) else { return };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    state.flags = flag::UNIX | flag::CONNECTED;
    state.server_key = peer;
    state.asked_ns = now;
    state.sent = sent;
    unix::read_path(peer, &mut state.path);
    upstreams::follow(peer, state.key);
    let _known = threads::serve(upstream, threads::tid());
}

/// The current task has received `received` bytes; 0: the other end has closed; negative: it failed.
#[inline(always)]
pub fn received(sk: Sock, received: i32, flags: i32) {
    if flags & PEEK != 0 || !unix::is_stream(sk) {
        return;
    }
    let sock = sk.key();
    let Some(upstream) = upstreams::of(sock) else { return };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    if state.sock != sock {
        if received > 0 {
            was_read(upstream, sock);
        }
        return;
    }
    let ended = match received {
        0 => flag::SERVER_FIN,
        received if received == -ECONNRESET => flag::SERVER_RST,
        received if received > 0 => {
            state.received = state.received.saturating_add(received as u32);
            0
        }
        _ => return,
    };
    if ended != 0 {
        state.flags |= ended;
        suspects::note_upstream(state);
        // SAFETY: the helper has no preconditions.
        state.ended_ns = unsafe { bpf_ktime_get_ns() };
        upstreams::unfollow(sock);
        upstreams::unfollow(state.server_key);
    }
    threads::work_for(state);
}
