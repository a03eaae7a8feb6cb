//! `tracer`: why did a request from Cloudflare's edge fail at this host?

#![forbid(unsafe_code)]

pub mod diagnose;
