//! Why did a process end? What the kernel knows by the time its sockets close.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use tracer_common::{Conn, LastSignal, Listener, ListenerKey, Owner, Task, limits, lost, pf, sig_flags};

use super::{
    counters::count,
    maps::{FOUND, LISTENERS, LOST, OOM_VICTIMS, OWNERS, SIGNALS},
};
use crate::kernel::task::TaskRef;

pub const SIGINT: u32 = 2;
pub const SIGQUIT: u32 = 3;
pub const SIGABRT: u32 = 6;
pub const SIGKILL: u32 = 9;
pub const SIGTERM: u32 = 15;
pub const SIGHUP: u32 = 1;

/// What a master is told to stop or reload its workers with.
pub const ORDERS: [u32; 4] = [SIGTERM, SIGINT, SIGQUIT, SIGHUP];

/// Faults that a handler may turn into an exit: ILL, BUS, FPE, SEGV.
const FAULTS: [u32; 4] = [4, 7, 8, 11];

/// The host's init: nobody's master.
pub const INIT: u32 = 1;

/// Signals that a process is told to stop with, and that a handler may turn into an exit.
const STOPPING: [u32; 4] = [SIGABRT, SIGTERM, SIGQUIT, SIGINT];

#[inline(always)]
pub const fn signal_key(tgid: u32, signal: u32) -> u64 {
    (tgid as u64) << 32 | signal as u64
}

/// The task that closes a connection now, with the OOM killer's mark. One that is not ending, and owns the connection, is
/// known already: the common case costs one look at its flags.
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

/// The current process begins to listen.
#[inline(always)]
pub fn listens(key: ListenerKey) {
    let leader = TaskRef::current().leader();
    let process = Owner { comm: leader.comm(), start_ns: leader.start_ns() };
    let listener = Listener { process, pid: leader.tgid(), pad: 0 };
    // Full: a connection that nobody accepts is told without its process.
    let _full = LISTENERS.insert(&key, &listener, 0);
}

/// A listener was there before the tracer: userspace finds its process by the inode of its socket.
#[inline(always)]
pub fn listener_found(key: ListenerKey, inode: u64) {
    let _full = FOUND.insert(&key, &inode, 0);
}

/// The process that listens on this port.
#[inline(always)]
pub fn listener(netns: u32, port: u16) -> Option<*const Listener> {
    LISTENERS.get_ptr(&ListenerKey { netns, port: port.into() })
}

/// Sets `oom` where the OOM killer had chosen this very process.
#[inline(always)]
pub fn mark_oom(task: &mut Task) {
    // SAFETY: values of an LRU map may be reused under us; a torn start time only fails to match.
    if let Some(start) = unsafe { OOM_VICTIMS.get(&task.tgid) }
        && *start == task.start_ns
    {
        task.oom = 1;
    }
}

/// The signal that explains the task's end (or, while it still runs, its closing of a connection): the one it died of,
/// else the latest one that told it to stop. Leaves `out` empty where there is none.
#[inline(always)]
pub fn explaining_signal(task: &Task, owner: u32, out: &mut LastSignal) {
    let died_of = task.exit_code & 0x7f;
    if task.flags & pf::EXITING != 0 && died_of != 0 {
        take(task, died_of, 0, out);
        return;
    }
    // Closed from a softirq or by another process: its signals say nothing about this connection.
    if task.tgid != owner && task.flags & pf::EXITING == 0 {
        return;
    }
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    for signal in STOPPING {
        take(task, signal, now.saturating_sub(limits::ORDER_NS), out);
    }
    for signal in FAULTS {
        take(task, signal, now.saturating_sub(limits::FAULT_NS), out);
    }
    if out.signal == 0 {
        passed_on(task, now, out);
    }
}

/// No signal reached the process itself. A forked worker whose master was told to stop may have been told by other means.
#[inline(always)]
fn passed_on(task: &Task, now: u64, out: &mut LastSignal) {
    let worker = TaskRef::current().leader();
    if worker.tgid() != task.tgid || task.flags & pf::FORKNOEXEC == 0 {
        return;
    }
    let master = worker.parent().leader();
    let (tgid, start) = (master.tgid(), master.start_ns());
    if tgid <= INIT {
        return;
    }
    for signal in ORDERS {
        // SAFETY: a torn entry only fails to match.
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

/// Replaces `out` by the recorded signal if that is of this very process, not older than `since`, and later.
#[inline(always)]
fn take(task: &Task, signal: u32, since: u64, out: &mut LastSignal) {
    // SAFETY: as in `mark_oom`: a torn entry fails the match on the start time.
    if let Some(seen) = unsafe { SIGNALS.get(&signal_key(task.tgid, signal)) }
        && seen.target_start_ns == task.start_ns
        && seen.time_ns >= since
        && seen.time_ns > out.time_ns
    {
        *out = *seen;
    }
}

/// Another process reads from the connection than before: rare.
#[inline(always)]
pub fn own(conn: &mut Conn, tgid: u32) {
    conn.owner = tgid;
    // The entry goes when its process ends, so that it is of this very process.
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
