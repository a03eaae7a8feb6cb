//! The addresses of the laboratory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Edge addresses inside Cloudflare's ranges.
pub const EDGE_A: IpAddr = IpAddr::V4(Ipv4Addr::new(173, 245, 48, 10));
/// See [`EDGE_A`].
pub const EDGE_B: IpAddr = IpAddr::V4(Ipv4Addr::new(104, 16, 1, 10));
/// See [`EDGE_A`].
pub const EDGE_C: IpAddr = IpAddr::V4(Ipv4Addr::new(162, 158, 90, 4));
/// See [`EDGE_A`].
pub const EDGE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, 0x10));
/// An address of the edge's side that is outside every range (TEST-NET-2).
pub const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
/// The origin's addresses.
pub const ORIGIN_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// See [`ORIGIN_V4`].
pub const ORIGIN_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1));
/// The address of a container on the origin's host; see [`crate::Lab::publish`].
pub const CONTAINER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 98, 0, 2));

pub(crate) const EDGE_SIDE: [IpAddr; 5] = [EDGE_A, EDGE_B, EDGE_C, EDGE_V6, STRANGER];
