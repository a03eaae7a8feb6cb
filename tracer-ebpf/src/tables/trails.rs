//! The trails: the last TLS records of connections that may speak HTTP/2, and what the agent found them to speak.

use tracer_common::{
    Conn, conn_flags as flag,
    trail::{Trail, spoken},
};

use super::{
    keys::name,
    maps::{NO_TRAIL, SPOKEN, TRAILS},
};

/// Gives the connection a trail.
#[inline(always)]
pub fn begin(conn: &mut Conn) {
    let Some(blank) = NO_TRAIL.get_ptr(0) else { return };
    // SAFETY: a live map value, to which nobody writes.
    if TRAILS.insert(&name(conn), unsafe { &*blank }, 0).is_ok() {
        conn.flags |= flag::TRAILED;
    }
}

/// The connection's trail. `None`: it has none, or lost it to others.
#[inline(always)]
pub fn of(conn: &mut Conn) -> Option<*mut Trail> {
    if conn.flags & flag::TRAILED == 0 {
        return None;
    }
    let trail = TRAILS.get_ptr_mut(&name(conn));
    if trail.is_none() {
        conn.flags &= !flag::TRAILED;
    }
    trail
}

/// Asks what the agent found of the connection: whether it speaks HTTP/2. One that speaks something else needs no
/// trail. Returns what it found, 0 if nothing.
#[inline(always)]
pub fn learn(conn: &mut Conn) -> u32 {
    // SAFETY: a live map value, which the program only reads.
    let Some(found) = (unsafe { SPOKEN.get(&name(conn)) }) else { return 0 };
    if *found == spoken::OTHER {
        conn.flags &= !flag::TRAILED;
    } else {
        conn.flags |= flag::H2;
    }
    *found
}
