//! Why did a process end, or close a connection? Keeps what explains it, because it is needed when the sockets
//! close: who listens, who owns which connection, which signals were sent to whom, and whom the OOM killer chose.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use tracer_common::{Conn, LastSignal, Listener, ListenerKey, Owner, Task, limits, lost, pf, sig_flags};

use super::{
    counters::count,
    maps::{FAULTS, FOUND, LISTENERS, LOST, OOM_VICTIMS, OWNERS, SIGNALS},
    values::Fault,
};
use crate::kernel::task::TaskRef;

pub const SIGINT: u32 = 2;
pub const SIGQUIT: u32 = 3;
pub const SIGABRT: u32 = 6;
pub const SIGKILL: u32 = 9;
pub const SIGTERM: u32 = 15;
pub const SIGHUP: u32 = 1;

/// Signals with which a master process is asked to stop or reload its workers.
pub const ORDERS: [u32; 4] = [SIGTERM, SIGINT, SIGQUIT, SIGHUP];

/// A mask of the signals of faults, which a handler may turn into an exit: ILL, BUS, FPE, SEGV.
pub const FAULT_SIGNALS: u32 = 1 << 4 | 1 << 7 | 1 << 8 | 1 << 11;

/// The host's init, which is no server's master process.
pub const INIT: u32 = 1;

/// Signals that ask a process to stop, which a handler may turn into an exit.
const STOPPING: [u32; 4] = [SIGABRT, SIGTERM, SIGQUIT, SIGINT];

#[inline(always)]
pub const fn signal_key(tgid: u32, signal: u32) -> u64 {
    (tgid as u64) << 32 | signal as u64
}

/// The task that closes a connection now, with the mark of the OOM killer.
///
/// In the common case it owns the connection and is not ending: then the connection has all that is needed, and only
/// the task's flags are read.
#[inline(always)]
pub fn closer(conn: &Conn) -> Task {
    let current = TaskRef::current();
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let flags = current.flags();
    if tgid == conn.owner && flags & pf::EXITING == 0 {
        return Task { tgid, flags, exit_code: 0, oom: 0, start_ns: conn.owner_start_ns, comm: conn.owner_comm };
    }
    let mut task = current.describe();
    mark_oom(&mut task);
    task
}

/// Records that the current process listens on a port.
#[inline(always)]
pub fn listens(key: ListenerKey) {
    let leader = TaskRef::current().leader();
    let process = Owner { comm: leader.comm(), start_ns: leader.start_ns() };
    let listener = Listener { process, pid: leader.tgid(), pad: 0 };
    // Full: a connection that nobody accepts is reported without its process.
    let _full = LISTENERS.insert(&key, &listener, 0);
}

/// Records a listener from before the agent started; userspace finds its process by the inode of its socket.
#[inline(always)]
pub fn listener_found(key: ListenerKey, inode: u64) {
    let _full = FOUND.insert(&key, &inode, 0);
}

/// The process that listens on this port.
#[inline(always)]
pub fn listener(netns: u32, port: u16) -> Option<*const Listener> {
    LISTENERS.get_ptr(&ListenerKey { netns, port: port.into() })
}

/// Sets `task.oom` if the OOM killer chose this very process.
#[inline(always)]
pub fn mark_oom(task: &mut Task) {
    // SAFETY: an entry of an LRU map may be reused while it is read; a start time torn that way matches no process.
    if let Some(start) = unsafe { OOM_VICTIMS.get(&task.tgid) }
        && *start == task.start_ns
    {
        task.oom = 1;
    }
}

/// Finds the signal that explains the end of `task` or, while it still runs, that it closes a connection: the signal
/// that it died of, else the latest one that asked it to stop. Leaves `out` empty if there is none.
#[inline(always)]
pub fn explaining_signal(task: &Task, owner: u32, out: &mut LastSignal) {
    let died_of = task.exit_code & 0x7f;
    if task.flags & pf::EXITING != 0 && died_of != 0 {
        take(task, died_of, 0, out);
        return;
    }
    // A softirq or another process closes the connection: signals to that task do not explain it.
    if task.tgid != owner && task.flags & pf::EXITING == 0 {
        return;
    }
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let since = now.saturating_sub(limits::ORDER_NS);
    for signal in STOPPING {
        take(task, signal, since, out);
    }
    let fault = unfinished_fault(task.tgid, task.exit_code);
    if fault != 0 {
        take(task, fault, since, out);
    }
    if out.signal == 0 {
        passed_on(task, now, out);
    }
}

