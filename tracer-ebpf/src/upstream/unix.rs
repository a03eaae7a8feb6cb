//! Upstream connections over unix sockets. The kernel shows what is sent and received on them, since 6.3; not that one
//! is opened or closed.
//!
//! `sock_send_length(struct sock *sk, int ret, int flags)`, `sock_recv_length(struct sock *sk, int ret, int flags)`:
//! they fire in the task that sends or receives, after it has done so.
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/sock.h>

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{Upstream, upstream_flags as flag};

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

/// What a socket is to an upstream connection.
enum End {
    Owner(*mut Upstream),
    Server(*mut Upstream),
    /// No end of one that is followed.
    Other,
}

/// The upstream connection of which this socket is an end. That one is closed is not seen: another socket may have its
/// memory by now, and tells by its inode number.
#[inline(always)]
fn end_of(sk: Sock) -> End {
    let sock = sk.key();
    let Some(upstream) = upstreams::of(sock) else { return End::Other };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    let inode = sk.inode();
    if state.sock == sock {
        return if state.inode == inode { End::Owner(upstream) } else { End::Other };
    }
    if state.server_inode == 0 && unix::peer(sk) == state.sock {
        state.server_inode = inode;
    }
    if state.server_inode == inode { End::Server(upstream) } else { End::Other }
}

/// The current task has sent `sent` bytes, or failed to if that is negative.
#[inline(always)]
pub fn sent(sk: Sock, sent: i32) {
    if sent <= 0 || !unix::is_stream(sk) {
        return;
    }
    match end_of(sk) {
        End::Owner(upstream) => {
            // SAFETY: a live map value.
            upstream_asked(unsafe { (*upstream).key }, sent as u32, threads::tid());
            return;
        }
        End::Server(_) => return,
        End::Other => {}
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
    state.inode = sk.inode();
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
    let upstream = match end_of(sk) {
        End::Owner(upstream) => upstream,
        End::Server(upstream) if received > 0 => return was_read(upstream, sock),
        End::Server(_) | End::Other => return,
    };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
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
