//! Features that differ between kernels, found at load and stored in constants that the programs read.

use aya_ebpf::Global;

/// 1 where the tracepoint `tcp_send_reset` has the argument `reason` on this kernel. Set by the loader.
#[unsafe(no_mangle)]
static HAS_RST_REASON: Global<u8> = Global::new(0);

/// Whether the tracepoint `tcp_send_reset` fires for every RST of TCP's, also where no full socket sends it, as for a
/// refused SYN. Kernels do that exactly since the tracepoint has the argument `reason` (6.12).
#[inline(always)]
pub fn send_reset_sees_all() -> bool {
    HAS_RST_REASON.load() != 0
}
