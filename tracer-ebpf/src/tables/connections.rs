//! Where the connections that are watched are kept: an array, in which the address of a socket names four times eight places.
//!
//! Every packet of every socket on the host asks here, and most belong to none: loads alone answer, where a look-up in the
//! kernel's own hash table takes four calls of functions. Each place has a tag: the low 48 bits of the socket's address
//! (memory has no two objects that differ above them), and below those how many hold the place or try to. The first tag of a
//! bucket also counts the connections that found no place there and went to another bucket: where there are none, one
//! cache line answers. Tags change by atomic additions only: 5.10 has no compare-and-exchange.

use tracer_common::{Conn, is_v4_mapped, limits, lost};

use super::{
    counters::count,
    heads,
    maps::{LOST, PLACES, PORT_COUNTS, TAGS},
    values::{BUCKETS, WAYS},
};
use crate::{
    kernel::sock::Identity,
    wire::verifier::{opaque, unknown},
};

/// In place of a place's number: the first one past the last.
const NOWHERE: u32 = limits::CONNECTION_PLACES;
const NAME_SHIFT: u32 = 16;

/// Adds one that holds a place or tries to.
const HELD: u64 = 1;
const HOLDERS: u64 = 0xff;

/// Adds one that has a place elsewhere.
const AWAY: u64 = 0x100;
const ALL_AWAY: u64 = 0xff00;

/// One of them, in the map; other CPUs change it meanwhile.
#[derive(Clone, Copy)]
struct Tag(*mut u64);

impl Tag {
    #[inline(always)]
    fn of(bucket: u32, way: u32) -> Option<Self> {
        let tags = TAGS.get_ptr_mut(bucket)?;
        let way = opaque(way.into());
        if way >= u64::from(WAYS) {
            return None;
        }
        // SAFETY: a live map value, which has that many.
        Some(Self(unsafe { tags.cast::<u64>().add(way as usize) }))
    }

    #[inline(always)]
    fn get(self) -> u64 {
        // SAFETY: made from a live map value.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn add(self, number: u64) {
        // SAFETY: as above. The target has the instruction since its beginnings; core offers it for none without
        // compare-and-exchange.
        unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) self.0, in(reg) number, options(nostack)) }
    }
}

/// Buckets that have places for a key: with four, next to no connection goes without before two thirds of all are taken.
const CHOICES: u32 = 4;

/// One of the buckets that have places for this key.
#[inline(always)]
fn bucket(key: u64, choice: u32) -> u32 {
    // Fibonacci hashing; objects of the kernel's are far apart.
    let hash = (key >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (52 - 12 * choice)) as u32 % BUCKETS
}

/// The place in this bucket whose tag has this name; else whether it may be in another bucket.
#[inline(always)]
fn place_in(bucket: u32, name: u64) -> Result<u32, bool> {
    let Some(tags) = TAGS.get_ptr(bucket) else { return Err(false) };
    let tag = |way: u32| {
        // SAFETY: a live map value, which has that many.
        unsafe { (&raw const (*tags)[way as usize]).read_volatile() }
    };
    let mut away = 0;
    for way in 0..WAYS {
        let tag = tag(way);
        if (tag ^ name) >> NAME_SHIFT == 0 {
            return Ok(bucket * WAYS + unknown(way.into()) as u32);
        }
        if way == 0 {
            away = tag & ALL_AWAY;
        }
    }
    Err(away != 0)
}

/// The place with this key's name, if there is such a place.
#[inline(always)]
fn place(key: u64) -> Option<u32> {
    match place_in(bucket(key, 0), key << NAME_SHIFT) {
        Ok(place) => Some(place),
        Err(true) => Some(place_elsewhere(key)),
        Err(false) => None,
    }
}

// As in `head`: the functions without a mangled name are the kernel's "global functions", which it checks once each.

/// Looks for its place in the other buckets; [`NOWHERE`]: it has none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn place_elsewhere(key: u64) -> u32 {
    for choice in 1..CHOICES {
        if let Ok(place) = place_in(bucket(key, choice), key << NAME_SHIFT) {
            return place;
        }
    }
    NOWHERE
}

/// The connection in this place; `None` past the last one.
#[inline(always)]
fn at(place: u32) -> Option<*mut Conn> {
    // SAFETY: no access: the address of a field.
    PLACES.get_ptr_mut(place).map(|place| unsafe { &raw mut (*place).0 })
}

/// The connection with this key. `None`: it is not watched.
#[inline(always)]
pub fn get(key: u64) -> Option<*mut Conn> {
    at(place(key)?)
}

/// The connection of this socket. `None`: it is not watched. What is left of one that had the same memory before, and whose
/// end went unseen, is forgotten.
#[inline(always)]
pub fn of(sock: impl Identity) -> Option<*mut Conn> {
    own(get(sock.key())?, sock)
}

