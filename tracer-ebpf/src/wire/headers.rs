//! Packet headers as they are on the wire; numbers are in network byte order.
//!
//! The fields are integers and not byte arrays: the compiler would copy arrays byte by byte to the stack, of which a
//! program and the functions that it calls have 512 bytes.

/// Protocol number of TCP in an IP header.
pub const IPPROTO_TCP: u8 = 6;

/// The IPv4 header without options.
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

/// The IPv6 header up to its addresses.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Ipv6 {
    pub version: u32,
    pub length: u16,
    pub next: u8,
    pub hops: u8,
}

/// The TCP header up to and with the window.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Tcp {
    pub source: u16,
    pub destination: u16,
    pub seq: u32,
    pub acknowledged: u32,
    /// The upper four bits: length of the header in words of 32 bits.
    pub words: u8,
    pub flags: u8,
    pub window: u16,
}
