//! Tasks and signals: which process runs now, whose child it is, and how it ends.

use aya_ebpf::helpers::bpf_get_current_task;
use tracer_common::{Task, limits::COMM_LEN};

use super::*;

/// Index of the session in `signal_struct.pids` (`enum pid_type`).
const PIDTYPE_SID: u64 = 3;

/// A `struct task_struct`, known by its address. Its fields are read with `bpf_probe_read_kernel`, because the
/// helper for the current task returns a plain number.
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

    /// The thread's own id, which userspace calls its tid.
    #[inline(always)]
    pub fn pid(self) -> u32 {
        read_field(self.0, &OFF_TASK_PID)
    }

    #[inline(always)]
    pub fn flags(self) -> u32 {
        read_field(self.0, &OFF_TASK_FLAGS)
    }

    #[inline(always)]
    pub fn exit_code(self) -> u32 {
        read_field(self.0, &OFF_TASK_EXIT_CODE)
    }

    /// Whether the thread has this signal blocked, as it has while it is in its handler for it. (`sigset_t` begins with
    /// the signals up to 64, and signal 1 is bit 0.)
    #[inline(always)]
    pub fn blocks(self, signal: u32) -> bool {
        let blocked: u64 = read_field(self.0, &OFF_TASK_BLOCKED);
        blocked >> (signal.wrapping_sub(1) & 63) & 1 != 0
    }

    /// The leader of the thread group, that is the main thread of the process.
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

    /// Start time of the task, in boot-time nanoseconds; of the leader, that of the process.
    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        read_field(self.0, &OFF_TASK_START)
    }

    /// Number of threads of the process that have not exited.
    #[inline(always)]
    pub fn live_threads(self) -> u32 {
        let signal = read_field(self.0, &OFF_TASK_SIGNAL);
        read_field(signal, &OFF_SIGNAL_LIVE)
    }

    /// The session, as an address that only serves to compare.
    #[inline(always)]
    pub fn session(self) -> u64 {
        let signal: u64 = read_field(self.0, &OFF_TASK_SIGNAL);
        probe(signal.wrapping_add(OFF_SIGNAL_PIDS.load()).wrapping_add(PIDTYPE_SID * 8)).unwrap_or(0)
    }

    /// The inode of the executable, as an address that only serves to compare; 0 for a kernel thread.
    #[inline(always)]
    pub fn executable(self) -> u64 {
        let mm = read_field(self.0, &OFF_TASK_MM);
        let file = read_field(mm, &OFF_MM_EXE);
        read_field(file, &OFF_FILE_INODE)
    }

    /// The task as records hold it. `oom` is left 0: `tables::processes::mark_oom` sets it.
    #[inline(always)]
    pub fn describe(self) -> Task {
        let leader = self.leader();
        Task {
            tgid: self.tgid(),
            flags: self.flags(),
            exit_code: self.exit_code(),
            oom: 0,
            start_ns: leader.start_ns(),
            comm: leader.comm(),
        }
    }
}

/// Reads `si_code` of a `struct kernel_siginfo *`. `None` for the two special values that are no pointers (0: sent
/// by a process, 1: by the kernel).
#[inline(always)]
pub fn siginfo_code(info: u64) -> Option<i32> {
    if info <= 1 { None } else { probe_field(info, &OFF_SIGINFO_CODE) }
}
