//! Addresses in one form for both IP versions: 16 bytes, in which an IPv4 address is IPv4-mapped (`::ffff:a.b.c.d`).

/// Key of the longest-prefix-match trie of edge ranges: a 128-bit IPv6 or IPv4-mapped address.
pub type RangeKey = [u8; 16];

shared! {
    /// Addresses and ports of a connection, and its network namespace.
    #[derive(Default, Hash)]
    pub struct Tuple {
        pub peer_addr: [u8; 16],
        pub local_addr: [u8; 16],
        pub peer_port: u16,
        pub local_port: u16,
        /// Inode number of the network namespace.
        pub netns: u32,
    }
    size: 40
}

impl Tuple {
    /// The same connection as seen from its other end: peer and local exchanged.
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

    /// Whether both have the same addresses and ports. Ignores the namespace, which is not always known.
    #[must_use]
    #[inline(always)]
    pub fn has_same_ends(&self, other: &Self) -> bool {
        self.peer_port == other.peer_port
            && self.local_port == other.local_port
            && self.peer_addr == other.peer_addr
            && self.local_addr == other.local_addr
    }
}

/// The IPv4-mapped form of an IPv4 address in network byte order.
#[must_use]
#[inline(always)]
pub const fn v4_mapped(addr: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, addr[0], addr[1], addr[2], addr[3]]
}

/// Whether a 16-byte address is IPv4-mapped.
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
