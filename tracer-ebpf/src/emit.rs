//! Reserve, fill, submit; or count the loss.

use aya_ebpf::helpers::{bpf_ktime_get_ns, generated::bpf_probe_read_kernel};
use tracer_common::{
    Conn, ConnRecord, Header, Heads, LastSignal, OomRecord, ProcessRecord, RefusedRecord, conn_flags, kinds, lost,
};

use crate::{
    maps::{HEADS, LOST, RECORDS, count},
    process,
};

#[inline(always)]
fn header<T>(kind: u32) -> Header {
    // SAFETY: the helper has no preconditions.
    Header { kind, size: size_of::<T>() as u32, time_ns: unsafe { bpf_ktime_get_ns() } }
}

/// Hands over a connection that may have failed, with the heads kept under `key`.
#[inline(always)]
pub fn conn(conn: *mut Conn, key: u64, trigger: u32, rst_reason: u32) {
    // SAFETY: callers pass a live map value.
    unsafe { (*conn).flags |= conn_flags::REPORTED };
    let Some(mut entry) = RECORDS.reserve::<ConnRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` is a reserved, properly sized slot of the ring buffer, written before it is submitted; the helper
    // copies from the map value (LLVM would unroll a copy of this size into thousands of instructions).
    unsafe {
        (*record).header = header::<ConnRecord>(kinds::CONN);
        (*record).trigger = trigger;
        (*record).rst_reason = rst_reason;
        (*record).conn = *conn;
        match HEADS.get_ptr(&key).filter(|_| (*conn).flags & conn_flags::HEADS != 0) {
            Some(heads) => {
                let into = &raw mut (*record).heads;
                bpf_probe_read_kernel(into.cast(), size_of::<Heads>() as u32, heads.cast());
            }
            None => {
                (*record).conn.request_have = 0;
                (*record).conn.response_have = 0;
            }
        }
        let mut signal = LastSignal::default();
        process::explaining_signal(&(*conn).closer, (*conn).owner, &mut signal);
        (*record).signal = signal;
    }
    entry.submit(0);
}

/// Hands over a refused SYN.
#[inline(always)]
pub fn refused(tuple: &tracer_common::Tuple, rst_reason: u32) {
    let Some(mut entry) = RECORDS.reserve::<RefusedRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    entry.write(RefusedRecord { header: header::<RefusedRecord>(kinds::REFUSED), tuple: *tuple, rst_reason, pad: 0 });
    entry.submit(0);
}

/// Hands over the end of a process.
#[inline(always)]
pub fn process(task: &tracer_common::Task, last_turn_ns: u64) {
    let Some(mut entry) = RECORDS.reserve::<ProcessRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    let mut signal = LastSignal::default();
    process::explaining_signal(task, task.tgid, &mut signal);
    entry.write(ProcessRecord { header: header::<ProcessRecord>(kinds::PROCESS), last_turn_ns, task: *task, signal });
    entry.submit(0);
}

/// Hands over an OOM kill.
#[inline(always)]
pub fn oom(tgid: u32, comm: [u8; 16]) {
    let Some(mut entry) = RECORDS.reserve::<OomRecord>(0) else {
        return count(&LOST, lost::RING);
    };
    entry.write(OomRecord { header: header::<OomRecord>(kinds::OOM), tgid, pad: 0, comm });
    entry.submit(0);
}
