//! What is counted of healthy and failed exchanges alike.

use aya_ebpf::maps::PerCpuArray;
use tracer_common::{Conn, Distributions, limits};

use super::maps::{PORT_COUNTS, PORT_OF, TURNS};
use crate::kernel::sock::TcpSock;

/// Adds one to a per-CPU counter.
#[inline(always)]
pub fn count(array: &PerCpuArray<u64>, index: u32) {
    if let Some(slot) = array.get_ptr_mut(index) {
        // SAFETY: the slot belongs to this CPU, and a map value stays valid for the length of the program.
        unsafe { *slot += 1 }
    }
}

/// The counters' slot of a local port: its own, found in one of a few places, or the last one. Two CPUs that take a free
/// slot at once for two ports count both under the later one: as rare as a listener's very first connections, and only a
/// label.
#[inline(always)]
pub fn port_slot(port: u16) -> u32 {
    let wanted = u32::from(port);
    for place in 0..8 {
        let slot = (wanted + place) & (limits::PORTS - 1);
        if let Some(owner) = PORT_OF.get_ptr_mut(slot) {
            // SAFETY: a live map value.
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

/// Turns that a process has begun, and those that share its slot.
#[inline(always)]
pub fn turns(tgid: u32) -> u32 {
    TURNS.get(tgid % limits::TURNS).copied().unwrap_or(0)
}

/// Counts the exchange that begins now.
#[inline(always)]
pub fn count_exchange(conn: &mut Conn) {
    conn.exchanges += 1;
    if let Some(counts) = PORT_COUNTS.get_ptr_mut(conn.port_slot) {
        // SAFETY: this CPU's slot of a live map value.
        unsafe { (*counts).exchanges += 1 }
    }
}

/// Adds the time from the request's last byte to now.
#[inline(always)]
pub fn observe_first_byte(conn: &Conn, tcp: &TcpSock, seen: &mut Distributions) {
    let now = tcp.clock();
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

/// Adds the size of the header section.
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
