//! Where the first bytes of a connection's current request and response are kept, while it needs them.
//!
//! Most connections take one of a fixed number of places, in an array: found without a search, used again without being
//! made and wiped. A crowd beyond that goes to a table.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_get_prandom_u32};
use tracer_common::{Conn, Heads, limits, lost};

use super::{
    counters::count,
    maps::{BLANK_HEADS, HEADS, LOST, POOLED_HEADS, SPARE_HEADS},
};

const POOLED: u64 = limits::POOLED_HEADS as u64;

/// The place with this number. `None`: there is none.
#[inline(always)]
pub fn at(number: u64) -> Option<*mut Heads> {
    if number == 0 {
        None
    } else if number <= POOLED {
        POOLED_HEADS.get_ptr_mut(number as u32 - 1)
    } else {
        HEADS.get_ptr_mut(&number)
    }
}

/// The place of a connection, which takes one if it has none. `None`: there is none left, which is counted.
#[inline(always)]
pub fn of(conn: &mut Conn) -> Option<*mut Heads> {
    if conn.heads != 0 {
        return at(conn.heads);
    }
    let Some(number) = take() else {
        count(&LOST, lost::HEADS);
        return None;
    };
    conn.heads = number;
    let heads = at(number)?;
    // SAFETY: a live map value.
    unsafe { (*heads).owner = conn.key };
    Some(heads)
}

/// Number of a place that no connection has.
#[inline(always)]
fn take() -> Option<u64> {
    if let Ok(Some(number)) = SPARE_HEADS.pop() {
        return Some(number);
    }
    let blank = BLANK_HEADS.get_ptr(0)?;
    // SAFETY: the helper has no preconditions.
    let (high, low) = unsafe { (bpf_get_prandom_u32(), bpf_get_prandom_u32()) };
    let number = u64::from(high) << 32 | u64::from(low) | 1 << 63;
    // SAFETY: a live map value that nobody writes.
    HEADS.insert(&number, unsafe { &*blank }, BPF_NOEXIST.into()).ok().map(|()| number)
}

/// The connection's first bytes are of no more use: its place serves the next one from now on.
#[inline(always)]
pub fn release(conn: &mut Conn) {
    let number = conn.heads;
    let Some(heads) = at(number) else { return };
    // SAFETY: a live map value.
    unsafe { (*heads).owner = 0 };
    conn.heads = 0;
    conn.request_have = 0;
    conn.response_have = 0;
    if number <= POOLED {
        // There is room for every place.
        let _room = SPARE_HEADS.push(&number, 0);
    } else {
        let _gone = HEADS.remove(&number);
    }
}
