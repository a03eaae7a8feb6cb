//! Upstream connections over TCP. Where the server is on this host, in whichever namespace, its end of the connection
//! is followed, too: it shows by whom the connection was closed, and whether that process was ending.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_current_pid_tgid, bpf_ktime_get_ns,
        generated::{bpf_probe_read_kernel, bpf_skb_load_bytes},
    },
    programs::SkBuffContext,
};
use tracer_common::{
    LastSignal, Task, Tuple, Upstream, limits,
    tcp_state::{CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, LAST_ACK},
    upstream_flags as flag,
};

use super::traffic::{upstream_asked, was_read};
use crate::{
    emit,
    kernel::{
        sock::{Identity as _, Sock},
        task::TaskRef,
    },
    parse::verifier::up_to,
    tables::{
        connections, keys,
        maps::{ESTABLISHING, EXPLAINS, OTHER_END},
        processes, suspects, threads, upstreams,
    },
    wire::packet::Payload,
};

/// The current task wants to connect a socket, in whatever state. Followed if its process owns edge connections. Where
/// there is no route, nothing else is ever seen of it.
#[inline(always)]
pub fn wants(sock: u64, addr: [u8; 16], port: u16) {
    if !upstreams::is_owner() && !threads::has_accepted(upstreams::current()) {
        return;
    }
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(upstream) = upstreams::begin(sock, now) else { return };
    // SAFETY: a live map value.
    unsafe {
        (*upstream).tuple.peer_addr = addr;
        (*upstream).tuple.peer_port = port;
    }
    threads::open(upstream);
}

/// The current task connects: the SYN is about to leave. It was seen to want to; now both ends are known.
#[inline(never)]
pub fn connects(sk: Sock) {
    let sock = sk.key();
    if let Some(known) = upstreams::of(sock)
        // SAFETY: a live map value.
        && unsafe { (*known).flags & !(flag::AMBIGUOUS | flag::PAIRED | flag::APART) == 0 && (*known).sock == sock }
    {
        // SAFETY: as above.
        ends(sk, unsafe { &mut (*known).tuple });
    }
}

/// The current task accepts a connection, or asks for the address of its peer, whose port is given (as the packets have
/// it). Where the connection is an edge's, what the process opens is followed from here on.
#[inline(always)]
pub fn takes(sock: u64, port: u16) {
    let Some(conn) = connections::get(sock) else {
        if threads::deals_with_edges() {
            threads::accepted_stranger(sock);
        }
        return;
    };
    // SAFETY: a live map value.
    let conn = unsafe { &*conn };
    if conn.peer as u16 == port && conn.turns == 0 {
        threads::accepted(conn);
    }
}

/// An attempt to connect has ended: the connection is established, or it is not to be.
#[inline(never)]
pub fn connected(sk: Sock, new: u8) {
    let sock = sk.key();
    let Some(upstream) = upstreams::of(sock) else { return };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    if new == ESTABLISHED {
        state.flags |= flag::CONNECTED;
        ends(sk, &mut state.tuple);
        let Some(other_end) = OTHER_END.get_ptr_mut(0) else { return };
        // SAFETY: this CPU's slot of a live map value, which is used up to the end of this block.
        let other_end = unsafe { &mut *other_end };
        turn(&state.tuple, other_end);
        let _evicts_when_full = ESTABLISHING.insert(other_end, &state.key, 0);
        return;
    }
    state.flags |= flag::NOT_CONNECTED;
    state.err = sk.err();
    // SAFETY: the helper has no preconditions.
    state.ended_ns = unsafe { bpf_ktime_get_ns() };
    suspects::note_upstream(state);
    threads::work_for(state);
    upstreams::unfollow(sock);
}

/// A connection that a stranger opened is established. It may be the other end of an upstream connection.
#[inline(never)]
pub fn accepted(sk: Sock) {
    let Some(tuple) = OTHER_END.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's slot of a live map value, which is used up to the end of this function.
    let tuple = unsafe { &mut *tuple };
    ends(sk, tuple);
    tuple.netns = 0;
    // SAFETY: an entry of an LRU map may be reused while it is read; the key of another connection then has other
    // addresses.
    let Some(key) = (unsafe { ESTABLISHING.get(&*tuple) }) else { return };
    let key = *key;
    let _gone = ESTABLISHING.remove(&*tuple);
    let Some(upstream) = upstreams::get(key) else { return };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    if state.tuple.peer_port == tuple.local_port && state.tuple.local_port == tuple.peer_port {
        state.server_key = sk.key();
        upstreams::follow(sk.key(), key);
        // Until a process reads from it: the one that listens, whose child may be meant.
        let listener = sk.listener();
        if let Some(listener) = processes::listener(listener.netns, listener.port as u16) {
            // SAFETY: a live map value.
            state.server.comm = unsafe { (*listener).process.comm };
        }
    }
}

/// Writes down both ends of a connection. Not inlined, as little stack is left here.
#[inline(never)]
fn ends(sk: Sock, into: &mut Tuple) {
    sk.write_tuple(into);
}

