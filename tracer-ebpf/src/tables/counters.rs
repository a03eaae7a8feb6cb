//! Counters: connections, exchanges, times and sizes, of healthy and failed exchanges alike. Userspace reads them
//! from the maps; no record is made for them.

use aya_ebpf::maps::PerCpuArray;
use tracer_common::{Conn, Distributions, limits};

use super::maps::{PORT_COUNTS, PORT_OF, TURNS};
use crate::kernel::sock::TcpSock;

/// Adds one to a per-CPU counter.
#[inline(always)]
pub fn count(array: &PerCpuArray<u64>, index: u32) {
    if let Some(slot) = array.get_ptr_mut(index) {
        // SAFETY: the slot belongs to this CPU, and a map value stays valid while the program runs.
        unsafe { *slot += 1 }
    }
}

/// The slot that counts a local port: one of eight that the port's number leads to, taken on first use; if all eight
/// belong to other ports, the last slot, which they share.
///
/// If two CPUs take a free slot for two ports at once, both ports are counted under the later one. That can only
/// happen with the very first connections of a listener, and only makes a label wrong.
#[inline(always)]
pub fn port_slot(port: u16) -> u32 {
    let wanted = u32::from(port);
    for place in 0..8 {
        let slot = (wanted + place) & (limits::PORTS - 1);
        if let Some(owner) = PORT_OF.get_ptr_mut(slot) {
            // SAFETY: a live map value; a race between CPUs is as harmless as described above.
            unsafe {
                if *owner == 0 {
                    *owner = wanted;
                }
                if *owner == wanted {
                    return slot;
                }
            }
        }
    }
    limits::PORTS
}

/// Number of turns that a process has begun, together with any other processes that share its slot.
#[inline(always)]
pub fn turns(tgid: u32) -> u32 {
    TURNS.get(tgid % limits::TURNS).copied().unwrap_or(0)
}

/// Counts an exchange that begins now, on the connection and on its port.
#[inline(always)]
pub fn count_exchange(conn: &mut Conn) {
    conn.exchanges += 1;
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(conn.port_slot.into()) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe { (*counts).exchanges += 1 }
    }
}

/// Adds the time from the read of the request to now, the response's first byte, to its distribution.
#[inline(always)]
pub fn observe_first_byte(conn: &Conn, tcp: &TcpSock, seen: &mut Distributions) {
    let now = tcp.clock();
    // Nothing was read yet, or the socket's clock is from before the read: there is no time to measure.
    if conn.read_ns == 0 || now < conn.read_ns {
        return;
    }
    let took = now - conn.read_ns;
    seen.first_byte_ns += took;
    let mut bucket = 0;
    while bucket < limits::FIRST_BYTE_BOUNDS_NS.len() {
        if took <= limits::FIRST_BYTE_BOUNDS_NS[bucket] {
            break;
        }
        bucket += 1;
    }
    seen.first_byte[bucket] += 1;
}

/// Adds the size of the response's header section to its distribution.
#[inline(always)]
pub fn observe_header(conn: &Conn, seen: &mut Distributions) {
    seen.header_bytes += u64::from(conn.head_len);
    seen.last_header = conn.head_len.into();
    let mut bucket = 0;
    while bucket < limits::HEADER_BOUNDS.len() {
        if conn.head_len <= limits::HEADER_BOUNDS[bucket] {
            break;
        }
        bucket += 1;
    }
    seen.header[bucket] += 1;
}
