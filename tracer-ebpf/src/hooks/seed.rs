//! Connections and listeners that were there before the tracer started: an `iter/tcp` program, run once per network
//! namespace, adds them to the tables.
//!
//! `bpf_iter_tcp(struct bpf_iter_meta *meta, struct sock_common *sk_common, uid_t uid)`, 5.10 to 7.2; sees the
//! sockets of the namespace in which the iterator was opened.

use core::ffi::c_void;

use tracer_common::{
    Conn,
    cloudflare::HTTPS_PORTS,
    conn_flags as flag,
    tcp_state::{ESTABLISHED, LISTEN},
};

use crate::{
    kernel::sock::{Identity, Sock},
    tables::{
        connections,
        counters::{count_exchange, port_slot},
        edge,
        maps::{BLANK, LISTENING},
        processes,
    },
};

/// One TCP socket of the namespace.
#[inline(always)]
pub fn tcp(ctx: *const u64) {
    // SAFETY: the context of this iterator has two words at least; the second one is the socket, null at the end.
    let Some(sk) = Sock::new(unsafe { *ctx.add(1) } as *const c_void) else { return };
    let Some(tcp) = sk.tcp() else { return };
    if sk.state() == LISTEN {
        return processes::listener_found(sk.listener(), u64::from(tcp.inode()));
    }
    if sk.state() != ESTABLISHED {
        return;
    }
    let peer = sk.peer_addr();
    let port = sk.local_port();
    // Only a listener's port makes it a connection that the edge opened.
    if !edge::is_edge(&peer) || !edge::is_watched(port) || LISTENING.get_ptr(&port).is_none() {
        return;
    }
    // Opened while the iterator runs: known already.
    if connections::get(sk.key()).is_some() {
        return;
    }
    let Some(blank) = BLANK.get_ptr_mut(1) else { return };
    // SAFETY: the pointer is to this CPU's slot of an array map; slot 1 is the iterator's, and no interrupt uses it.
    let seeded: &mut Conn = unsafe { &mut *blank };
    seeded.tuple = sk.tuple(peer);
    seeded.opened_ns = 0;
    seeded.key = sk.key();
    seeded.peer = sk.peer();
    seeded.heads = 0;
    seeded.read_ns = 0;
    seeded.flags = flag::SEEDED;
    seeded.copied = tcp.copied_seq();
    seeded.turn_copied = seeded.copied;
    // Whether a request is in progress is guessed from the direction of the last data: inwards means yes. A
    // connection that has never sent anything has a send time nevertheless, that of its opening.
    let never_answered = tcp.bytes_sent() == 0 && tcp.bytes_received() > 0;
    let waiting = never_answered || tcp.lrcvtime().wrapping_sub(tcp.lsndtime()) as i32 > 0;
    seeded.written = tcp.write_seq().wrapping_sub(u32::from(!waiting));
    seeded.inode = tcp.inode();
    // What came in last on a port for HTTPS may have been a control frame of HTTP/2.
    let may_be_request = waiting && !HTTPS_PORTS.contains(&port);
    seeded.request_end = seeded.copied.wrapping_add(u32::from(may_be_request));
    seeded.port_slot = port_slot(port) as u16;
    if connections::insert(sk.key(), seeded)
        && waiting
        && let Some(conn) = connections::get(sk.key())
    {
        // SAFETY: map values stay valid while a program runs, even if the connection closes meanwhile.
        let conn = unsafe { &mut *conn };
        conn.turns = 1;
        count_exchange(conn);
    }
}
