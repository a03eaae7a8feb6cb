//! What the kernel programs count of all connections, healthy ones included.

use crate::limits;

shared! {
    /// Counters of one local port, per CPU. The last slot of the map counts all ports that have no slot of their own.
    #[derive(Default)]
    pub struct PortCounts {
        /// IPv4 connections that were put into the table of connections.
        pub connections_ipv4: u64,
        /// IPv6 connections that were put into the table of connections.
        pub connections_ipv6: u64,
        /// Exchanges that began.
        pub exchanges: u64,
        /// Connections that left the table.
        pub closed: u64,
        /// Packets of edge connections that netfilter dropped or refused.
        pub firewall_drops: u64,
        /// Attempts to connect that a full accept queue turned away.
        pub queue_overflows: u64,
    }
    size: 48
}

shared! {
    /// Histograms of healthy exchanges, per local port and CPU.
    ///
    /// An array of buckets has one element for each bound, and a last one for what lies above all bounds.
    #[derive(Default)]
    pub struct Distributions {
        /// Sum of the times from a request's last byte to its response's first, nanoseconds.
        pub first_byte_ns: u64,
        /// Sum of the sizes of responses' header sections, bytes.
        pub header_bytes: u64,
        /// Size of the last header section, bytes: the search for the next one's end begins with this guess.
        pub last_header: u64,
        /// Buckets of [`FIRST_BYTE_BOUNDS_NS`](limits::FIRST_BYTE_BOUNDS_NS).
        pub first_byte: [u64; limits::FIRST_BYTE_BOUNDS_NS.len() + 1],
        /// Buckets of [`HEADER_BOUNDS`](limits::HEADER_BOUNDS).
        pub header: [u64; limits::HEADER_BOUNDS.len() + 1],
    }
    size: 256
}
