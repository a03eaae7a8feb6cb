//! Programs that return at once, at the hooks that a healthy exchange passes: the benchmark attaches them in the
//! tracer's place, to learn what the kernel's statistics show of a program that does nothing there. Named like the
//! tracer's.

#![no_std]
#![no_main]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the macros make entry points that only the kernel calls")]
#![allow(unreachable_pub, reason = "a program: nothing is reachable from outside")]

use aya_ebpf::{
    macros::{btf_tracepoint, cgroup_skb},
    programs::{BtfTracePointContext, SkBuffContext},
};

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state_twin(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn tcp_rcv_space_adjust(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "kfree_skb")]
pub fn kfree_skb(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "net_dev_queue")]
pub fn net_dev_queue(_ctx: BtfTracePointContext) -> i32 {
    0
}

/// Passes every packet.
#[cgroup_skb(ingress)]
pub fn payload_in(_ctx: SkBuffContext) -> i32 {
    1
}

/// Passes every packet.
#[cgroup_skb(egress)]
pub fn payload_out(_ctx: SkBuffContext) -> i32 {
    1
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