/// The same ends as the other side has them, in whichever namespace.
#[inline(never)]
fn turn(tuple: &Tuple, into: &mut Tuple) {
    into.peer_addr = tuple.local_addr;
    into.local_addr = tuple.peer_addr;
    into.peer_port = tuple.local_port;
    into.local_port = tuple.peer_port;
    into.netns = 0;
}

/// A connection of no edge changes its state.
#[inline(never)]
pub fn changes(sk: Sock, old: u8, new: u8) {
    let sock = sk.key();
    let Some(upstream) = upstreams::of(sock) else { return };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    if state.sock == sock {
        owner_end(sk, state, old, new);
    } else {
        server_end(sk, state, old, new);
    }
    if new == CLOSE {
        upstreams::unfollow(sock);
        // It served nobody's exchange that is followed.
        if state.front == 0 && state.sock == sock {
            upstreams::forget(state.key);
        }
    }
}

/// The owner's end changes its state.
#[inline(always)]
fn owner_end(sk: Sock, state: &mut Upstream, old: u8, new: u8) {
    let left = flag::SERVER_FIN | flag::SERVER_RST | flag::OWNER_LEFT;
    let reset = new == CLOSE && sk.err() != 0 && matches!(old, ESTABLISHED | CLOSE_WAIT | LAST_ACK);
    if reset {
        state.flags |= if state.flags & flag::OWNER_LEFT == 0 { flag::SERVER_RST } else { 0 };
    } else if new == CLOSE_WAIT {
        state.flags |= if state.flags & left == 0 { flag::SERVER_FIN } else { 0 };
    } else if matches!((old, new), (ESTABLISHED, FIN_WAIT1 | CLOSE)) {
        state.flags |= if state.flags & left == 0 { flag::OWNER_LEFT } else { 0 };
    }
    suspects::note_upstream(state);
    threads::work_for(state);
}

/// The server's end changes its state.
#[inline(always)]
fn server_end(sk: Sock, state: &mut Upstream, old: u8, new: u8) {
    // By the server, and neither after the owner nor for want of an answer.
    let closes = matches!((old, new), (ESTABLISHED, FIN_WAIT1 | CLOSE)) && sk.err() == 0;
    if !closes {
        return;
    }
    state.flags |= flag::CLOSED_BY;
    // SAFETY: the helper has no preconditions.
    state.ended_ns = unsafe { bpf_ktime_get_ns() };
    describe(&mut state.server);
    emit::explain(&state.server, state.server.tgid);
    if let Some(explains) = EXPLAINS.get_ptr(0) {
        // SAFETY: both are live map values.
        unsafe {
            let into = &raw mut state.signal;
            bpf_probe_read_kernel(into.cast(), size_of::<LastSignal>() as u32, explains.cast());
        }
    }
}

/// Writes down the current process. Not inlined, as little stack is left here.
#[inline(never)]
fn describe(into: &mut Task) {
    *into = TaskRef::current().describe();
    processes::mark_oom(into);
}

/// A process has read from a connection of no edge.
#[inline(always)]
pub fn read(sk: Sock) {
    let sock = sk.key();
    if let Some(upstream) = upstreams::of(sock) {
        // SAFETY: a live map value.
        if keys::sight() && unsafe { (*upstream).sock } == sock {
            keys::note_other_reader(bpf_get_current_pid_tgid());
        }
        return was_read(upstream, sock);
    }
    if threads::deals_with_edges() {
        read_from_stranger(sk);
    }
}

/// A thread that deals with edges has read from a connection of no edge: one that a stranger opened, or one of its own.
#[inline(never)]
fn read_from_stranger(sk: Sock) {
    let listener = sk.listener();
    if processes::listener(listener.netns, listener.port as u16).is_some()
        && let Some(tcp) = sk.tcp()
    {
        threads::read_from_stranger(sk.key(), tcp.write_seq());
    }
}

/// A packet of a connection of no edge goes out.
#[inline(always)]
pub fn sends(sock: u64, payload: &Payload) {
    if let Some(upstream) = upstreams::of(sock)
        // SAFETY: a live map value.
        && unsafe { (*upstream).sock } == sock
    {
        // SAFETY: as above.
        let tid = threads::running(unsafe { (*upstream).owner });
        // SAFETY: as above.
        upstream_asked(unsafe { (*upstream).key }, payload.len, tid);
    }
}

/// A packet of a connection of no edge has come: keeps the first bytes of an answer.
#[inline(always)]
pub fn receives(ctx: &SkBuffContext, sock: u64, payload: &Payload) {
    let Some(upstream) = upstreams::of(sock) else { return };
    // SAFETY: a live map value.
    let state = unsafe { &mut *upstream };
    if state.sock != sock {
        return;
    }
    if state.head_len == 0 {
        let len = up_to(payload.len, limits::UPSTREAM_HEAD_LEN as u64) as u32;
        let into = state.head.as_mut_ptr();
        // SAFETY: writes at most UPSTREAM_HEAD_LEN bytes into a buffer of that size; the helper checks that they lie
        // within the packet.
        let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, into.cast(), len) };
        state.head_len = if failed == 0 { len } else { 0 };
        state.received = state.received.saturating_add(payload.len);
        return suspects::note_upstream(state);
    }
    state.received = state.received.saturating_add(payload.len);
}
