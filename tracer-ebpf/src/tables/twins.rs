//! Programs that stand in for others.
//!
//! An interrupt can come in the middle of a program that runs in a task, and bring packets of other connections: since 6.1 the
//! kernel skips that program for them. Where tracepoints can be preempted (7.0), the task can lose the CPU there, too, and
//! whoever has it meanwhile is skipped. So the program of states is attached twice, and on such a kernel all that run in tasks
//! with preemption on; what one has done the other leaves alone. Holding off preemption or interrupts in the program would not
//! help: they come as soon as they may, which is before the kernel takes the program for ended.

use aya_ebpf::{Global, helpers::bpf_get_current_pid_tgid};
use tracer_common::{limits, twins::HOOKS};

use super::{
    counters::count,
    maps::{STOOD_IN, WENT_FIRST},
};

/// The hooks whose twins are attached: a bit for each.
#[unsafe(no_mangle)]
static TWINNED: Global<u8> = Global::new(0);

/// 1: tracepoints can be preempted.
#[unsafe(no_mangle)]
static PREEMPTED: Global<u8> = Global::new(0);

/// Whether what [`Place::note_run`] says is to be relied on: else a task may lose the CPU between the two.
#[inline(always)]
pub fn run_together() -> bool {
    PREEMPTED.load() == 0
}

/// Which of the two programs runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The one that comes first; the only one, for the most part.
    First,
    /// The twin.
    Second,
}

impl Place {
    /// Says to the second that the first was not skipped on this object. Gives whether the other has been here. Where the two
    /// run together one of them always has: a task is in the one or in the other when an interrupt comes. Else the second
    /// counts where the first has not.
    #[inline(always)]
    pub fn note_run(self, hook: u32, object: u64) -> bool {
        if self == Self::First && u32::from(TWINNED.load()) & 1 << hook == 0 {
            return false;
        }
        let thread = bpf_get_current_pid_tgid() as u32;
        let Some(first) = WENT_FIRST.get_ptr_mut(thread % limits::WENT_FIRST * HOOKS + hook) else { return false };
        // SAFETY: this CPU's slot of a live map value. Threads that share one at that very moment, or one that changes the CPU
        // between the two, make the count of losses wrong by one.
        let first = unsafe { &mut *first };
        match self {
            Self::First => {
                *first = object;
                false
            }
            Self::Second => {
                let went = *first == object;
                if went || run_together() {
                    // Also what an interrupt left whose second run was skipped: it would speak for a later run on its object.
                    *first = 0;
                } else {
                    // What stands there is the run that this one has interrupted.
                    count(&STOOD_IN, hook);
                }
                went
            }
        }
    }
}
