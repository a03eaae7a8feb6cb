//! Packets as the kernel holds them: `struct sk_buff`, with its route, its device and its TCP headers.

use core::ffi::c_void;

use tracer_common::{Tuple, v4_mapped};

use super::*;
use crate::wire::headers::{IPPROTO_TCP, Ipv4, Ipv6, Tcp};

/// Where the route of a packet leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To this host.
    Own,
    /// To another host, or to a container on this one.
    Onward,
}

/// Flag in the low bit of `skb->_skb_refdst`, which otherwise holds the address of the route: the packet holds no
/// reference to that route.
const DST_NOREF: u64 = 1;

/// Index of the loopback device, the same in every network namespace.
const LOOPBACK: u32 = 1;

/// A `struct sk_buff *` argument of a BTF tracepoint, not null.
#[derive(Clone, Copy)]
pub struct Skb(*const c_void);

impl Skb {
    #[inline(always)]
    pub fn new(pointer: *const c_void) -> Option<Self> {
        if pointer.is_null() { None } else { Some(Self(pointer)) }
    }

    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub fn len(self) -> u32 {
        // SAFETY: a BTF pointer to struct sk_buff.
        unsafe { field(self.0, &OFF_SKB_LEN) }
    }

    /// Address of the packet's socket; 0 if it has none.
    #[inline(always)]
    pub fn socket(self) -> u64 {
        // SAFETY: a BTF pointer to struct sk_buff.
        number(unsafe { field::<*const c_void>(self.0, &OFF_SKB_SK) })
    }

    /// Where the packet's route leads. `None` if no route was chosen yet, as before netfilter's prerouting hook.
    #[inline(always)]
    pub fn route(self) -> Option<Route> {
        // SAFETY: a BTF pointer to struct sk_buff.
        let (route, device) =
            unsafe { (field::<u64>(self.0, &OFF_SKB_DST), field::<*const c_void>(self.0, &OFF_SKB_DEV)) };
        if route == 0 {
            return None;
        }
        let leads_to: u64 = read_field(route & !DST_NOREF, &OFF_DST_DEV);
        // A route to this host itself leads to the loopback device, or to the device of the routing domain (VRF)
        // that the packet is already in.
        let is_own = leads_to == number(device) || read_field::<u32>(leads_to, &OFF_DEV_INDEX) == LOOPBACK;
        Some(if is_own { Route::Own } else { Route::Onward })
    }

    /// Whether the packet arrived through a device; one on its way out from this host's own sockets did not.
    #[inline(always)]
    pub fn came_in(self) -> bool {
        // SAFETY: a BTF pointer to struct sk_buff.
        unsafe { field::<u32>(self.0, &OFF_SKB_IIF) != 0 }
    }
}

/// A TCP segment, read from the headers of a packet. In `tuple`, "peer" is the sender.
#[derive(Default)]
pub struct Segment {
    pub tuple: Tuple,
    pub seq: u32,
    pub acknowledged: u32,
    pub syn: bool,
    pub ack: bool,
    pub rst: bool,
    pub fin_or_rst: bool,
    /// Length of the payload in bytes.
    pub payload: u32,
}

impl Segment {
    /// Reads the headers of the packet at address `skb`. `None` if they are not IPv4 or IPv6 followed by TCP.
    #[inline(always)]
    pub fn of(skb: u64) -> Option<Self> {
        let mut segment = Self::default();
        segment.read(skb).map(|()| segment)
    }

    /// The body of [`Segment::of`]. Not inlined, so that the headers lie on its own stack: a program's functions
    /// share 512 bytes along each chain of calls.
    #[inline(never)]
    fn read(&mut self, skb: u64) -> Option<()> {
        let head: u64 = probe_field(skb, &OFF_SKB_HEAD)?;
        let network: u16 = probe_field(skb, &OFF_SKB_NETWORK)?;
        let at = head.wrapping_add(u64::from(network));
        let first: u8 = probe(at)?;
        let (transport, length) = if first >> 4 == 4 {
            let ip: Ipv4 = probe(at)?;
            if ip.protocol != IPPROTO_TCP {
                return None;
            }
            self.tuple.peer_addr = v4_mapped(ip.source.to_ne_bytes());
            self.tuple.local_addr = v4_mapped(ip.destination.to_ne_bytes());
            let header = u32::from(first & 0xf) * 4;
            (header, u32::from(u16::from_be(ip.length)).wrapping_sub(header))
        } else {
            let ip: Ipv6 = probe(at)?;
            // IPv6 with extension headers is not followed, nor is any other protocol.
            if first >> 4 != 6 || ip.next != IPPROTO_TCP {
                return None;
            }
            self.tuple.peer_addr = probe(at.wrapping_add(8))?;
            self.tuple.local_addr = probe(at.wrapping_add(24))?;
            (40, u32::from(u16::from_be(ip.length)))
        };
        let tcp: Tcp = probe(at.wrapping_add(u64::from(transport)))?;
        self.tuple.peer_port = u16::from_be(tcp.source);
        self.tuple.local_port = u16::from_be(tcp.destination);
        self.tuple.netns = netns(skb);
        self.seq = u32::from_be(tcp.seq);
        self.acknowledged = u32::from_be(tcp.acknowledged);
        self.syn = tcp.flags & 0x02 != 0;
        self.ack = tcp.flags & 0x10 != 0;
        self.rst = tcp.flags & 0x04 != 0;
        self.fin_or_rst = tcp.flags & 0x05 != 0;
        self.payload = length.saturating_sub(u32::from(tcp.words >> 4) * 4);
        Some(())
    }
}

/// Inode number of the packet's network namespace: that of its device or, before it has a device, of its socket. 0
/// if it has neither.
#[inline(always)]
fn netns(skb: u64) -> u32 {
    let device: u64 = read_field(skb, &OFF_SKB_DEV);
    let net: u64 = if device != 0 {
        read_field(device, &OFF_DEV_NET)
    } else {
        probe_field(read_field(skb, &OFF_SKB_SK), &OFF_SKC_NET).unwrap_or(0)
    };
    read_field(net, &OFF_NET_INUM)
}
