//! The table of watched connections, by the address of their sockets.
//!
//! Every packet of every socket on the host is looked up here, and most belong to no watched connection. So a failed
//! lookup must be cheap: it takes a few loads from an array, where the kernel's own hash map takes four function
//! calls.
//!
//! Terms:
//! * A *place* holds one connection (map `PLACES`). Eight places form a *bucket*; a key has four buckets to choose
//!   from.
//! * A *tag* stands for each place (map `TAGS`; the eight of a bucket share a cache line). From its top: the *name*,
//!   that is the low 48 bits of the key, in which all objects in kernel memory differ; eight bits that count
//!   connections *away* (below); eight bits that count the *holders*, that is who holds the place or tries to.
//! * A connection is *away* if its first bucket had no free place and it went to another one. The first tag of the
//!   first bucket counts these. If it counts none, the lookup ends there, after one cache line.
//!
//! Tags change by atomic additions alone, since Linux 5.10 has no compare-and-exchange for BPF programs: to take a
//! place, a CPU adds itself to the holders and looks whether it is the only one ([`claim_in`]).

use tracer_common::{Conn, is_v4_mapped, limits, lost};

use super::{
    counters::count,
    heads, keys,
    maps::{LOST, PLACES, PORT_COUNTS, TAGS},
    values::{BUCKETS, WAYS},
};
use crate::{
    kernel::sock::Identity,
    parse::verifier::{opaque, unknown},
};

/// Returned for a place's number where there is no place: one past the last.
const NOWHERE: u32 = limits::CONNECTION_PLACES;
/// Position of the name in a tag.
const NAME_SHIFT: u32 = 16;

/// One holder more: what to add to a tag.
const HELD: u64 = 1;
/// Mask of the number of holders.
const HOLDERS: u64 = 0xff;

/// One connection away more: what to add to the first tag of its first bucket.
const AWAY: u64 = 0x100;
/// Mask of the number of connections away.
const ALL_AWAY: u64 = 0xff00;

/// A tag in the map. Other CPUs change it at the same time.
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
        // SAFETY: a live map value of WAYS tags, and `way < WAYS`.
        Some(Self(unsafe { tags.cast::<u64>().add(way as usize) }))
    }

    #[inline(always)]
    fn get(self) -> u64 {
        // SAFETY: `self.0` points into a live map value.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn add(self, number: u64) {
        // SAFETY: `self.0` points into a live map value, aligned to 8 bytes. In assembly because `core` offers
        // atomic additions only for targets with compare-and-exchange; this instruction exists on every kernel.
        unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) self.0, in(reg) number, options(nostack)) }
    }
}

/// Number of buckets that may hold a key. With four, hardly any connection finds all of them full before two thirds
/// of all places are taken.
const CHOICES: u32 = 4;

/// The bucket of this key that comes at position `choice`, from 0.
#[inline(always)]
fn bucket(key: u64, choice: u32) -> u32 {
    // Fibonacci hashing. The low six bits are left out: objects in kernel memory are further apart.
    let hash = (key >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (52 - 12 * choice)) as u32 % BUCKETS
}

