//! What is on the wire: packets and their headers, and how to read them past the verifier.

pub mod headers;
pub mod packet;
pub mod verifier;
pub mod words;
