//! tracer's kernel programs: the entry points alone. Each calls a function in `hooks`, which does the work.
//!
//! A *twin* is a second copy of a program on the same tracepoint; `tables::twins` explains what it is for. Userspace
//! finds programs, maps and constants by their names.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the macros make entry points that only the kernel calls")]
#![allow(unreachable_pub, reason = "a program: nothing is reachable from outside, `pub` marks what modules share")]

mod conn;
mod emit;
mod exchange;
mod hooks;
mod kernel;
mod missing;
mod parse;
mod tables;
mod upstream;
mod wire;

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, cgroup_skb, cgroup_sock_addr, uprobe},
    programs::{BtfTracePointContext, ProbeContext, RawTracePointContext, SkBuffContext, SockAddrContext},
};

use hooks::{aes_keys::KeySet, tls::Announced};
use tables::twins::Role;

#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    hooks::states::set_state(&ctx, Role::First);
    0
}

/// The twin of `inet_sock_set_state`. Inlined, as that is: the functions it calls leave no stack for one more frame.
#[btf_tracepoint(function = "inet_sock_set_state")]
#[inline(always)]
pub fn inet_sock_set_state_twin(ctx: BtfTracePointContext) -> i32 {
    hooks::states::set_state(&ctx, Role::Second);
    0
}

#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn tcp_rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    hooks::reads::rcv_space_adjust(&ctx, Role::First);
    0
}

/// The twin of `tcp_rcv_space_adjust`.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn tcp_rcv_space_adjust_twin(ctx: BtfTracePointContext) -> i32 {
    hooks::reads::rcv_space_adjust(&ctx, Role::Second);
    0
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
    hooks::resets::send_reset(&ctx, Role::First);
    0
}

/// The twin of `tcp_send_reset`.
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn tcp_send_reset_twin(ctx: BtfTracePointContext) -> i32 {
    hooks::resets::send_reset(&ctx, Role::Second);
    0
}

#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    hooks::resets::receive_reset(&ctx);
    0
}

#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn tcp_retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    hooks::synacks::retransmit(&ctx);
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    hooks::processes::process_exit(&ctx, Role::First);
    0
}

/// The twin of `sched_process_exit`.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit_twin(ctx: BtfTracePointContext) -> i32 {
    hooks::processes::process_exit(&ctx, Role::Second);
    0
}

#[btf_tracepoint(function = "signal_generate")]
pub fn signal_generate(ctx: BtfTracePointContext) -> i32 {
    hooks::processes::signal_generate(&ctx);
    0
}

#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim(ctx: BtfTracePointContext) -> i32 {
    hooks::processes::mark_victim(&ctx);
    0
}

/// Returns 1 always, which lets the call go on.
#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    hooks::connects::connect4(&ctx);
    1
}

/// Returns 1 always, which lets the call go on.
#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    hooks::connects::connect6(&ctx);
    1
}

/// Returns 1 always, which lets the call go on.
#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(ctx: SockAddrContext) -> i32 {
    hooks::connects::getpeername(&ctx);
    1
}

/// Returns 1 always, which lets the call go on.
#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(ctx: SockAddrContext) -> i32 {
    hooks::connects::getpeername(&ctx);
    1
}

#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    hooks::unix::send_length(&ctx, Role::First);
    0
}

/// The twin of `sock_send_length`.
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length_twin(ctx: BtfTracePointContext) -> i32 {
    hooks::unix::send_length(&ctx, Role::Second);
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    hooks::unix::recv_length(&ctx, Role::First);
    0
}

/// The twin of `sock_recv_length`.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length_twin(ctx: BtfTracePointContext) -> i32 {
    hooks::unix::recv_length(&ctx, Role::Second);
    0
}

#[btf_tracepoint(function = "kfree_skb")]
pub fn kfree_skb(ctx: BtfTracePointContext) -> i32 {
    hooks::netfilter::kfree_skb(&ctx);
    0
}

