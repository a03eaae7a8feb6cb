//! A process takes a key for AES: a probe in the key schedule of ring and of AWS-LC, which rustls uses. It announces no
//! secrets, but each of its keys passes here: four in a handshake of TLS 1.3, two in one of TLS 1.2.
//!
//! Others pass, too. AWS-LC's generator of random numbers takes two keys for each number, which lie at one place. Keys
//! count as a connection's only from its first bytes to its first answer, in the thread that read from it last.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_user},
    programs::ProbeContext,
};
use tracer_common::{AES_KEY_LEN, AES_KEYS, AesKeys, Conn, lost, secret};

use crate::tables::{
    connections,
    counters::count,
    keys,
    maps::{LOST, READING, TLS_HITS},
};

/// A key that is taken: where it lies in the process's memory.
pub struct KeySet {
    key: u64,
    bits: u32,
    /// Where what is made of it goes.
    schedule: u64,
    /// The top of the stack.
    stack: u64,
}

impl KeySet {
    /// `(const uint8_t *key, int bits, AES_KEY *schedule)`.
    #[cfg(bpf_target_arch = "x86_64")]
    #[inline(always)]
    pub fn new(ctx: &ProbeContext) -> Self {
        // SAFETY: the kernel passes the registers, and the verifier lets a program read them.
        let regs = unsafe { &*ctx.regs };
        Self { key: regs.rdi, bits: regs.rsi as u32, schedule: regs.rdx, stack: regs.rsp }
    }

    /// The same on 64-bit ARM.
    #[cfg(not(bpf_target_arch = "x86_64"))]
    #[inline(always)]
    pub fn new(ctx: &ProbeContext) -> Self {
        // SAFETY: as above.
        let stack = unsafe { (*ctx.regs).sp };
        let argument = |n| ctx.arg::<u64>(n).unwrap_or(0);
        Self { key: argument(0), bits: argument(1) as u32, schedule: argument(2), stack }
    }

    /// Whether the schedule lies on the stack. From there it moves on, so that the next one in its place says nothing.
    #[inline(always)]
    fn is_on_stack(&self) -> bool {
        const REACH: u64 = 256 << 10;
        self.schedule.wrapping_sub(self.stack) < REACH
    }
}

/// Keeps the key if it may be one of an edge connection in its handshake.
#[inline(always)]
pub fn taken(set: &KeySet) {
    count(&TLS_HITS, 0);
    if set.bits != 128 && set.bits != 256 {
        return;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    // SAFETY: a live map value, which the program only copies.
    let Some(key) = (unsafe { READING.get(&pid_tgid) }).copied() else { return };
    let Some(conn) = connections::get(key) else { return };
    // SAFETY: map values stay valid while a program runs.
    keep(unsafe { &mut *conn }, set);
}

/// Puts the key into the connection's entry.
#[inline(never)]
fn keep(conn: &mut Conn, set: &KeySet) {
    // The last key may be taken when the first request has been read, in one read with the end of the handshake.
    if conn.exchanges > 1 || conn.exchanges == 1 && !conn.is_awaited() {
        return;
    }
    let Some(entry) = keys::of_or_make(conn) else { return count(&LOST, lost::TLS_KEYS) };
    // SAFETY: a live map value. Of two threads that write at once only one can be the reader of this connection.
    let aes = unsafe { &mut (*entry).aes };
    let slot = slot(aes, set);
    if slot as usize >= AES_KEYS {
        return;
    }
    put(aes, slot as usize & (AES_KEYS - 1), set);
    // Of keys that have been wiped none is left.
    let is_left = u64::from_ne_bytes(aes.lens) != 0;
    conn.keyed = conn.keyed & !secret::AES_KEYS | if is_left { secret::AES_KEYS } else { 0 };
}

/// Where the key goes: where another one was whose schedule it overwrites, or behind all of them.
#[inline(always)]
fn slot(aes: &AesKeys, set: &KeySet) -> u32 {
    if !set.is_on_stack() {
        for slot in 0..AES_KEYS {
            if aes.schedules[slot] == set.schedule {
                return slot as u32;
            }
        }
    }
    aes.count
}

/// Writes the key there, unless the one before it had the same schedule: that one and this one, and all that come to
/// this place, are of the generator of random numbers.
#[inline(always)]
fn put(aes: &mut AesKeys, slot: usize, set: &KeySet) {
    let is_new = slot as u32 == aes.count;
    let number = slot as u32 + 1;
    if !is_new && (aes.last == number || aes.lens[slot] == 0) {
        aes.lens[slot] = 0;
        aes.keys[slot] = [0; AES_KEY_LEN];
    } else {
        let into = aes.keys[slot].as_mut_ptr().cast();
        // SAFETY: the target has 32 bytes; the helper checks those that it reads.
        let failed = unsafe {
            match set.bits {
                256 => bpf_probe_read_user(into, 32, set.key as *const _),
                _ => bpf_probe_read_user(into, 16, set.key as *const _),
            }
        };
        if failed != 0 {
            return count(&LOST, lost::TLS_KEYS);
        }
        aes.lens[slot] = (set.bits / 8) as u8;
        aes.schedules[slot] = if set.is_on_stack() { 0 } else { set.schedule };
        aes.count += u32::from(is_new);
    }
    aes.last = number;
}
