//! What this kernel's hooks give.

use aya_ebpf::Global;

/// 1: this kernel's tracepoint has the `reason` argument.
#[unsafe(no_mangle)]
static HAS_RST_REASON: Global<u8> = Global::new(0);

/// Whether this kernel's tracepoint also fires where there is no full socket: since it has a reason to give.
#[inline(always)]
pub fn tells_all() -> bool {
    HAS_RST_REASON.load() != 0
}
