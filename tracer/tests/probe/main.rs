//! `tracer probe` against servers that fail in every way that a client can see, all on loopback. Needs no privilege.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod asking;
mod certificates;
mod documents;
mod http2;
mod plain;
mod secure;
mod wanted;
