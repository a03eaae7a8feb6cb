//! `tracer`: why did a request from Cloudflare's edge fail at this host?
//!
//! # The way of the data
//!
//! ```text
//! kernel hooks ─► ring buffer ─► decode ─► state ─► Evidence ─► diagnose() ─► Diagnosis ─► sinks
//!       └──────── per-CPU counters ◄───────────── read at a scrape ─────────────────────────┘
//! ```
//!
//! Only [`probes`], [`sinks`] and [`agent`] touch the outside; of the commands, [`commands::update`] and [`commands::doctor`] do. Everything between takes values and the time and gives
//! values, so that recorded events replay through the same path.
//!
//! # Invariants
//!
//! * A stranger's connection costs one look-up in the kernel and leaves no state.
//! * A healthy exchange makes no record: it moves counters.
//! * State is bounded and never blocks.
//! * A lost record can make a failure missing or its cause unknown, never wrong; every loss is counted.
//! * What an ending process explains is decided from what the kernel knew when the socket closed, not from a time window.
//! * Once all is attached, no thread keeps a privilege that only the start takes.
//! * Nothing is pinned in the kernel: when the agent goes, so do its programs.
//! * Nobody is called: the agent opens no connection to the outside; only `ranges update` does, and only when run.
//! * Of a request, only method, path, Host and CF-Ray leave the process.

#![deny(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod commands;
pub mod config;
pub mod counts;
pub mod decode;
pub mod diagnose;
pub mod edge;
pub mod host;
pub mod http;
pub mod probes;
pub mod recording;
pub mod sinks;
pub mod state;
pub mod tls;
