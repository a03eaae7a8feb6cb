//! The secrets of edge connections inside TLS, and what ties a secret to its connection: the client random of the
//! ClientHello, or, where the library does not say it, the thread that read from the connection last.
//!
//! The probes in TLS libraries find secrets of every connection of a process, upstream ones included. Only those of
//! edge connections enter a map.

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};
use tracer_common::{Conn, KeysOf, TlsKeys, conn_flags as flag, lost, secret};

use super::{
    counters::count,
    heads,
    maps::{HANDSHAKES, KEYS, LOST, NO_KEYS, READING},
    values::Random,
};

/// 1: sight inside TLS is on. Set by the loader.
#[unsafe(no_mangle)]
static TLS_SIGHT: Global<u8> = Global::new(0);

/// Whether sight inside TLS is on. Where it is off, the verifier leaves out what depends on it.
#[inline(always)]
pub fn sight() -> bool {
    TLS_SIGHT.load() != 0
}

/// 1: secrets may lie in a key log, which the agent reads; the kernel learns nothing of them. Set by the loader.
#[unsafe(no_mangle)]
static TLS_KEYLOG: Global<u8> = Global::new(0);

/// Whether a key log is read.
#[inline(always)]
fn keylog() -> bool {
    TLS_KEYLOG.load() != 0
}

/// Where the random number begins in the first record of a ClientHello, bytes.
const RANDOM_AT: usize = 11;

/// Where the length of the session id lies in the first record of a ServerHello, and, behind that id, the suite.
const SESSION_ID_AT: usize = 43;

/// The first byte of the cipher suites of TLS 1.3 (RFC 8446 §B.4).
const SUITES_OF_TLS13: u8 = 0x13;

/// The name under which [`KEYS`] holds the connection's secrets.
#[inline(always)]
pub fn name(conn: &Conn) -> KeysOf {
    KeysOf { key: conn.key, opened_ns: conn.opened_ns }
}

/// The first bytes of the connection are kept: if they are a ClientHello, notes its random number.
#[inline(always)]
pub fn note_hello(conn: &Conn) {
    if conn.flags & flag::TLS == 0 || conn.request_have < (RANDOM_AT + size_of::<Random>()) as u32 {
        return;
    }
    let Some(heads) = heads::at(conn.heads) else { return };
    // SAFETY: map values stay valid while a program runs. `Random` is an array of bytes within the kept ones.
    let random = unsafe { &*(&raw const (*heads).request).cast::<u8>().add(RANDOM_AT).cast::<Random>() };
    let _evicts_when_full = HANDSHAKES.insert(random, &conn.key, 0);
}

/// Thread `pid_tgid` reads from the connection: secrets that it announces next belong to this one, and not to the one
/// that it read before, even if this one has them all.
#[inline(always)]
pub fn note_reader(conn: &Conn, pid_tgid: u64) {
    if conn.flags & flag::TLS != 0 && conn.exchanges <= 1 {
        let _evicts_when_full = READING.insert(&pid_tgid, &conn.key, 0);
    }
}

/// Thread `pid_tgid` reads from a connection to an upstream: keys and secrets that it has next are not the edge's.
#[inline(always)]
pub fn note_other_reader(pid_tgid: u64) {
    if READING.get_ptr(&pid_tgid).is_some() {
        let _absent = READING.remove(&pid_tgid);
    }
}

/// The entry of the connection's secrets, which is made if there is none. `None`: the map is full.
#[inline(always)]
pub fn of_or_make(conn: &Conn) -> Option<*mut TlsKeys> {
    let name = name(conn);
    if let Some(keys) = KEYS.get_ptr_mut(&name) {
        return Some(keys);
    }
    let blank = NO_KEYS.get_ptr(0)?;
    // SAFETY: a live map value, to which nobody writes.
    let _exists_by_now = KEYS.insert(&name, unsafe { &*blank }, 0);
    let keys = KEYS.get_ptr_mut(&name)?;
    // SAFETY: a live map value.
    keep_hellos(conn, unsafe { &mut *keys });
    Some(keys)
}

/// Keeps of the two hello messages what TLS 1.2 derives its keys from. They are the first bytes that were kept of
/// either side.
#[inline(always)]
fn keep_hellos(conn: &Conn, keys: &mut TlsKeys) {
    let Some(heads) = heads::at(conn.heads) else { return };
    if conn.request_have < 128 || conn.response_have < 128 {
        return;
    }
    // SAFETY: a live map value; all offsets lie within the 128 bytes that were kept.
    let (hello, answer) = unsafe { (&(*heads).request, &(*heads).response) };
    // Both are handshake records that begin with a ClientHello (1) and a ServerHello (2).
    if hello[0] != 22 || hello[5] != 1 || answer[0] != 22 || answer[5] != 2 {
        return;
    }
    let len = keys.client_random.len() as u32;
    // SAFETY: the helper copies `len` bytes, the size of either target, from within the kept bytes.
    unsafe {
        let (from, into) = (hello.as_ptr().add(RANDOM_AT), keys.client_random.as_mut_ptr());
        bpf_probe_read_kernel(into.cast(), len, from.cast());
        let (from, into) = (answer.as_ptr().add(RANDOM_AT), keys.server_random.as_mut_ptr());
        bpf_probe_read_kernel(into.cast(), len, from.cast());
    }
    let behind = SESSION_ID_AT + 1 + usize::from(answer[SESSION_ID_AT] & 63);
    keys.suite = [answer[behind], answer[behind + 1]];
    keys.has_hellos = 1;
}

/// The first request comes of a connection of which no probe has announced a secret: whether the key log may hold its
/// secrets. If so, makes its entry with the client random, by which the agent finds them there.
#[inline(always)]
pub fn may_be_logged(conn: &mut Conn) -> bool {
    if !keylog() || conn.exchanges > 1 {
        return false;
    }
    let Some(entry) = of_or_make(conn) else {
        count(&LOST, lost::TLS_KEYS);
        return false;
    };
    // SAFETY: a live map value.
    let (has_hellos, suite) = unsafe { ((*entry).has_hellos, (*entry).suite) };
    if has_hellos == 0 {
        let _absent = KEYS.remove(&name(conn));
        return false;
    }
    conn.keyed |= secret::BY_KEYLOG | if suite[0] == SUITES_OF_TLS13 { 0 } else { secret::IS_MASTER };
    true
}

/// The connection's first request is about to take the place of what was kept of its handshake. A secret may have been
/// announced, or a key taken, before the ServerHello went out.
#[inline(always)]
pub fn keep_late_hellos(conn: &mut Conn) {
    if conn.keyed & (secret::IS_MASTER | secret::AES_KEYS) == 0 && !keylog() {
        return;
    }
    let Some(keys) = KEYS.get_ptr_mut(&name(conn)) else { return };
    // SAFETY: a live map value. The thread that announced the secret has moved on.
    let keys = unsafe { &mut *keys };
    if keys.has_hellos == 0 {
        keep_hellos(conn, keys);
    }
    if conn.keyed & secret::AES_KEYS != 0 && keys.has_hellos != 0 && keys.suite[0] != SUITES_OF_TLS13 {
        conn.keyed |= secret::IS_MASTER;
    }
}

/// The connection leaves the table, and no failure of it was handed over: nobody needs its secrets any more. (Else the
/// agent removes them.)
#[inline(always)]
pub fn forget(conn: &Conn) {
    if sight() && conn.keyed != 0 && conn.flags & (flag::REPORTED | flag::ASKED | flag::TRAILED) == 0 {
        let _absent = KEYS.remove(&name(conn));
    }
}
