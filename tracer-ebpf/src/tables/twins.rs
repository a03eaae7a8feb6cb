//! Twins: second copies of programs, attached to the same tracepoints, that stand in where the kernel skips the
//! first.
//!
//! The kernel does not let a tracing program interrupt itself on one CPU. Say it runs in a task, and an interrupt
//! arrives and brings packets of other connections: since 6.1 the kernel skips the program for them. Where
//! tracepoints can be preempted (7.0), another task can get the CPU in the middle of the program, and the program is
//! skipped for that task, too.
//!
//! So such a program is attached twice. The kernel skips one copy only while that copy itself is running, so the
//! other one runs. The twin of `inet_sock_set_state` is always attached, the others only where tracepoints can be
//! preempted. In the usual case both run, one right after the other, and the twin must do nothing: the first leaves
//! a note, which the twin reads ([`Place::note_run`]).
//!
//! Disabling preemption or interrupts within the program would not help: they come as soon as they are enabled
//! again, which is before the kernel marks the program as no longer running.

use aya_ebpf::{Global, helpers::bpf_get_current_pid_tgid};
use tracer_common::{limits, twins::HOOKS};

use super::{
    counters::count,
    maps::{STOOD_IN, WENT_FIRST},
};

/// Bit mask of the hooks whose twins are attached. Set by the loader.
#[unsafe(no_mangle)]
static TWINNED: Global<u8> = Global::new(0);

/// 1 where tracepoints can be preempted on this kernel. Set by the loader.
#[unsafe(no_mangle)]
static PREEMPTED: Global<u8> = Global::new(0);

/// Whether no other task can get the CPU between the two programs. Only then can a caller rely on the result of
/// [`Place::note_run`].
#[inline(always)]
pub fn run_together() -> bool {
    PREEMPTED.load() == 0
}

/// Which of the two programs runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The one that runs first; the only one where no twin is attached.
    First,
    /// The twin, which runs right after it.
    Second,
}

impl Place {
    /// First program: notes that it runs for `object`; returns false. Twin: returns whether the first one ran for
    /// `object`.
    ///
    /// If it did not, the kernel skipped it and the twin stands in for it. That is counted (`STOOD_IN`) only where
    /// tracepoints can be preempted; elsewhere one of the two always runs, since an interrupt comes during the one
    /// or the other.
    #[inline(always)]
    pub fn note_run(self, hook: u32, object: u64) -> bool {
        if self == Self::First && u32::from(TWINNED.load()) & 1 << hook == 0 {
            return false;
        }
        let thread = bpf_get_current_pid_tgid() as u32;
        let Some(first) = WENT_FIRST.get_ptr_mut(thread % limits::WENT_FIRST * HOOKS + hook) else { return false };
        // SAFETY: this CPU's slot of a live map value. Two threads that share a slot at that moment, or a thread
        // that changes CPU between the two programs, only make the count of stand-ins wrong by one.
        let first = unsafe { &mut *first };
        match self {
            Self::First => {
                *first = object;
                false
            }
            Self::Second => {
                let went = *first == object;
                if went || run_together() {
                    // Clears the note even if it is of another object. It may be of a run in an interrupt whose twin
                    // was skipped, and would be taken for a later run on that object.
                    *first = 0;
                } else {
                    // The note is left: it is of the run that this one has interrupted, whose twin will read it.
                    count(&STOOD_IN, hook);
                }
                went
            }
        }
    }
}
