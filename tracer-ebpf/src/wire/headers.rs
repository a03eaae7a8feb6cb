//! Headers as they are on the wire, numbers in network order: read as a whole, since byte arrays would be taken apart on the
//! stack, of which a program and all that it calls have 512 bytes.

/// TCP's number among the protocols of IP.
pub const IPPROTO_TCP: u8 = 6;

/// IPv4, without options.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Ipv4 {
    pub version: u8,
    pub service: u8,
    pub length: u16,
    pub fragment: u32,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: u16,
    pub source: u32,
    pub destination: u32,
}

/// IPv6, up to its addresses.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Ipv6 {
    pub version: u32,
    pub length: u16,
    pub next: u8,
    pub hops: u8,
}

/// TCP, without checksum, urgent pointer and options.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Tcp {
    pub source: u16,
    pub destination: u16,
    pub seq: u32,
    pub acknowledged: u32,
    pub words: u8,
    pub flags: u8,
    pub window: u16,
}
