//! A packet as a `cgroup_skb` program sees it: where its payload lies, whose it is, and how to copy it past the verifier.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::v4_mapped;

use crate::maps::ZERO;

/// The payload of a packet: where it starts in the packet and in the stream.
#[derive(Clone, Copy)]
pub struct Payload {
    pub offset: u32,
    pub len: u32,
    pub seq: u32,
}

impl Payload {
    /// What is left after its first `bytes`.
    #[inline(always)]
    pub fn after(self, bytes: u32) -> Self {
        Self { offset: self.offset + bytes, len: self.len.wrapping_sub(bytes), seq: self.seq.wrapping_add(bytes) }
    }
}

/// What a packet is.
pub enum Packet {
    /// A TCP segment with payload.
    Payload(Payload),
    /// A TCP segment without.
    Empty,
    /// Not plain TCP.
    Other,
}

/// Reads the headers straight from the packet.
#[inline(always)]
pub fn packet(ctx: &SkBuffContext) -> Packet {
    let data = ctx.data();
    let end = ctx.data_end();
    // The shortest packet: IPv4 and TCP without options.
    if data + 40 > end {
        return Packet::Other;
    }
    // SAFETY: 40 bytes are there, as just checked.
    let first = unsafe { *(data as *const u8) };
    let (ip, protocol) = if first >> 4 == 4 { (u32::from(first & 0xf) * 4, 9) } else { (40, 6) };
    // SAFETY: as above. IPv6 with extension headers: not ours.
    if ip < 20 || unsafe { *((data + protocol) as *const u8) } != TCP {
        return Packet::Other;
    }
    let tcp = data + ip as usize;
    if tcp + 20 > end {
        return Packet::Other;
    }
    // SAFETY: 20 bytes from `tcp` are there, as just checked.
    let (seq, words) =
        unsafe { (u32::from_be(core::ptr::read_unaligned((tcp + 4) as *const u32)), *((tcp + 12) as *const u8) >> 4) };
    let offset = ip + u32::from(words) * 4;
    let len = ctx.len().wrapping_sub(offset);
    if len == 0 || len > 1 << 20 { Packet::Empty } else { Packet::Payload(Payload { offset, len, seq }) }
}

/// TCP's number among the protocols of IP.
const TCP: u8 = 6;

/// Bytes of the packet into a buffer: `false`, and zeros, where it is shorter.
#[inline(always)]
pub fn load<const N: usize>(ctx: &SkBuffContext, offset: u32, into: &mut [u8; N]) -> bool {
    // SAFETY: N bytes into a buffer of that size; the helper checks the packet's side.
    unsafe { bpf_skb_load_bytes(ctx.as_ptr(), offset, into.as_mut_ptr().cast(), N as u32) == 0 }
}

/// Both ends of a packet, from its headers: source, destination, ports; and the TCP flags.
pub struct Ends {
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub source_port: u16,
    pub destination_port: u16,
    pub flags: u8,
}

/// Reads the ends of an IP packet that starts at `at`, with the transport protocol `protocol`; only as many bytes of that
/// are read as an ICMP error has to quote, unless it is whole.
#[inline(always)]
pub fn ends(ctx: &SkBuffContext, at: u32, protocol: u8) -> Option<Ends> {
    let mut first = [0_u8; 1];
    if !load(ctx, at, &mut first) {
        return None;
    }
    let (source, destination, transport) = if first[0] >> 4 == 4 {
        let mut ip = [0_u8; 20];
        if !load(ctx, at, &mut ip) || ip[9] != protocol {
            return None;
        }
        let (from, to) = ([ip[12], ip[13], ip[14], ip[15]], [ip[16], ip[17], ip[18], ip[19]]);
        (v4_mapped(from), v4_mapped(to), u32::from(first[0] & 0xf) * 4)
    } else {
        let (mut next, mut from, mut to) = ([0_u8; 1], [0_u8; 16], [0_u8; 16]);
        if !load(ctx, at + 6, &mut next) || next[0] != protocol {
            return None;
        }
        if !load(ctx, at + 8, &mut from) || !load(ctx, at + 24, &mut to) {
            return None;
        }
        (from, to, 40)
    };
    let (mut ports, mut flags) = ([0_u8; 4], [0_u8; 1]);
    if !load(ctx, at + transport, &mut ports) {
        return None;
    }
    let _zero_where_cut = load(ctx, at + transport + 13, &mut flags);
    Some(Ends {
        source,
        destination,
        source_port: u16::from_be_bytes([ports[0], ports[1]]),
        destination_port: u16::from_be_bytes([ports[2], ports[3]]),
        flags: flags[0],
    })
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

/// Bytes at the end of a buffer that [`copy`] may leave unused.
pub const UNUSED: u32 = 32;

/// Copies payload to `buffer[at..]`, at most to its end at `SIZE`, or to [`UNUSED`] bytes before that. Returns how many bytes
/// it copied.
///
/// In pieces, and each piece one of a few lengths, because the verifier bounds `at` and `len` one by one, never their sum.
#[inline(always)]
pub fn copy<const SIZE: usize>(ctx: &SkBuffContext, payload: &Payload, buffer: *mut u8, at: u32) -> u32 {
    // In one piece, as nearly always.
    let mut copied = copy_piece::<SIZE>(ctx, payload, buffer, at);
    if copied == 0 || copied >= payload.len {
        return copied;
    }
    let Some(zero) = ZERO.get(0).copied() else { return copied };
    for _ in 0..PIECES {
        // As in `head::search`: nothing for the verifier to follow.
        copied = (opaque(copied.into()) ^ zero) as u32;
        let piece = copy_piece::<SIZE>(ctx, &payload.after(copied), buffer, at.wrapping_add(copied));
        copied += piece;
        if piece == 0 || copied >= payload.len {
            break;
        }
    }
    copied
}

/// Enough to fill a buffer from anywhere.
const PIECES: u32 = 6;

#[inline(always)]
fn copy_piece<const SIZE: usize>(ctx: &SkBuffContext, payload: &Payload, buffer: *mut u8, at: u32) -> u32 {
    let size = SIZE as u64;
    let at = opaque(u64::from(at));
    let most = if at == 0 {
        size
    } else if at <= size / 2 {
        size / 2
    } else if at <= size - 512 {
        512
    } else if at <= size - 128 {
        128
    } else if at <= size - u64::from(UNUSED) {
        u64::from(UNUSED)
    } else {
        return 0;
    };
    let mut len = opaque(u64::from(payload.len));
    if len > most {
        len = most;
    }
    if len == 0 {
        return 0;
    }
    // SAFETY: `buffer` has SIZE bytes and `at + len <= SIZE` in each case above; the helper checks the packet's side.
    let failed =
        unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, buffer.add(at as usize).cast(), len as u32) };
    if failed == 0 { len as u32 } else { 0 }
}