/// Notes which thread of a process got the signal of a fault, unless another one is still in its handler of one.
#[inline(always)]
pub fn note_fault(thread: TaskRef, tgid: u32, signal: u32) {
    if unfinished_fault(tgid, 0) == 0 {
        let fault = Fault { thread: thread.0, pid: thread.pid(), signal };
        let _evicts_when_full = FAULTS.insert(&tgid, &fault, 0);
    }
}

/// The signal of a fault whose handler has not returned; 0 if there is none. Either the handler runs now, or the
/// process ended out of it, with `exit_code`.
///
/// The kernel blocks a signal in the thread that handles it, until the handler returns. A fault whose handler has
/// returned was survived and explains nothing: a JVM takes SIGSEGV for its null checks all the time. Any thread may
/// close the connections of a process that exits, so what is looked at is the thread that took the fault. If it has
/// ended, its mask is still in place. But a thread that ends on its own (with code 0) blocks all signals first, so it
/// must have ended with the process.
#[inline(always)]
fn unfinished_fault(tgid: u32, exit_code: u32) -> u32 {
    // SAFETY: an entry of an LRU map may be reused while it is read; a thread torn that way has another id.
    let Some(fault) = (unsafe { FAULTS.get(&tgid) }) else { return 0 };
    let (thread, signal) = (TaskRef(fault.thread), fault.signal);
    if thread.pid() != fault.pid || !thread.blocks(signal) {
        return 0;
    }
    let ended = thread.flags() & pf::EXITING != 0;
    if ended && (exit_code == 0 || thread.exit_code() != exit_code) { 0 } else { signal }
}

/// For a forked worker that got no signal itself: finds a recent signal to its master process, which may have
/// stopped the worker in another way, as through a pipe.
#[inline(always)]
fn passed_on(task: &Task, now: u64, out: &mut LastSignal) {
    let worker = TaskRef::current().leader();
    // The task is not the current one, or has called exec: no worker of a server that forks.
    if worker.tgid() != task.tgid || task.flags & pf::FORKNOEXEC == 0 {
        return;
    }
    let master = worker.parent().leader();
    let (tgid, start) = (master.tgid(), master.start_ns());
    // The master is gone, and init has taken its child.
    if tgid <= INIT {
        return;
    }
    for signal in ORDERS {
        // SAFETY: an entry of an LRU map may be reused while it is read; a start time torn that way matches no
        // process.
        if let Some(order) = unsafe { SIGNALS.get(&signal_key(tgid, signal)) }
            && order.target_start_ns == start
            && now.wrapping_sub(order.time_ns) < limits::ORDER_NS
            && order.time_ns > out.time_ns
        {
            out.time_ns = order.time_ns;
            out.signal = order.signal;
            out.flags = sig_flags::PASSED_ON;
            out.sender = tgid;
            out.orderer = order.sender;
            out.order = order.signal;
            out.orderer_comm = order.sender_comm;
            out.sender_comm = master.comm();
        }
    }
}

/// Copies the recorded signal to `out` if it was sent to this very process, no earlier than `since`, and after the
/// one in `out`.
#[inline(always)]
fn take(task: &Task, signal: u32, since: u64, out: &mut LastSignal) {
    // SAFETY: an entry of an LRU map may be reused while it is read; a start time torn that way matches no process.
    if let Some(seen) = unsafe { SIGNALS.get(&signal_key(task.tgid, signal)) }
        && seen.target_start_ns == task.start_ns
        && seen.time_ns >= since
        && seen.time_ns > out.time_ns
    {
        *out = *seen;
    }
}

/// Makes the process the connection's owner. Called when another process reads from it than before, which is rare.
#[inline(always)]
pub fn own(conn: &mut Conn, tgid: u32) {
    conn.owner = tgid;
    // The entry is removed when its process ends, so it can't be that of an earlier process with this tgid.
    if let Some(owner) = OWNERS.get_ptr_mut(&tgid) {
        // SAFETY: a live map value.
        unsafe {
            conn.owner_comm = (*owner).comm;
            conn.owner_start_ns = (*owner).start_ns;
        }
        return;
    }
    let leader = TaskRef::current().leader();
    conn.owner_comm = leader.comm();
    conn.owner_start_ns = leader.start_ns();
    let owner = Owner { comm: conn.owner_comm, start_ns: conn.owner_start_ns };
    if OWNERS.insert(&tgid, &owner, 0).is_err() {
        count(&LOST, lost::OWNERS);
    }
}
