//! Desks: memory on this CPU for what a program can't hold on its stack and needs for more than one step, such as a
//! walk through a header section or a piece of a packet that is being searched.
//!
//! A program that lies at a desk can be interrupted by a packet of another connection. Where tasks are preempted in the
//! kernel (PREEMPT, PREEMPT_RT), it can also lose the CPU to another task's program, and get it back while that one is
//! still at work. A count of the programs under way would not keep them apart then. So each takes a free desk, by the
//! same atomic additions as a place in the table of connections, and leaves it free.

use super::{maps::DESKS_TAKEN, values::DESKS};

/// Takes a desk. [`DESKS`]: none is free.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn take_desk() -> u32 {
    for desk in 0..DESKS {
        let Some(taken) = DESKS_TAKEN.get_ptr_mut(desk) else { break };
        // SAFETY: a live map value.
        if unsafe { taken.read_volatile() } != 0 {
            continue;
        }
        add(taken, 1);
        // If another program took it between the two steps, both count two, and neither has it.
        // SAFETY: a live map value.
        if unsafe { taken.read_volatile() } == 1 {
            return desk;
        }
        add(taken, u64::MAX);
    }
    DESKS
}

/// Leaves a desk. Programs do not change the CPU while they run, so it is the one that was taken.
#[inline(always)]
pub fn leave_desk(desk: u32) {
    if let Some(taken) = DESKS_TAKEN.get_ptr_mut(desk) {
        add(taken, u64::MAX);
    }
}

#[inline(always)]
fn add(to: *mut u64, number: u64) {
    // SAFETY: a live map value, aligned to 8 bytes. In assembly as in `connections`.
    unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) to, in(reg) number, options(nostack)) }
}
