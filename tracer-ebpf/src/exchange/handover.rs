//! Hands a packet over from one program to another (a tail call), with what is known of it.

use aya_ebpf::{EbpfContext as _, bindings::__sk_buff, maps::ProgramArray, programs::SkBuffContext};

use crate::wire::packet::Payload;

/// Hands a packet over. `trigger`: that of a record that is due, or 0; `answers`: a response may begin with it.
#[inline(always)]
pub fn hand_over(ctx: &SkBuffContext, payload: &Payload, trigger: u32, answers: bool, to: &ProgramArray) {
    // SAFETY: a program may use these words of its context as it likes; what they held is put back afterwards. The one
    // entry of the map is a program for the same hook.
    unsafe {
        (*ctx.as_ptr().cast::<__sk_buff>()).cb =
            [payload.offset, payload.len, payload.seq, trigger, u32::from(answers)];
        to.tail_call(ctx, 0);
    }
}

/// What was handed over: the payload, the trigger, and whether a response may begin.
#[inline(always)]
pub fn handed(ctx: &SkBuffContext) -> (Payload, u32, bool) {
    // SAFETY: as above.
    let [offset, len, seq, trigger, answers] = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).cb };
    (Payload { offset, len, seq }, trigger, answers != 0)
}
