//! What tracer's kernel programs and its agent share: records, map values, constants, limits.
//!
//! Rules of this ABI:
//! * Types are `repr(C)` and hold fixed-width integers and byte arrays only. Padding is spelt out. Every size is
//!   asserted.
//! * Ports are in host byte order, addresses in network byte order.
//! * A field whose name ends in `_ns` is a `CLOCK_MONOTONIC` time in nanoseconds; userspace converts it once. The
//!   starts of processes (`start_ns`) count boot time, as the kernel does.

#![no_std]

#[macro_use]
mod shared;

mod addr;
pub mod cloudflare;
mod config;
mod conn;
mod counts;
pub mod errno;
mod flags;
pub mod gate;
pub mod limits;
#[cfg(test)]
mod memory;
mod missing;
mod process;
mod records;
mod sealed;
pub mod sealed_answer;
pub mod tcp_state;
pub mod trail;
pub mod unexplained;
mod upstream;
#[cfg(feature = "user")]
mod user;

pub use addr::{RangeKey, Tuple, is_v4_mapped, v4_mapped};
pub use config::Config;
pub use conn::{Close, Conn, EarlyData, Heads, Place};
pub use counts::{Distributions, PortCounts};
pub use flags::{
    answers, attempt, attempt_state, conn_flags, hook, kinds, lost, origin_flags, pf, rst, sig_flags, taken, triggers,
    twins,
};
pub use missing::Attempt;
pub use process::{LastSignal, Listener, ListenerKey, Owner, Task};
pub use records::{
    AttemptConnRecord, AttemptRecord, ConnRecord, Header, ListenRecord, OomRecord, ProcessRecord, RefusedRecord,
    SmallConnRecord,
};
pub use sealed::{
    AES_KEY_LEN, AES_KEYS, AesKeys, KeysOf, RANDOM_LEN, SEALED_END_LEN, SEALED_RESPONSE_LEN, SECRET_LEN, SealedEnd,
    TlsKeys, secret,
};
pub use sealed_answer::AnswerRecord;
pub use upstream::{BehindRecord, OriginRecord, Served, Upstream, upstream_flags};
