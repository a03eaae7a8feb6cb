//! Why a process ended: killed for want of memory, by a signal (sent by whom, and on whose order), or by its own exit.
//!
//! OOM kills and signals are noted as they happen. When a process that owns edge connections exits, the agent gets a
//! record of its end. A signal counts for a process only if the start time matches: pids are reused.
//!
//! `mark_victim(struct task_struct *task, uid_t uid)`, on 5.10 `mark_victim(int pid)`;
//! `signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`;
//! `sched_process_exit(struct task_struct *task[, bool group_dead])`.
//! <https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/signal.h>

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::bpf_ktime_get_ns, programs::BtfTracePointContext};
use tracer_common::{LastSignal, limits, pf, sig_flags, twins::PROCESS_EXIT};

use crate::{
    emit,
    kernel::{
        number,
        task::{TaskRef, siginfo_code},
    },
    tables::{
        counters::turns,
        maps::{OOM_VICTIMS, OWNERS, SERVERS, SIGNALS},
        processes::{self, FAULT_SIGNALS, INIT, ORDERS, SIGABRT, SIGKILL, note_fault, signal_key},
        twins::Role,
    },
};

/// 1: the argument of `mark_victim` is the task; 0: its pid. Set by the loader.
#[unsafe(no_mangle)]
static VICTIM_IS_TASK: Global<u8> = Global::new(0);

/// A mask of the signals whose default action ends the process: HUP INT QUIT ILL TRAP ABRT BUS FPE KILL SEGV PIPE
/// ALRM TERM XCPU XFSZ SYS, and USR1, USR2.
const FATAL: u64 = 1 << 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 7
    | 1 << 8
    | 1 << 9
    | 1 << 10
    | 1 << 11
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 24
    | 1 << 25
    | 1 << 31;

/// `TRACE_SIGNAL_DELIVERED`: the signal was neither ignored nor already pending.
const DELIVERED: i32 = 0;

/// The OOM killer has chosen a process.
#[inline(always)]
pub fn mark_victim(ctx: &BtfTracePointContext) {
    if VICTIM_IS_TASK.load() != 0 {
        let victim = TaskRef(ctx.arg::<u64>(0));
        let leader = victim.leader();
        let tgid = victim.tgid();
        let _evicts_when_full = OOM_VICTIMS.insert(&tgid, &leader.start_ns(), 0);
        emit::oom(tgid, leader.comm());
    } else {
        let pid = ctx.arg::<u32>(0);
        // Only the pid is known. The OOM killer has just sent it SIGKILL: that signal's entry has the start time.
        // SAFETY: an entry that another CPU is writing may be read half old, half new; it then fails to match, no more.
        let start = unsafe { SIGNALS.get(&signal_key(pid, SIGKILL)) }.map_or(0, |seen| seen.target_start_ns);
        let _evicts_when_full = OOM_VICTIMS.insert(&pid, &start, 0);
        // The name is only known of processes with edge connections.
        let comm = match OWNERS.get_ptr(&pid) {
            // SAFETY: map values stay valid while a program runs, even if another CPU removes the entry.
            Some(owner) => unsafe { (*owner).comm },
            None => [0; limits::COMM_LEN],
        };
        emit::oom(pid, comm);
    }
}

