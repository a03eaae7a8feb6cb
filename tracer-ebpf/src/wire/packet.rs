//! A packet as a `cgroup_skb` program sees it: where its payload lies, whose it is, and how to copy it past the verifier.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::v4_mapped;

use super::{
    headers::{IPPROTO_TCP, Ipv4, Ipv6},
    verifier::{opaque, unaligned, unknown, up_to},
};

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
    if ip < 20 || unsafe { *((data + protocol) as *const u8) } != IPPROTO_TCP {
        return Packet::Other;
    }
    let tcp = data + ip as usize;
    if tcp + 20 > end {
        return Packet::Other;
    }
    // SAFETY: 20 bytes from `tcp` are there, as just checked.
    let (seq, words) = unsafe { (u32::from_be(unaligned((tcp + 4) as *const u32)), *((tcp + 12) as *const u8) >> 4) };
    let offset = ip + u32::from(words) * 4;
    let len = ctx.len().wrapping_sub(offset);
    if len == 0 || len > 1 << 20 { Packet::Empty } else { Packet::Payload(Payload { offset, len, seq }) }
}

/// A value at this place of the packet. `None` where the packet is shorter.
#[inline(always)]
pub fn read<T: Copy + Default>(ctx: &SkBuffContext, offset: u32) -> Option<T> {
    let mut value = T::default();
    // SAFETY: `value` has that size, and any bytes make one; the helper checks the packet's side.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), offset, (&raw mut value).cast(), size_of::<T>() as u32) };
    (failed == 0).then_some(value)
}

/// Both ends of a packet, from its headers: source, destination, ports; and TCP's sequence number and flags.
#[derive(Default)]
pub struct Ends {
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub source_port: u16,
    pub destination_port: u16,
    pub seq: u32,
    pub flags: u8,
}

impl Ends {
    /// Reads the ends of an IP packet that starts at `at`, with the transport protocol `protocol`; only as many bytes of
    /// that are read as an ICMP error has to quote, unless it is whole.
    #[inline(always)]
    pub fn of(ctx: &SkBuffContext, at: u32, protocol: u8) -> Option<Self> {
        let mut ends = Self::default();
        ends.fill(ctx, at, protocol).map(|()| ends)
    }

    /// In the kernel a function of its own, for the sake of its callers' stack.
    #[inline(never)]
    fn fill(&mut self, ctx: &SkBuffContext, at: u32, protocol: u8) -> Option<()> {
        let first: u8 = read(ctx, at)?;
        let transport = if first >> 4 == 4 {
            let ip: Ipv4 = read(ctx, at)?;
            if ip.protocol != protocol {
                return None;
            }
            self.source = v4_mapped(ip.source.to_ne_bytes());
            self.destination = v4_mapped(ip.destination.to_ne_bytes());
            u32::from(first & 0xf) * 4
        } else {
            let ip: Ipv6 = read(ctx, at)?;
            if ip.next != protocol {
                return None;
            }
            self.source = read(ctx, at + 8)?;
            self.destination = read(ctx, at + 24)?;
            40
        };
        let [ports, seq]: [u32; 2] = read(ctx, at + transport)?;
        let ports = u32::from_be(ports);
        self.source_port = (ports >> 16) as u16;
        self.destination_port = ports as u16;
        self.seq = u32::from_be(seq);
        // Zero where the packet was cut.
        self.flags = read(ctx, at + transport + 13).unwrap_or(0);
        Some(())
    }
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
    for _ in 0..PIECES {
        copied = unknown(copied.into()) as u32;
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
pub fn copy_piece<const SIZE: usize>(ctx: &SkBuffContext, payload: &Payload, buffer: *mut u8, at: u32) -> u32 {
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
    if payload.len == 0 {
        return 0;
    }
    let len = up_to(payload.len, most);
    // SAFETY: `buffer` has SIZE bytes and `at + len <= SIZE` in each case above; the helper checks the packet's side.
    let failed =
        unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, buffer.add(at as usize).cast(), len as u32) };
    if failed == 0 { len as u32 } else { 0 }
}