/// This connection, if it is that of this socket, whose key it has.
#[inline(always)]
pub fn own(conn: *mut Conn, sock: impl Identity) -> Option<*mut Conn> {
    // SAFETY: a live map value.
    if unsafe { (*conn).peer } == sock.peer() {
        return Some(conn);
    }
    forget_left(sock.key());
    None
}

/// Drops what is left of a connection whose end went unseen.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn forget_left(key: u64) -> u32 {
    let Some(conn) = get(key) else { return 0 };
    forget(key, conn);
    1
}

/// Puts a filled-in connection into the table and counts it. `false`: the table is full.
#[inline(always)]
pub fn insert(key: u64, conn: &Conn) -> bool {
    if !put(key, conn) {
        count(&LOST, lost::CONNECTIONS);
        return false;
    }
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(conn.port_slot) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe {
            if is_v4_mapped(&conn.tuple.peer_addr) {
                (*counts).connections_ipv4 += 1;
            } else {
                (*counts).connections_ipv6 += 1;
            }
        }
    }
    true
}

/// Drops the connection from the table.
#[inline(always)]
pub fn forget(key: u64, conn: *mut Conn) {
    // SAFETY: a live map value.
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(unsafe { (*conn).port_slot }) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe { (*counts).closed += 1 }
    }
    // SAFETY: as above.
    heads::release(unsafe { &mut *conn });
    remove(key);
}

/// Puts a connection into a place of its own, or into that which its key has. `false`: all of its places are taken.
#[inline(always)]
fn put(key: u64, conn: &Conn) -> bool {
    if let Some(known) = get(key) {
        // SAFETY: a live map value.
        unsafe { *known = *conn };
        return true;
    }
    let place = claim(key);
    let (Some(free), Some(tag)) = (at(place), Tag::of(place / WAYS, place % WAYS)) else {
        return false;
    };
    // SAFETY: a live map value, which is nobody else's.
    unsafe { *free = *conn };
    tag.add(key << NAME_SHIFT);
    true
}

/// Takes a place for this key; [`NOWHERE`]: all of its places are taken.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn claim(key: u64) -> u32 {
    let first = bucket(key, 0);
    let place = claim_in(first);
    if place < NOWHERE {
        return place;
    }
    let Some(away) = Tag::of(first, 0) else { return NOWHERE };
    if away.get() & ALL_AWAY == ALL_AWAY {
        return NOWHERE;
    }
    // Before anybody can look for it there.
    away.add(AWAY);
    for choice in 1..CHOICES {
        let place = claim_in(bucket(key, choice));
        if place < NOWHERE {
            return place;
        }
    }
    away.add(AWAY.wrapping_neg());
    NOWHERE
}

/// Takes a place in this bucket.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn claim_in(bucket: u32) -> u32 {
    for way in 0..WAYS {
        let Some(tag) = Tag::of(bucket, way) else { break };
        if tag.get() & HOLDERS != 0 {
            continue;
        }
        tag.add(HELD);
        // Another CPU that tries the same place sees two; then neither takes it.
        if tag.get() & HOLDERS == HELD {
            return bucket * WAYS + way;
        }
        tag.add(HELD.wrapping_neg());
    }
    NOWHERE
}

/// Frees the connection's place, if it has one.
#[inline(always)]
pub fn remove(key: u64) {
    let Some(place) = place(key) else { return };
    let first = bucket(key, 0);
    let (Some(tag), Some(away)) = (Tag::of(place / WAYS, place % WAYS), Tag::of(first, 0)) else { return };
    tag.add((key << NAME_SHIFT | HELD).wrapping_neg());
    if place / WAYS != first {
        away.add(AWAY.wrapping_neg());
    }
}

/// Steps that [`find`] takes at once.
const STEPS: u32 = 256;

/// The first taken place from `from` on whose connection was opened, and last read from, by `until_ns`;
/// [`limits::GO_ON`] where that would take more steps, [`NOWHERE`] where there is none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn find(from: u32, until_ns: u64) -> u32 {
    let mut place = from;
    for _ in 0..STEPS {
        place = unknown(place.into()) as u32;
        let (Some(tags), Some(conn)) = (TAGS.get_ptr(place / WAYS), at(place)) else {
            return NOWHERE;
        };
        // SAFETY: a live map value.
        if place.is_multiple_of(WAYS) && unsafe { *tags }.iter().fold(0, |all, tag| all | tag) == 0 {
            place += WAYS;
            continue;
        }
        // SAFETY: a live map value.
        let conn = unsafe { &*conn };
        let tag = Tag::of(place / WAYS, place % WAYS).map_or(0, Tag::get);
        if tag & HOLDERS != 0 && conn.read_ns.max(conn.opened_ns) <= until_ns {
            return place;
        }
        place += 1;
    }
    place | limits::GO_ON
}
