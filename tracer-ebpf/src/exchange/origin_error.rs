//! Answers of 500 to 599 that are complete: the origin's own, and no failure. Each is counted; a record is made of at
//! most [`limits::ORIGIN_RECORDS`] a second.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{Conn, conn_flags as flag, gate::Verdict, limits, lost, origin_flags as origin};

use crate::{
    emit,
    exchange::verdict,
    parse::framing::STATUS,
    tables::{
        counters::count,
        heads,
        maps::{LOST, ORIGIN_RATE, UNTOLD},
    },
};

/// Whether these first bytes of a response have a status of 500 or above.
#[inline(always)]
pub fn begins(response: &[u8; limits::RESPONSE_LEN]) -> bool {
    response[STATUS] == b'5'
}

/// Some of a response of 5xx, or the origin's FIN after it, has gone out: if that completes it, counts it.
#[inline(never)]
pub fn follow(conn: *mut Conn) {
    // SAFETY: callers pass a live map value.
    let state = unsafe { &mut *conn };
    if state.origin_flags & origin::IN_HEAD != 0 {
        return;
    }
    // Told as a failure; or the edge had left before, and got no answer.
    if state.flags & (flag::REPORTED | flag::PEER_FIN | flag::LEAVING) != 0 {
        state.origin_flags &= !origin::ERROR;
        return;
    }
    match verdict::judge(state, state.flags, state.response_len) {
        Verdict::Cut => {}
        Verdict::UntilClose if state.flags & flag::ORIGIN_FIN == 0 => {}
        Verdict::Odd => state.origin_flags &= !origin::ERROR,
        // Also where it can't be decided when it ends.
        Verdict::Whole | Verdict::UntilClose | Verdict::Unknown => {
            state.origin_flags &= !origin::ERROR;
            tell(state);
        }
    }
}

/// Counts the answer: in a record, or else on its own.
#[inline(always)]
fn tell(conn: &Conn) {
    let Some(heads) = heads::at(conn.heads) else { return };
    // SAFETY: a live map value.
    let response = unsafe { &(*heads).response };
    let digit = |at: usize| u32::from(response[STATUS + at].wrapping_sub(b'0'));
    let (tens, ones) = (digit(1), digit(2));
    if tens > 9 || ones > 9 {
        return;
    }
    let slot = tens * 10 + ones;
    if !may_tell() || !emit::origin_error(conn, 500 + slot) {
        count(&LOST, lost::ORIGIN_ERRORS);
        count(&UNTOLD, slot);
    }
}

/// Whether less than the most records were made in this second.
#[inline(always)]
pub fn may_tell() -> bool {
    let Some(rate) = ORIGIN_RATE.get_ptr_mut(0) else { return false };
    // SAFETY: a live map value; the helper has no preconditions.
    let (rate, now_s) = unsafe { (&mut *rate, bpf_ktime_get_ns() / 1_000_000_000) };
    if rate[0] != now_s {
        *rate = [now_s, 0];
    }
    rate[1] += 1;
    rate[1] <= limits::ORIGIN_RECORDS
}
