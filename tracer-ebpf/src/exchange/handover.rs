//! Hands a packet over from one program to another (a tail call), with what is known of it.

use aya_ebpf::{EbpfContext as _, bindings::__sk_buff, maps::ProgramArray, programs::SkBuffContext};

use crate::wire::packet::Payload;

/// Hands a packet over. `trigger`: that of a record that is due, or 0.
#[inline(always)]
pub fn hand_over(ctx: &SkBuffContext, payload: &Payload, trigger: u32, to: &ProgramArray) {
    // SAFETY: a program may use these words of its context as it likes; what they held is put back afterwards. The one
    // entry of the map is a program for the same hook.
    unsafe {
        (*ctx.as_ptr().cast::<__sk_buff>()).cb = [payload.offset, payload.len, payload.seq, trigger, 0];
        to.tail_call(ctx, 0);
    }
}

/// What was handed over: the payload, and the trigger.
#[inline(always)]
pub fn handed(ctx: &SkBuffContext) -> (Payload, u32) {
    // SAFETY: as above.
    let [offset, len, seq, trigger, _] = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).cb };
    (Payload { offset, len, seq }, trigger)
}