/// A signal is sent to a process: keeps the last one of each kind that would end it, with its sender.
#[inline(always)]
pub fn signal_generate(ctx: &BtfTracePointContext) {
    let signal = ctx.arg::<u32>(0);
    if signal > 31 || FATAL & (1 << signal) == 0 || ctx.arg::<i32>(4) != DELIVERED {
        return;
    }
    let info = ctx.arg::<u64>(1);
    let target = TaskRef(ctx.arg::<u64>(2));
    let target_tgid = target.tgid();
    let sender = TaskRef::current();
    let sender_tgid = sender.tgid();
    // SAFETY: the helper takes no arguments and has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut seen = LastSignal {
        time_ns: now,
        target_start_ns: target.leader().start_ns(),
        signal,
        code: siginfo_code(info).unwrap_or(0),
        flags: 0,
        sender: sender_tgid,
        sender_comm: sender.leader().comm(),
        ..LastSignal::default()
    };
    // `SEND_SIG_PRIV`, or a code above 0: sent by the kernel.
    if info == 1 || seen.code > 0 {
        seen.flags |= sig_flags::KERNEL;
    }
    if sender_tgid == target_tgid {
        seen.flags |= sig_flags::SELF;
    } else if is_master(sender, sender_tgid, target) {
        seen.flags |= sig_flags::MASTER;
        if signal != SIGABRT {
            add_orderer(sender, sender_tgid, now, &mut seen);
        }
    }
    let key = signal_key(target_tgid, signal);
    if seen.flags & (sig_flags::SELF | sig_flags::KERNEL) == sig_flags::SELF && raised_again(key, &seen) {
        return;
    }
    let _evicts_when_full = SIGNALS.insert(&key, &seen, 0);
    if FAULT_SIGNALS & (1 << signal) != 0 {
        note_fault(target, target_tgid, signal);
    }
}

/// Whether the process sends itself a signal that it was sent just before: it caught that one, cleaned up, and raises
/// it again with its default action. The first sender counts.
#[inline(always)]
fn raised_again(key: u64, seen: &LastSignal) -> bool {
    // SAFETY: an entry that another CPU is writing may be read half old, half new; it then fails to match, no more.
    unsafe { SIGNALS.get(&key) }.is_some_and(|first| {
        first.target_start_ns == seen.target_start_ns
            && first.flags & (sig_flags::SELF | sig_flags::KERNEL) != sig_flags::SELF
            && seen.time_ns.wrapping_sub(first.time_ns) < limits::ORDER_NS
    })
}

/// Whether the sender is the target's master process: its parent, and the same program (forked without exec, or the
/// same executable in the same session). An init, a shell or a deploy tool is not.
#[inline(always)]
fn is_master(sender: TaskRef, sender_tgid: u32, target: TaskRef) -> bool {
    let leader = target.leader();
    if sender_tgid == INIT || leader.parent().tgid() != sender_tgid {
        return false;
    }
    if leader.flags() & pf::FORKNOEXEC != 0 {
        return true;
    }
    let executable = leader.executable();
    executable != 0 && executable == sender.executable() && leader.session() == sender.session()
}

/// Adds who had ordered the master to stop, if a signal to that end was sent to it just before.
#[inline(always)]
fn add_orderer(master: TaskRef, tgid: u32, now: u64, seen: &mut LastSignal) {
    let start = master.leader().start_ns();
    for signal in ORDERS {
        // SAFETY: an entry that another CPU is writing may be read half old, half new; it then fails to match, no more.
        let Some(order) = (unsafe { SIGNALS.get(&signal_key(tgid, signal)) }) else { continue };
        if order.target_start_ns == start && now.wrapping_sub(order.time_ns) < limits::ORDER_NS {
            seen.flags |= sig_flags::ORDERED;
            seen.orderer = order.sender;
            seen.order = order.signal;
            seen.orderer_comm = order.sender_comm;
        }
    }
}

/// A thread exits. If it is the last one of a process that owns edge connections, or that serves one that does, reports
/// the end of the process.
#[inline(always)]
pub fn process_exit(ctx: &BtfTracePointContext, role: Role) {
    let task = TaskRef(ctx.arg::<u64>(0));
    if role.note_run(PROCESS_EXIT, number(task.0 as *const c_void)) {
        return;
    }
    let tgid = task.tgid();
    if OWNERS.get_ptr(&tgid).is_none() && SERVERS.get_ptr(&tgid).is_none() || task.live_threads() != 0 {
        return;
    }
    let begun = turns(tgid);
    // Two threads that exit at once may both see that none is left: the one that removes the entry makes the report.
    let owned = OWNERS.remove(&tgid).is_ok();
    let served = SERVERS.remove(&tgid).is_ok();
    if !owned && !served {
        return;
    }
    let mut end = task.describe();
    processes::mark_oom(&mut end);
    emit::process(&end, begun, !owned);
}
