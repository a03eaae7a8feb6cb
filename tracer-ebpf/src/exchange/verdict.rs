//! Is a response whole? `parse::framing` decides; this gives it the kept bytes, and a walk over them.

use tracer_common::{Conn, gate::Verdict, origin_flags as origin};

use crate::{
    exchange::walk::walk_part,
    parse::{
        fields::WALK_PARTS,
        framing::{Judged, conclude},
    },
    tables::{
        desks::{leave_desk, take_desk},
        heads,
        maps::WALK,
    },
};

/// Judges the current response on this connection, of which `total` bytes were written. `flags` are the connection's,
/// with HEAD set if the response answers a HEAD request.
#[inline(always)]
pub fn judge(conn: &Conn, flags: u32, total: u32) -> Verdict {
    if conn.origin_flags & origin::NOT_HTTP != 0 {
        return Verdict::Odd;
    }
    let [flags, seen, lengths, tail] = Judged::of(conn, flags, total).to_words();
    Verdict::of(judge_response(conn.heads, flags, seen, lengths, tail))
}

/// [`judge`] as one of the kernel's "global functions", which the verifier checks once and which take numbers only:
/// that of the buffers, and [`Judged::to_words`]. Returns a [`Verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn judge_response(number: u64, flags: u64, seen: u64, lengths: u64, tail: u64) -> u32 {
    verdict(&Judged::from_words([flags, seen, lengths, tail]), number) as u32
}

/// Walks over the header section of response `number` and judges by what it finds.
#[inline(always)]
fn verdict(judged: &Judged, number: u64) -> Verdict {
    let Some(heads) = heads::at(number) else { return Verdict::Unknown };
    let desk = take_desk();
    // None is free.
    let Some(walk) = WALK.get_ptr_mut(desk) else { return Verdict::Unknown };
    // SAFETY: map values stay valid while a program runs; the desk is this program's own.
    let (response, walk) = unsafe { (&(*heads).response, &mut *walk) };
    *walk = judged.walk();
    for _ in 0..WALK_PARTS {
        if walk_part(number, desk) != 0 {
            break;
        }
    }
    let verdict = conclude(judged, response, walk);
    leave_desk(desk);
    verdict
}
