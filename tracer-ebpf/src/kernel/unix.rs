//! Unix sockets.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use tracer_common::limits::{SOCKET_PATH_LEN, SOCKET_PATH_ROWS};

use super::{sock::Sock, *};

const AF_UNIX: u16 = 1;
/// `sun_path` follows the family in `struct sockaddr_un`.
const SUN_PATH: u64 = 2;
const SOCK_STREAM: u16 = 1;

/// Whether it is a unix socket that carries a stream. `false` also where the kernel's layout does not tell.
#[inline(always)]
pub fn is_stream(sk: Sock) -> bool {
    sk.family() == AF_UNIX
        && OFF_SK_TYPE.load() != 0
        && read_field::<u16>(number(sk.pointer()), &OFF_SK_TYPE) == SOCK_STREAM
}

/// The socket at its other end. 0: there is none.
#[inline(always)]
pub fn peer(sk: Sock) -> u64 {
    if OFF_UNIX_PEER.load() == 0 { 0 } else { read_field(number(sk.pointer()), &OFF_UNIX_PEER) }
}

/// Copies the path that the socket at this address is bound to; what was accepted has its listener's. Left as it is
/// where there is none.
#[inline(always)]
pub fn read_path(sock: u64, into: &mut [[u8; 27]; SOCKET_PATH_ROWS]) {
    if OFF_UNIX_ADDR.load() == 0 || OFF_UNIX_ADDRESS_NAME.load() == 0 {
        return;
    }
    let address: u64 = read_field(sock, &OFF_UNIX_ADDR);
    if address == 0 {
        return;
    }
    let path = address.wrapping_add(OFF_UNIX_ADDRESS_NAME.load()).wrapping_add(SUN_PATH);
    // SAFETY: the helper writes at most SOCKET_PATH_LEN bytes, up to a NUL, into a buffer of that size, and checks the
    // address itself.
    let _len =
        unsafe { bpf_probe_read_kernel_str(into.as_mut_ptr().cast(), SOCKET_PATH_LEN as u32, path as *const c_void) };
}
