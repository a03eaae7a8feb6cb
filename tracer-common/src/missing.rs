//! Packets that this host's kernel dropped or refused before a process could see them.

shared! {
    /// The lost packets of one attempt to get something through: to connect (the edge's), or to send on an open
    /// connection (the edge's, or the origin's).
    ///
    /// Lives in a kernel map, keyed by the connection's [`Tuple`](crate::Tuple).
    #[derive(Default)]
    pub struct Attempt {
        /// When the first packet was lost.
        pub first_ns: u64,
        /// When the last one was lost.
        pub last_ns: u64,
        /// Address of the socket that the packets belong to: the key of its connection. 0: unknown.
        pub sock_key: u64,
        /// Number of lost packets, retransmissions included.
        pub packets: u32,
        /// One of [`attempt`](crate::attempt).
        pub kind: u32,
        /// One of [`taken`](crate::taken).
        pub cause: u32,
        /// One of [`hook`](crate::hook).
        pub hook: u32,
        /// With [`taken::ICMP`](crate::taken::ICMP): type in bits 0 to 7, code in bits 8 to 15. Bit 16 is set for
        /// ICMPv6.
        pub icmp: u32,
        /// One of [`attempt_state`](crate::attempt_state).
        pub state: u32,
        /// With [`taken::QUEUE`](crate::taken::QUEUE): connections in the accept queue. With
        /// [`taken::SYN_QUEUE`](crate::taken::SYN_QUEUE): those in the SYN queue.
        pub queue: u32,
        /// Limit of that queue.
        pub queue_limit: u32,
        /// Payload of the first lost packet, in bytes. With the two queues: length of the whole IP packet.
        pub payload: u32,
        /// Data: the sequence number after that payload; with [`taken::QUEUE`](crate::taken::QUEUE), the number of the
        /// packet. SYN: the edge's initial sequence number. SYN-ACK: the same, from what it acknowledges.
        pub seq: u32,
        /// 1: the packets were on their way to the edge. 0: they came from it.
        pub outward: u32,
        pub pad: u32,
    }
    size: 72
}
