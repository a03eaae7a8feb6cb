//! The heads: the first bytes of a connection's current request and response, kept only while it needs them.
//!
//! There is a pool of them in an array (`POOLED_HEADS`): found without a search, and used again without being
//! allocated and cleared. When all are in use, further connections get theirs from a hash map (`HEADS`). A
//! connection holds the number of its heads: 0 for none, up to `POOLED` for one of the pool, and above that a random
//! key of the hash map.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_get_prandom_u32};
use tracer_common::{Conn, Heads, limits, lost};

use super::{
    counters::count,
    maps::{BLANK_HEADS, HEADS, LOST, POOLED_HEADS, SPARE_HEADS},
};

/// The highest number of heads in the pool.
const POOLED: u64 = limits::POOLED_HEADS as u64;

/// The heads with this number. `None`: there are none.
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

/// The heads of a connection, which takes some first if it has none. `None`: neither pool nor map has any left,
/// which is counted as a loss.
#[inline(always)]
pub fn of_or_take(conn: &mut Conn) -> Option<*mut Heads> {
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

/// The number of heads that no connection has.
#[inline(always)]
fn take() -> Option<u64> {
    if let Ok(Some(number)) = SPARE_HEADS.pop() {
        return Some(number);
    }
    let blank = BLANK_HEADS.get_ptr(0)?;
    // SAFETY: the helper has no preconditions.
    let (high, low) = unsafe { (bpf_get_prandom_u32(), bpf_get_prandom_u32()) };
    let number = u64::from(high) << 32 | u64::from(low) | 1 << 63;
    // SAFETY: a live map value; nobody writes to it.
    HEADS.insert(&number, unsafe { &*blank }, BPF_NOEXIST.into()).ok().map(|()| number)
}

/// Gives the connection's heads back, for the next connection to use.
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
        // Can't fail: the stack has room for the whole pool.
        let _room = SPARE_HEADS.push(&number, 0);
    } else {
        let _gone = HEADS.remove(&number);
    }
}
