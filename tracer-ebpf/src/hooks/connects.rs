//! A process calls `connect()` on a TCP socket, before the kernel looks for a route; or it accepts a connection.
//!
//! `cgroup/connect4`, `cgroup/connect6` on the root cgroup, 5.10 to 7.2; the call goes on in any case.
//!
//! `cgroup/getpeername4`, `cgroup/getpeername6`, the same; they run in `accept()` where it is to give the peer's
//! address, which most servers ask for, and in `getpeername()`.

use aya_ebpf::{EbpfContext as _, bindings::bpf_sock_addr, programs::SockAddrContext};
use tracer_common::v4_mapped;

use crate::{kernel::number, upstream::tcp, wire::headers::IPPROTO_TCP};

/// To an IPv4 address.
#[inline(always)]
pub fn connect4(ctx: &SockAddrContext) {
    let at = ctx.as_ptr().cast::<bpf_sock_addr>();
    // SAFETY: the verifier lets a program read these fields of its context.
    let (is_tcp, addr) = unsafe { (is_tcp(at), (&raw const (*at).user_ip4).read_volatile()) };
    if is_tcp {
        wants(at, v4_mapped(addr.to_ne_bytes()));
    }
}

/// To an IPv6 address.
#[inline(always)]
pub fn connect6(ctx: &SockAddrContext) {
    let at = ctx.as_ptr().cast::<bpf_sock_addr>();
    // SAFETY: the verifier lets a program read these fields of its context, a word at a time.
    unsafe {
        if is_tcp(at) {
            let word = |index: usize| (&raw const (*at).user_ip6[index]).read_volatile();
            let words = [word(0), word(1), word(2), word(3)];
            // Both types have 16 bytes, no padding, and take any bytes.
            wants(at, core::mem::transmute::<[u32; 4], [u8; 16]>(words));
        }
    }
}

/// # Safety
/// `at` is the program's context.
#[inline(always)]
unsafe fn is_tcp(at: *const bpf_sock_addr) -> bool {
    // SAFETY: the verifier lets a program read this field of its context.
    unsafe { (&raw const (*at).protocol).read_volatile() == u32::from(IPPROTO_TCP) }
}

#[inline(always)]
fn wants(at: *const bpf_sock_addr, addr: [u8; 16]) {
    // SAFETY: the verifier lets a program read these fields of its context.
    let (port, sk) = unsafe { ((&raw const (*at).user_port).read_volatile(), (*at).__bindgen_anon_1.sk) };
    if !sk.is_null() {
        tcp::wants(number(sk), addr, u16::from_be(port as u16));
    }
}

/// The peer's address of a connection over either family is given out.
#[inline(always)]
pub fn getpeername(ctx: &SockAddrContext) {
    let at = ctx.as_ptr().cast::<bpf_sock_addr>();
    // SAFETY: the verifier lets a program read these fields of its context.
    unsafe {
        let sk = (*at).__bindgen_anon_1.sk;
        if is_tcp(at) && !sk.is_null() {
            tcp::takes(number(sk), (&raw const (*at).user_port).read_volatile() as u16);
        }
    }
}
