//! One form for IPv4 and IPv6: a 16-byte, IPv4-mapped address.

/// The two ends of a connection and the network namespace that it lives in.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub peer_addr: [u8; 16],
    pub local_addr: [u8; 16],
    pub peer_port: u16,
    pub local_port: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
}

const _: () = assert!(size_of::<Tuple>() == 40);

impl Tuple {
    /// The same connection with its ends exchanged.
    #[must_use]
    #[inline(always)]
    pub const fn turned(&self) -> Self {
        Self {
            peer_addr: self.local_addr,
            local_addr: self.peer_addr,
            peer_port: self.local_port,
            local_port: self.peer_port,
            netns: self.netns,
        }
    }

    /// Whether both have the same addresses and ports; the namespace is not always known.
    #[must_use]
    #[inline(always)]
    pub fn has_same_ends(&self, other: &Self) -> bool {
        self.peer_port == other.peer_port
            && self.local_port == other.local_port
            && self.peer_addr == other.peer_addr
            && self.local_addr == other.local_addr
    }
}

/// `::ffff:a.b.c.d` for an IPv4 address whose bytes are in network order in memory.
#[must_use]
#[inline(always)]
pub const fn v4_mapped(addr: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, addr[0], addr[1], addr[2], addr[3]]
}

/// Whether a 16-byte address stands for an IPv4 address.
#[must_use]
#[inline(always)]
pub fn is_v4_mapped(addr: &[u8; 16]) -> bool {
    let mut any = 0;
    let mut i = 0;
    while i < 10 {
        any |= addr[i];
        i += 1;
    }
    any == 0 && addr[10] == 0xff && addr[11] == 0xff
}
