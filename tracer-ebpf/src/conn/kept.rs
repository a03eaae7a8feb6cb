//! What the gate ([`tracer_common::gate`]) asks of the kept bytes and of the configuration, both of which lie in maps.

use tracer_common::{
    Conn,
    gate::{self, Kept, Verdict},
    origin_flags as origin,
};

use crate::{
    exchange::{search, verdict},
    kernel::sock::TcpSock,
    tables::maps::CONFIG,
};

/// The bytes that are kept of the connection's request and response.
pub struct InMaps;

impl Kept for InMaps {
    #[inline(always)]
    fn verdict(&self, conn: &Conn, total: u32) -> Verdict {
        verdict::judge(conn, conn.flags, total)
    }

    #[inline(always)]
    fn first_request_end(&self, conn: &Conn, have: u32) -> u32 {
        search::first_request_end(conn.heads, have)
    }
}

/// The largest header section that the edge accepts, in bytes.
#[inline(always)]
pub fn header_limit() -> u32 {
    CONFIG.get(0).map_or(u32::MAX, |config| config.header_limit)
}

/// Called as data goes out that was still unsent when the origin closed; it reaches up to the sequence number
/// `up_to`. When the last of it is out, judges the response: returns whether a request has failed.
#[inline(always)]
pub fn held_back_was_sent(tcp: TcpSock, conn: &mut Conn, up_to: u32) -> bool {
    // The origin's FIN takes one sequence number; more than that is data yet to come.
    if tcp.write_seq().wrapping_sub(up_to) > 1 {
        return false;
    }
    conn.origin_flags &= !origin::PENDING;
    gate::after_fin(conn, header_limit(), &InMaps)
}
