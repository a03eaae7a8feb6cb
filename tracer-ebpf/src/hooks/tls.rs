//! A TLS library announces a secret: probes in its key-log function, which it calls in every handshake, whether or not
//! anybody asked for a key log.
//!
//! There is a program for each way in which that function takes its arguments; the agent chooses by the library. A
//! healthy request makes no hit: the function runs up to five times in a handshake of TLS 1.3, once in one of TLS 1.2.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_user},
    programs::ProbeContext,
};
use tracer_common::{Conn, SECRET_LEN, lost, secret};

use crate::{
    emit,
    parse::verifier::up_to,
    tables::{
        connections,
        counters::count,
        keys,
        maps::{HANDSHAKES, LOST, READING, TLS_HITS},
        values::Random,
    },
};

/// The current process executes a program, which may come to be a server: the agent can look for the place to probe
/// before it listens.
#[inline(always)]
pub fn executes() {
    emit::listens(0);
}

/// A secret that is announced: where in the process's memory its parts lie.
pub struct Announced {
    label: u64,
    secret: u64,
    len: u64,
    /// The client random. 0: it is not among the arguments.
    random: u64,
}

impl Announced {
    /// `(SSL *, const char *label, const uint8_t *secret, size_t len)`, in OpenSSL and BoringSSL.
    #[inline(always)]
    pub fn four(ctx: &ProbeContext) -> Self {
        let argument = |n| ctx.arg(n).unwrap_or(0);
        Self { label: argument(1), secret: argument(2), len: argument(3), random: 0 }
    }

    /// `(const char *label, SSL *, const uint8_t *random, size_t, const uint8_t *secret, size_t len)`, into which
    /// OpenSSL turns the other one.
    #[inline(always)]
    pub fn six(ctx: &ProbeContext) -> Self {
        let argument = |n| ctx.arg(n).unwrap_or(0);
        Self { label: argument(0), secret: argument(4), len: argument(5), random: argument(2) }
    }

    /// Go's `(*Config).writeKeyLog(label string, random, secret []byte)`, in registers by Go's own rules.
    #[cfg(bpf_target_arch = "x86_64")]
    #[inline(always)]
    pub fn go(ctx: &ProbeContext) -> Self {
        // SAFETY: the kernel passes the registers, and the verifier lets a program read them.
        let regs = unsafe { &*ctx.regs };
        Self { label: regs.rbx, secret: regs.r9, len: regs.r10, random: regs.rdi }
    }

    /// The same on 64-bit ARM.
    #[cfg(not(bpf_target_arch = "x86_64"))]
    #[inline(always)]
    pub fn go(ctx: &ProbeContext) -> Self {
        let argument = |n| ctx.arg(n).unwrap_or(0);
        Self { label: argument(1), secret: argument(6), len: argument(7), random: argument(3) }
    }
}

/// The first eight bytes of the labels that are listened to, as one number. Those of other secrets (early data,
/// exporter, later generations) begin with others, or end otherwise.
const CLIENT_RANDOM: u64 = u64::from_ne_bytes(*b"CLIENT_R");
const CLIENT_HANDSHAKE: u64 = u64::from_ne_bytes(*b"CLIENT_H");
const SERVER_HANDSHAKE: u64 = u64::from_ne_bytes(*b"SERVER_H");
const CLIENT_TRAFFIC: u64 = u64::from_ne_bytes(*b"CLIENT_T");
const SERVER_TRAFFIC: u64 = u64::from_ne_bytes(*b"SERVER_T");

/// Where `CLIENT_TRAFFIC_SECRET_0` has its number. A later generation, after a KeyUpdate, has an `N` there.
const GENERATION_AT: u64 = 22;

/// What is not listened to.
const NONE: u32 = secret::SLOTS as u32;

/// Keeps the secret if it is one of an edge connection.
#[inline(always)]
pub fn announced(announced: &Announced) {
    count(&TLS_HITS, 0);
    let pid_tgid = bpf_get_current_pid_tgid();
    let Some(key) = connection(announced.random, pid_tgid) else { return };
    let Some(conn) = connections::get(key) else { return };
    // SAFETY: map values stay valid while a program runs.
    keep(unsafe { &mut *conn }, announced);
}

/// The key of the connection whose handshake has this client random; where there is none among the arguments, of the
/// one that this thread reads.
#[inline(always)]
fn connection(random: u64, pid_tgid: u64) -> Option<u64> {
    if random == 0 {
        // SAFETY: a live map value.
        return unsafe { READING.get(&pid_tgid) }.copied();
    }
    let mut half = Random::default();
    // SAFETY: the helper writes as many bytes as `half` has, and checks those that it reads.
    let failed = unsafe { bpf_probe_read_user((&raw mut half).cast(), size_of::<Random>() as u32, random as *const _) };
    if failed != 0 {
        return None;
    }
    // SAFETY: a live map value, which the program only copies.
    unsafe { HANDSHAKES.get(&half) }.copied()
}

/// Which secret it is, and whether that is a master secret. [`NONE`]: one that is not listened to.
#[inline(always)]
fn slot(label: u64) -> (u32, bool) {
    let (mut first, mut generation) = (0_u64, 0_u8);
    // SAFETY: the helper writes as many bytes as its target has, and checks those that it reads.
    let failed = unsafe { bpf_probe_read_user((&raw mut first).cast(), 8, label as *const _) };
    if failed != 0 {
        count(&LOST, lost::TLS_LABELS);
        return (NONE, false);
    }
    match first {
        CLIENT_RANDOM => return (secret::MASTER as u32, true),
        CLIENT_HANDSHAKE => return (secret::CLIENT_HANDSHAKE as u32, false),
        SERVER_HANDSHAKE => return (secret::SERVER_HANDSHAKE as u32, false),
        CLIENT_TRAFFIC | SERVER_TRAFFIC => {}
        _ => return (NONE, false),
    }
    // SAFETY: as for the first eight bytes, with a target of one byte.
    unsafe { bpf_probe_read_user((&raw mut generation).cast(), 1, (label + GENERATION_AT) as *const _) };
    let slot = if first == CLIENT_TRAFFIC { secret::CLIENT_TRAFFIC } else { secret::SERVER_TRAFFIC };
    (if generation == b'0' { slot as u32 } else { NONE }, false)
}

/// Puts the secret into the connection's entry, unless it has that one already: a thread may announce others, of a
/// connection that it opens to an upstream, before it reads the next one.
#[inline(never)]
fn keep(conn: &mut Conn, announced: &Announced) {
    let (slot, is_master) = slot(announced.label);
    let len = announced.len;
    if slot >= NONE || conn.keyed & 1 << slot != 0 || len == 0 || len > SECRET_LEN as u64 {
        return;
    }
    let Some(entry) = keys::of_or_make(conn) else {
        return count(&LOST, lost::TLS_KEYS);
    };
    // SAFETY: a live map value. Of two threads that write at once only one can be the reader of this connection.
    let entry = unsafe { &mut *entry };
    let into = entry.secrets[slot as usize].as_mut_ptr();
    let len = up_to(len as u32, SECRET_LEN as u64);
    // SAFETY: `len` is between 1 and the size of the target; the helper checks what it reads.
    if unsafe { bpf_probe_read_user(into.cast(), len as u32, announced.secret as *const _) } != 0 {
        return count(&LOST, lost::TLS_KEYS);
    }
    entry.lens[slot as usize] = len as u8;
    entry.is_master |= u8::from(is_master);
    conn.keyed |= 1 << slot | if is_master { secret::IS_MASTER } else { 0 };
}
