//! Reads packets: their headers and payload, and numbers in a form that the verifier accepts.

pub mod headers;
pub mod packet;
pub mod size_line;
pub mod verifier;
pub mod words;
