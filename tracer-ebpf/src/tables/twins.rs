//! Twins: second copies of programs, attached to the same tracepoints, that stand in where the kernel skips the
//! first.
//!
//! The kernel does not let a tracing program interrupt itself on one CPU. Say it runs in a task, and an interrupt
//! arrives and brings packets of other connections: since 6.1 the kernel skips the program for them. (Older kernels
//! skip nothing; a twin there only finds that the first has run.) Where tracepoints can be preempted (7.0), another
//! task can get the CPU in the middle of the program, and the program is skipped for that task, too.
//!
//! So such a program is attached twice. The kernel skips one copy only while that copy itself is running, so the
//! other one runs. In the usual case both run, one right after the other, and the twin must change nothing: the first
//! leaves a note, which the twin reads ([`Role::note_run`]).
//!
//! The twin of `inet_sock_set_state` is always attached: tasks close connections while packets, in interrupts, open
//! others. The other twins are attached only where tracepoints can be preempted. Elsewhere reads and ends of processes
//! cannot be skipped, since only tasks cause them. A task that sends a RST can be interrupted by a packet that is
//! answered with one; that is rare, and the skipped run is counted as lost.
//!
//! Disabling preemption or interrupts within the program would not help: they come as soon as they are enabled
//! again, which is before the kernel marks the program as no longer running.

use aya_ebpf::{Global, helpers::bpf_get_current_pid_tgid};
use tracer_common::{limits, twins::HOOKS};

use super::{
    counters::count,
    maps::{FIRST_RAN_FOR, STOOD_IN},
};

/// Bit mask of the hooks whose twins are attached. Set by the loader.
#[unsafe(no_mangle)]
static TWINNED: Global<u8> = Global::new(0);

/// 1 where tracepoints can be preempted on this kernel. Set by the loader.
#[unsafe(no_mangle)]
static PREEMPTED: Global<u8> = Global::new(0);

/// Whether no other task can get the CPU between the two programs. If so, a `true` from [`Role::note_run`] can be
/// trusted.
///
/// Else the task may change its CPU between the two. Its note then stays behind on the old CPU, and may be taken for
/// the note of a later event of the same object. A socket changes its state several times, so `hooks::states` does not
/// trust a `true` there. A task ends once and a socket or packet is reset once: those hooks trust it everywhere. So do
/// sends and receives: to mislead them, the kernel must also skip the first program on the CPU that has the old note,
/// and what is lost then is one of many reads of an upstream.
#[inline(always)]
pub fn never_preempted() -> bool {
    PREEMPTED.load() == 0
}

/// Which of the two programs runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that runs first; the only one where no twin is attached.
    First,
    /// The twin, which runs right after it.
    Second,
}

impl Role {
    /// First program: notes that it runs for `object`; returns false. Twin: returns whether the first one ran for
    /// `object`, as far as the note shows.
    ///
    /// True: the first one ran (but see [`never_preempted`]). False: the kernel probably skipped the first one, and
    /// the twin stands in for it. It may have run all the same, since an interrupt between the two can overwrite or
    /// clear the note. So the caller must do no harm if it handles an event twice.
    ///
    /// Counts in [`STOOD_IN`] what the twin does in the first one's place. Userspace subtracts that from the runs that
    /// the kernel skipped; the rest are lost events. Where no task is preempted nothing is counted: of two programs
    /// one always runs, so that no event is lost.
    #[inline(always)]
    pub fn note_run(self, hook: u32, object: u64) -> bool {
        if self == Self::First && u32::from(TWINNED.load()) & 1 << hook == 0 {
            return false;
        }
        let thread = bpf_get_current_pid_tgid() as u32;
        let Some(noted) = FIRST_RAN_FOR.get_ptr_mut(thread % limits::FIRST_RAN_FOR * HOOKS + hook) else {
            return false;
        };
        // SAFETY: this CPU's slot of a live map value. If two threads share the slot at that moment, or the thread
        // changes its CPU between the two programs, the twin does not find the note: it handles the event a second
        // time, and counts one stand-in too many.
        let noted = unsafe { &mut *noted };
        match self {
            Self::First => {
                *noted = object;
                false
            }
            Self::Second => {
                let first_ran = *noted == object;
                if first_ran || never_preempted() {
                    // Clears the note even if it is of another object. Such a note may have come about like this:
                    // twin(A) begins; an interrupt; first(B) notes B; twin(B) is skipped; twin(A) goes on. It would
                    // be taken for the note of a later event of B.
                    *noted = 0;
                } else {
                    // Leaves the note: first(A) notes A; an interrupt; first(B) is skipped; twin(B), here; first(A)
                    // goes on; twin(A) reads the note.
                    count(&STOOD_IN, hook);
                }
                first_ran
            }
        }
    }
}
