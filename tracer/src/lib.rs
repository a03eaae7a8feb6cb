//! `tracer`: why did a request from Cloudflare's edge fail at this host?
//!
//! # The way of the data
//!
//! ```text
//! kernel hooks ─► ring buffer ─► decode ─► state ─► Evidence ─► diagnose() ─► Diagnosis ─► sinks
//!       └──────── per-CPU counters ◄───────────── read at a scrape ─────────────────────────┘
//! ```
//!
//! # One failed request, from room to room
//!
//! gunicorn kills a worker that has not answered `GET /report` for too long:
//!
//! 1. A program on `inet_sock_set_state` sees the socket close. The edge is owed a response, so it fills a
//!    [`tracer_common::ConnRecord`] (counters of the socket, state of the process, first bytes of both sides) and puts
//!    it into the ring buffer. A connection whose exchanges are whole leaves no record.
//! 2. [`probes::Records`] hands the bytes to [`agent`], and [`decode`] makes a [`decode::Event`] of them.
//! 3. [`state`] turns numbers into [`diagnose::Evidence`]: the heads into a request and a response (through [`http`]
//!    or [`tls`]), clocks into durations, exit code and last signal into the end of the process. Where the process may
//!    be about to end it holds the verdict for half a second.
//! 4. [`diagnose::diagnose`] asks what the edge was left without (no response byte), then why (the process died of a
//!    signal that its own master had sent), and gives a [`diagnose::Diagnosis`]: `supervisor_kill`, 520, certain, with
//!    the evidence in sentences and an advice.
//! 5. [`agent`] gives it to [`sinks`]: a counter moves, a line goes to the events file, the page shows it.
//!
//! # What touches the outside
//!
//! [`state`], [`diagnose`], [`http`], [`tls`], [`decode`] and [`view`] do not: no file, no socket, no clock, no log.
//! They take values and the time and give values, so that recorded events replay through the same path. Everything else
//! may: [`probes`] and [`agent`] the kernel, [`sinks`] files and sockets, [`config`] files, [`host`] what the doctor
//! reads, [`events`] events that were written, [`commands`] what their names say. `tests/layers` holds this, and which
//! room may import which.
//!
//! # Invariants
//!
//! * A stranger's connection costs two look-ups in the kernel, of edge connections and of upstream ones, one more as it
//!   is accepted, and leaves no state.
//! * A healthy exchange makes no record: it moves counters. The exceptions are inside TLS: questions
//!   ([`tracer_common::gate::is_question`]), of which there are at most 100 a second and CPU, as many about what a new
//!   connection speaks, and a sample of at most 50 answers a second.
//! * An answer of 5xx that is complete is counted exactly where its status can be seen, and never as a failure; a
//!   record is made of at most 1,000 a second.
//! * A lost record can make a failure missing or its cause unknown, never wrong; every loss is counted.
//! * What an ending process explains is decided from what the kernel knew when the socket closed, not from a time
//!   window.
//! * Once all is attached, no thread keeps a privilege that only the start takes.
//! * Nothing is pinned in the kernel: when the agent goes, so do its programs.
//! * Nobody is called: the agent opens no connection to the outside; only `ranges update` and `probe` do, and only when
//!   run.
//! * Of a request, only method, path, Host and CF-Ray leave the process.
//! * Secrets of TLS sessions are seen only where they are asked for. Those that a probe saw are kept for connections
//!   from the edge only, in one kernel table, until the connection is over; after a failure, until the agent has read
//!   its record. Of a key log the agent keeps the newest 32,768 sessions. No output holds any.
//! * Healthy exchanges are decrypted only where nothing else can tell that they are healthy, and in that sample;
//!   nothing is told of them.

#![deny(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod commands;
pub mod config;
pub mod counts;
pub mod decode;
pub mod diagnose;
pub mod edge;
pub mod events;
pub mod exit;
pub mod host;
pub mod http;
pub mod probes;
pub mod recording;
pub mod sinks;
pub mod state;
pub mod tls;
pub mod view;
