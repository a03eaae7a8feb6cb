//! A packet as a `cgroup_skb` program sees it: where its payload lies, and how to copy it past the verifier.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::limits;

/// Bytes kept of a head.
pub const HEAD: u32 = limits::HEAD_LEN as u32;

/// The payload of a packet: where it starts in the packet and in the stream.
pub struct Payload {
    pub offset: u32,
    pub len: u32,
    pub seq: u32,
}

/// Reads the headers straight from the packet. `None`: no payload, or not plain TCP.
#[inline(always)]
pub fn payload(ctx: &SkBuffContext) -> Option<Payload> {
    let data = ctx.data();
    let end = ctx.data_end();
    // The shortest packet: IPv4 and TCP without options.
    if data + 40 > end {
        return None;
    }
    // SAFETY: 40 bytes are there, as just checked.
    let first = unsafe { *(data as *const u8) };
    let ip = if first >> 4 == 4 {
        u32::from(first & 0xf) * 4
    } else {
        // SAFETY: as above. Extension headers: not ours.
        if unsafe { *((data + 6) as *const u8) } != 6 {
            return None;
        }
        40
    };
    if ip < 20 {
        return None;
    }
    let tcp = data + ip as usize;
    if tcp + 20 > end {
        return None;
    }
    // SAFETY: 20 bytes from `tcp` are there, as just checked.
    let (seq, words) =
        unsafe { (u32::from_be(core::ptr::read_unaligned((tcp + 4) as *const u32)), *((tcp + 12) as *const u8) >> 4) };
    let offset = ip + u32::from(words) * 4;
    let len = ctx.len().wrapping_sub(offset);
    if len == 0 || len > 1 << 20 { None } else { Some(Payload { offset, len, seq }) }
}

/// The same number, of which the compiler knows nothing: keeps it from checking one register and using another, whose
/// bounds the verifier (6.18) then does not know.
#[inline(always)]
pub fn opaque(mut value: u64) -> u64 {
    // SAFETY: moves a register onto itself. (Without an instruction of its own, two lines of debug information would share
    // an offset, which the kernel refuses.)
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) }
    value
}

/// Copies payload to `buffer[at..]`, at most to its end. Returns how many bytes it copied.
///
/// The lengths are picked from three cases because the verifier bounds `at` and `len` one by one, never their sum.
#[inline(always)]
pub fn copy(ctx: &SkBuffContext, payload: &Payload, buffer: *mut u8, at: u32) -> u32 {
    let at = opaque(u64::from(at));
    let most = if at == 0 {
        HEAD
    } else if at <= u64::from(HEAD / 2) {
        HEAD / 2
    } else if at <= u64::from(HEAD - 64) {
        64
    } else {
        return 0;
    };
    let mut len = opaque(u64::from(payload.len));
    if len > u64::from(most) {
        len = u64::from(most);
    }
    if len == 0 {
        return 0;
    }
    // SAFETY: `buffer` has HEAD bytes and `at + len <= HEAD` in each case above; the helper checks the packet's side.
    let failed =
        unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, buffer.add(at as usize).cast(), len as u32) };
    if failed == 0 { len as u32 } else { 0 }
}
