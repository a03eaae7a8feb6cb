//! Upstream connections: by the sockets at both ends, and by the connection that they serve.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use tracer_common::{Owner, Served, Upstream, conn_flags, upstream_flags as flag};

use super::{
    connections,
    maps::{BLANK_UPSTREAM, FOLLOWED, OWNERS, SERVED, SERVERS, UPSTREAMS},
    values::{FOLLOWED_BUCKETS, FOLLOWED_WAYS, Followed},
};
use crate::{kernel::task::TaskRef, parse::verifier::unknown};

/// The process that runs now.
#[inline(always)]
pub fn current() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Whether the current process owns edge connections, or serves a process that does.
#[inline(always)]
pub fn is_owner() -> bool {
    let tgid = current();
    OWNERS.get_ptr(&tgid).is_some() || SERVERS.get_ptr(&tgid).is_some()
}

#[inline(always)]
fn bucket(sock: u64) -> u32 {
    ((sock >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 % FOLLOWED_BUCKETS
}

/// The upstream connection with this socket at one of its ends, if it is followed.
#[inline(always)]
pub fn of(sock: u64) -> Option<*mut Upstream> {
    let ways = FOLLOWED.get_ptr(bucket(sock))?;
    for way in 0..FOLLOWED_WAYS {
        // SAFETY: a live map value of FOLLOWED_WAYS entries, and `way` is one of them.
        let end = unsafe { (&raw const (*ways)[way]).read_volatile() };
        if end.sock == sock {
            return known(end.upstream, sock);
        }
    }
    None
}

/// The upstream connection with this key, if the socket is one of its ends: the table of ends may be older.
#[inline(never)]
fn known(key: u64, sock: u64) -> Option<*mut Upstream> {
    let upstream = get(key)?;
    // SAFETY: a live map value.
    let (own, server) = unsafe { ((*upstream).sock, (*upstream).server_key) };
    if own == sock || server == sock { Some(upstream) } else { None }
}

/// The upstream connection with this key.
#[inline(always)]
pub fn get(key: u64) -> Option<*mut Upstream> {
    UPSTREAMS.get_ptr_mut(&key)
}

/// Notes that this socket is an end of the upstream connection. A full bucket gives up one of its entries, whose
/// connection is then followed no longer at that end.
#[inline(never)]
pub fn follow(sock: u64, upstream: u64) {
    let Some(ways) = FOLLOWED.get_ptr_mut(bucket(sock)) else { return };
    let mut free = (sock >> 12) as usize % FOLLOWED_WAYS;
    for way in 0..FOLLOWED_WAYS {
        // SAFETY: a live map value of FOLLOWED_WAYS entries, and `way` is one of them.
        let taken = unsafe { (*ways)[way].sock };
        if taken == 0 || taken == sock {
            free = way;
        }
        if taken == sock {
            break;
        }
    }
    let free = unknown(free as u64) as usize % FOLLOWED_WAYS;
    // SAFETY: as above. Two CPUs that take the same entry leave one of the two sockets, or a mixture, which `known`
    // finds out.
    unsafe { (*ways)[free] = Followed { sock, upstream } };
}

/// Notes that this socket is no end of an upstream connection any more.
#[inline(never)]
pub fn unfollow(sock: u64) {
    let Some(ways) = FOLLOWED.get_ptr_mut(bucket(sock)) else { return };
    for way in 0..FOLLOWED_WAYS {
        // SAFETY: a live map value of FOLLOWED_WAYS entries, and `way` is one of them.
        unsafe {
            if (*ways)[way].sock == sock {
                (*ways)[way].sock = 0;
            }
        }
    }
}

/// A new, empty upstream connection of the current process.
#[inline(always)]
pub fn begin(sock: u64, now: u64) -> Option<*mut Upstream> {
    // The low bits stay free, as in an address.
    let key = (now.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ sock) & !0x3f;
    let blank = BLANK_UPSTREAM.get_ptr(0)?;
    // SAFETY: a live map value; nobody writes to it. Full: the entry that was unused for longest is dropped.
    UPSTREAMS.insert(&key, unsafe { &*blank }, 0).ok()?;
    let upstream = get(key)?;
    // SAFETY: a live map value.
    unsafe {
        (*upstream).key = key;
        (*upstream).sock = sock;
        (*upstream).opened_ns = now;
        (*upstream).owner = current();
        (*upstream).uses = 1;
    }
    follow(sock, key);
    Some(upstream)
}

/// The upstream connection is not needed any more, if it is closed.
#[inline(never)]
pub fn forget_closed(key: u64) {
    let closed = flag::NOT_CONNECTED | flag::SERVER_FIN | flag::SERVER_RST | flag::OWNER_LEFT;
    if let Some(upstream) = get(key)
        // SAFETY: a live map value.
        && unsafe { (*upstream).flags } & closed != 0
    {
        forget(key);
    }
}

/// The upstream connection is not needed any more.
#[inline(always)]
pub fn forget(key: u64) {
    let _gone = UPSTREAMS.remove(&key);
}

/// An exchange for which a process owes a response. Not an `Option` of it: of one without a value the compiler copies
/// the numbers all the same, which nobody has written, and before 6.3 the verifier refuses to read such.
pub struct Waits {
    /// When the connection was opened. 0: there is no such exchange.
    pub opened_ns: u64,
    pub number: u32,
}

/// The exchange for which this process owes a response on this connection.
#[inline(always)]
pub fn waits(front: u64, tgid: u32) -> Waits {
    let none = Waits { opened_ns: 0, number: 0 };
    if front == 0 {
        return none;
    }
    if let Some(conn) = connections::get(front) {
        // SAFETY: a live map value.
        let conn = unsafe { &*conn };
        let gone = conn_flags::ORIGIN_FIN | conn_flags::ABORTED;
        let is_sealed = conn.flags & conn_flags::SEALED != 0;
        // On HTTP/2 there may always be one more.
        let may_wait = conn.flags & conn_flags::TRAILED != 0 || is_sealed && conn.may_be_tickets();
        if (conn.is_awaited() || may_wait) && conn.owner == tgid && conn.flags & gone == 0 {
            return Waits { opened_ns: conn.opened_ns.max(1), number: conn.exchanges };
        }
        return none;
    }
    let Some(upstream) = get(front) else { return none };
    // SAFETY: a live map value.
    let upstream = unsafe { &*upstream };
    if upstream.received == 0 && upstream.server.tgid == tgid {
        return Waits { opened_ns: upstream.opened_ns, number: upstream.uses };
    }
    none
}

/// Whether this process still owes the response to this exchange. On HTTP/2 the next one may be meant as well.
#[inline(never)]
pub fn still_waits(front: u64, exchange: u32, tgid: u32) -> bool {
    // SAFETY: a live map value.
    if connections::get(front).is_some_and(|conn| unsafe { (*conn).flags } & conn_flags::TRAILED != 0) {
        return false;
    }
    let waits = waits(front, tgid);
    waits.opened_ns != 0 && waits.number == exchange
}

/// The upstream connection that serves this exchange of the connection in front.
#[inline(always)]
pub fn served(front: u64, opened_ns: u64, exchange: u32) -> Option<*mut Served> {
    let served = SERVED.get_ptr_mut(&front)?;
    // SAFETY: a live map value; an entry that is reused while it is read belongs to another connection, which the time
    // of its opening shows.
    let is_current = unsafe { (*served).opened_ns == opened_ns && (*served).exchange == exchange };
    is_current.then_some(served)
}

/// What serves this connection, or did so last, whichever exchange that was for.
#[inline(always)]
pub fn server_of(front: u64, opened_ns: u64) -> Option<*const Served> {
    let served = SERVED.get_ptr(&front)?;
    // SAFETY: a live map value.
    (unsafe { (*served).opened_ns } == opened_ns).then_some(served)
}

/// What [`served_by_pair`] says of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// It has none.
    None,
    /// It has one.
    Stands,
    /// It had one that could not be opened.
    Failed,
}

/// Whether the upstream connection that serves this connection is its pair.
#[inline(always)]
pub fn served_by_pair(front: u64, opened_ns: u64) -> Pair {
    let Some(served) = server_of(front, opened_ns) else { return Pair::None };
    // SAFETY: a live map value.
    let Some(upstream) = get(unsafe { (*served).upstream }) else { return Pair::None };
    // SAFETY: as above.
    let flags = unsafe { (*upstream).flags };
    if flags & flag::PAIRED == 0 {
        Pair::None
    } else if flags & flag::NOT_CONNECTED != 0 {
        Pair::Failed
    } else if flags & flag::AMBIGUOUS == 0 {
        Pair::Stands
    } else {
        Pair::None
    }
}

/// The process that reads now serves the upstream connection: notes it, so that its end is reported.
#[inline(never)]
pub fn served_by(upstream: *mut Upstream, tgid: u32) {
    let leader = TaskRef::current().leader();
    // SAFETY: a live map value.
    let server = unsafe { &mut (*upstream).server };
    server.tgid = tgid;
    server.start_ns = leader.start_ns();
    server.comm = leader.comm();
    let process = Owner { comm: server.comm, start_ns: server.start_ns };
    let _evicts_when_full = SERVERS.insert(&tgid, &process, 0);
}
