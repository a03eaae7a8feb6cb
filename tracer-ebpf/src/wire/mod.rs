//! Reads packets: their headers and payload.

pub mod headers;
pub mod packet;