/// The place in this bucket whose tag has this name. `Err`: there is none; `true` if connections of this bucket are
/// away, so that it may be in another one (only the first bucket of a key counts these).
#[inline(always)]
fn place_in(bucket: u32, name: u64) -> Result<u32, bool> {
    let Some(tags) = TAGS.get_ptr(bucket) else { return Err(false) };
    let tag = |way: u32| {
        // SAFETY: a live map value of WAYS tags, and `way < WAYS`.
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

/// The place of this key. [`NOWHERE`] or `None`: it has none.
#[inline(always)]
fn place(key: u64) -> Option<u32> {
    match place_in(bucket(key, 0), key << NAME_SHIFT) {
        Ok(place) => Some(place),
        Err(true) => Some(place_elsewhere(key)),
        Err(false) => None,
    }
}

// The functions without a mangled name are "global functions" to the kernel: the verifier checks each of them once,
// apart from its callers.

/// The place of this key in its other buckets; [`NOWHERE`] if it has none.
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

/// The connection in this place. `None`: the number is past the last place.
#[inline(always)]
fn at(place: u32) -> Option<*mut Conn> {
    // SAFETY: computes the address of a field of a live map value, without access.
    PLACES.get_ptr_mut(place).map(|place| unsafe { &raw mut (*place).0 })
}

/// The connection with this key. `None`: it is not watched.
#[inline(always)]
pub fn get(key: u64) -> Option<*mut Conn> {
    at(place(key)?)
}

/// The connection of this socket. `None`: it is not watched. Drops a stale entry: an earlier socket at the same
/// address whose close was missed.
#[inline(always)]
pub fn of(sock: impl Identity) -> Option<*mut Conn> {
    own(get(sock.key())?, sock)
}

/// Returns `conn`, which was found by this socket's key, if it has the socket's peer as well. Otherwise drops it: it
/// belongs to an earlier socket at the same address whose close was missed.
#[inline(always)]
pub fn own(conn: *mut Conn, sock: impl Identity) -> Option<*mut Conn> {
    // SAFETY: a live map value.
    if unsafe { (*conn).peer } == sock.peer() {
        return Some(conn);
    }
    forget_left(sock.key());
    None
}

/// Drops the stale entry with this key. Returns 1 if there was one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn forget_left(key: u64) -> u32 {
    let Some(conn) = get(key) else { return 0 };
    forget(key, conn);
    1
}

/// Adds a connection to the table and counts it as opened. `false`: there is no place, which is counted as a loss.
#[inline(always)]
pub fn insert(key: u64, conn: &Conn) -> bool {
    if !put(key, conn) {
        count(&LOST, lost::CONNECTIONS);
        return false;
    }
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(conn.port_slot.into()) {
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

/// Removes the connection from the table, counts it as closed, and frees its heads.
#[inline(always)]
pub fn forget(key: u64, conn: *mut Conn) {
    // SAFETY: a live map value.
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(unsafe { (*conn).port_slot }.into()) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe { (*counts).closed += 1 }
    }
    // SAFETY: a live map value; no other reference to it is used at the same time.
    let state = unsafe { &mut *conn };
    keys::forget(state);
    heads::release(state);
    remove(key);
}

/// Writes the connection into the place of its key, or else into a new one. `false`: its four buckets are full.
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
    // SAFETY: a live map value in a place that was just claimed; no lookup finds it before its name is in the tag.
    unsafe { *free = *conn };
    tag.add(key << NAME_SHIFT);
    true
}

/// Takes a place for this key in one of its buckets; [`NOWHERE`] if all are full.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn claim(key: u64) -> u32 {
    let first = bucket(key, 0);
    let place = claim_in(first);
    if place < NOWHERE {
        return place;
    }
    let Some(away) = Tag::of(first, 0) else { return NOWHERE };
    // The count of those away can't go higher.
    if away.get() & ALL_AWAY == ALL_AWAY {
        return NOWHERE;
    }
    // Counted before the connection can be looked up in another bucket.
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

/// Takes a place in this bucket; [`NOWHERE`] if there is none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn claim_in(bucket: u32) -> u32 {
    for way in 0..WAYS {
        let Some(tag) = Tag::of(bucket, way) else { break };
        if tag.get() & HOLDERS != 0 {
            continue;
        }
        tag.add(HELD);
        // If another CPU tries the same place, both count two holders, and neither takes it.
        if tag.get() & HOLDERS == HELD {
            return bucket * WAYS + way;
        }
        tag.add(HELD.wrapping_neg());
    }
    NOWHERE
}

/// Frees the place of this key, if it has one.
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

/// Number of steps after which [`find`] returns.
const STEPS: u32 = 256;

/// The first place from `from` on that holds a connection opened, and last read from, no later than `until_ns`.
/// [`NOWHERE`] if there is none. Number of the next place with [`limits::GO_ON`] set if the step limit was reached
/// first; the caller goes on from there.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn find(from: u32, until_ns: u64) -> u32 {
    let mut place = from;
    for _ in 0..STEPS {
        place = unknown(place.into()) as u32;
        let (Some(tags), Some(conn)) = (TAGS.get_ptr(place / WAYS), at(place)) else {
            return NOWHERE;
        };
        // An empty bucket is passed in one step.
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
