//! Answers inside TLS that may be errors: one of a connection whose upstream has just failed, or one of a size that is
//! to be looked at (`tracer_common::sealed_answer`).

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};
use tracer_common::{
    Upstream,
    sealed_answer::{FIRST_OF_A_SIZE, SAMPLES, slot},
    upstream_flags as flag,
};

use super::{
    keys::sight,
    maps::{ANSWER_SIZES, CONFIG, ERROR_SIZES, FAILED, SAMPLE_RATE},
    values::{FAILED_SLOTS, Failed, Size},
};

/// After how many seconds an answer of a size that was sound is handed over again.
const AGAIN: u32 = 10;

/// How many answers are handed over because of one upstream connection that failed. On a connection of HTTP/2 the first
/// may be another stream's.
const ANSWERS: u64 = 3;

#[inline(always)]
fn place(front: u64) -> u32 {
    (front >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_shr(40) as u32 & (FAILED_SLOTS - 1)
}

/// The upstream connection has got to a point from which its owner may answer with an error.
#[inline(always)]
pub fn note_upstream(upstream: &Upstream) {
    if sight() && upstream.front != 0 && has_failed(upstream) {
        note(upstream);
    }
}

/// Whether nothing came before the connection ended, or it was reset, or what came is an error.
#[inline(always)]
fn has_failed(upstream: &Upstream) -> bool {
    const STATUS: usize = "HTTP/1.1 ".len();
    let ended = flag::NOT_CONNECTED | flag::SERVER_FIN | flag::SERVER_RST | flag::OWNER_LEFT;
    let ends = upstream.flags & ended != 0 && upstream.received == 0;
    let [row, ..] = &upstream.head;
    ends || upstream.flags & flag::SERVER_RST != 0 || upstream.head_len != 0 && row[STATUS] == b'5'
}

#[inline(never)]
fn note(upstream: &Upstream) {
    if let Some(failed) = FAILED.get_ptr_mut(place(upstream.front)) {
        let began_ns = if upstream.asked_ns == 0 { upstream.opened_ns } else { upstream.asked_ns };
        // SAFETY: a live map value. Two CPUs that write at once leave a mixture: who reads compares both keys.
        unsafe { *failed = Failed { front: upstream.front, upstream: upstream.key, began_ns, left: ANSWERS } };
    }
}

/// The upstream connection that failed last behind this connection, which was opened at that time: its key was perhaps
/// another's before. 0: none.
#[inline(always)]
pub fn behind(front: u64, opened_ns: u64) -> u64 {
    let Some(failed) = FAILED.get_ptr(place(front)) else { return 0 };
    // SAFETY: a live map value.
    let failed = unsafe { &*failed };
    let is_its = failed.front == front && failed.began_ns >= opened_ns;
    if is_its && failed.left != 0 { failed.upstream } else { 0 }
}

/// An answer was handed over because of that. `is_last`: no other can be meant.
#[inline(always)]
pub fn answered(front: u64, is_last: bool) {
    if let Some(failed) = FAILED.get_ptr_mut(place(front)) {
        // SAFETY: a live map value.
        let failed = unsafe { &mut *failed };
        failed.left = if is_last { 0 } else { failed.left.saturating_sub(1) };
    }
}

/// Whether an answer of this size is to be handed over.
#[inline(always)]
pub fn is_of_error_size(name: u32) -> bool {
    ERROR_SIZES.get(slot(name)).is_some_and(|of_error| *of_error == name)
}

/// Whether an answer of this size, which had no errors of late, is to be handed over: one of the first ones, or of
/// those after a while.
#[inline(always)]
pub fn is_due(name: u32) -> bool {
    let Some(size) = ANSWER_SIZES.get_ptr_mut(slot(name)) else { return false };
    // SAFETY: a live map value. Two CPUs that write at once hand one more over. The helper has no preconditions.
    let (size, now) = unsafe { (&mut *size, bpf_jiffies64() as u32) };
    let again = CONFIG.get(0).map_or(0, |config| config.second_jiffies.wrapping_mul(AGAIN));
    if size.name == name && size.asked >= FIRST_OF_A_SIZE && now.wrapping_sub(size.last) < again || !may_sample() {
        return false;
    }
    let asked = if size.name == name { size.asked.saturating_add(1) } else { 1 };
    *size = Size { name, asked, last: now };
    true
}

/// Whether fewer than the most were handed over in this second for their size alone.
#[inline(always)]
fn may_sample() -> bool {
    let Some(rate) = SAMPLE_RATE.get_ptr_mut(0) else { return false };
    // SAFETY: a live map value. Two that count at once may let one more through. The helper has no preconditions.
    let (rate, now_s) = unsafe { (&mut *rate, bpf_ktime_get_ns() >> 30) };
    if rate[0] != now_s {
        *rate = [now_s, 0];
    }
    if rate[1] >= SAMPLES {
        return false;
    }
    rate[1] += 1;
    true
}
