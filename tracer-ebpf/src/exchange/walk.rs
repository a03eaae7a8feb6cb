//! The walk over the header section of a response (`parse::fields`), in parts: each is a "global function" that the
//! kernel's verifier checks once. The state of the walk lies in a map between them.

use crate::{
    parse::fields::part,
    tables::{heads, maps::WALK},
};

/// One part of the walk at this desk, over response `number`. Returns 1 when the walk is over.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_part(number: u64, desk: u32) -> u32 {
    let (Some(heads), Some(walk)) = (heads::at(number), WALK.get_ptr_mut(desk)) else { return 1 };
    // SAFETY: map values stay valid while a program runs, and the desk is this program's own.
    let (response, walk) = unsafe { (&(*heads).response, &mut *walk) };
    part(response, walk)
}
