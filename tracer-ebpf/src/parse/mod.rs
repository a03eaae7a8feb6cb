//! The parsers: from bytes and numbers to findings, and nothing of the kernel in between.
//!
//! They name no map, no helper and no module outside of this folder, so that the tests and the fuzz targets compile it
//! for the host, too, and hold it against the agent's parsers (`tracer/fuzz/targets`).

pub mod chunk_trail;
pub mod empty_line;
pub mod fields;
pub mod framing;
pub mod handshake;
pub mod size_line;
pub mod verifier;
pub mod words;
