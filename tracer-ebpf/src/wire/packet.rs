//! A packet as a `cgroup_skb` program gets it, from the IP header on: its payload, its two ends, and copying payload
//! into a map.
//!
//! The verifier decides the shape of this code: it must see a bound for each offset and each length before a byte is
//! read. [`copy`] shows how.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::v4_mapped;

use super::headers::{IPPROTO_TCP, Ipv4, Ipv6};
use crate::parse::verifier::{opaque, unaligned, unknown, up_to};

/// The payload of a TCP segment: `len` bytes at `offset` in the packet, at `seq` in the stream.
#[derive(Clone, Copy)]
pub struct Payload {
    pub offset: u32,
    pub len: u32,
    pub seq: u32,
}

impl Payload {
    /// The payload without its first `bytes`.
    #[inline(always)]
    pub fn after(self, bytes: u32) -> Self {
        Self { offset: self.offset + bytes, len: self.len.wrapping_sub(bytes), seq: self.seq.wrapping_add(bytes) }
    }
}

/// What kind of packet it is.
pub enum Packet {
    /// A TCP segment with payload.
    Payload(Payload),
    /// A TCP segment without payload; `fin`: with a FIN.
    Empty { fin: bool },
    /// Not TCP, or TCP behind IPv6 extension headers.
    Other,
}

/// The FIN bit among TCP's flags.
const FIN: u8 = 1;

/// Classifies the packet, by direct access to its headers.
#[inline(always)]
pub fn packet(ctx: &SkBuffContext) -> Packet {
    let data = ctx.data();
    let end = ctx.data_end();
    // The shortest TCP packet has 40 bytes: IPv4 and TCP without options.
    if data + 40 > end {
        return Packet::Other;
    }
    // SAFETY: the packet has at least 40 bytes, as just checked.
    let first = unsafe { *(data as *const u8) };
    let (ip, protocol) = if first >> 4 == 4 { (u32::from(first & 0xf) * 4, 9) } else { (40, 6) };
    // SAFETY: `protocol` is 6 or 9, and the packet has at least 40 bytes, as checked at the top. IPv6 whose next
    // header is an extension header is left alone.
    if ip < 20 || unsafe { *((data + protocol) as *const u8) } != IPPROTO_TCP {
        return Packet::Other;
    }
    let tcp = data + ip as usize;
    if tcp + 20 > end {
        return Packet::Other;
    }
    // SAFETY: the packet has 20 bytes from `tcp` on, as just checked.
    let (seq, words, flags) = unsafe {
        (u32::from_be(unaligned((tcp + 4) as *const u32)), *((tcp + 12) as *const u8) >> 4, *((tcp + 13) as *const u8))
    };
    let offset = ip + u32::from(words) * 4;
    let len = ctx.len().wrapping_sub(offset);
    if len == 0 || len > 1 << 20 {
        Packet::Empty { fin: flags & FIN != 0 }
    } else {
        Packet::Payload(Payload { offset, len, seq })
    }
}

/// Copies a value from the packet at `offset`. `None` if the packet ends before it does.
#[inline(always)]
pub fn read<T: Copy + Default>(ctx: &SkBuffContext, offset: u32) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the helper writes size_of::<T>() bytes into `value`, for whose type any bytes are valid, and checks
    // the packet's bounds itself.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), offset, (&raw mut value).cast(), size_of::<T>() as u32) };
    (failed == 0).then_some(value)
}

/// Source and destination of a packet, with addresses and ports, and TCP's sequence number and flags.
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
    /// Reads the IP packet that starts at `at`, if its transport protocol is `protocol`.
    ///
    /// That packet may be the one that an ICMP error quotes, which need hold only eight bytes of the transport
    /// header. So only these are required; `flags` are zero if they are missing.
    #[inline(always)]
    pub fn of(ctx: &SkBuffContext, at: u32, protocol: u8) -> Option<Self> {
        let mut ends = Self::default();
        ends.fill(ctx, at, protocol).map(|()| ends)
    }

    /// The body of [`Ends::of`]. Not inlined, so that the headers lie on its own stack: a program's functions share
    /// 512 bytes along each chain of calls.
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
        // The byte after the eight that an ICMP error must quote may be missing.
        self.flags = read(ctx, at + transport + 13).unwrap_or(0);
        Some(())
    }
}

/// Number of bytes at the end of a buffer that [`copy`] may leave unused.
pub const UNUSED: u32 = 32;

/// Copies payload to `buffer[at..]`, up to the end of the buffer at `SIZE`, or to at most [`UNUSED`] bytes before
/// it. Returns the number of bytes copied.
///
/// The verifier has to see that `at + len` is within the buffer, but it bounds `at` and `len` one by one, never
/// their sum. So the copy is made in pieces: for each range of `at` a piece has a fixed greatest length that fits
/// wherever in that range it begins.
#[inline(always)]
pub fn copy<const SIZE: usize>(ctx: &SkBuffContext, payload: &Payload, buffer: *mut u8, at: u32) -> u32 {
    // One piece is enough nearly always: the buffer is empty and the payload fits.
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

/// Number of pieces after the first that fill a buffer from any `at`.
const PIECES: u32 = 6;

/// Copies one piece of the payload to `buffer[at..]`. Returns its length; 0 if there is no room or nothing to copy.
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
    // SAFETY: `buffer` has SIZE bytes, and in each case above `at + most <= SIZE` and `len <= most`. The helper
    // checks the packet's bounds itself.
    let failed =
        unsafe { bpf_skb_load_bytes(ctx.as_ptr(), payload.offset, buffer.add(at as usize).cast(), len as u32) };
    if failed == 0 { len as u32 } else { 0 }
}
