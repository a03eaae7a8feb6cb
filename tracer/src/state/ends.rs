//! How processes ended, from the kernel's records.

use std::time::Duration;

use tracer_common::{LastSignal, ProcessRecord, Task, pf, sig_flags};

use crate::diagnose::{End, Sender, Signal};

/// How a process ended, and which signal explains it.
pub(super) fn end_of(record: &ProcessRecord) -> (End, Option<Signal>) {
    // At sched_process_exit the flags of some kernels do not say so yet: the record is the end.
    let task = Task { flags: record.task.flags | pf::EXITING, ..record.task };
    end(&task, &record.signal, record.header.time_ns)
}

/// How a task was ending at that moment.
pub(super) fn end(task: &Task, signal: &LastSignal, time_ns: u64) -> (End, Option<Signal>) {
    let [code, status, ..] = task.exit_code.to_le_bytes();
    let end = match code & 0x7f {
        _ if task.flags & pf::EXITING == 0 => End::Running,
        0 => End::Exited(status),
        number => End::Signaled(number),
    };
    (end, sent(signal, time_ns))
}

/// The last terminating signal that it got.
fn sent(signal: &LastSignal, time_ns: u64) -> Option<Signal> {
    let number = u8::try_from(signal.signal).ok().filter(|number| *number != 0)?;
    let (pid, name_of) = (signal.sender, name(&signal.sender_comm));
    let has = |bit| signal.flags & bit != 0;
    let by = format!("{}[{}]", name(&signal.orderer_comm), signal.orderer);
    let with = u8::try_from(signal.order).unwrap_or(0);
    let sender = if has(sig_flags::PASSED_ON) {
        Sender::MasterTold { pid, name: name_of, by }
    } else if has(sig_flags::SELF) && !has(sig_flags::KERNEL) {
        Sender::Own
    } else if has(sig_flags::KERNEL) {
        Sender::Kernel
    } else if has(sig_flags::MASTER) && has(sig_flags::ORDERED) {
        Sender::OrderedMaster { pid, name: name_of, by, with }
    } else if has(sig_flags::MASTER) {
        Sender::Master { pid, name: name_of }
    } else {
        Sender::Other { pid, name: name_of }
    };
    Some(Signal { number, sender, before: Duration::from_nanos(time_ns.saturating_sub(signal.time_ns)) })
}

/// A task's name, as text.
pub(super) fn name(comm: &[u8]) -> String {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    String::from_utf8_lossy(&comm[..end]).into_owned()
}