#[btf_tracepoint(function = "net_dev_queue")]
pub fn net_dev_queue(ctx: BtfTracePointContext) -> i32 {
    hooks::netfilter::net_dev_queue(&ctx);
    0
}

/// Not attached: the agent runs it on a connection that may be overdue. Not `#[raw_tracepoint]`: that macro discards
/// the return value, which the agent needs. The same holds for the next two.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
pub extern "C" fn inspect_connection(ctx: *mut c_void) -> i32 {
    hooks::inspect::connection(&RawTracePointContext::new(ctx))
}

/// Not attached: the agent runs it to go through the table of connections.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
pub extern "C" fn find_connection(ctx: *mut c_void) -> i32 {
    hooks::inspect::find(&RawTracePointContext::new(ctx))
}

/// Not attached: the agent runs it on a dropped packet for which the edge has waited long enough.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
pub extern "C" fn inspect_attempt(ctx: *mut c_void) -> i32 {
    hooks::inspect::attempt(&RawTracePointContext::new(ctx))
}

/// Run once at the start in each network namespace: finds connections that were open before the agent.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn seed_tcp(ctx: *const u64) -> i32 {
    hooks::seed::tcp(ctx);
    0
}

/// Returns 1 always, which lets the packet pass.
#[cgroup_skb(ingress)]
pub fn payload_in(ctx: SkBuffContext) -> i32 {
    hooks::packets::ingress(&ctx);
    1
}

/// Returns 1 always, which lets the packet pass.
#[cgroup_skb(egress)]
pub fn payload_out(ctx: SkBuffContext) -> i32 {
    hooks::packets::egress(&ctx);
    1
}

/// The rest of `payload_in` on connections that may speak HTTP/2: called by it, and by itself. Not attached.
#[cgroup_skb(ingress)]
pub fn trail_in(ctx: SkBuffContext) -> i32 {
    hooks::trails::ingress(&ctx);
    1
}

/// The same of `payload_out`.
#[cgroup_skb(egress)]
pub fn trail_out(ctx: SkBuffContext) -> i32 {
    hooks::trails::egress(&ctx);
    1
}

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`. Attached only with sight
/// inside TLS.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(_ctx: BtfTracePointContext) -> i32 {
    hooks::tls::executes();
    0
}

/// The key-log function of OpenSSL and BoringSSL, at its start. There are two forms of each of these programs: kernels
/// since 6.6 attach the second one with fewer privileges.
#[uprobe]
pub fn tls_secret_four(ctx: ProbeContext) -> u32 {
    hooks::tls::announced(&Announced::four(&ctx));
    0
}

#[uprobe(multi)]
pub fn tls_secret_four_multi(ctx: ProbeContext) -> u32 {
    hooks::tls::announced(&Announced::four(&ctx));
    0
}

/// The one that OpenSSL's key-log function jumps to.
#[uprobe]
pub fn tls_secret_six(ctx: ProbeContext) -> u32 {
    hooks::tls::announced(&Announced::six(&ctx));
    0
}

#[uprobe(multi)]
pub fn tls_secret_six_multi(ctx: ProbeContext) -> u32 {
    hooks::tls::announced(&Announced::six(&ctx));
    0
}

/// The key-log function of Go's `crypto/tls`.
#[uprobe]
pub fn tls_secret_go(ctx: ProbeContext) -> u32 {
    hooks::tls::announced(&Announced::go(&ctx));
    0
}

#[uprobe(multi)]
pub fn tls_secret_go_multi(ctx: ProbeContext) -> u32 {
    hooks::tls::announced(&Announced::go(&ctx));
    0
}

/// The AES key schedule of ring and AWS-LC, which rustls uses.
#[uprobe]
pub fn tls_aes_key(ctx: ProbeContext) -> u32 {
    hooks::aes_keys::taken(&KeySet::new(&ctx));
    0
}

#[uprobe(multi)]
pub fn tls_aes_key_multi(ctx: ProbeContext) -> u32 {
    hooks::aes_keys::taken(&KeySet::new(&ctx));
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
