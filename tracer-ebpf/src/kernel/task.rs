//! Tasks and signals.

use aya_ebpf::helpers::bpf_get_current_task;
use tracer_common::{Task, limits::COMM_LEN};

use super::*;

/// Index of the session in `signal_struct.pids`.
const PIDTYPE_SID: u64 = 3;

/// A `struct task_struct`, by address; read with checked copies, since the current task comes as a plain number.
#[derive(Clone, Copy)]
pub struct TaskRef(pub u64);

impl TaskRef {
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper has no preconditions.
        Self(unsafe { bpf_get_current_task() })
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        read_field(self.0, &OFF_TASK_TGID)
    }

    #[inline(always)]
    pub fn flags(self) -> u32 {
        read_field(self.0, &OFF_TASK_FLAGS)
    }

    /// The thread-group leader.
    #[inline(always)]
    pub fn leader(self) -> Self {
        Self(read_field(self.0, &OFF_TASK_LEADER))
    }

    #[inline(always)]
    pub fn parent(self) -> Self {
        Self(read_field(self.0, &OFF_TASK_PARENT))
    }

    #[inline(always)]
    pub fn comm(self) -> [u8; COMM_LEN] {
        read_field(self.0, &OFF_TASK_COMM)
    }

    /// Start of the process, boot-time nanoseconds.
    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        read_field(self.0, &OFF_TASK_START)
    }

    /// Threads of the process that still live.
    #[inline(always)]
    pub fn live_threads(self) -> u32 {
        let signal = read_field(self.0, &OFF_TASK_SIGNAL);
        read_field(signal, &OFF_SIGNAL_LIVE)
    }

    /// The session, as an address to compare.
    #[inline(always)]
    pub fn session(self) -> u64 {
        let signal: u64 = read_field(self.0, &OFF_TASK_SIGNAL);
        probe(signal.wrapping_add(OFF_SIGNAL_PIDS.load()).wrapping_add(PIDTYPE_SID * 8)).unwrap_or(0)
    }

    /// The executable's inode, as an address to compare; 0 where there is none.
    #[inline(always)]
    pub fn executable(self) -> u64 {
        let mm = read_field(self.0, &OFF_TASK_MM);
        let file = read_field(mm, &OFF_MM_EXE);
        read_field(file, &OFF_FILE_INODE)
    }

    /// What a record says of a task; the OOM mark is for the caller.
    #[inline(always)]
    pub fn describe(self) -> Task {
        let leader = self.leader();
        Task {
            tgid: self.tgid(),
            flags: self.flags(),
            exit_code: read_field(self.0, &OFF_TASK_EXIT_CODE),
            oom: 0,
            start_ns: leader.start_ns(),
            comm: leader.comm(),
        }
    }
}

/// `si_code` of a `struct kernel_siginfo *`; `None` for the kernel's special values (0: a process, 1: the kernel).
#[inline(always)]
pub fn siginfo_code(info: u64) -> Option<i32> {
    if info <= 1 { None } else { probe_field(info, &OFF_SIGINFO_CODE) }
}
